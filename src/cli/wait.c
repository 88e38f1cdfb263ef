// wait: until jobs have ended. Owner: struct cli. Threads: one. Errors: those of the server.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/clock.h"

#include <inttypes.h>

enum { POLL_FIRST_MS = 100, POLL_LAST_MS = 1000, FIND_MS = 5000 };

int cli_counts_get(struct cli *c, const char *service, const char *run, struct cli_counts *out,
		   struct err *e)
{
	auto_json json_t *v = NULL;
	const char *path = cli_path(c, "/system/jobs/summary?service=%s&run=%s",
				    service ? service : "", run ? run : "");

	if (cli_get_json(c, path, &v, e) < 0)
		return -1;
	*out = (struct cli_counts){
		.queued = cli_int(v, "queued"),
		.staging = cli_int(v, "staging"),
		.running = cli_int(v, "running"),
		.uploading = cli_int(v, "uploading"),
		.succeeded = cli_int(v, "succeeded"),
		.failed = cli_int(v, "failed"),
		.cancelled = cli_int(v, "cancelled"),
		.dead = cli_int(v, "dead"),
	};
	return 0;
}

int64_t cli_counts_active(const struct cli_counts *n)
{
	return n->queued + n->staging + n->running + n->uploading;
}

int64_t cli_counts_bad(const struct cli_counts *n)
{
	return n->failed + n->cancelled + n->dead;
}

// What one of those that run says of how far it is, for who looks on; it is not missed.
static const char *said_by_one(struct cli *c, const char *service, const char *run)
{
	auto_json json_t *page = NULL;
	struct err ignored = { 0 };
	const char *path = cli_path(c, "/system/jobs?state=running&limit=1&service=%s&run=%s",
				    service ? service : "", run ? run : "");

	if (!c->progress || cli_get_json(c, path, &page, &ignored) < 0)
		return "";
	return cli_clean(c, cli_said(c, json_array_get(json_object_get(page, "jobs"), 0)));
}

// "[#####.....]"; the arena keeps it until the end of the call, so it is drawn seldom.
static void draw(struct cli *c, const struct cli_counts *n, const char *said, int64_t start_ns)
{
	int64_t done = n->succeeded + cli_counts_bad(n), all = done + cli_counts_active(n);
	int64_t took = (clock_mono_ns() - start_ns) / NS_PER_S;
	char bar[25];

	for (int i = 0; i < 24; i++)
		bar[i] = all > 0 && i < done * 24 / all ? '#' : '.';
	bar[24] = 0;
	cli_progress(c,
		     "[%s] %" PRId64 "/%" PRId64 " jobs, %" PRId64 " running, %" PRId64
		     " failed, %" PRId64 ":%02" PRId64 "  %s",
		     bar, done, all, n->staging + n->running + n->uploading, cli_counts_bad(n),
		     took / 60, took % 60, said);
}

int cli_wait(struct cli *c, const char *service, const char *run, int64_t timeout_s, struct err *e)
{
	int64_t start = clock_mono_ns(), poll = POLL_FIRST_MS;

	for (;;) {
		struct cli_counts n;

		if (cli_counts_get(c, service, run, &n, e) < 0)
			return -1;
		draw(c, &n, n.running ? said_by_one(c, service, run) : "", start);
		if (cli_counts_active(&n) == 0) {
			cli_note(c, "%" PRId64 " succeeded, %" PRId64 " failed", n.succeeded,
				 cli_counts_bad(&n));
			if (cli_counts_bad(&n) == 0)
				return CLI_OK;
			return cli_list_failures(c, service, run, 20, e) < 0 ? -1 : CLI_FAILED;
		}
		if (timeout_s && clock_mono_ns() - start > timeout_s * NS_PER_S) {
			cli_note(c,
				 "oscar: %" PRId64 " jobs are still not done after %" PRId64 " s",
				 cli_counts_active(&n), timeout_s);
			return CLI_TIMEOUT;
		}
		if (cli_sleep_ms(poll, e) < 0)
			return -1;
		poll = poll * 3 / 2 < POLL_LAST_MS ? poll * 3 / 2 : POLL_LAST_MS;
	}
}

static bool is_final(const char *state)
{
	static const char *const words[] = { "succeeded", "failed", "cancelled", "dead" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(state, words[i]) == 0)
			return true;
	return false;
}

int cli_wait_job(struct cli *c, const char *name, int64_t timeout_s, struct err *e)
{
	int64_t start = clock_mono_ns(), poll = POLL_FIRST_MS;

	for (;;) {
		auto_json json_t *job = NULL;
		const char *state;

		if (cli_get_json(c, cli_path(c, "/system/jobs/%s", name), &job, e) < 0)
			return -1;
		state = cli_text(job, "state");
		cli_progress(c, "%s: %s %s", name, state, cli_clean(c, cli_said(c, job)));
		if (is_final(state)) {
			cli_note(c, "%s: %s%s%s", name, state, *cli_text(job, "reason") ? ": " : "",
				 cli_clean(c, cli_text(job, "reason")));
			return strcmp(state, "succeeded") == 0 ? CLI_OK : CLI_FAILED;
		}
		if (timeout_s && clock_mono_ns() - start > timeout_s * NS_PER_S) {
			cli_note(c, "oscar: %s is still %s after %" PRId64 " s", name, state,
				 timeout_s);
			return CLI_TIMEOUT;
		}
		if (cli_sleep_ms(poll, e) < 0)
			return -1;
		poll = poll * 3 / 2 < POLL_LAST_MS ? poll * 3 / 2 : POLL_LAST_MS;
	}
}

// The run of the newest job with this input in one page of jobs, which begins with the newest; "" when
// there is none.
static const char *find_run(struct cli *c, const json_t *page, const char *input)
{
	json_t *job;
	size_t i;

	json_array_foreach(json_object_get(page, "jobs"), i, job)
	{
		if (strcmp(cli_text(job, "input"), input) == 0)
			return arena_strdup(&c->a, cli_text(job, "run"));
	}
	return "";
}

int cli_job_of_input(struct cli *c, const char *service, const char *bucket, const char *key,
		     const char **run, struct err *e)
{
	const char *input = arena_printf(&c->a, "%s/%s", bucket, key);
	int64_t start = clock_mono_ns();

	for (;;) {
		auto_json json_t *page = NULL;

		if (cli_get_json(c, cli_path(c, "/system/jobs?service=%s&limit=200", service),
				 &page, e) < 0)
			return -1;
		*run = find_run(c, page, input);
		if (**run)
			return 0;
		if (clock_mono_ns() - start > FIND_MS * NS_PER_MS) {
			*run = NULL;
			return 0;
		}
		if (cli_sleep_ms(200, e) < 0)
			return -1;
	}
}

int cli_list_failures(struct cli *c, const char *service, const char *run, size_t max,
		      struct err *e)
{
	static const char *const states[] = { "failed", "dead", "cancelled" };
	size_t told = 0;

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		auto_json json_t *page = NULL;
		json_t *job;
		size_t at;

		if (cli_get_json(c,
				 cli_path(c, "/system/jobs?service=%s&run=%s&state=%s&limit=%ld",
					  service ? service : "", run ? run : "", states[i],
					  (long)max),
				 &page, e) < 0)
			return -1;
		json_array_foreach(json_object_get(page, "jobs"), at, job)
		{
			if (told++ >= max)
				return 0;
			cli_note(c, "  %s %s: %s: %s", cli_text(job, "name"), states[i],
				 cli_clean(c, cli_text(job, "input")),
				 cli_clean(c, cli_text(job, "reason")));
		}
	}
	return 0;
}
