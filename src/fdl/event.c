// SPDX-License-Identifier: Apache-2.0
#include "fdl/event.h"

#include "base/mem.h"
#include "codec/json.h"
#include "codec/text.h"
#include "codec/url.h"
#include "fdl/fdl.h"

#include <stdlib.h>

enum { PAYLOAD_JSON_MAX = 16 << 20, NESTING_MAX = 4, VARS_MAX = 1000 };

static const char *text_of(struct arena *mem, const json_t *v)
{
	return json_is_string(v) ? arena_strndup(mem, json_string_value(v), json_string_length(v))
				 : "";
}

// Keys in records are form-encoded, as MinIO writes them.
static const char *form_decode(struct arena *mem, const json_t *v)
{
	struct span text = url_decode(mem, span_of(text_of(mem, v)), URL_PLUS_BLANK);

	return arena_strndup(mem, text.p, text.n);
}

static int set_file(struct fdl_event *ev, const char *key, struct err *e)
{
	const char *slash = strrchr(key, '/');

	ev->kind = FDL_EVENT_STORAGE;
	ev->key = key;
	ev->file_name = slash ? slash + 1 : key;
	if (!ev->file_name[0] || strcmp(ev->file_name, ".") == 0 ||
	    strcmp(ev->file_name, "..") == 0)
		return err_set(e, ERR_INVALID, "the event names no file: key \"%s\"", key);
	if (strlen(ev->file_name) > 255)
		return err_set(e, ERR_INVALID,
			       "the last part of the key has more than 255 bytes and cannot be a "
			       "file name");
	return 0;
}

// What Rucio says of a data set.
static int data_set(const json_t *payload, struct arena *mem, struct fdl_event *ev, struct err *e)
{
	ev->provider = "rucio";
	ev->bucket = text_of(mem, json_object_get(payload, "scope"));
	return set_file(ev, text_of(mem, json_object_get(payload, "name")), e) < 0 ? -1 : 1;
}

// Records[0] of S3, MinIO, OneTrigger and Rucio. 1 = it was one.
static int from_records(const json_t *root, struct arena *mem, struct fdl_event *ev, struct err *e)
{
	const json_t *r = json_array_get(json_object_get(root, "Records"), 0);
	const char *source = text_of(mem, json_object_get(r, "eventSource"));
	const json_t *s3 = json_object_get(r, "s3");
	const json_t *object = json_object_get(s3, "object");

	ev->time = text_of(mem, json_object_get(r, "eventTime"));
	if (strcmp(source, "minio:s3") == 0 || strcmp(source, "aws:s3") == 0) {
		ev->provider = source[0] == 'm' ? "minio" : "s3";
		ev->bucket = text_of(mem, json_object_get(json_object_get(s3, "bucket"), "name"));
		return set_file(ev, form_decode(mem, json_object_get(object, "key")), e) < 0 ? -1
											     : 1;
	}
	if (strcmp(source, "OneTrigger") == 0) {
		ev->provider = "onedata";
		return set_file(ev, text_of(mem, json_object_get(root, "Key")), e) < 0 ? -1 : 1;
	}
	if (strcmp(source, "rucio") == 0) {
		ev->time = "";
		return data_set(json_object_get(root, "payload"), mem, ev, e);
	}
	return 0;
}

// Strict base64; blanks and line ends around it are ignored.
static bool base64_decode(struct span text, struct arena *mem, struct span *out)
{
	char *to = arena_alloc(mem, text.n / 4 * 3 + 3);
	ptrdiff_t n;

	text = span_trim(text);
	n = text.n ? text_unbase64(to, text.n / 4 * 3 + 3, text) : -1;
	if (n < 0)
		return false;
	*out = span_make(to, (size_t)n);
	return true;
}

// The bytes of the input file of an event that is none: JSON as it came, strict base64 decoded, else as it is.
static void unknown(struct span payload, bool is_json, const json_t *root, struct arena *mem,
		    struct fdl_event *ev)
{
	struct span text = payload;

	ev->kind = FDL_EVENT_UNKNOWN;
	ev->body = payload;
	if (is_json && !json_is_string(root))
		return;
	// A JSON string is text in quotes: what oscar-js sends.
	if (is_json)
		text = span_make(text_of(mem, root), json_string_length(root));
	if (base64_decode(text, mem, &ev->body))
		return;
	ev->body = is_json ? text : payload;
}

static int parse(struct span payload, unsigned depth, struct arena *mem, struct fdl_event *ev,
		 struct err *e);

static int gateway(const json_t *root, unsigned depth, struct arena *mem, struct fdl_event *ev,
		   struct err *e)
{
	const json_t *query = json_object_get(root, "queryStringParameters");
	const json_t *body = json_object_get(root, "body");
	struct span text = span_make("", 0);
	const char *name;
	json_t *value;

	ev->vars = arena_alloc(mem, VARS_MAX * sizeof(*ev->vars));
	json_object_foreach((json_t *)query, name, value)
	{
		if (ev->var_count == VARS_MAX)
			return err_set(e, ERR_LIMIT, "more than %d query parameters", VARS_MAX);
		ev->vars[ev->var_count++] =
			(struct fdl_event_var){ arena_printf(mem, "CONT_VAR_%s", name),
						text_of(mem, value) };
	}
	if (json_is_string(body)) {
		text = span_make(text_of(mem, body), json_string_length(body));
		if (json_is_true(json_object_get(root, "isBase64Encoded")) &&
		    !base64_decode(text, mem, &text))
			return err_set(e, ERR_INVALID,
				       "isBase64Encoded is true, the body is no base64");
	} else if (body && !json_is_null(body)) {
		auto_free char *again = codec_json_text(body, CODEC_JSON_PLAIN);

		text = span_of(arena_strdup(mem, again));
	}
	return parse(text, depth + 1, mem, ev, e);
}

static int delegated(const json_t *root, unsigned depth, struct arena *mem, struct fdl_event *ev,
		     struct err *e)
{
	const json_t *inner = json_object_get(root, "event");
	const char *provider = text_of(mem, json_object_get(root, "storage_provider"));
	const char *dot = strchr(provider, '.');
	struct span text;

	if (json_is_string(inner)) {
		text = span_make(text_of(mem, inner), json_string_length(inner));
	} else {
		auto_free char *again = codec_json_text(inner, CODEC_JSON_PLAIN);

		text = span_of(arena_strdup(mem, again));
	}
	if (parse(text, depth + 1, mem, ev, e) < 0)
		return -1;
	if (provider[0] && ev->kind == FDL_EVENT_STORAGE) {
		ev->provider_id = dot ? dot + 1 : provider;
		ev->has_provider_id = true;
	}
	return 0;
}

static int from_object(const json_t *root, unsigned depth, struct arena *mem, struct fdl_event *ev,
		       struct err *e)
{
	const json_t *payload = json_object_get(root, "payload");
	const json_t *event = json_object_get(root, "event");

	if (json_object_get(root, "httpMethod"))
		return gateway(root, depth, mem, ev, e) < 0 ? -1 : 1;
	if (event && json_object_get(root, "subscription")) {
		ev->provider = "webdav";
		ev->provider_id = "dcache";
		return set_file(ev, text_of(mem, json_object_get(event, "name")), e) < 0 ? -1 : 1;
	}
	if (json_object_get(root, "event_type") && json_object_get(payload, "scope"))
		return data_set(payload, mem, ev, e);
	if (event)
		return delegated(root, depth, mem, ev, e) < 0 ? -1 : 1;
	return from_records(root, mem, ev, e);
}

static int parse(struct span payload, unsigned depth, struct arena *mem, struct fdl_event *ev,
		 struct err *e)
{
	auto_json json_t *root = NULL;
	struct err not_json = { 0 };
	bool is_json;
	int got = 0;

	if (depth > NESTING_MAX)
		return err_set(e, ERR_INVALID, "an event inside an event, %d deep", NESTING_MAX);
	is_json = codec_json_parse(payload, PAYLOAD_JSON_MAX, &root, &not_json) == 0;
	if (is_json && json_is_object(root))
		got = from_object(root, depth, mem, ev, e);
	if (!got)
		unknown(payload, is_json, root, mem, ev);
	return got < 0 ? -1 : 0;
}

static int read_record(const json_t *r, struct arena *mem, struct fdl_record *out, struct err *e)
{
	const json_t *s3 = json_object_get(r, "s3"), *object = json_object_get(s3, "object");
	const char *sequencer = text_of(mem, json_object_get(object, "sequencer"));
	struct fdl_event ev = { .provider = "" };
	char *end;

	if (set_file(&ev, form_decode(mem, json_object_get(object, "key")), e) < 0)
		return -1;
	*out = (struct fdl_record){
		.bucket = text_of(mem, json_object_get(json_object_get(s3, "bucket"), "name")),
		.key = ev.key,
		.file_name = ev.file_name,
		.version = strtoll(sequencer, &end, 16)
	};
	if (*end || out->version < 0)
		out->version = 0;
	return 0;
}

int fdl_event_records(struct span payload, struct arena *mem, size_t max, struct fdl_record *out,
		      size_t *n, struct err *e)
{
	auto_json json_t *root = NULL;
	struct err not_json = { 0 };
	const json_t *list;

	*n = 0;
	if (codec_json_parse(payload, PAYLOAD_JSON_MAX, &root, &not_json) < 0)
		return 0;
	list = json_object_get(root, "Records");
	if (json_array_size(list) > max)
		return err_set(e, ERR_LIMIT, "an event of %zu records, allowed are %zu",
			       json_array_size(list), max);
	for (size_t i = 0; i < json_array_size(list); i++)
		if (read_record(json_array_get(list, i), mem, &out[(*n)++], e) < 0)
			return -1;
	return 0;
}

int fdl_event_group(struct span payload, struct arena *mem, struct fdl_group *out, struct err *e)
{
	auto_json json_t *root = NULL;
	const json_t *group, *files, *file;
	size_t i;

	*out = (struct fdl_group){ .n = 0 };
	if (codec_json_parse(payload, PAYLOAD_JSON_MAX, &root, e) < 0)
		return -1;
	group = json_object_get(root, "Oscar");
	files = json_object_get(group, "files");
	if (!files)
		return err_set(e, ERR_NOT_FOUND, "the event is not of the files of a run");
	if (json_array_size(files) > FDL_GROUP_RUN_MAX)
		return err_set(e, ERR_LIMIT, "%zu files of a run, allowed are %d",
			       json_array_size(files), FDL_GROUP_RUN_MAX);
	out->over = json_is_true(json_object_get(group, "over"));
	out->failed = (uint64_t)json_integer_value(json_object_get(group, "failed"));
	out->members = arena_alloc(mem, (json_array_size(files) + 1) * sizeof(*out->members));
	json_array_foreach(files, i, file)
	{
		const char *version = text_of(mem, json_object_get(file, "version"));
		struct fdl_member *m = &out->members[out->n++];
		char *end;

		m->key = text_of(mem, json_object_get(file, "key"));
		m->version = strtoll(version, &end, 16);
		if (!*m->key || !*version || *end || m->version <= 0)
			return err_set(e, ERR_INVALID, "a file of the run without key or version");
	}
	return 0;
}

int fdl_event_parse(struct span payload, struct arena *mem, struct fdl_event *out, struct err *e)
{
	*out = (struct fdl_event){ .provider = "",
				   .provider_id = "default",
				   .bucket = "",
				   .key = "",
				   .file_name = "",
				   .time = "" };
	return parse(payload, 0, mem, out, e);
}
