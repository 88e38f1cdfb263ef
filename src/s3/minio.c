// SPDX-License-Identifier: Apache-2.0
// minio: what the administration calls of MinIO (/minio/admin/v3/…) share: bodies, which hold secrets and are then
// sealed with the caller's secret key, and answers.
#include "s3/minio.h"

#include "base/clock.h"
#include "base/mem.h"
#include "s3/sealed.h"

enum { BODY_MAX = 1 << 20 };

bool minio_fail(struct s3_req *q, enum s3_code missing, const struct err *e)
{
	if (e->code == ERR_NOT_FOUND)
		return s3_failf(q, missing, "%s", e->msg);
	if (e->code == ERR_INVALID)
		return s3_failf(q, S3_ADMIN_INVALID, "%s", e->msg);
	if (e->code == ERR_CONFLICT || e->code == ERR_EXISTS)
		return s3_failf(q, S3_ADMIN_IN_USE, "%s", e->msg);
	if (e->code == ERR_UNAUTH)
		return s3_failf(q, S3_ADMIN_BAD_BODY, "%s", e->msg);
	if (e->code == ERR_DENIED)
		return s3_failf(q, S3_ACCESS_DENIED, "%s", e->msg);
	return s3_fail_store(q, e);
}

void minio_done(struct s3_req *q, int bad, enum s3_code missing, const struct err *e)
{
	if (bad < 0)
		minio_fail(q, missing, e);
	else
		s3_empty(q, 200);
}

const char *minio_text(struct s3_req *q, const char *name)
{
	struct span v = s3_param(q, name);

	return arena_strndup(q->mem, v.p, v.n);
}

void minio_send(struct s3_req *q, json_t *v)
{
	char *text = codec_json_text(v, CODEC_JSON_PLAIN);

	http_reply(q->http, 200, "application/json", span_of(text));
	mem_free(text);
	json_decref(v);
}

static bool caller_key(struct s3_req *q, struct auth_key *key)
{
	struct err e = { 0 };

	return auth_key_find(minio_auth(q), span_of(q->who.access), key, &e) == 0 ||
	       s3_fail_store(q, &e);
}

void minio_send_sealed_text(struct s3_req *q, struct span text)
{
	auto_buf struct buf out = { 0 };
	struct auth_key key;
	struct err e = { 0 };

	buf_init(&out, 64 << 20);
	if (caller_key(q, &key)) {
		if (sealed_make(span_of(key.secret), SEALED_ARGON_AES, text, &out, &e) == 0)
			http_reply_buf(q->http, 200, "application/octet-stream", &out);
		else
			s3_fail_store(q, &e);
	}
	mem_wipe(&key, sizeof(key));
}

void minio_send_sealed(struct s3_req *q, json_t *v)
{
	auto_free char *text = codec_json_text(v, CODEC_JSON_PLAIN);

	json_decref(v);
	minio_send_sealed_text(q, span_of(text));
}

static void wipe_plain(struct buf *b)
{
	if (b->p)
		mem_wipe(b->p, b->n);
	buf_release(b);
}
#define auto_plain at_scope_exit(wipe_plain)

// False when answered.
static bool open_body(struct s3_req *q, struct buf *plain)
{
	struct auth_key key;
	struct err e = { 0 };
	bool good;

	buf_init(plain, BODY_MAX);
	if (!caller_key(q, &key))
		return false;
	good = sealed_open(span_of(key.secret), buf_span(&q->body.small), plain, &e) == 0;
	mem_wipe(&key, sizeof(key));
	return good || minio_fail(q, S3_ADMIN_INVALID, &e);
}

bool minio_take_text(struct s3_req *q, struct span *out)
{
	auto_plain struct buf plain = { 0 };

	if (!open_body(q, &plain))
		return false;
	*out = arena_span(q->mem, buf_span(&plain));
	return true;
}

json_t *minio_take(struct s3_req *q, bool sealed)
{
	auto_plain struct buf plain = { 0 };
	struct span body = buf_span(&q->body.small);
	struct err e = { 0 };
	json_t *v = NULL;

	if (sealed && !open_body(q, &plain))
		return NULL;
	if (codec_json_parse(sealed ? buf_span(&plain) : body, BODY_MAX, &v, &e) < 0)
		minio_fail(q, S3_ADMIN_INVALID, &e);
	return v;
}

json_t *minio_time(void)
{
	char text[CLOCK_TEXT_MAX];

	return json_string(clock_iso_ms(clock_wall_ns(), text));
}

json_t *minio_list(struct span names)
{
	json_t *v = json_array();

	while (names.n) {
		struct span one = span_cut(&names, ',');

		json_array_append_new(v, json_stringn(one.p, one.n));
	}
	return v;
}
