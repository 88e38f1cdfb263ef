// SPDX-License-Identifier: Apache-2.0
#include "supervisor/config.h"

#include "base/file.h"
#include "base/mem.h"
#include "codec/text.h"
#include "codec/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { SECRET_MAX = 4096, BUCKETS_MAX = 1000 };

static const char *text_at(const struct config *c, const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return arena_strdup(c->mem, text ? text : "");
}

// "true" as text counts too, since environments and templates write it so.
static bool truth(const json_t *v, bool otherwise)
{
	if (json_is_string(v))
		return span_eq_nocase(span_of(json_string_value(v)), SPAN("true"));
	return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

static int strings(const struct config *c, const json_t *list, size_t max, const char *key,
		   const char *const **out, size_t *count, struct err *e)
{
	size_t n = json_array_size(list);
	const char **items = arena_alloc(c->mem, (n + 1) * sizeof(*items));

	if (list && !json_is_null(list) && !json_is_array(list))
		return err_set(e, ERR_INVALID, "%s: expected a list, got %s", key,
			       codec_json_kind(list));
	if (n > max)
		return err_set(e, ERR_LIMIT, "%s: %zu entries, allowed are %zu", key, n, max);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (!text)
			return err_set(e, ERR_INVALID, "%s[%zu]: expected a string", key, i);
		items[i] = arena_strdup(c->mem, text);
	}
	*out = items;
	*count = n;
	return 0;
}

static struct span trim_slashes(struct span s)
{
	while (s.n && s.p[0] == '/')
		s = span_from(s, 1);
	while (s.n && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

// TYPE.ID; without a dot the id is "default". The type is compared without case.
static void read_provider(const struct config *c, const char *text, struct fdl_io *out)
{
	struct span id = span_of(text), type = span_cut(&id, '.');
	char *lower = arena_strndup(c->mem, type.p, type.n);

	for (char *p = lower; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
	out->provider_type = lower;
	out->provider_id = id.n ? arena_strndup(c->mem, id.p, id.n) : "default";
	out->provider = arena_printf(c->mem, "%s.%s", lower, out->provider_id);
}

static int read_output(const struct config *c, const json_t *entry, struct fdl_io *out,
		       struct err *e)
{
	const char *provider = text_at(c, entry, "storage_provider");
	struct span folder = trim_slashes(span_of(text_at(c, entry, "path"))), bucket;

	if (!json_is_object(entry))
		return err_set(e, ERR_INVALID, "expected an object, got %s",
			       codec_json_kind(entry));
	read_provider(c, *provider ? provider : "minio", out);
	bucket = span_cut(&folder, '/');
	folder = trim_slashes(folder);
	if (!bucket.n)
		return err_set(e, ERR_INVALID, "path: it names no bucket");
	out->bucket = arena_strndup(c->mem, bucket.p, bucket.n);
	out->folder = arena_strndup(c->mem, folder.p, folder.n);
	return strings(c, json_object_get(entry, "prefix"), FDL_FILTERS_MAX, "prefix",
		       &out->prefixes, &out->prefix_count, e) < 0
		       ? -1
		       : strings(c, json_object_get(entry, "suffix"), FDL_FILTERS_MAX, "suffix",
				 &out->suffixes, &out->suffix_count, e);
}

static int read_outputs(struct config *c, struct err *e)
{
	const json_t *list = json_object_get(c->doc, "output");
	size_t n = json_array_size(list);

	if (list && !json_is_null(list) && !json_is_array(list))
		return err_set(e, ERR_INVALID, "output: expected a list, got %s",
			       codec_json_kind(list));
	if (n > FDL_IO_MAX)
		return err_set(e, ERR_LIMIT, "output: %zu entries, allowed are %d", n, FDL_IO_MAX);
	c->outputs = arena_alloc(c->mem, (n + 1) * sizeof(*c->outputs));
	for (size_t i = 0; i < n; i++)
		if (read_output(c, json_array_get(list, i), &c->outputs[i], e) < 0)
			return err_wrap(e, "output[%zu]", i);
	c->output_count = n;
	return 0;
}

// ---- storages ----------------------------------------------------------------------------------------

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
	out->access = text_at(c, p, "access_key");
	out->secret = text_at(c, p, "secret_key");
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
	out->verify = truth(json_object_get(p, "verify"), true);
	if (dav) {
		out->access = text_at(c, p, "login");
		out->secret = text_at(c, p, "password");
		out->endpoint = address(c, text_at(c, p, "hostname"), "");
		return 0;
	}
	out->token = text_at(c, p, "token");
	out->endpoint = address(c, text_at(c, p, "oneprovider_host"), "/cdmi");
	return header_safe(out->token)
		       ? 0
		       : err_set(e, ERR_INVALID, "storage %s: its token is none", out->name);
}

const char *config_input_path(const struct config *c, const char *type, const char *id)
{
	const json_t *list = json_object_get(c->doc, "input");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *entry = json_array_get(list, i);
		struct span path = trim_slashes(span_of(text_at(c, entry, "path")));
		struct fdl_io io = { 0 };

		read_provider(c, text_at(c, entry, "storage_provider"), &io);
		if (strcmp(io.provider_type, type) == 0 && strcmp(io.provider_id, id) == 0)
			return arena_strndup(c->mem, path.p, path.n);
	}
	return NULL;
}

const char *config_onedata_id(const struct config *c, struct span space)
{
	json_t *all = json_object_get(json_object_get(c->doc, "storage_providers"), "onedata"), *p;
	const char *id;

	json_object_foreach(all, id, p)
	{
		if (span_is(space, text_at(c, p, "space")))
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
	if (!is_s3 && strcmp(type, "minio") != 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "storage %.60s: this supervisor speaks to minio, s3, webdav and "
			       "onedata",
			       out->name);
	if (credentials(c, p, is_s3, out, e) < 0)
		return -1;
	out->region = text_at(c, p, "region");
	if (!*out->region)
		out->region = "us-east-1";
	out->endpoint = text_at(c, p, "endpoint");
	if (!*out->endpoint)
		out->endpoint =
			is_s3 ? arena_printf(c->mem, "https://s3.%s.amazonaws.com", out->region)
			      : "http://minio-service.minio:9000";
	out->verify = truth(json_object_get(p, "verify"), true);
	return 0;
}

// What each type needs beside its name. Those of minio and s3 may come from elsewhere: credentials().
static int check_stores(const struct config *c, struct err *e)
{
	static const struct {
		const char *type, *keys[4];
	} needs[] = {
		{ "onedata", { "oneprovider_host", "token", "space", NULL } },
		{ "webdav", { "hostname", "login", "password", NULL } },
		{ "rucio", { "host", "auth_host", "account", "rse" } },
	};
	const json_t *all = json_object_get(c->doc, "storage_providers");
	struct config_store ignored;
	const char *id;
	json_t *p;

	json_object_foreach(json_object_get(all, "minio"), id,
			    p) if (config_store(c, "minio", id, &ignored, e) < 0 &&
				   strcmp(id, "default") != 0) return err_wrap(e,
									       "storage_providers");
	json_object_foreach(json_object_get(all, "s3"), id,
			    p) if (config_store(c, "s3", id, &ignored, e) <
				   0) return err_wrap(e, "storage_providers");
	for (size_t i = 0; i < ARRAY_LEN(needs); i++)
		json_object_foreach(
			json_object_get(all, needs[i].type), id,
			p) for (size_t k = 0; k < ARRAY_LEN(needs[i].keys);
				k++) if (needs[i].keys[k] &&
					 !*text_at(c, p,
						   needs[i].keys
							   [k])) return err_set(e, ERR_INVALID,
										"storage %s.%.60s "
										"is incomplete: it "
										"needs %s",
										needs[i].type, id,
										needs[i].keys[k]);
	return 0;
}

// ---- the whole ---------------------------------------------------------------------------------------

static int read_level(struct config *c, const char *text, const char *where, struct err *e)
{
	if (*text && !report_level_parse(text, &c->level))
		return err_set(e, ERR_INVALID,
			       "%s: \"%.40s\" is none of NOTSET, DEBUG, INFO, WARNING, ERROR, "
			       "CRITICAL",
			       where, text);
	return 0;
}

int config_parse(struct span yaml, const char *secrets_dir, struct arena *mem, struct config *out,
		 struct err *e)
{
	struct codec_yaml_node *root;

	*out = (struct config){ .level = REPORT_INFO, .secrets_dir = secrets_dir, .mem = mem };
	if (codec_yaml_parse(yaml, FDL_DOCUMENT_MAX, mem, &root, e) < 0)
		return -1;
	out->doc = codec_yaml_to_json(root);
	if (!json_is_object(out->doc))
		return err_set(e, ERR_INVALID, "expected keys and values, got %s",
			       codec_json_kind(out->doc));
	out->name = text_at(out, out->doc, "name");
	out->skip_stage_in = truth(json_object_get(out->doc, "file_stage_in"), false);
	out->upload_on_failure = truth(json_object_get(out->doc, "upload_on_failure"), false);
	out->isolate_user =
		span_eq_nocase(span_of(text_at(out, out->doc, "isolation_level")), SPAN("USER"));
	if (codec_json_get_int(out->doc, "timeout", 0, FDL_TIMEOUT_MAX_S, &out->timeout_s, e) < 0 ||
	    read_level(out, text_at(out, out->doc, "log_level"), "log_level", e) < 0 ||
	    strings(out, json_object_get(out->doc, "bucket_list"), BUCKETS_MAX, "bucket_list",
		    &out->buckets, &out->bucket_count, e) < 0 ||
	    read_outputs(out, e) < 0)
		return -1;
	return check_stores(out, e);
}

static int from_environment(const char *base64, struct buf *out, struct err *e)
{
	struct span text = span_trim(span_of(base64));
	char *room = buf_room(out, text.n / 4 * 3 + 3);
	ptrdiff_t n = room ? text_unbase64(room, text.n / 4 * 3 + 3, text) : -1;

	if (n < 0)
		return err_set(e, ERR_INVALID, "it is no base64, or over %d bytes",
			       FDL_DOCUMENT_MAX);
	buf_grown(out, (size_t)n);
	return 0;
}

int config_load(struct arena *mem, struct config *out, struct err *e)
{
	const char *env = getenv("FUNCTION_CONFIG"), *level = getenv("LOG_LEVEL");
	const char *download = getenv("DOWNLOAD_INPUT");
	const char *where = env && *env ? "FUNCTION_CONFIG" : CONFIG_FILE;
	auto_buf struct buf text = { 0 };

	buf_init(&text, FDL_DOCUMENT_MAX);
	if (env && *env ? from_environment(env, &text, e) < 0
			: file_read_path(AT_FDCWD, CONFIG_FILE, &text, e) < 0)
		return err_wrap(e, "%s", where);
	if (config_parse(buf_span(&text), CONFIG_SECRETS, mem, out, e) < 0)
		return err_wrap(e, "%s", where);
	if (download && *download)
		out->skip_stage_in = !span_eq_nocase(span_of(download), SPAN("true"));
	return read_level(out, level ? level : "", "LOG_LEVEL", e);
}

void config_release(struct config *c)
{
	json_decref(c->doc);
	c->doc = NULL;
}
