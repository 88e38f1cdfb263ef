// target_cmds: targets of bucket notifications. Owner: struct cli. Threads: one.
// Errors: those of the server.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/mem.h"
#include "base/span.h"

static int ask_json(struct cli *c, const char *method, const char *path, json_t *body, json_t **out,
		    struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	auto_free char *text = body ? codec_json_text(body, CODEC_JSON_PLAIN) : NULL;
	struct cli_request r = { .method = method, .path = path, .body = span_of(text) };

	if (cli_call(c, &r, &a, e) < 0)
		return -1;
	if (text)
		mem_wipe(text, strlen(text));
	return out && codec_json_parse(buf_span(&a.body), 64 << 20, out, e) < 0
		       ? err_wrap(e, "the server's answer")
		       : 0;
}

static void print(struct cli *c, const json_t *v)
{
	if (c->format == CLI_JSON)
		cli_print_json(c, v);
	else
		cli_print_yaml(c, v);
}

int cli_target_list(struct cli *c, struct err *e)
{
	auto_json json_t *list = NULL;
	struct cli_table t;
	json_t *v;
	size_t i;

	if (cli_get_json(c, "/system/targets", &list, e) < 0)
		return -1;
	if (c->format == CLI_JSON) {
		cli_print_json(c, list);
		return 0;
	}
	cli_table_begin(&t, c, "KIND NAME WAITING DEAD DROPPED ARN FAULT");
	json_array_foreach(list, i, v)
	{
		cli_table_add(&t, cli_text(v, "kind"));
		cli_table_add(&t, cli_text(v, "name"));
		cli_table_addf(&t, "%lld", (long long)cli_int(v, "waiting"));
		cli_table_addf(&t, "%lld", (long long)cli_int(v, "dead"));
		cli_table_addf(&t, "%lld", (long long)cli_int(v, "dropped"));
		cli_table_add(&t, cli_text(v, "arn"));
		cli_table_add(&t, cli_text(v, "fault"));
	}
	cli_table_end(&t);
	return 0;
}

// KEY=VALUE…; a value "-" is read from standard input, so that a secret is on no command line.
static int take_settings(struct cli *c, json_t *body, struct err *e)
{
	for (size_t i = 2; i < c->word_count; i++) {
		struct span value = span_of(c->words[i]), key = span_cut(&value, '=');
		char line[4096];

		if (!strchr(c->words[i], '='))
			return cli_usage(c, e, "%s: settings are KEY=VALUE", c->words[i]);
		if (span_is(value, "-")) {
			if (!fgets(line, sizeof(line), stdin))
				return err_set(e, ERR_INVALID, "standard input has no value");
			line[strcspn(line, "\r\n")] = '\0';
			value = span_of(line);
		}
		if (json_object_set_new(body, arena_strndup(&c->a, key.p, key.n),
					json_stringn(value.p, value.n)) < 0)
			return err_set(e, ERR_INVALID, "settings are UTF-8");
		mem_wipe(line, sizeof(line));
	}
	return 0;
}

int cli_target_set(struct cli *c, struct err *e)
{
	auto_json json_t *body = json_object();
	auto_json json_t *made = NULL;

	if (take_settings(c, body, e) < 0 ||
	    ask_json(c, "PUT", cli_path(c, "/system/targets/%s/%s", c->words[0], c->words[1]), body,
		     &made, e) < 0)
		return -1;
	print(c, made);
	return 0;
}

int cli_target_remove(struct cli *c, struct err *e)
{
	return ask_json(c, "DELETE", cli_path(c, "/system/targets/%s/%s", c->words[0], c->words[1]),
			NULL, NULL, e);
}

int cli_target_dead(struct cli *c, struct err *e)
{
	auto_json json_t *v = NULL;

	if (ask_json(c, "GET", cli_path(c, "/system/targets/%s/%s/dead", c->words[0], c->words[1]),
		     NULL, &v, e) < 0)
		return -1;
	print(c, json_object_get(v, "events"));
	return 0;
}

static int dead_ones(struct cli *c, const char *method, const char *what, const char *done,
		     struct err *e)
{
	auto_json json_t *v = NULL;
	const char *path = cli_path(c, "/system/targets/%s/%s/%s?id=%s", c->words[0], c->words[1],
				    what, c->word_count > 2 ? c->words[2] : "0");

	if (ask_json(c, method, path, NULL, &v, e) < 0)
		return -1;
	fprintf(c->out, "%lld events %s\n", (long long)cli_int(v, "events"), done);
	return 0;
}

int cli_target_redrive(struct cli *c, struct err *e)
{
	return dead_ones(c, "POST", "redrive", "are sent again", e);
}

int cli_target_drop(struct cli *c, struct err *e)
{
	return dead_ones(c, "DELETE", "dead", "dropped", e);
}

int cli_queue_read(struct cli *c, struct err *e)
{
	const char *after = cli_opt(c, "after"), *limit = cli_opt(c, "limit");
	auto_json json_t *v = NULL;
	int64_t wait = 0;
	json_t *event;
	size_t i;

	if (cli_opt_seconds(c, "wait", &wait, e) < 0 ||
	    ask_json(c, "GET",
		     cli_path(c, "/system/queues/%s?after=%s&limit=%s&wait=%ld", c->words[0],
			      after ? after : "0", limit ? limit : "100", (long)wait),
		     NULL, &v, e) < 0)
		return -1;
	if (c->format == CLI_YAML) {
		cli_print_yaml(c, json_object_get(v, "events"));
		return 0;
	}
	// One event a line, so that shell scripts can read them.
	json_array_foreach(json_object_get(v, "events"), i, event)
	{
		auto_free char *line = codec_json_text(event, CODEC_JSON_PLAIN);

		fprintf(c->out, "%s\n", cli_clean(c, line));
	}
	return 0;
}

int cli_queue_take(struct cli *c, struct err *e)
{
	auto_json json_t *v = NULL;

	if (ask_json(c, "DELETE",
		     cli_path(c, "/system/queues/%s?through=%s", c->words[0], c->words[1]), NULL,
		     &v, e) < 0)
		return -1;
	fprintf(c->out, "%lld events taken\n", (long long)cli_int(v, "events"));
	return 0;
}
