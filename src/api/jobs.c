// SPDX-License-Identifier: Apache-2.0
// jobs: lists, details and logs, in OSCAR's form (/system/logs) and ours (/system/jobs).
#include "api/req.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/db.h"
#include "dispatch/dispatch.h"
#include "fdl/fdl.h"
#include "queue/queue.h"
#include "store/store.h"

// ---- OSCAR's list ----------------------------------------------------------------------------------------

// Names of pod phases, as the reference shows them.
static const char *phase(enum queue_state s)
{
	switch (s) {
	case QUEUE_QUEUED:
	case QUEUE_STAGING:
		return "Pending";
	case QUEUE_RUNNING:
	case QUEUE_UPLOADING:
		return "Running";
	case QUEUE_SUCCEEDED:
		return "Succeeded";
	case QUEUE_FAILED:
	case QUEUE_CANCELLED:
	case QUEUE_DEAD:
		return "Failed";
	case QUEUE_STATES:
		break;
	}
	return "Unknown";
}

bool req_sees_all(const struct req *q, const struct service_def *d)
{
	return q->who.admin || q->who.user == d->owner;
}

void api_logs_list(struct req *q)
{
	auto_service_def struct service_def *d = req_service(q);
	struct queue_filter f = { .state = -1, .limit = PAGE_DEFAULT + 1 };
	json_t *jobs = json_object(), *all;
	struct queue_job *rows;
	struct err e = { 0 };
	size_t n;

	if (!d) {
		json_decref(jobs);
		return;
	}
	f.service = d->id;
	f.owner = req_sees_all(q, d) ? 0 : q->who.user;
	f.before = query_int(q, "page", 0, 0, INT64_MAX);
	if (queue_list(q->api->o.queue, &f, http_arena(q->http), &rows, &n, &e) < 0) {
		json_decref(jobs);
		reply_error(q, &e);
		return;
	}
	all = json_pack("{s:o}", "jobs", jobs);
	for (size_t i = 0; i < n && i < PAGE_DEFAULT; i++) {
		json_t *j = json_pack("{s:s}", "status", phase(rows[i].state));

		json_time(j, "creation_time", rows[i].created_ns);
		json_time(j, "start_time", rows[i].started_ns);
		json_time(j, "finish_time", rows[i].ended_ns);
		json_object_set_new(jobs, rows[i].name, j);
	}
	if (n > PAGE_DEFAULT)
		json_object_set_new(all, "next_page",
				    json_sprintf("%lld", (long long)rows[PAGE_DEFAULT - 1].id));
	reply_json(q, 200, all);
}

// ---- one job ---------------------------------------------------------------------------------------------

bool req_job(struct req *q, struct span name, struct queue_job *out)
{
	struct err e = { 0 };

	if (queue_job_find(q->api->o.queue, name, http_arena(q->http), out, &e) < 0) {
		reply_error(q, &e);
		return false;
	}
	if (q->who.admin || out->owner == q->who.user)
		return true;
	auto_service_def struct service_def *d = NULL;

	if (service_by_id(q->api->o.services, out->service, &d, &e) == 0 && d->owner == q->who.user)
		return true;
	reply_text(q, 404, "no such job");
	return false;
}

bool req_job_of_service(struct req *q, struct queue_job *out)
{
	auto_service_def struct service_def *d = req_service(q);

	if (!d || !req_job(q, q->param[1], out))
		return false;
	if (out->service == d->id)
		return true;
	reply_empty(q, 404);
	return false;
}

static const char *input_of(struct req *q, const struct queue_job *j)
{
	auto_service_def struct service_def *d = NULL;
	struct err e = { 0 };

	if (!j->version)
		return "";
	if (service_by_id(q->api->o.services, j->service, &d, &e) == 0)
		for (size_t i = 0; i < d->fdl->input_count; i++) {
			struct span name;

			if (fdl_io_takes(&d->fdl->inputs[i], span_of(d->fdl->inputs[i].bucket),
					 j->key, &name))
				return arena_printf(http_arena(q->http), "%s/" SPAN_FMT,
						    d->fdl->inputs[i].bucket, SPAN_ARG(j->key));
		}
	return arena_strndup(http_arena(q->http), j->key.p, j->key.n);
}

json_t *req_job_json(struct req *q, const struct queue_job *j)
{
	char id[TRACE_ID_TEXT];
	struct trace_context trace;
	struct err none = { 0 };
	json_t *v = json_pack("{s:s,s:s,s:s,s:s,s:I,s:s}", "id", j->name, "name", j->name,
			      "service", j->service_name, "state", queue_state_name(j->state),
			      "attempt", (json_int_t)j->attempt, "reason", j->reason);
	struct progress said;
	int64_t said_ns;

	json_time(v, "created", j->created_ns);
	json_time(v, "started", j->started_ns);
	json_time(v, "finished", j->ended_ns);
	if (j->attempt && j->attempt <= j->logs_gone)
		json_object_set_new(v, "log_removed", json_true());
	if (j->exit_code >= 0)
		json_object_set_new(v, "exit_code", json_integer(j->exit_code));
	if (j->state == QUEUE_RUNNING &&
	    dispatch_progress(q->api->o.dispatch, j->id, j->attempt, &said, &said_ns, &none) == 0)
		json_progress(v, &said, said_ns);
	json_object_set_new(v, "input", json_string(input_of(q, j)));
	json_object_set_new(v, "outputs_count", json_integer(j->outputs));
	json_object_set_new(v, "run", json_sprintf("%lld", (long long)j->run));
	if (queue_trace(q->api->o.queue, j->run, &trace, &none) == 0)
		json_object_set_new(v, "trace", json_string(trace_id_text(&trace, id)));
	return v;
}

bool req_job_filter(struct req *q, struct queue_filter *f)
{
	struct span service = query_text(q, "service"), state = query_text(q, "state"),
		    run = query_text(q, "run");
	struct err e = { 0 };

	*f = (struct queue_filter){ .state = -1, .owner = q->who.admin ? 0 : q->who.user };
	if (service.n) {
		auto_service_def struct service_def *d = NULL;

		if (service_get(q->api->o.services, &q->who, service, &d, &e) < 0) {
			reply_error(q, &e);
			return false;
		}
		f->service = d->id;
		f->owner = req_sees_all(q, d) ? 0 : q->who.user;
	}
	if (run.n) {
		auto_free char *text = mem_strndup(run.p, run.n);

		f->run = strtoll(text, NULL, 10);
	}
	if (state.n) {
		enum queue_state s;

		if (!queue_state_parse(state, &s)) {
			reply_text(q, 400,
				   "state: one of queued, staging, running, uploading, "
				   "succeeded, failed, cancelled, dead");
			return false;
		}
		f->state = s;
	}
	f->limit = (size_t)query_int(q, "limit", 100, 1, PAGE_MAX);
	f->before = query_int(q, "after", 0, 0, INT64_MAX);
	return true;
}

void api_jobs_list(struct req *q)
{
	struct queue_filter f;
	struct queue_job *rows;
	struct err e = { 0 };
	json_t *list, *all;
	size_t n;

	if (!req_job_filter(q, &f))
		return;
	if (queue_list(q->api->o.queue, &f, http_arena(q->http), &rows, &n, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, req_job_json(q, &rows[i]));
	all = json_pack("{s:o}", "jobs", list);
	if (n == f.limit && n)
		json_object_set_new(all, "next", json_sprintf("%lld", (long long)rows[n - 1].id));
	reply_json(q, 200, all);
}

void api_jobs_summary(struct req *q)
{
	uint64_t counts[QUEUE_STATES];
	struct queue_filter f;
	struct err e = { 0 };
	json_t *v;

	if (!req_job_filter(q, &f))
		return;
	if (!q->who.admin && !f.service) {
		reply_text(q, 400, "service: name one of your services");
		return;
	}
	if (queue_counts(q->api->o.queue, f.service, f.run, counts, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	v = json_object();
	for (unsigned i = 0; i < QUEUE_STATES; i++)
		json_object_set_new(v, queue_state_name((enum queue_state)i),
				    json_integer((json_int_t)counts[i]));
	reply_json(q, 200, v);
}

static json_t *words_of(const char *text)
{
	json_t *list = json_array();
	struct span rest = span_of(text);

	while (rest.n) {
		struct span word = span_cut(&rest, ' ');

		json_array_append_new(list, json_stringn(word.p, word.n));
	}
	return list;
}

static json_t *attempts_of(struct req *q, const struct queue_job *j)
{
	struct queue_attempt *a;
	json_t *list = json_array();
	struct err e = { 0 };
	size_t n;

	if (queue_attempts(q->api->o.queue, j->id, http_arena(q->http), &a, &n, &e) < 0)
		return list;
	for (size_t i = 0; i < n; i++) {
		json_t *v =
			json_pack("{s:i,s:s,s:s,s:s,s:s,s:I,s:I}", "number", (int)a[i].number,
				  "driver", a[i].driver, "node", a[i].node, "outcome", a[i].outcome,
				  "reason", a[i].reason, "memory_peak_bytes",
				  (json_int_t)a[i].memory_peak, "cpu_us", (json_int_t)a[i].cpu_us);

		if (*a[i].devices)
			json_object_set_new(v, "devices", words_of(a[i].devices));
		json_time(v, "leased", a[i].leased_ns);
		json_time(v, "started", a[i].started_ns);
		json_time(v, "ended", a[i].ended_ns);
		if (a[i].exit_code >= 0)
			json_object_set_new(v, "exit_code", json_integer(a[i].exit_code));
		if (a[i].signal)
			json_object_set_new(v, "signal", json_integer(a[i].signal));
		json_array_append_new(list, v);
	}
	return list;
}

json_t *req_job_outputs(struct req *q, const struct queue_job *j)
{
	char version[STORE_VERSION_TEXT];
	struct store_made *made;
	json_t *list = json_array();
	struct err e = { 0 };
	size_t n;

	if (store_made_by(q->api->o.store, j->id, PAGE_MAX, http_arena(q->http), &made, &n, &e) < 0)
		return list;
	for (size_t i = 0; i < n; i++) {
		store_version_text(made[i].version, false, version);
		json_array_append_new(list,
				      json_pack("{s:s,s:s%,s:I,s:s}", "bucket", made[i].bucket,
						"key", made[i].key.p, made[i].key.n, "size",
						(json_int_t)made[i].size, "version", version));
	}
	return list;
}

// What made the outputs, to the bit: the service's revision with its script, and the image's manifest.
void req_job_provenance(struct req *q, const struct queue_job *j, json_t *v)
{
	auto_service_def struct service_def *d = NULL;
	struct err none = { 0 };

	json_object_set_new(v, "revision", json_integer((json_int_t)j->revision));
	if (service_revision(q->api->o.services, j->service, j->revision, &d, &none) < 0)
		return; // the service was removed
	json_object_set_new(v, "image", json_string(d->fdl->image));
	json_image_digest(q, v, d->image_id);
	json_object_set_new(v, "script_sha256", json_string(d->script_hash));
}

void api_jobs_get(struct req *q)
{
	struct queue_job j;
	json_t *v;

	if (!req_job(q, q->param[0], &j))
		return;
	v = req_job_json(q, &j);
	json_object_set_new(v, "attempts", attempts_of(q, &j));
	json_object_set_new(v, "outputs", req_job_outputs(q, &j));
	req_job_provenance(q, &j, v);
	reply_json(q, 200, v);
}
