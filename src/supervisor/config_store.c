// SPDX-License-Identifier: Apache-2.0
// config_store: the storages of a description, and where their credentials come from.
#include "base/file.h"
#include "base/mem.h"
#include "supervisor/config_private.h"

#include <fcntl.h>
#include <stdlib.h>

// EGI Check-in, where most who have Rucio get their tokens.
#define EGI_TOKENS "https://aai.egi.eu/auth/realms/egi/protocol/openid-connect/token"
#define EGI_CLIENT "token-portal"

enum { SECRET_MAX = 4096 };

// One line of a secret file; ERR_NOT_FOUND when there is none.
static int read_secret(const struct config *c, const char *store, const char *file,
		       const char **out, struct err *e)
{
	const char *path = arena_printf(c->mem, "%s/%s/%s", c->secrets_dir, store, file);
	auto_buf struct buf text = { 0 };
	struct span value;

	if (strchr(store, '/'))
		return err_set(e, ERR_INVALID, "\"%.60s\" is no name of a storage", store);
	buf_init(&text, SECRET_MAX);
	if (file_read_path(AT_FDCWD, path, &text, e) < 0)
		return -1;
	value = span_trim(buf_span(&text));
	if (!value.n)
		return err_set(e, ERR_INVALID, "%s is empty", path);
	*out = arena_strndup(c->mem, value.p, value.n);
	mem_wipe(text.p, text.n);
	return 0;
}

static int from_files(const struct config *c, struct config_store *out, struct err *e)
{
	struct err fault = { 0 };

	if (read_secret(c, out->name, "accessKey", &out->access, &fault) == 0 &&
	    read_secret(c, out->name, "secretKey", &out->secret, &fault) == 0)
		return 0;
	*e = fault;
	return fault.code == ERR_NOT_FOUND
		       ? err_set(e, ERR_NOT_FOUND, "storage %s has no credentials", out->name)
		       : err_wrap(e, "storage %s", out->name);
}

static bool known(const char *key)
{
	return *key && strcmp(key, "hidden") != 0; // what listings print instead
}

static int credentials(const struct config *c, const json_t *p, bool is_s3,
		       struct config_store *out, struct err *e)
{
	const char *env = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY");
	const char *token = getenv("AWS_SESSION_TOKEN");
	struct err fault = { 0 };

	if (!from_files(c, out, &fault))
		return 0;
	if (fault.code != ERR_NOT_FOUND) {
		*e = fault;
		return -1;
	}
	out->access = config_text(c, p, "access_key");
	out->secret = config_text(c, p, "secret_key");
	if (known(out->access) && known(out->secret))
		return 0;
	if (known(out->access) != known(out->secret))
		return err_set(e, ERR_INVALID,
			       "storage %s is incomplete: it needs access_key and secret_key",
			       out->name);
	if (is_s3 && env && *env && secret && *secret) {
		out->access = env;
		out->secret = secret;
		out->token = token ? token : "";
		return 0;
	}
	*e = fault;
	return -1;
}

// The host may be written as an address, for servers that are not reached by https.
static const char *address(const struct config *c, const char *host, const char *path)
{
	return arena_printf(c->mem, "%s%s%s", strstr(host, "://") ? "" : "https://", host, path);
}

// It becomes a line of a request's head.
static bool header_safe(const char *text)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return false;
	return *text != '\0';
}

static int plain_store(const struct config *c, const json_t *p, struct config_store *out,
		       struct err *e)
{
	bool dav = out->kind == CONFIG_WEBDAV;

	if (!p)
		return err_set(e, ERR_NOT_FOUND, "storage %s has no credentials", out->name);
	out->region = out->access = out->secret = "";
	out->verify = config_truth(json_object_get(p, "verify"), true);
	if (dav) {
		out->access = config_text(c, p, "login");
		out->secret = config_text(c, p, "password");
		out->endpoint = address(c, config_text(c, p, "hostname"), "");
		return 0;
	}
	out->token = config_text(c, p, "token");
	out->endpoint = address(c, config_text(c, p, "oneprovider_host"), "/cdmi");
	return header_safe(out->token)
		       ? 0
		       : err_set(e, ERR_INVALID, "storage %s: its token is none", out->name);
}

static int rucio_store(const struct config *c, const json_t *p, struct config_store *out,
		       struct err *e)
{
	struct config_rucio *r = &out->rucio;

	if (!p)
		return err_set(e, ERR_NOT_FOUND, "storage %s has no credentials", out->name);
	out->region = out->access = out->secret = "";
	out->verify = config_truth(json_object_get(p, "verify"), true);
	out->endpoint = address(c, config_text(c, p, "host"), "");
	out->token = config_text(c, p, "access_token");
	r->account = config_text(c, p, "account");
	r->scope = config_text(c, p, "scope");
	r->scope = *r->scope ? r->scope : r->account;
	r->rse = config_text(c, p, "rse");
	r->refresh = config_text(c, p, "refresh_token");
	r->token_endpoint = config_text(c, p, "token_endpoint");
	r->token_endpoint = *r->token_endpoint ? r->token_endpoint : EGI_TOKENS;
	r->client = config_text(c, p, "client_id");
	r->client = *r->client ? r->client : EGI_CLIENT;
	r->audience = config_text(c, p, "oidc_audience");
	if (!*out->token && !*r->refresh)
		return err_set(e, ERR_INVALID,
			       "storage %s is incomplete: it needs refresh_token or access_token",
			       out->name);
	if (*out->token && !header_safe(out->token))
		return err_set(e, ERR_INVALID, "storage %s: its access_token is none", out->name);
	if (!header_safe(r->account))
		return err_set(e, ERR_INVALID, "storage %s: its account is none", out->name);
	return 0;
}

const char *config_input_path(const struct config *c, const char *type, const char *id)
{
	const json_t *list = json_object_get(c->doc, "input");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *entry = json_array_get(list, i);
		struct span path = config_trim_slashes(span_of(config_text(c, entry, "path")));
		struct fdl_io io = { 0 };

		config_provider(c, config_text(c, entry, "storage_provider"), &io);
		if (strcmp(io.provider_type, type) == 0 && strcmp(io.provider_id, id) == 0)
			return arena_strndup(c->mem, path.p, path.n);
	}
	return NULL;
}

const char *config_rucio_id(const struct config *c)
{
	json_t *all = json_object_get(json_object_get(c->doc, "storage_providers"), "rucio");
	const json_t *inputs = json_object_get(c->doc, "input");

	if (json_object_get(all, "default"))
		return "default";
	for (size_t i = 0; i < json_array_size(inputs); i++) {
		const json_t *entry = json_array_get(inputs, i);
		struct fdl_io io = { 0 };

		config_provider(c, config_text(c, entry, "storage_provider"), &io);
		if (strcmp(io.provider_type, "rucio") == 0)
			return io.provider_id;
	}
	return json_object_size(all) == 1 ? json_object_iter_key(json_object_iter(all)) : NULL;
}

const char *config_onedata_id(const struct config *c, struct span space)
{
	json_t *all = json_object_get(json_object_get(c->doc, "storage_providers"), "onedata"), *p;
	const char *id;

	json_object_foreach(all, id, p)
	{
		if (span_is(space, config_text(c, p, "space")))
			return id;
	}
	return NULL;
}

int config_store(const struct config *c, const char *type, const char *id, struct config_store *out,
		 struct err *e)
{
	const json_t *of_type = json_object_get(json_object_get(c->doc, "storage_providers"), type);
	const json_t *p = json_object_get(of_type, id);
	bool is_s3 = strcmp(type, "s3") == 0;

	*out = (struct config_store){ .name = arena_printf(c->mem, "%s.%s", type, id),
				      .token = "" };
	if (strcmp(type, "webdav") == 0 || strcmp(type, "onedata") == 0) {
		out->kind = type[0] == 'w' ? CONFIG_WEBDAV : CONFIG_ONEDATA;
		return plain_store(c, p, out, e);
	}
	if (strcmp(type, "rucio") == 0) {
		out->kind = CONFIG_RUCIO;
		return rucio_store(c, p, out, e);
	}
	if (!is_s3 && strcmp(type, "minio") != 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "storage %.60s: this supervisor speaks to minio, s3, webdav, "
			       "onedata and rucio",
			       out->name);
	if (credentials(c, p, is_s3, out, e) < 0)
		return -1;
	out->region = config_text(c, p, "region");
	if (!*out->region)
		out->region = "us-east-1";
	out->endpoint = config_text(c, p, "endpoint");
	if (!*out->endpoint)
		out->endpoint =
			is_s3 ? arena_printf(c->mem, "https://s3.%s.amazonaws.com", out->region)
			      : "http://minio-service.minio:9000";
	out->verify = config_truth(json_object_get(p, "verify"), true);
	return 0;
}

// What each type needs beside its name. Those of minio and s3 may come from elsewhere: credentials().
static int check_keys(const struct config *c, const char *type, const char *id, const json_t *p,
		      struct err *e)
{
	static const struct {
		const char *type, *keys[4];
	} needs[] = {
		{ "onedata", { "oneprovider_host", "token", "space", NULL } },
		{ "webdav", { "hostname", "login", "password", NULL } },
		{ "rucio", { "host", "auth_host", "account", "rse" } },
	};

	for (size_t i = 0; i < ARRAY_LEN(needs); i++)
		for (size_t k = 0; k < ARRAY_LEN(needs[i].keys) && needs[i].keys[k]; k++)
			if (strcmp(needs[i].type, type) == 0 &&
			    !*config_text(c, p, needs[i].keys[k]))
				return err_set(e, ERR_INVALID,
					       "storage %s.%.60s is incomplete: it needs %s", type,
					       id, needs[i].keys[k]);
	return 0;
}

int config_check_stores(const struct config *c, struct err *e)
{
	static const char *const types[] = { "minio", "s3", "onedata", "webdav", "rucio" };
	json_t *all = json_object_get(c->doc, "storage_providers"), *p;
	struct config_store ignored;
	const char *id;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		json_object_foreach(json_object_get(all, types[i]), id, p)
		{
			// The cluster's own keys may be in files that are not mounted here.
			bool is_default = i == 0 && strcmp(id, "default") == 0;

			if (check_keys(c, types[i], id, p, e) < 0)
				return -1;
			if (config_store(c, types[i], id, &ignored, e) < 0 && !is_default)
				return err_wrap(e, "storage_providers");
		}
	}
	return 0;
}
