// SPDX-License-Identifier: Apache-2.0
#include "codec/docker_auth.h"

#include "codec/json.h"
#include "codec/text.h"

// The keys of "auths" are hosts, or URLs with a path of no meaning ("https://index.docker.io/v1/").
static bool names(const char *key, const char *registry)
{
	struct span host = span_of(key);
	bool docker = strcmp(registry, "docker.io") == 0;

	if (span_starts(host, SPAN("https://")))
		host = span_from(host, 8);
	else if (span_starts(host, SPAN("http://")))
		host = span_from(host, 7);
	host = span_cut(&host, '/');
	return span_is(host, registry) || (docker && (span_is(host, "index.docker.io") ||
						      span_is(host, "registry-1.docker.io")));
}

// base64 of "user:password"; some writers end the password with NULs.
static int decode(const char *auth, struct arena *mem, const char **user, const char **password,
		  struct err *e)
{
	size_t size = strlen(auth);
	char *text = arena_alloc(mem, size + 1);
	ptrdiff_t n = text_unbase64(text, size, span_of(auth));
	char *colon = n < 0 ? NULL : memchr(text, ':', (size_t)n);

	if (!colon)
		return err_set(e, ERR_INVALID,
			       "the credentials in config.json are no base64 of user:password");
	*colon = '\0';
	*user = text;
	*password = colon + 1;
	return 1;
}

static int read_entry(const json_t *entry, struct arena *mem, const char **user,
		      const char **password, struct err *e)
{
	const char *auth = NULL, *name = NULL, *secret = NULL;

	if (!json_is_object(entry) || codec_json_get_string(entry, "auth", &auth, e) < 0 ||
	    codec_json_get_string(entry, "username", &name, e) < 0 ||
	    codec_json_get_string(entry, "password", &secret, e) < 0)
		return err_set(e, ERR_INVALID, "config.json: an entry of auths has a wrong form");
	if (auth && *auth)
		return decode(auth, mem, user, password, e);
	if (!name || !*name || !secret)
		return 0; // kept by a helper
	*user = arena_strdup(mem, name);
	*password = arena_strdup(mem, secret);
	return 1;
}

int docker_auth_find(struct span config, const char *registry, struct arena *mem, const char **user,
		     const char **password, struct err *e)
{
	auto_json json_t *v = NULL;
	json_t *auths = NULL, *entry;
	const char *key;

	if (codec_json_parse(config, DOCKER_AUTH_FILE_MAX, &v, e) < 0 || !json_is_object(v) ||
	    codec_json_get_object(v, "auths", &auths, e) < 0)
		return err_set(e, ERR_INVALID, "config.json is not a Docker configuration");
	json_object_foreach(auths, key, entry)
	{
		if (names(key, registry))
			return read_entry(entry, mem, user, password, e);
	}
	return 0;
}

// It becomes the name of a program.
static bool helper_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < 64 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
		       n;
}

int docker_auth_helper(struct span config, const char *registry, struct arena *mem,
		       const char **name, struct err *e)
{
	auto_json json_t *v = NULL;
	json_t *helpers = NULL, *entry;
	const char *key, *found = NULL;

	if (codec_json_parse(config, DOCKER_AUTH_FILE_MAX, &v, e) < 0 || !json_is_object(v) ||
	    codec_json_get_object(v, "credHelpers", &helpers, e) < 0 ||
	    codec_json_get_string(v, "credsStore", &found, e) < 0)
		return err_set(e, ERR_INVALID, "config.json is not a Docker configuration");
	json_object_foreach(helpers, key, entry)
	{
		if (names(key, registry) && json_is_string(entry))
			found = json_string_value(entry);
	}
	if (!found || !*found)
		return 0;
	if (!helper_ok(found))
		return err_set(e, ERR_INVALID, "config.json names no proper credential helper");
	*name = arena_strdup(mem, found);
	return 1;
}
