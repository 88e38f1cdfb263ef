// service_cmds: FDL files and services. Owner: struct cli. Threads: one. Errors: those of fdl and of the
// server.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/file.h"
#include "base/mem.h"
#include "codec/text.h"
#include "fdl/fdl.h"

#include <fcntl.h>
#include <unistd.h>

enum { INPUT_MAX = 64 << 20 };

static bool is_selected(const struct cli *c, const struct fdl_entry *entry)
{
	const char *cluster = cli_opt(c, "cluster");

	return !cluster || strcmp(cluster, entry->cluster) == 0;
}

int cli_fdl_loops(const struct fdl_file *f, struct err *e)
{
	auto_free const struct fdl_service **all = mem_zalloc((f->count + 1) * sizeof(*all));

	for (size_t i = 0; i < f->count; i++)
		all[i] = f->entries[i].service;
	for (size_t i = 0; i < f->count; i++)
		if (fdl_loop_check(all, f->count, all[i], e) < 0)
			return err_wrap(e, "%s", all[i]->name);
	return 0;
}

int cli_fdl_check(struct cli *c, struct err *e)
{
	auto_fdl_file struct fdl_file *f = NULL;
	auto_json json_t *names = json_array();

	if (fdl_file_read(c->words[0], &f, e) < 0 || cli_fdl_loops(f, e) < 0)
		return -1;
	for (size_t i = 0; i < f->count; i++)
		json_array_append_new(names, json_string(f->entries[i].service->name));
	if (c->format == CLI_JSON)
		cli_print_json(c, names);
	else
		fprintf(c->out, "%s: %zu service%s, no fault found\n", c->words[0], f->count,
			f->count == 1 ? "" : "s");
	return 0;
}

static int service_exists(struct cli *c, const char *name, bool *out, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	struct cli_request r = { .method = "GET",
				 .path = cli_path(c, "/system/services/%s", name) };

	if (cli_ask(c, &r, &a, e) < 0)
		return -1;
	*out = a.status != 404;
	return *out ? http_answer_check(&a, e) : 0;
}

int cli_apply_one(struct cli *c, const struct fdl_service *s, const char **done, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	auto_free char *text = codec_json_text(s->doc, CODEC_JSON_PLAIN);
	struct cli_request r = { .path = "/system/services", .body = span_of(text) };
	bool exists;

	if (service_exists(c, s->name, &exists, e) < 0)
		return -1;
	r.method = exists ? "PUT" : "POST";
	*done = exists ? "updated" : "created";
	return cli_call(c, &r, &a, e);
}

// Prints [{"name":…,"result":…}] or a table, as `done` was filled row by row.
static void print_results(struct cli *c, const json_t *results)
{
	struct cli_table t;
	size_t i;
	json_t *row;

	if (c->format == CLI_JSON) {
		cli_print_json(c, results);
		return;
	}
	cli_table_begin(&t, c, "SERVICE RESULT");
	json_array_foreach(results, i, row)
	{
		cli_table_add(&t, cli_text(row, "name"));
		cli_table_add(&t, cli_text(row, "result"));
	}
	cli_table_end(&t);
}

static void add_result(json_t *results, const char *name, const char *result)
{
	json_array_append_new(results, json_pack("{s:s,s:s}", "name", name, "result", result));
}

int cli_apply(struct cli *c, struct err *e)
{
	auto_fdl_file struct fdl_file *f = NULL;
	auto_json json_t *results = json_array();

	if (fdl_file_read(c->words[0], &f, e) < 0 || cli_fdl_loops(f, e) < 0)
		return -1;
	for (size_t i = 0; i < f->count; i++) {
		const struct fdl_service *s = f->entries[i].service;
		const char *done;

		if (!is_selected(c, &f->entries[i]))
			continue;
		if (cli_apply_one(c, s, &done, e) < 0) {
			print_results(c, results); // what is done stays done
			return err_wrap(e, "service %s", s->name);
		}
		add_result(results, s->name, done);
	}
	print_results(c, results);
	return 0;
}

static int remove_one(struct cli *c, const char *name, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	struct cli_request r = { .method = "DELETE",
				 .path = cli_path(c, "/system/services/%s", name) };

	if (cli_call(c, &r, &a, e) < 0) {
		if (e->code == ERR_NOT_FOUND)
			return err_set(e, ERR_NOT_FOUND, "there is no service \"%s\"", name);
		return -1;
	}
	return 0;
}

// Removes all it can; the first failure is told at the end.
static int remove_names(struct cli *c, const char *const *names, size_t count, struct err *e)
{
	auto_json json_t *results = json_array();
	int got = 0;

	for (size_t i = 0; i < count; i++) {
		struct err fault = { 0 };

		if (remove_one(c, names[i], &fault) == 0) {
			add_result(results, names[i], "removed");
			continue;
		}
		if (got == 0)
			*e = fault;
		got = -1;
		if (fault.code != ERR_NOT_FOUND)
			break;
	}
	print_results(c, results);
	return got;
}

int cli_service_remove(struct cli *c, struct err *e)
{
	return remove_names(c, c->words, c->word_count, e);
}

int cli_delete(struct cli *c, struct err *e)
{
	auto_fdl_file struct fdl_file *f = NULL;
	auto_free const char **names = NULL;
	size_t n = 0;

	if (fdl_file_read(c->words[0], &f, e) < 0)
		return -1;
	names = mem_zalloc((f->count + 1) * sizeof(*names));
	for (size_t i = 0; i < f->count; i++)
		if (is_selected(c, &f->entries[i]))
			names[n++] = f->entries[i].service->name;
	return remove_names(c, names, n, e);
}

static const char *first_path(const json_t *service, const char *key)
{
	return cli_text(json_array_get(json_object_get(service, key), 0), "path");
}

int cli_service_list(struct cli *c, struct err *e)
{
	auto_json json_t *list = NULL;
	struct cli_table t;
	json_t *s;
	size_t i;

	if (cli_get_json(c, "/system/services", &list, e) < 0)
		return -1;
	if (c->format != CLI_TABLE) {
		(c->format == CLI_JSON ? cli_print_json : cli_print_yaml)(c, list);
		return 0;
	}
	cli_table_begin(&t, c, "NAME IMAGE CPU MEMORY INPUT OUTPUT");
	json_array_foreach(list, i, s)
	{
		const char *state = cli_text(s, "image_state");

		cli_table_add(&t, cli_text(s, "name"));
		cli_table_add(&t,
			      *state ? arena_printf(&c->a, "%s (%s)", cli_text(s, "image"), state)
				     : cli_text(s, "image"));
		cli_table_add(&t, cli_text(s, "cpu"));
		cli_table_add(&t, cli_text(s, "memory"));
		cli_table_add(&t, first_path(s, "input"));
		cli_table_add(&t, first_path(s, "output"));
	}
	cli_table_end(&t);
	return 0;
}

int cli_service_get(struct cli *c, struct err *e)
{
	auto_json json_t *s = NULL;

	if (cli_get_json(c, cli_path(c, "/system/services/%s", c->words[0]), &s, e) < 0) {
		if (e->code == ERR_NOT_FOUND)
			return err_set(e, ERR_NOT_FOUND, "there is no service \"%s\"", c->words[0]);
		return -1;
	}
	if (c->format == CLI_JSON)
		cli_print_json(c, s);
	else
		cli_print_yaml(c, s);
	return 0;
}

int cli_service_deployment(struct cli *c, struct err *e)
{
	auto_json json_t *state = NULL, *log = NULL;
	const char *name = c->words[0];
	struct cli_table t;
	json_t *line;
	size_t i;

	if (cli_get_json(c, cli_path(c, "/system/services/%s/deployment", name), &state, e) < 0 ||
	    cli_get_json(c, cli_path(c, "/system/services/%s/deployment/logs?timestamps=1", name),
			 &log, e) < 0)
		return e->code == ERR_NOT_FOUND
			       ? err_set(e, ERR_NOT_FOUND, "there is no service \"%s\"", name)
			       : -1;
	json_object_set(state, "log", json_object_get(log, "entries"));
	if (c->format != CLI_TABLE) {
		(c->format == CLI_JSON ? cli_print_json : cli_print_yaml)(c, state);
		return 0;
	}
	cli_table_begin(&t, c, "TIME MESSAGE");
	json_array_foreach(json_object_get(state, "log"), i, line)
	{
		cli_table_add(&t, cli_text(line, "timestamp"));
		cli_table_add(&t, cli_text(line, "message"));
	}
	if (json_integer_value(json_object_get(state, "frozen_instances"))) {
		cli_table_add(&t, "now");
		cli_table_add(&t, "frozen until the next request");
	}
	if (*cli_text(state, "reason")) {
		cli_table_add(&t, "now");
		cli_table_add(&t, cli_text(state, "reason"));
	}
	cli_table_end(&t);
	return 0;
}

// The call's body as base64, as the peer sends it: the server decodes it, whatever the bytes are.
static int read_input(struct cli *c, struct span *out, struct err *e)
{
	const char *file = cli_opt(c, "file-input"), *text = cli_opt(c, "text-input");
	auto_buf struct buf bytes = { 0 };
	char *coded;

	if (!file == !text)
		return cli_usage(c, e, "give either -f FILE or -i TEXT");
	buf_init(&bytes, INPUT_MAX);
	if (text)
		buf_add_str(&bytes, text);
	else if (file_read_path(AT_FDCWD, strcmp(file, "-") == 0 ? "/dev/stdin" : file, &bytes, e) <
		 0)
		return -1;
	if (bytes.over)
		return err_set(e, ERR_LIMIT, "an input of more than %d MiB", INPUT_MAX >> 20);
	coded = arena_alloc(&c->a, TEXT_BASE64_SIZE(bytes.n));
	*out = span_of(text_base64(coded, bytes.p ? bytes.p : "", bytes.n));
	return 0;
}

static int write_result(struct cli *c, struct span result, struct err *e)
{
	const char *path = cli_opt(c, "output");
	auto_fd int fd = -1;

	if (!path) {
		fwrite(result.p, 1, result.n, c->out);
		return 0;
	}
	fd = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0666, e);
	return fd < 0 ? -1 : file_write_all(fd, result.p, result.n, e);
}

// Our server says whether the answer is base64. Of others it is, when it can be.
static bool may_be_encoded(const struct http_answer *a)
{
	return !http_answer_header(a, "X-Oscar-Job").n ||
	       span_is(http_answer_header(a, "X-Oscar-Encoding"), "base64");
}

int cli_service_run(struct cli *c, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	auto_free char *bytes = NULL;
	int64_t timeout_s = 330;
	struct cli_request r = {
		.method = "POST",
		.path = cli_path(c, "/run/%s", c->words[0]),
		.content_type = "text/plain",
		.bearer = cli_opt(c, "token"),
	};
	ptrdiff_t n;

	if (read_input(c, &r.body, e) < 0 || cli_opt_seconds(c, "timeout", &timeout_s, e) < 0)
		return -1;
	r.timeout_ms = timeout_s * 1000;
	if (cli_ask(c, &r, &a, e) < 0)
		return -1;
	if (a.status >= 500 && a.body.n > 0) // the script failed: its output is the answer
		write_result(c, buf_span(&a.body), e);
	if (http_answer_check(&a, e) < 0)
		return -1;
	if (!may_be_encoded(&a))
		return write_result(c, buf_span(&a.body), e);
	bytes = mem_alloc(a.body.n + 1);
	n = text_unbase64(bytes, a.body.n, span_trim(buf_span(&a.body)));
	return write_result(c, n > 0 ? span_make(bytes, (size_t)n) : buf_span(&a.body), e);
}

int cli_service_job(struct cli *c, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	int64_t timeout_s = 0;
	struct cli_request r = {
		.method = "POST",
		.path = cli_path(c, "/job/%s", c->words[0]),
		.content_type = "text/plain",
		.bearer = cli_opt(c, "token"),
	};
	struct span job;

	if (read_input(c, &r.body, e) < 0 || cli_opt_seconds(c, "timeout", &timeout_s, e) < 0 ||
	    cli_call(c, &r, &a, e) < 0)
		return -1;
	job = http_answer_header(&a, "X-Oscar-Job"); // ours; the peer's answer names no job
	if (job.n > 0)
		fprintf(c->out, "%s\n", cli_clean(c, job.p));
	if (!cli_opt(c, "wait"))
		return 0;
	if (job.n == 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "this server does not say which job it made; see `oscar jobs`");
	return cli_wait_job(c, job.p, timeout_s, e);
}
