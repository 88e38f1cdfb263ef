// backfill_cmd: a service over objects that are there already. Owner: struct cli. Threads: one.
// Errors: those of the server.
// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "cli/private.h"

#include <inttypes.h>

enum { LOOK_MS = 300 };

static int ask(struct cli *c, int64_t *id, struct err *e)
{
	static const char *const texts[] = { "prefix", "glob", "since" };
	auto_http_answer struct http_answer a = { 0 };
	auto_json json_t *body = json_object(), *v = NULL;
	auto_free char *text = NULL;
	struct cli_request r = { .method = "POST",
				 .path = cli_path(c, "/system/services/%s/backfill", c->words[0]) };
	int64_t limit = 0;

	if (cli_opt_number(c, "limit", INT64_MAX, &limit, e) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (cli_opt(c, texts[i]))
			json_object_set_new(body, texts[i], json_string(cli_opt(c, texts[i])));
	json_object_set_new(body, "limit", json_integer((json_int_t)limit));
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

// The one of that id, among the service's newest; false when it is gone.
static int look(struct cli *c, int64_t id, json_t **one, struct err *e)
{
	auto_json json_t *list = NULL;
	json_t *v;
	size_t i;

	if (cli_get_json(c, cli_path(c, "/system/services/%s/backfill", c->words[0]), &list, e) < 0)
		return -1;
	json_array_foreach(list, i, v)
	{
		if (cli_int(v, "id") == id) {
			*one = json_incref(v);
			return 0;
		}
	}
	return err_set(e, ERR_NOT_FOUND, "backfill %" PRId64 " is gone", id);
}

int cli_backfill(struct cli *c, struct err *e)
{
	int64_t id = 0;

	if (ask(c, &id, e) < 0)
		return -1;
	if (!cli_opt(c, "wait")) {
		fprintf(c->out, "backfill %" PRId64 " begun\n", id);
		return 0;
	}
	for (;;) {
		auto_json json_t *v = NULL;
		const char *state;

		if (look(c, id, &v, e) < 0)
			return -1;
		state = cli_text(v, "state");
		cli_progress(c, "%" PRId64 " objects, %" PRId64 " jobs", cli_int(v, "looked"),
			     cli_int(v, "queued"));
		if (strcmp(state, "working") != 0) {
			cli_progress_end(c);
			fprintf(c->out, "%s: %" PRId64 " jobs queued, %" PRId64 " skipped%s%s\n",
				state, cli_int(v, "queued"), cli_int(v, "skipped"),
				*cli_text(v, "reason") ? ": " : "",
				cli_clean(c, cli_text(v, "reason")));
			return strcmp(state, "done") == 0 ? 0 : CLI_FAILED;
		}
		if (cli_sleep_ms(LOOK_MS, e) < 0)
			return -1;
	}
}
