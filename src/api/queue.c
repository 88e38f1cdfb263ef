// SPDX-License-Identifier: Apache-2.0
// queue: pausing services, limits of users, what jobs took beside what they asked for.
#include "queue/queue.h"
#include "api/req.h"
#include "auth/auth.h"
#include "dispatch/dispatch.h"
#include "fdl/fdl.h"
#include "fdl/quantity.h"

enum { LIMITS_BODY_MAX = 65536 };

// ---- pausing -------------------------------------------------------------------------------------------

static void change_flow(struct req *q, enum service_flow_change change)
{
	auto_service_def struct service_def *d = NULL;
	struct err e = { 0 };

	if (service_get(q->api->o.services, &q->who, q->param[0], &d, &e) < 0 ||
	    service_flow_set(q->api->o.services, &q->who, q->param[0], change, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	if (change == SERVICE_PAUSE)
		dispatch_retire(q->api->o.dispatch, d->id);
	reply_empty(q, 204);
}

void api_services_pause(struct req *q)
{
	change_flow(q, SERVICE_PAUSE);
}

void api_services_drain(struct req *q)
{
	change_flow(q, SERVICE_DRAIN);
}

void api_services_resume(struct req *q)
{
	change_flow(q, SERVICE_RESUME);
	dispatch_look(q->api->o.dispatch);
}

// One that drains is paused as soon as nothing of what was queued then is left.
static const char *flow_name(const struct service_flow *f, uint64_t running, int64_t oldest)
{
	if (!f->paused)
		return "open";
	return f->upto && (running || (oldest && oldest <= f->upto)) ? "draining" : "paused";
}

json_t *req_groups_json(struct req *q, int64_t service, int64_t run, struct err *e)
{
	static const char *const kinds[] = { "count", "run", "manifest" };
	struct service_group *g;
	json_t *list;
	size_t n;

	if (service_groups(q->api->o.services, service, run, http_arena(q->http), &g, &n, e) < 0)
		return NULL;
	list = json_array();
	for (size_t i = 0; i < n; i++) {
		auto_service_def struct service_def *d = NULL;
		struct err gone = { 0 };
		const struct fdl_io *io;
		json_t *v;

		if (service_by_id(q->api->o.services, g[i].service, &d, &gone) < 0 ||
		    (run && !req_sees_all(q, d)))
			continue;
		io = g[i].input < d->fdl->input_count ? &d->fdl->inputs[g[i].input] : NULL;
		v = json_pack("{s:s,s:I,s:I}", "service", d->fdl->name, "input",
			      (json_int_t)g[i].input, "files", (json_int_t)g[i].files);
		json_object_set_new(v, "run", json_sprintf("%lld", (long long)g[i].run));
		json_object_set_new(v, "kind", json_string(kinds[g[i].kind]));
		if (g[i].kind == SERVICE_GROUP_COUNT)
			json_object_set_new(v, "of", json_integer(io ? io->group_count : 0));
		json_time(v, "opened", g[i].opened_ns);
		if (g[i].kind != SERVICE_GROUP_RUN || (io && io->group_unfailed))
			json_time(v, "due", g[i].due_ns);
		json_array_append_new(list, v);
	}
	return list;
}

void api_services_queue(struct req *q)
{
	auto_service_def struct service_def *d = req_service(q);
	uint64_t counts[QUEUE_STATES], running;
	struct service_flow flow;
	struct err e = { 0 };
	int64_t oldest;
	json_t *groups;

	if (!d)
		return;
	flow = service_flow_get(q->api->o.services, d->id);
	if (queue_counts(q->api->o.queue, d->id, 0, counts, &e) < 0 ||
	    queue_oldest(q->api->o.queue, d->id, &oldest, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	running = counts[QUEUE_STAGING] + counts[QUEUE_RUNNING] + counts[QUEUE_UPLOADING];
	groups = req_groups_json(q, d->id, 0, &e);
	if (!groups) {
		reply_error(q, &e);
		return;
	}
	reply_json(q, 200,
		   json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:i,s:I,s:o}", "service", d->fdl->name,
			     "state", flow_name(&flow, running, oldest), "queued",
			     (json_int_t)counts[QUEUE_QUEUED], "running", (json_int_t)running,
			     "max", (json_int_t)d->fdl->queue_max, "concurrency",
			     (json_int_t)d->fdl->concurrency, "priority", (int)d->fdl->priority,
			     "weight", (json_int_t)d->fdl->weight, "groups", groups));
}

// ---- what jobs took ------------------------------------------------------------------------------------

static json_t *spread_json(const struct queue_spread *s, uint64_t requested, uint64_t suggested)
{
	json_t *v =
		json_pack("{s:I,s:I,s:I,s:I}", "requested", (json_int_t)requested, "p50",
			  (json_int_t)s->p50, "p95", (json_int_t)s->p95, "max", (json_int_t)s->max);

	if (suggested)
		json_object_set_new(v, "suggested", json_integer((json_int_t)suggested));
	return v;
}

static uint64_t round_up(uint64_t value, uint64_t step)
{
	return (value + step - 1) / step * step;
}

// A fifth above the largest peak; half as much again where jobs ran out of it. 0 = too little is known.
static uint64_t suggest_memory(const struct queue_usage *u, const struct fdl_service *f)
{
	uint64_t step = UINT64_C(8) << 20;

	if (u->oom)
		return round_up(f->memory_bytes + f->memory_bytes / 2, step);
	return u->memory_bytes.max ? round_up(u->memory_bytes.max + u->memory_bytes.max / 5, step)
				   : 0;
}

// What 19 of 20 jobs made use of and a tenth above; half as much again where they were held at their limit.
static uint64_t suggest_cpu(const struct queue_usage *u, const struct fdl_service *f)
{
	uint64_t used = u->cpu_millis.p95;

	if (!used)
		return 0;
	if (used * 10 >= (uint64_t)f->cpu_millis * 9)
		return round_up(f->cpu_millis + f->cpu_millis / 2, 50);
	return round_up(used + used / 10, 50);
}

void api_services_usage(struct req *q)
{
	auto_service_def struct service_def *d = req_service(q);
	struct queue_usage u;
	struct err e = { 0 };

	if (!d)
		return;
	if (queue_usage(q->api->o.queue, d->id, &u, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	reply_json(
		q, 200,
		json_pack("{s:s,s:I,s:I,s:o,s:o,s:o}", "service", d->fdl->name, "jobs",
			  (json_int_t)u.jobs, "out_of_memory", (json_int_t)u.oom, "memory_bytes",
			  spread_json(&u.memory_bytes, d->fdl->memory_bytes,
				      suggest_memory(&u, d->fdl)),
			  "cpu_millis",
			  spread_json(&u.cpu_millis, d->fdl->cpu_millis, suggest_cpu(&u, d->fdl)),
			  "run_ms", spread_json(&u.run_ms, (uint64_t)d->fdl->timeout_s * 1000, 0)));
}

// ---- limits of users -----------------------------------------------------------------------------------

static json_t *limits_json(const struct queue_limits *l)
{
	return json_pack("{s:I,s:I,s:f,s:I,s:I}", "running", (json_int_t)l->running, "queued",
			 (json_int_t)l->queued, "cpu", l->cpu_millis / 1000.0, "memory",
			 (json_int_t)l->memory_bytes, "weight",
			 (json_int_t)(l->weight ? l->weight : 1));
}

static bool user_of(struct req *q, struct auth_user *u)
{
	struct err e = { 0 };

	if (auth_user_find(q->api->o.auth, q->param[0], u, &e) == 0)
		return true;
	reply_error(q, &e);
	return false;
}

void api_limits_get(struct req *q)
{
	struct auth_user u;
	struct queue_limits l;

	if (!user_of(q, &u))
		return;
	l = queue_limits_get(q->api->o.queue, u.id);
	reply_json(q, 200, limits_json(&l));
}

static int whole(const json_t *o, const char *key, uint64_t max, uint64_t *out, struct err *e)
{
	const json_t *v = json_object_get(o, key);

	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) > max)
		return err_set(e, ERR_INVALID, "%s: a whole number from 0 to %llu", key,
			       (unsigned long long)max);
	*out = (uint64_t)json_integer_value(v);
	return 0;
}

// "cpu" as in a service, as text or as a number; "memory" likewise.
static int quantities(const json_t *o, struct queue_limits *l, struct err *e)
{
	const json_t *cpu = json_object_get(o, "cpu"), *memory = json_object_get(o, "memory");
	uint64_t milli;

	if (json_is_string(memory)) {
		if (fdl_quantity_units(span_of(json_string_value(memory)), &l->memory_bytes, e) < 0)
			return err_wrap(e, "memory");
	} else if (whole(o, "memory", INT64_MAX, &l->memory_bytes, e) < 0) {
		return -1;
	}
	if (json_is_string(cpu)) {
		if (fdl_quantity_milli(span_of(json_string_value(cpu)), &milli, e) < 0)
			return err_wrap(e, "cpu");
		l->cpu_millis = milli > UINT32_MAX ? UINT32_MAX : (uint32_t)milli;
	} else if (cpu) {
		double n = json_number_value(cpu);

		if (!json_is_number(cpu) || !(n >= 0 && n <= 1000000))
			return err_set(e, ERR_INVALID, "cpu: a number of cores");
		l->cpu_millis = (uint32_t)(n * 1000 + 0.5);
	}
	return 0;
}

// What is not named stays as it is; 0 lifts a limit.
void api_limits_put(struct req *q)
{
	auto_json json_t *body = NULL;
	struct auth_user u;
	struct queue_limits l;
	struct err e = { 0 };
	uint64_t running, weight;

	if (!user_of(q, &u))
		return;
	l = queue_limits_get(q->api->o.queue, u.id);
	running = l.running;
	weight = l.weight;
	if (codec_json_parse(http_body(q->http), LIMITS_BODY_MAX, &body, &e) < 0 ||
	    whole(body, "running", UINT32_MAX, &running, &e) < 0 ||
	    whole(body, "queued", INT64_MAX, &l.queued, &e) < 0 ||
	    whole(body, "weight", QUEUE_WEIGHT_MAX, &weight, &e) < 0 ||
	    quantities(body, &l, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	l.running = (uint32_t)running;
	l.weight = (uint32_t)weight;
	if (queue_limits_set(q->api->o.queue, u.id, &l, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	dispatch_look(q->api->o.dispatch);
	reply_json(q, 200, limits_json(&l));
}
