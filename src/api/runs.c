// SPDX-License-Identifier: Apache-2.0
// runs: all that follows from one upload or call: its jobs with what they read and what they made.
#include "api/req.h"
#include "base/mem.h"
#include "fdl/event.h"
#include "fdl/fdl.h"
#include "queue/queue.h"
#include "store/store.h"

enum { TRACE_RUNS_MAX = 100 };

// How many files a job has that was made by several.
static void count_inputs(struct req *q, const struct queue_job *j, json_t *v)
{
	struct fdl_record records[FDL_GROUP_MAX];
	struct arena *mem = http_arena(q->http);
	struct fdl_group run;
	struct span payload;
	struct err none = { 0 };
	size_t n;

	if (j->trigger >= SERVICE_GROUP_TRIGGERS ||
	    queue_payload(q->api->o.queue, j->id, mem, &payload, &none) < 0)
		return;
	if (fdl_event_group(payload, mem, &run, &none) == 0)
		n = run.n;
	else if (fdl_event_records(payload, mem, FDL_GROUP_MAX, records, &n, &none) < 0 || n < 2)
		return;
	json_object_set_new(v, "inputs_count", json_integer((json_int_t)n));
}

static json_t *one(struct req *q, const struct queue_job *j)
{
	char version[STORE_VERSION_TEXT];
	json_t *v = req_job_json(q, j);

	if (j->version)
		json_object_set_new(v, "input_version",
				    json_string(store_version_text(j->version, false, version)));
	count_inputs(q, j, v);
	json_object_set_new(v, "outputs", req_job_outputs(q, j));
	req_job_provenance(q, j, v);
	return v;
}

void api_runs_get(struct req *q)
{
	struct queue_filter f = { .state = -1, .owner = q->who.admin ? 0 : q->who.user };
	auto_free char *text = mem_strndup(q->param[0].p, q->param[0].n);
	struct queue_job *rows;
	struct err e = { 0 };
	json_t *list, *all, *groups;
	char *end;
	size_t n;

	f.run = strtoll(text, &end, 10);
	if (*end || !f.run) {
		reply_text(q, 400, "a run is a number, as jobs show it");
		return;
	}
	f.limit = (size_t)query_int(q, "limit", 100, 1, PAGE_MAX);
	f.before = query_int(q, "after", 0, 0, INT64_MAX);
	if (queue_list(q->api->o.queue, &f, http_arena(q->http), &rows, &n, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	groups = f.before ? NULL : req_groups_json(q, 0, f.run, &e);
	if (!n && !f.before && !json_array_size(groups)) {
		json_decref(groups);
		reply_text(q, 404, "no such run");
		return;
	}
	list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, one(q, &rows[i]));
	all = json_pack("{s:s,s:o}", "run", text, "jobs", list);
	if (n == f.limit)
		json_object_set_new(all, "next", json_sprintf("%lld", (long long)rows[n - 1].id));
	if (groups)
		json_object_set_new(all, "groups", groups);
	reply_json(q, 200, all);
}

// Has the run a job that the caller may see?
static bool is_visible(struct req *q, int64_t run)
{
	struct queue_filter f = {
		.state = -1, .run = run, .owner = q->who.admin ? 0 : q->who.user, .limit = 1
	};
	struct queue_job *rows;
	struct err none = { 0 };
	size_t n;

	return queue_list(q->api->o.queue, &f, http_arena(q->http), &rows, &n, &none) == 0 && n;
}

void api_traces_get(struct req *q)
{
	struct trace_context t = { 0 };
	char text[TRACE_ID_TEXT];
	int64_t runs[TRACE_RUNS_MAX];
	struct err e = { 0 };
	json_t *list;
	size_t n;

	if (!trace_id_parse(q->param[0], t.id)) {
		reply_text(q, 400, "a trace is 32 lower-case hexadecimal digits, not all zeros");
		return;
	}
	if (queue_trace_runs(q->api->o.queue, t.id, runs, TRACE_RUNS_MAX, &n, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < n; i++)
		if (is_visible(q, runs[i]))
			json_array_append_new(list, json_sprintf("%lld", (long long)runs[i]));
	if (json_array_size(list)) {
		reply_json(q, 200,
			   json_pack("{s:s,s:o}", "trace", trace_id_text(&t, text), "runs", list));
		return;
	}
	json_decref(list);
	reply_text(q, 404, "no run of this trace is kept");
}
