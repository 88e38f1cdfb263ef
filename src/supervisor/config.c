// SPDX-License-Identifier: Apache-2.0
#include "supervisor/config_private.h"

#include "base/file.h"
#include "base/mem.h"
#include "codec/text.h"
#include "codec/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { BUCKETS_MAX = 1000 };

const char *config_text(const struct config *c, const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return arena_strdup(c->mem, text ? text : "");
}

bool config_truth(const json_t *v, bool otherwise)
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

struct span config_trim_slashes(struct span s)
{
	while (s.n && s.p[0] == '/')
		s = span_from(s, 1);
	while (s.n && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

void config_provider(const struct config *c, const char *text, struct fdl_io *out)
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
	const char *provider = config_text(c, entry, "storage_provider");
	struct span folder = config_trim_slashes(span_of(config_text(c, entry, "path"))), bucket;

	if (!json_is_object(entry))
		return err_set(e, ERR_INVALID, "expected an object, got %s",
			       codec_json_kind(entry));
	config_provider(c, *provider ? provider : "minio", out);
	bucket = span_cut(&folder, '/');
	// Rucio's names have no folders: what the script calls a file is its whole name there.
	folder = strcmp(out->provider_type, "rucio") == 0 ? SPAN("") : config_trim_slashes(folder);
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
	out->name = config_text(out, out->doc, "name");
	out->skip_stage_in = config_truth(json_object_get(out->doc, "file_stage_in"), false);
	out->upload_on_failure =
		config_truth(json_object_get(out->doc, "upload_on_failure"), false);
	out->isolate_user = span_eq_nocase(span_of(config_text(out, out->doc, "isolation_level")),
					   SPAN("USER"));
	if (codec_json_get_int(out->doc, "timeout", 0, FDL_TIMEOUT_MAX_S, &out->timeout_s, e) < 0 ||
	    read_level(out, config_text(out, out->doc, "log_level"), "log_level", e) < 0 ||
	    strings(out, json_object_get(out->doc, "bucket_list"), BUCKETS_MAX, "bucket_list",
		    &out->buckets, &out->bucket_count, e) < 0 ||
	    read_outputs(out, e) < 0)
		return -1;
	return config_check_stores(out, e);
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
