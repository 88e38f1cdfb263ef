// SPDX-License-Identifier: Apache-2.0
// reply: answers in the forms of the OSCAR clients: compact JSON with <, > and & escaped, errors as plain text.
#include "api/req.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/progress.h"

static const struct {
	enum err_code code;
	unsigned status;
} statuses[] = {
	{ ERR_INVALID, 400 },  { ERR_NOT_FOUND, 404 }, { ERR_EXISTS, 409 },
	{ ERR_CONFLICT, 409 }, { ERR_DENIED, 403 },    { ERR_UNAUTH, 401 },
	{ ERR_LIMIT, 413 },    { ERR_TIMEOUT, 504 },   { ERR_UNAVAILABLE, 503 },
	{ ERR_BUSY, 503 },     { ERR_FULL, 507 },      { ERR_UNSUPPORTED, 501 },
	{ ERR_PROTOCOL, 502 }, { ERR_CANCELLED, 499 },
};

void reply_json(struct req *q, unsigned status, json_t *v)
{
	auto_free char *text = codec_json_text(v, CODEC_JSON_HTML);

	json_decref(v);
	http_reply(q->http, status, "application/json; charset=utf-8", span_of(text));
}

void reply_empty(struct req *q, unsigned status)
{
	http_reply(q->http, status, NULL, span_make("", 0));
}

void reply_text(struct req *q, unsigned status, const char *text)
{
	http_reply(q->http, status, "text/plain; charset=utf-8", span_of(text));
}

void reply_error(struct req *q, const struct err *e)
{
	unsigned status = 500;

	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (statuses[i].code == e->code)
			status = statuses[i].status;
	if (status == 401) {
		reply_unauthorized(q);
		return;
	}
	if (status == 503)
		http_reply_header(q->http, "Retry-After", SPAN("1"));
	if (status == 500)
		log_error("api", "request %s: %s: %s", http_id(q->http), err_name(e->code), e->msg);
	reply_text(q, status, e->msg);
}

void reply_call_error(struct req *q, const struct err *e)
{
	if (e->code != ERR_BUSY) {
		reply_error(q, e);
		return;
	}
	http_reply_header(q->http, "Retry-After", SPAN("5"));
	reply_text(q, 429, e->msg);
}

void reply_unauthorized(struct req *q)
{
	http_reply_header(q->http, "WWW-Authenticate",
			  SPAN("Basic realm=\"Authorization Required\""));
	reply_empty(q, 401);
}

struct span query_text(struct req *q, const char *name)
{
	struct span v;

	return http_query(q->http, name, &v) ? v : span_make("", 0);
}

int64_t query_int(struct req *q, const char *name, int64_t otherwise, int64_t min, int64_t max)
{
	uint64_t v;

	if (!span_to_u64(query_text(q, name), &v) || v > (uint64_t)max)
		return otherwise;
	return (int64_t)v < min ? min : (int64_t)v;
}

bool query_flag(struct req *q, const char *name)
{
	struct span v = query_text(q, name);

	return span_is(v, "1") || span_is(v, "true");
}

void json_time(json_t *o, const char *key, int64_t ns)
{
	char text[CLOCK_TEXT_MAX];

	if (ns)
		json_object_set_new(o, key, json_string(clock_iso_s(ns, text)));
}

void json_progress(json_t *o, const struct progress *p, int64_t wall_ns)
{
	if (p->done >= 0)
		json_object_set_new(o, "progress", json_real(p->done));
	if (p->message[0])
		json_object_set_new(o, "progress_message", json_string(p->message));
	json_time(o, "progress_time", wall_ns);
}

struct service_def *req_service(struct req *q)
{
	struct service_def *d = NULL;
	struct err e = { 0 };

	if (service_get(q->api->o.services, &q->who, q->param[0], &d, &e) == 0)
		return d;
	if (e.code == ERR_NOT_FOUND)
		reply_empty(q, 404);
	else
		reply_error(q, &e);
	return NULL;
}
