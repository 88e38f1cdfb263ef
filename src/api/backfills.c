// SPDX-License-Identifier: Apache-2.0
// backfills: a service over objects that are there already.
#include "api/req.h"
#include "base/clock.h"
#include "base/mem.h"
#include "dispatch/dispatch.h"
#include "fdl/fdl.h"
#include "service/backfill.h"

enum { BODY_MAX = 65536, LIST_MAX = 100 };

static json_t *json_of(const struct backfill *b)
{
	json_t *v = json_pack("{s:I,s:s,s:s,s:s,s:b,s:I,s:I,s:I,s:s}", "id", (json_int_t)b->id,
			      "state", backfill_state_name(b->state), "prefix", b->prefix, "glob",
			      b->glob, "changed", b->changed, "looked", (json_int_t)b->looked,
			      "queued", (json_int_t)b->queued, "skipped", (json_int_t)b->skipped,
			      "reason", b->reason);

	if (b->sample)
		json_object_update_new(
			v, json_pack("{s:I,s:I,s:I}", "sample", (json_int_t)b->sample, "rest",
				     (json_int_t)b->rest, "rest_bytes", (json_int_t)b->rest_bytes));
	json_time(v, "created", b->created_ns);
	json_time(v, "finished", b->ended_ns);
	return v;
}

static int whole(const json_t *o, const char *key, uint64_t *out, struct err *e)
{
	const json_t *v = json_object_get(o, key);

	if (v && (!json_is_integer(v) || json_integer_value(v) < 0))
		return err_set(e, ERR_INVALID, "%s: a whole number", key);
	*out = (uint64_t)json_integer_value(v);
	return 0;
}

static int read_body(const json_t *body, struct backfill *b, struct err *e)
{
	const char *since = NULL;
	uint64_t input;

	b->prefix = b->glob = "";
	if (codec_json_get_string(body, "prefix", &b->prefix, e) < 0 ||
	    codec_json_get_string(body, "glob", &b->glob, e) < 0 ||
	    codec_json_get_string(body, "since", &since, e) < 0 ||
	    whole(body, "limit", &b->limit, e) < 0 || whole(body, "input", &input, e) < 0 ||
	    whole(body, "sample", &b->sample, e) < 0)
		return -1;
	b->input = (size_t)input;
	b->changed = json_is_true(json_object_get(body, "changed"));
	b->since_ns = since ? clock_parse_iso(since) : 0;
	return b->since_ns < 0 ? err_set(e, ERR_INVALID, "since: a time as 2026-01-31T12:00:00Z")
			       : 0;
}

void api_backfills_start(struct req *q)
{
	auto_json json_t *body = NULL;
	struct backfill b = { 0 };
	struct err e = { 0 };
	int64_t id;

	if (codec_json_parse(http_body(q->http), BODY_MAX, &body, &e) < 0 ||
	    read_body(body, &b, &e) < 0 ||
	    backfill_start(q->api->o.services, &q->who, q->param[0], &b, &id, &e) < 0)
		reply_error(q, &e);
	else
		reply_json(q, 202, json_pack("{s:I}", "id", (json_int_t)id));
}

void api_backfills_list(struct req *q)
{
	auto_service_def struct service_def *d = req_service(q);
	struct backfill *list;
	struct err e = { 0 };
	json_t *v;
	size_t n;

	if (!d)
		return;
	if (backfill_list(q->api->o.services, d->id, LIST_MAX, http_arena(q->http), &list, &n, &e) <
	    0) {
		reply_error(q, &e);
		return;
	}
	v = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(v, json_of(&list[i]));
	reply_json(q, 200, v);
}

static bool id_of(struct req *q, int64_t *id)
{
	uint64_t v;

	if (!span_to_u64(q->param[0], &v) || v > INT64_MAX) {
		reply_text(q, 404, "no such backfill");
		return false;
	}
	*id = (int64_t)v;
	return true;
}

// How many of its jobs the machine and the service's own limit let run side by side.
static uint64_t at_once(struct req *q, const struct fdl_service *f)
{
	struct dispatch_usage u;
	uint64_t n;

	dispatch_usage(q->api->o.dispatch, &u);
	n = u.cpu_millis_total / f->cpu_millis;
	if (f->memory_bytes && u.memory_total / f->memory_bytes < n)
		n = u.memory_total / f->memory_bytes;
	if (f->concurrency && f->concurrency < n)
		n = f->concurrency;
	return n ? n : 1;
}

// What the rest will take if it is like the sample: time with the whole machine for it, and room for outputs.
static void predict(struct req *q, const struct backfill *b, const struct backfill_sample *s,
		    json_t *v)
{
	auto_service_def struct service_def *d = NULL;
	struct err e = { 0 };
	uint64_t n, rounds;
	double each_s;

	json_object_update_new(v, json_pack("{s:I,s:I}", "ended", (json_int_t)s->ended, "succeeded",
					    (json_int_t)s->succeeded));
	if (!s->succeeded || service_by_id(q->api->o.services, b->service, &d, &e) < 0)
		return;
	n = at_once(q, d->fdl);
	rounds = (b->rest + n - 1) / n;
	each_s = (double)s->run_ns / (double)s->succeeded / (double)NS_PER_S;
	json_object_update_new(
		v, json_pack("{s:f,s:I,s:I,s:f,s:I}", "run_seconds", each_s, "output_bytes",
			     (json_int_t)(s->output_bytes / s->succeeded), "at_once", (json_int_t)n,
			     "rest_seconds", each_s * (double)rounds, "rest_output_bytes",
			     (json_int_t)((double)s->output_bytes / (double)s->succeeded *
					  (double)b->rest)));
}

void api_backfills_get(struct req *q)
{
	struct backfill_sample s;
	struct backfill b;
	struct err e = { 0 };
	json_t *v;
	int64_t id;

	if (!id_of(q, &id))
		return;
	if (backfill_get(q->api->o.services, &q->who, id, http_arena(q->http), &b, &e) < 0 ||
	    backfill_sample(q->api->o.services, &b, http_arena(q->http), &s, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	v = json_of(&b);
	if (b.sample)
		predict(q, &b, &s, v);
	reply_json(q, 200, v);
}

void api_backfills_cancel(struct req *q)
{
	struct err e = { 0 };
	int64_t id;

	if (!id_of(q, &id))
		return;
	if (backfill_cancel(q->api->o.services, &q->who, id, &e) < 0)
		reply_error(q, &e);
	else
		reply_empty(q, 204);
}
