// SPDX-License-Identifier: Apache-2.0
#include "store/event.h"

#include "base/clock.h"
#include "codec/json.h"
#include "codec/url.h"

static void add_member(struct buf *b, const char *before, const char *value)
{
	buf_add_str(b, before);
	codec_json_write_string(span_of(value ? value : ""), CODEC_JSON_HTML, b);
}

// "x-amz-meta-who" as "X-Amz-Meta-Who".
static void add_header_name(struct buf *b, struct span name)
{
	char text[256];
	bool start = true;

	name = span_head(name, sizeof(text));
	for (size_t i = 0; i < name.n; i++) {
		char ch = name.p[i];

		text[i] = start && ch >= 'a' && ch <= 'z' ? (char)(ch - 'a' + 'A') : ch;
		start = ch == '-';
	}
	codec_json_write_string(span_make(text, name.n), CODEC_JSON_HTML, b);
}

// Only what clients gave, and the content type.
static void add_metadata(const struct store_event *ev, struct buf *b)
{
	struct span rest = ev->meta.packed, name, value;

	buf_add_str(b, ",\"userMetadata\":{");
	while (store_meta_next(&rest, &name, &value))
		if (span_starts(name, SPAN("x-amz-meta-"))) {
			add_header_name(b, name);
			buf_add_char(b, ':');
			codec_json_write_string(value, CODEC_JSON_HTML, b);
			buf_add_char(b, ',');
		}
	buf_add_str(b, "\"content-type\":");
	codec_json_write_string(store_meta_get(ev->meta, "content-type"), CODEC_JSON_HTML, b);
	buf_add_char(b, '}');
}

static void add_key(const struct store_event *ev, enum store_event_form form, struct buf *b)
{
	if (form == STORE_EVENT_LISTENED) {
		codec_json_write_string(ev->key, CODEC_JSON_HTML, b);
		return;
	}
	buf_add_char(b, '"');
	url_encode_form(b, ev->key, "");
	buf_add_char(b, '"');
}

static void add_object(const struct store_event *ev, enum store_event_form form, int64_t sequencer,
		       struct buf *b)
{
	bool removed = span_starts(span_of(ev->name), SPAN("s3:ObjectRemoved:"));
	char version[STORE_VERSION_TEXT];

	buf_add_str(b, "\"object\":{\"key\":");
	add_key(ev, form, b);
	if (ev->size)
		buf_printf(b, ",\"size\":%llu", (unsigned long long)ev->size);
	if (ev->etag.n) {
		buf_add_str(b, ",\"eTag\":");
		codec_json_write_string(ev->etag, CODEC_JSON_HTML, b);
	}
	if (!removed && ev->etag.n) {
		buf_add_str(b, ",\"contentType\":");
		codec_json_write_string(store_meta_get(ev->meta, "content-type"), CODEC_JSON_HTML,
					b);
		add_metadata(ev, b);
	}
	if (ev->version && !ev->null_version)
		add_member(b, ",\"versionId\":", store_version_text(ev->version, false, version));
	buf_printf(b, ",\"sequencer\":\"%016llX\"}", (unsigned long long)sequencer);
}

static void add_heading(const struct store_event *ev, struct buf *b)
{
	auto_buf struct buf path;

	buf_init(&path, STORE_BUCKET_MAX + STORE_KEY_MAX + 1);
	buf_add_span(&path, ev->bucket);
	buf_add_char(&path, '/');
	buf_add_span(&path, ev->key);
	add_member(b, "\"EventName\":", ev->name);
	buf_add_str(b, ",\"Key\":");
	codec_json_write_string(buf_span(&path), CODEC_JSON_HTML, b);
	buf_add_char(b, ',');
}

bool store_event_write(const struct store_event *ev, enum store_event_form form, int64_t sequencer,
		       struct buf *b)
{
	static const struct store_cause nobody;
	const struct store_cause *by = ev->cause ? ev->cause : &nobody;
	char time[CLOCK_TEXT_MAX];

	buf_add_char(b, '{');
	if (form == STORE_EVENT_POSTED)
		add_heading(ev, b);
	buf_printf(b,
		   "\"Records\":[{\"eventVersion\":\"2.0\",\"eventSource\":\"minio:s3\","
		   "\"awsRegion\":\"\",\"eventTime\":\"%s\"",
		   clock_iso_ms(ev->time_ns, time));
	add_member(b, ",\"eventName\":", ev->name);
	add_member(b, ",\"userIdentity\":{\"principalId\":", by->principal);
	add_member(b, "},\"requestParameters\":{\"principalId\":", by->principal);
	add_member(b, ",\"region\":\"\",\"sourceIPAddress\":", by->source_ip);
	add_member(b, "},\"responseElements\":{\"x-amz-request-id\":", by->request_id);
	buf_add_str(b, "},\"s3\":{\"s3SchemaVersion\":\"1.0\",\"configurationId\":\"Config\","
		       "\"bucket\":{\"name\":");
	codec_json_write_string(ev->bucket, CODEC_JSON_HTML, b);
	add_member(b, ",\"ownerIdentity\":{\"principalId\":", by->principal);
	buf_printf(b, "},\"arn\":\"arn:aws:s3:::" SPAN_FMT "\"},", SPAN_ARG(ev->bucket));
	add_object(ev, form, sequencer, b);
	add_member(b, "},\"source\":{\"host\":", by->source_ip);
	add_member(b, ",\"port\":\"\",\"userAgent\":", by->user_agent);
	buf_add_str(b, "}}]}");
	return !b->over;
}
