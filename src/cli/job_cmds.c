// job_cmds: jobs, their logs, and the feed of what happens. Owner: struct cli. Threads: one.
// Errors: those of the server.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/clock.h"
#include "http/sse.h"

#include <inttypes.h>

enum { PAGE = 500, EVENT_MAX = 1 << 20 };

static int print_summary(struct cli *c, struct err *e)
{
	auto_json json_t *v = NULL;
	const char *service = cli_opt(c, "service"), *run = cli_opt(c, "run"), *state;
	struct cli_table t;
	json_t *count;

	if (cli_get_json(c,
			 cli_path(c, "/system/jobs/summary?service=%s&run=%s",
				  service ? service : "", run ? run : ""),
			 &v, e) < 0)
		return -1;
	if (c->format == CLI_JSON) {
		cli_print_json(c, v);
		return 0;
	}
	cli_table_begin(&t, c, "STATE JOBS");
	json_object_foreach(v, state, count)
	{
		cli_table_add(&t, state);
		cli_table_addf(&t, "%" PRId64, (int64_t)json_integer_value(count));
	}
	cli_table_end(&t);
	return 0;
}

// Seconds between two times as the server writes them; to now when the second is missing.
static const char *took(struct cli *c, const json_t *job)
{
	int64_t from = clock_parse_iso(cli_text(job, "started"));
	int64_t to = clock_parse_iso(cli_text(job, "finished"));

	if (from < 0)
		return "-";
	if (to < 0)
		to = clock_wall_ns();
	if (to - from < 60 * NS_PER_S)
		return arena_printf(&c->a, "%.0f s", (double)(to - from) / (double)NS_PER_S);
	return cli_duration(c, (to - from) / NS_PER_S);
}

const char *cli_said(struct cli *c, const json_t *job)
{
	const json_t *done = json_object_get(job, "progress");
	const char *message = cli_text(job, "progress_message");

	if (!done)
		return message;
	return arena_printf(&c->a, "%.0f %%%s%s", json_number_value(done) * 100,
			    *message ? ": " : "", message);
}

static void add_row(struct cli_table *t, const json_t *job)
{
	cli_table_add(t, cli_text(job, "name"));
	cli_table_add(t, cli_text(job, "service"));
	cli_table_add(t, cli_text(job, "state"));
	cli_table_addf(t, "%" PRId64, cli_int(job, "attempt"));
	cli_table_add(t, cli_text(job, "created"));
	cli_table_add(t, took(t->c, job));
	cli_table_add(t, cli_text(job, "input"));
	cli_table_add(t, *cli_text(job, "reason") ? cli_text(job, "reason") : cli_said(t->c, job));
}

static int get_page(struct cli *c, int64_t limit, const char *after, json_t **out, struct err *e)
{
	const char *service = cli_opt(c, "service"), *run = cli_opt(c, "run");
	const char *state = cli_opt(c, "state");

	return cli_get_json(c,
			    cli_path(c,
				     "/system/jobs?service=%s&state=%s&run=%s&limit=%ld&after=%s",
				     service ? service : "", state ? state : "", run ? run : "",
				     (long)limit, after),
			    out, e);
}

int cli_jobs_list(struct cli *c, struct err *e)
{
	auto_json json_t *all = json_array();
	int64_t left = 100;
	const char *after = "";
	struct cli_table t;
	json_t *job;
	size_t i;

	if (cli_opt(c, "summary"))
		return print_summary(c, e);
	if (cli_opt_number(c, "limit", 1000000, &left, e) < 0)
		return -1;
	while (left > 0) {
		auto_json json_t *page = NULL;
		json_t *jobs;

		if (get_page(c, left < PAGE ? left : PAGE, after, &page, e) < 0)
			return -1;
		jobs = json_object_get(page, "jobs");
		json_array_extend(all, jobs);
		left -= (int64_t)json_array_size(jobs);
		after = arena_strdup(&c->a, cli_text(page, "next"));
		if (!*after || json_array_size(jobs) == 0)
			break;
	}
	if (c->format == CLI_JSON) {
		auto_json json_t *out = json_pack("{s:O}", "jobs", all);

		cli_print_json(c, out);
		return 0;
	}
	cli_table_begin(&t, c, "JOB SERVICE STATE TRY CREATED TIME INPUT REASON");
	json_array_foreach(all, i, job)
	{
		add_row(&t, job);
	}
	cli_table_end(&t);
	return 0;
}

int cli_jobs_get(struct cli *c, struct err *e)
{
	auto_json json_t *job = NULL;

	if (cli_get_json(c, cli_path(c, "/system/jobs/%s", c->words[0]), &job, e) < 0) {
		if (e->code == ERR_NOT_FOUND)
			return err_set(e, ERR_NOT_FOUND, "there is no job \"%s\"", c->words[0]);
		return -1;
	}
	if (c->format == CLI_JSON)
		cli_print_json(c, job);
	else
		cli_print_yaml(c, job);
	return 0;
}

// Has the server do `verb` with the named jobs, or with all that the options mean.
static int do_jobs(struct cli *c, const char *verb, const char *done, const char *state,
		   struct err *e)
{
	auto_http_answer struct http_answer answer = { 0 };
	auto_json json_t *v = NULL;
	const char *service = cli_opt(c, "service"), *run = cli_opt(c, "run");
	bool many = service || run || cli_opt(c, "all");
	struct cli_request all = { .method = "POST", .timeout_ms = -1 };

	if (many == (c->word_count > 0))
		return cli_usage(c, e, "name jobs, or say --service, --run or --all");
	for (size_t i = 0; i < c->word_count; i++) {
		auto_http_answer struct http_answer a = { 0 };
		struct cli_request r = { .method = "POST",
					 .path = cli_path(c, "/system/jobs/%s/%s", c->words[i],
							  verb) };

		if (cli_call(c, &r, &a, e) < 0)
			return err_wrap(e, "job %s", c->words[i]);
		fprintf(c->out, "%s %s\n", c->words[i], done);
	}
	if (!many)
		return 0;
	all.path = cli_path(c, "/system/jobs/%s?service=%s&run=%s&state=%s&all=1", verb,
			    service ? service : "", run ? run : "", state);
	if (cli_call(c, &all, &answer, e) < 0)
		return -1;
	if (codec_json_parse(buf_span(&answer.body), 1 << 16, &v, e) < 0)
		return err_wrap(e, "the server's answer");
	fprintf(c->out, "%" PRId64 " jobs %s\n", cli_int(v, done), done);
	return 0;
}

int cli_jobs_cancel(struct cli *c, struct err *e)
{
	return do_jobs(c, "cancel", "cancelled", cli_opt(c, "queued") ? "queued" : "", e);
}

int cli_jobs_redrive(struct cli *c, struct err *e)
{
	const char *state = cli_opt(c, "state");

	return do_jobs(c, "redrive", "redriven", state ? state : "", e);
}

// Prints the new jobs' names.
int cli_jobs_rerun(struct cli *c, struct err *e)
{
	int64_t timeout_s = 0;
	int got = CLI_OK;

	if (cli_opt_seconds(c, "timeout", &timeout_s, e) < 0)
		return -1;
	for (size_t i = 0; i < c->word_count; i++) {
		auto_http_answer struct http_answer a = { 0 };
		struct cli_request r = { .method = "POST",
					 .once = true,
					 .path = cli_path(c, "/system/jobs/%s/rerun",
							  c->words[i]) };
		struct span job;

		if (cli_call(c, &r, &a, e) < 0)
			return err_wrap(e, "job %s", c->words[i]);
		job = http_answer_header(&a, "X-Oscar-Job");
		c->words[i] = arena_strndup(&c->a, job.p, job.n);
		fprintf(c->out, "%s\n", cli_clean(c, c->words[i]));
	}
	fflush(c->out);
	for (size_t i = 0; i < c->word_count && cli_opt(c, "wait"); i++) {
		int one = cli_wait_job(c, c->words[i], timeout_s, e);

		if (one < 0)
			return -1;
		got = got ? got : one;
	}
	return got;
}

int cli_jobs_wait(struct cli *c, struct err *e)
{
	int64_t timeout_s = 0;

	if (cli_opt_seconds(c, "timeout", &timeout_s, e) < 0)
		return -1;
	return cli_wait(c, cli_opt(c, "service"), cli_opt(c, "run"), timeout_s, e);
}

// ---- logs ----------------------------------------------------------------------------------------------

// A followed log that breaks off is asked for again; what was printed is left out then.
struct log_reader {
	FILE *out;
	uint64_t printed, skip;
};

static bool print_log(void *owner, struct span piece)
{
	struct log_reader *r = owner;
	size_t skip = r->skip < piece.n ? (size_t)r->skip : piece.n;

	r->skip -= skip;
	piece = span_from(piece, skip);
	r->printed += piece.n;
	return fwrite(piece.p, 1, piece.n, r->out) == piece.n && fflush(r->out) == 0;
}

static int print_log_of(struct cli *c, const char *job, bool follow, struct err *e)
{
	const char *stream = cli_opt(c, "stream");
	struct log_reader reader = { .out = c->out };
	const char *path =
		arena_printf(&c->a, "%s%s%s",
			     cli_path(c, "/system/jobs/%s/log?follow=%ld", job, (long)follow),
			     stream ? cli_path(c, "&stream=%s", stream) : "",
			     cli_opt(c, "timestamps") ? "&timestamps=1" : "");

	for (int tried = 0;; tried++) {
		auto_http_answer struct http_answer a = { 0 };
		struct cli_request r = { .method = "GET",
					 .path = path,
					 .take = print_log,
					 .owner = &reader,
					 .timeout_ms = -1,
					 .once = true };
		uint64_t before = reader.printed;

		reader.skip = reader.printed;
		if (cli_call(c, &r, &a, e) == 0)
			return 0;
		if (reader.printed > before)
			tried = 0;
		if (!follow || e->code != ERR_UNAVAILABLE || tried >= 60 ||
		    cli_sleep_ms(500, e) < 0)
			return -1;
	}
}

static int print_job_log(struct cli *c, const char *job, bool follow, struct err *e)
{
	struct cli_watch *w = follow ? cli_watch_job(c, job) : NULL;
	int got = print_log_of(c, job, follow, e);

	cli_watch_stop(w);
	return got;
}

// The name of the service's newest job, or of the one that followed `last`; "" when there is none.
static int pick_job(struct cli *c, const char *service, const char *last, const char **name,
		    struct err *e)
{
	auto_json json_t *page = NULL;
	const json_t *jobs;
	size_t n, at = 0;

	if (cli_get_json(c, cli_path(c, "/system/jobs?service=%s&limit=500", service), &page, e) <
	    0)
		return -1;
	jobs = json_object_get(page, "jobs"); // the newest first
	n = json_array_size(jobs);
	while (*last && at < n && strcmp(cli_text(json_array_get(jobs, at), "name"), last) != 0)
		at++;
	if (n == 0 || (*last && at == 0))
		*name = "";
	else
		*name = arena_strdup(&c->a,
				     cli_text(json_array_get(jobs, *last ? at - 1 : 0), "name"));
	return 0;
}

static int follow_service(struct cli *c, const char *service, struct err *e)
{
	const char *name, *last = "";

	for (;;) {
		if (pick_job(c, service, last, &name, e) < 0)
			return -1;
		if (!*name) {
			if (cli_sleep_ms(500, e) < 0)
				return -1;
			continue;
		}
		last = name;
		cli_note(c, "==> %s", name);
		if (print_job_log(c, name, true, e) < 0)
			return -1;
	}
}

static int is_job(struct cli *c, const char *name, bool *out, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	struct cli_request r = { .method = "GET", .path = cli_path(c, "/system/jobs/%s", name) };

	if (cli_ask(c, &r, &a, e) < 0)
		return -1;
	*out = a.status != 404;
	return *out ? http_answer_check(&a, e) : 0;
}

int cli_logs(struct cli *c, struct err *e)
{
	const char *what = c->words[0], *name;
	bool follow = cli_opt(c, "follow") != NULL, job;

	if (is_job(c, what, &job, e) < 0)
		return -1;
	if (job)
		return print_job_log(c, what, follow, e);
	if (follow)
		return follow_service(c, what, e);
	if (pick_job(c, what, "", &name, e) < 0)
		return -1;
	if (!*name)
		return err_set(e, ERR_NOT_FOUND,
			       "there is no job and no service with jobs named \"%s\"", what);
	return print_job_log(c, name, false, e);
}

// ---- events --------------------------------------------------------------------------------------------

struct event_reader {
	struct cli *c;
	struct sse_reader sse;
	struct err *e;
	char last[64]; // id of the last event, to go on after it
	int64_t left;  // events to print, negative = no bound
	bool done;
};

static void print_event(void *owner, const struct sse_event *ev)
{
	struct event_reader *r = owner;

	if (r->left == 0)
		return;
	if (r->left > 0)
		r->left--;
	r->done = r->left == 0;
	if (ev->id.n)
		snprintf(r->last, sizeof(r->last), "%.*s", SPAN_ARG(ev->id));
	if (r->c->format == CLI_JSON)
		fprintf(r->c->out, "{\"id\":\"%s\",\"event\":\"%.*s\",\"data\":%.*s}\n", r->last,
			SPAN_ARG(ev->kind), SPAN_ARG(ev->data));
	else
		fprintf(r->c->out, "%s  %.*s  %.*s\n", r->last, SPAN_ARG(ev->kind),
			SPAN_ARG(ev->data));
	fflush(r->c->out);
}

static bool feed_event(void *owner, struct span piece)
{
	struct event_reader *r = owner;

	return sse_feed(&r->sse, piece, r->e) == 0 && !r->done;
}

int cli_events(struct cli *c, struct err *e)
{
	struct event_reader r = { .c = c, .left = -1, .e = e };
	const char *after = cli_opt(c, "after");

	if (cli_opt_number(c, "limit", INT32_MAX, &r.left, e) < 0)
		return -1;
	if (after)
		snprintf(r.last, sizeof(r.last), "%s", after);
	for (;;) {
		auto_http_answer struct http_answer a = { 0 };
		struct cli_request req = { .method = "GET",
					   .accept = "text/event-stream",
					   .take = feed_event,
					   .owner = &r,
					   .timeout_ms = -1,
					   .once = true };
		int got;

		req.path =
			*r.last ? cli_path(c, "/system/events?after=%s", r.last) : "/system/events";
		sse_init(&r.sse, EVENT_MAX, print_event, &r);
		got = cli_call(c, &req, &a, e);
		sse_release(&r.sse);
		if (r.done)
			return 0;
		if (got < 0 && e->code != ERR_UNAVAILABLE)
			return -1;
		if (cli_sleep_ms(1000, e) < 0)
			return -1;
	}
}
