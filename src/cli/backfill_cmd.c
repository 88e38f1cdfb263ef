// backfill_cmd: a service over objects that are there already. Owner: struct cli. Threads: one.
// Errors: those of the server.
// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "cli/private.h"

#include <inttypes.h>

enum { LOOK_MS = 300, SAMPLE_MAX = 100 };

static int ask(struct cli *c, int64_t *id, struct err *e)
{
	static const char *const texts[] = { "prefix", "glob", "since" };
	auto_http_answer struct http_answer a = { 0 };
	auto_json json_t *body = json_object(), *v = NULL;
	auto_free char *text = NULL;
	struct cli_request r = { .method = "POST",
				 .path = cli_path(c, "/system/services/%s/backfill", c->words[0]) };
	int64_t limit = 0, sample = 0;

	if (cli_opt_number(c, "limit", INT64_MAX, &limit, e) < 0 ||
	    cli_opt_number(c, "sample", SAMPLE_MAX, &sample, e) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (cli_opt(c, texts[i]))
			json_object_set_new(body, texts[i], json_string(cli_opt(c, texts[i])));
	json_object_set_new(body, "limit", json_integer((json_int_t)limit));
	json_object_set_new(body, "sample", json_integer((json_int_t)sample));
	json_object_set_new(body, "changed", json_boolean(cli_opt(c, "changed") != NULL));
	text = codec_json_text(body, CODEC_JSON_PLAIN);
	r.body = span_of(text);
	if (cli_call(c, &r, &a, e) < 0)
		return -1;
	if (codec_json_parse(buf_span(&a.body), 1 << 16, &v, e) < 0)
		return err_wrap(e, "the server's answer");
	*id = cli_int(v, "id");
	return 0;
}

static void tell(struct cli *c, const json_t *v)
{
	const char *state = cli_text(v, "state");

	fprintf(c->out, "%s: %" PRId64 " jobs queued, %" PRId64 " skipped%s%s\n", state,
		cli_int(v, "queued"), cli_int(v, "skipped"), *cli_text(v, "reason") ? ": " : "",
		cli_clean(c, cli_text(v, "reason")));
}

// What the rest would take.
static void tell_sample(struct cli *c, const json_t *v)
{
	int64_t ended = cli_int(v, "ended"), good = cli_int(v, "succeeded");
	int64_t rest = cli_int(v, "rest");

	if (good < ended)
		fprintf(c->out,
			"%" PRId64 " of the %" PRId64 " failed: oscar jobs list --service %s\n",
			ended - good, ended, c->words[0]);
	if (good)
		fprintf(c->out, "each: %.1f s, %s of outputs\n",
			json_number_value(json_object_get(v, "run_seconds")),
			cli_size(c, (uint64_t)cli_int(v, "output_bytes")));
	fprintf(c->out, "rest: %" PRId64 " objects, %s", rest,
		cli_size(c, (uint64_t)cli_int(v, "rest_bytes")));
	if (good)
		fprintf(c->out, "; about %s at %" PRId64 " at once, %s of outputs",
			cli_duration(
				c, (int64_t)json_number_value(json_object_get(v, "rest_seconds"))),
			cli_int(v, "at_once"),
			cli_size(c, (uint64_t)cli_int(v, "rest_output_bytes")));
	fprintf(c->out, "\n");
}

// Waits until all is queued, and of a sample until its jobs are over.
static int follow(struct cli *c, int64_t id, bool sample, struct err *e)
{
	for (;;) {
		auto_json json_t *v = NULL;
		bool working, over;

		if (cli_get_json(c, cli_path(c, "/system/backfills/%" PRId64, id), &v, e) < 0)
			return -1;
		working = strcmp(cli_text(v, "state"), "working") == 0;
		over = !working && (!sample || cli_int(v, "ended") >= cli_int(v, "queued"));
		cli_progress(c, "%" PRId64 " objects, %" PRId64 " jobs", cli_int(v, "looked"),
			     cli_int(v, "queued"));
		if (over) {
			cli_progress_end(c);
			tell(c, v);
			if (sample)
				tell_sample(c, v);
			return strcmp(cli_text(v, "state"), "done") == 0 ? 0 : CLI_FAILED;
		}
		if (cli_sleep_ms(LOOK_MS, e) < 0)
			return -1;
	}
}

int cli_backfill(struct cli *c, struct err *e)
{
	bool sample = cli_opt(c, "sample") != NULL;
	int64_t id = 0;

	if (ask(c, &id, e) < 0)
		return -1;
	if (sample || cli_opt(c, "wait"))
		return follow(c, id, sample, e);
	fprintf(c->out, "backfill %" PRId64 " begun\n", id);
	return 0;
}
