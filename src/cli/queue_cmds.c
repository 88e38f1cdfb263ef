// queue_cmds: pausing services, stopping their servers, their queues, what they take, and limits of users. Owner: struct cli. Threads: one.
// Errors: those of the server.
// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "cli/private.h"

#include <inttypes.h>

// Asks the server to do `verb` with each service that was named.
static int each_service(struct cli *c, const char *verb, const char *done, struct err *e)
{
	for (size_t i = 0; i < c->word_count; i++) {
		auto_http_answer struct http_answer a = { 0 };
		struct cli_request r = {
			.method = "POST",
			.path = arena_printf(&c->a, "%s/%s",
					     cli_path(c, "/system/services/%s", c->words[i]), verb)
		};

		if (cli_call(c, &r, &a, e) < 0)
			return err_wrap(e, "%s", c->words[i]);
		fprintf(c->out, "%s %s\n", c->words[i], done);
	}
	return 0;
}

int cli_service_pause(struct cli *c, struct err *e)
{
	return each_service(c, "pause", "paused", e);
}

int cli_service_resume(struct cli *c, struct err *e)
{
	return each_service(c, "resume", "resumed", e);
}

int cli_service_stop(struct cli *c, struct err *e)
{
	return each_service(c, "stop", "stopped", e);
}

int cli_service_start(struct cli *c, struct err *e)
{
	return each_service(c, "start", "started", e);
}

int cli_service_restart(struct cli *c, struct err *e)
{
	return each_service(c, "restart", "restarted", e);
}

static int drained(struct cli *c, const char *service, bool *out, struct err *e)
{
	auto_json json_t *v = NULL;

	if (cli_get_json(c, cli_path(c, "/system/services/%s/queue", service), &v, e) < 0)
		return -1;
	*out = strcmp(cli_text(v, "state"), "draining") != 0;
	return 0;
}

int cli_service_drain(struct cli *c, struct err *e)
{
	int64_t timeout_s = 0, waited_ms = 0;
	bool done;

	if (cli_opt_seconds(c, "timeout", &timeout_s, e) < 0 ||
	    each_service(c, "drain", "draining", e) < 0)
		return -1;
	if (!cli_opt(c, "wait"))
		return 0;
	for (size_t i = 0; i < c->word_count; i++)
		for (;;) {
			if (drained(c, c->words[i], &done, e) < 0)
				return -1;
			if (done)
				break;
			if (timeout_s && waited_ms > timeout_s * 1000)
				return CLI_TIMEOUT;
			if (cli_sleep_ms(200, e) < 0)
				return -1;
			waited_ms += 200;
		}
	return 0;
}

static int print_answer(struct cli *c, const json_t *v)
{
	if (c->format == CLI_JSON)
		cli_print_json(c, v);
	else
		cli_print_yaml(c, v);
	return 0;
}

int cli_service_queue(struct cli *c, struct err *e)
{
	auto_json json_t *v = NULL;

	if (cli_get_json(c, cli_path(c, "/system/services/%s/queue", c->words[0]), &v, e) < 0)
		return -1;
	return print_answer(c, v);
}

static const char *megabytes(struct cli *c, int64_t bytes)
{
	return bytes ? arena_printf(&c->a, "%" PRId64 "Mi", (bytes + (1 << 20) - 1) >> 20) : "-";
}

static const char *cores(struct cli *c, int64_t millis)
{
	return millis ? arena_printf(&c->a, "%.2f", (double)millis / 1000) : "-";
}

static void usage_row(struct cli_table *t, const char *what, const json_t *v,
		      const char *(*say)(struct cli *c, int64_t n))
{
	static const char *const keys[] = { "requested", "p50", "p95", "max", "suggested" };

	cli_table_add(t, what);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		cli_table_add(t, say(t->c, cli_int(v, keys[i])));
}

int cli_service_usage(struct cli *c, struct err *e)
{
	auto_json json_t *v = NULL;
	struct cli_table t;

	if (cli_get_json(c, cli_path(c, "/system/services/%s/usage", c->words[0]), &v, e) < 0)
		return -1;
	if (c->format == CLI_JSON) {
		cli_print_json(c, v);
		return 0;
	}
	fprintf(c->out, "%" PRId64 " jobs, %" PRId64 " of them out of memory\n", cli_int(v, "jobs"),
		cli_int(v, "out_of_memory"));
	cli_table_begin(&t, c, "WHAT REQUESTED MEDIAN P95 MAX SUGGESTED");
	usage_row(&t, "memory", json_object_get(v, "memory_bytes"), megabytes);
	usage_row(&t, "cpu", json_object_get(v, "cpu_millis"), cores);
	cli_table_end(&t);
	return 0;
}

static int limit_option(struct cli *c, json_t *body, const char *name, struct err *e)
{
	int64_t n;

	if (!cli_opt(c, name))
		return 0;
	if (cli_opt_number(c, name, INT64_MAX, &n, e) < 0)
		return -1;
	json_object_set_new(body, name, json_integer((json_int_t)n));
	return 0;
}

int cli_user_limits(struct cli *c, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	auto_json json_t *body = json_object(), *answer = NULL;
	const char *path = cli_path(c, "/system/users/%s/limits", c->words[0]);
	struct cli_request r = { .method = "PUT", .path = path };
	auto_free char *text = NULL;

	if (limit_option(c, body, "running", e) < 0 || limit_option(c, body, "queued", e) < 0 ||
	    limit_option(c, body, "weight", e) < 0)
		return -1;
	if (cli_opt(c, "cpu"))
		json_object_set_new(body, "cpu", json_string(cli_opt(c, "cpu")));
	if (cli_opt(c, "memory"))
		json_object_set_new(body, "memory", json_string(cli_opt(c, "memory")));
	if (json_object_size(body) == 0) {
		if (cli_get_json(c, path, &answer, e) < 0)
			return -1;
		return print_answer(c, answer);
	}
	text = codec_json_text(body, CODEC_JSON_PLAIN);
	r.body = span_of(text);
	if (cli_call(c, &r, &a, e) < 0)
		return -1;
	if (codec_json_parse(buf_span(&a.body), 1 << 20, &answer, e) < 0)
		return err_wrap(e, "the server's answer");
	return print_answer(c, answer);
}
