// admin_cmds: users, buckets, and how the server is. Owner: struct cli. Threads: one.
// Errors: those of the server and of base/file.h.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/file.h"
#include "base/mem.h"

// A secret of the command line is visible to others on this machine, so "-" reads it from standard input.
static int read_secret(struct cli *c, const char **out, struct err *e)
{
	char line[256];

	if (!*out || strcmp(*out, "-") != 0)
		return 0;
	if (!fgets(line, sizeof(line), stdin))
		return err_set(e, ERR_INVALID, "standard input has no secret");
	line[strcspn(line, "\r\n")] = 0;
	*out = arena_strdup(&c->a, line);
	mem_wipe(line, sizeof(line));
	return 0;
}

int cli_user_add(struct cli *c, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	auto_json json_t *user = json_pack("{s:s}", "name", c->words[0]);
	auto_json json_t *answer = NULL;
	auto_free char *text = NULL;
	const char *key = cli_opt(c, "s3-key"), *secret = cli_opt(c, "s3-secret");
	const char *email = cli_opt(c, "email");
	struct cli_request r = { .method = "POST", .path = "/system/users" };

	if (!key != !secret)
		return cli_usage(c, e, "--s3-key and --s3-secret go together");
	if (read_secret(c, &secret, e) < 0)
		return -1;
	if (key) {
		json_object_set_new(user, "s3_key", json_string(key));
		json_object_set_new(user, "s3_secret", json_string(secret));
	}
	if (email)
		json_object_set_new(user, "email", json_string(email));
	text = codec_json_text(user, CODEC_JSON_PLAIN);
	r.body = span_of(text);
	if (cli_call(c, &r, &a, e) < 0)
		return -1;
	if (a.body.n == 0) {
		fprintf(c->out, "%s added\n", c->words[0]);
		return 0;
	}
	if (codec_json_parse(buf_span(&a.body), 1 << 20, &answer, e) < 0)
		return err_wrap(e, "the server's answer");
	if (c->format == CLI_JSON)
		cli_print_json(c, answer);
	else
		cli_print_yaml(c, answer);
	return 0;
}

int cli_bucket_list(struct cli *c, struct err *e)
{
	auto_json json_t *answer = NULL;
	const json_t *list;
	struct cli_table t;
	json_t *b;
	size_t i;

	if (cli_get_json(c, "/system/buckets", &answer, e) < 0)
		return -1;
	list = json_is_array(answer) ? answer : json_object_get(answer, "buckets");
	if (c->format == CLI_JSON) {
		cli_print_json(c, list);
		return 0;
	}
	cli_table_begin(&t, c, "BUCKET VISIBILITY OWNER OBJECTS SIZE");
	json_array_foreach(list, i, b)
	{
		const json_t *usage = json_object_get(b, "storage_usage");

		cli_table_add(&t, cli_text(b, "bucket_name"));
		cli_table_add(&t, cli_text(b, "visibility"));
		cli_table_add(&t, cli_text(b, "owner"));
		cli_table_addf(&t, "%ld", (long)cli_int(usage, "objects"));
		cli_table_add(&t, cli_size(c, (uint64_t)cli_int(usage, "used_bytes")));
	}
	cli_table_end(&t);
	return 0;
}

int cli_bucket_add(struct cli *c, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	auto_json json_t *body = json_pack("{s:s}", "bucket_name", c->words[0]);
	const char *path = cli_opt(c, "directory");
	struct cli_request r = { .method = "POST", .path = "/system/buckets" };
	int64_t stable = 0, interval = 0;
	auto_free char *text = NULL;
	json_t *d;

	if (cli_opt_seconds(c, "stable", &stable, e) < 0 ||
	    cli_opt_seconds(c, "interval", &interval, e) < 0)
		return -1;
	if (path) {
		d = json_pack("{s:s,s:s*,s:s*,s:b,s:b}", "path", path, "complete",
			      cli_opt(c, "complete"), "sentinel", cli_opt(c, "sentinel"),
			      "no_watch", cli_opt(c, "no-watch") != NULL, "outputs",
			      cli_opt(c, "outputs") != NULL);
		if (!d)
			return err_set(e, ERR_INVALID, "the path is no UTF-8");
		if (stable)
			json_object_set_new(d, "stable_s", json_integer(stable));
		if (interval)
			json_object_set_new(d, "interval_s", json_integer(interval));
		json_object_set_new(body, "directory", d);
	} else if (cli_opt(c, "complete") || cli_opt(c, "sentinel") || stable || interval ||
		   cli_opt(c, "outputs")) {
		return cli_usage(c, e, "the other options are about a --directory");
	}
	text = codec_json_text(body, CODEC_JSON_PLAIN);
	r.body = span_of(text);
	return cli_call(c, &r, &a, e);
}

int cli_bucket_remove(struct cli *c, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	struct cli_request r = { .method = "DELETE",
				 .path = cli_path(c, "/system/buckets/%s", c->words[0]) };

	return cli_call(c, &r, &a, e);
}

int cli_info(struct cli *c, struct err *e)
{
	auto_json json_t *v = NULL;

	if (cli_get_json(c, "/system/info", &v, e) < 0)
		return -1;
	if (c->format == CLI_JSON)
		cli_print_json(c, v);
	else
		cli_print_yaml(c, v);
	return 0;
}

int cli_health(struct cli *c, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	struct cli_request r = { .method = "GET", .path = "/health", .once = true };

	if (cli_call(c, &r, &a, e) < 0)
		return -1;
	fprintf(c->out, "%s\n", cli_clean(c, a.body.p ? a.body.p : ""));
	return 0;
}
