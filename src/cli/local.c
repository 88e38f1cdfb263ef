// local: `oscar run --local`: the services of an FDL file in the production sandbox, fed with some files, on a
// server of the command's own. Owner: struct local belongs to the call. Threads: one. Errors: those of fdl, of the
// server and of base/file.h.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"
#include "cli/private_server.h"

#include "base/file.h"
#include "fdl/fdl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 500 };

struct local {
	struct cli *c;
	struct private_server server;
	struct fdl_file *fdl;
	const struct fdl_service *first; // takes the files
	const char *out;
	int64_t timeout_s;
	size_t failed, results;
	const char *shell_job; // the first that failed, else the first; NULL = none
};

static bool is_own_store(const struct fdl_io *io)
{
	return strcmp(io->provider, "minio.default") == 0;
}

static const struct fdl_io *own_input(const struct fdl_service *s)
{
	for (size_t i = 0; i < s->input_count; i++)
		if (is_own_store(&s->inputs[i]))
			return &s->inputs[i];
	return NULL;
}

static const char *key_below(struct cli *c, const struct fdl_io *io, const char *name)
{
	return *io->folder ? arena_printf(&c->a, "%s/%s", io->folder, name) : name;
}

// ---- before the server -----------------------------------------------------------------------------------

// The service that is named, or the first that takes files.
static int choose_first(struct local *l, struct err *e)
{
	const char *name = cli_opt(l->c, "service");

	for (size_t i = 0; i < l->fdl->count && !l->first; i++) {
		const struct fdl_service *s = l->fdl->entries[i].service;

		if (name ? strcmp(s->name, name) == 0 : own_input(s) != NULL)
			l->first = s;
	}
	if (!l->first)
		return name ? err_set(e, ERR_NOT_FOUND, "%s has no service \"%s\"", l->c->words[0],
				      name)
			    : err_set(e, ERR_INVALID,
				      "no service of %s has an input in the server's own store",
				      l->c->words[0]);
	if (!own_input(l->first))
		return err_set(e, ERR_INVALID, "service %s has no input in the server's own store",
			       name);
	return 0;
}

// Each file can be read, and would start the service.
static int check_file(struct local *l, const char *path, struct err *e)
{
	const struct fdl_io *io = own_input(l->first);
	const char *name = cli_base_name(l->c, path);
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is not a file", path);
	if (!fdl_io_matches(io, span_of(name)))
		return err_set(e, ERR_INVALID,
			       "%s would not start %s: its name does not pass the input's prefix "
			       "and suffix",
			       path, l->first->name);
	return 0;
}

static int take_mounts(struct local *l, struct err *e)
{
	size_t n;
	const char **values = cli_opt_values(l->c, "mount", &n);

	if (n > PRIVATE_SERVER_MOUNTS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d mounts", PRIVATE_SERVER_MOUNTS_MAX);
	memcpy(l->server.mounts, values, n * sizeof(*values));
	l->server.mount_count = n;
	return 0;
}

static int take_cdi(struct local *l, struct err *e)
{
	size_t n;
	const char **values = cli_opt_values(l->c, "cdi-dir", &n);

	if (n > PRIVATE_SERVER_CDI_MAX)
		return err_set(e, ERR_LIMIT, "more than %d of --cdi-dir", PRIVATE_SERVER_CDI_MAX);
	memcpy(l->server.cdi, values, n * sizeof(*values));
	l->server.cdi_count = n;
	return 0;
}

// What the services ask for is offered: nobody else will.
static void offer_kinds(struct local *l)
{
	struct private_server *s = &l->server;

	for (size_t i = 0; i < l->fdl->count; i++) {
		const struct fdl_service *f = l->fdl->entries[i].service;

		for (size_t k = 0; k < f->device_count; k++)
			if (s->kind_count < PRIVATE_SERVER_KINDS_MAX)
				s->kinds[s->kind_count++] = f->devices[k].kind;
	}
}

// Who runs this has a way out anyway; only a machine that has not what it takes shall not fail for what nobody asked for.
static bool wants_nat(const struct fdl_file *fdl)
{
	for (size_t i = 0; i < fdl->count; i++)
		if (fdl->entries[i].service->network_nat)
			return true;
	return false;
}

static int prepare(struct local *l, struct err *e)
{
	struct cli *c = l->c;

	if (!cli_opt(c, "local"))
		return cli_usage(
			c, e,
			"say --local; on a server: `oscar apply FDL`, then `oscar put-file "
			"--wait SERVICE FILE`");
	if (cli_opt_seconds(c, "timeout", &l->timeout_s, e) < 0 || take_mounts(l, e) < 0 ||
	    take_cdi(l, e) < 0 || fdl_file_read(c->words[0], &l->fdl, e) < 0 ||
	    cli_fdl_loops(l->fdl, e) < 0 || choose_first(l, e) < 0)
		return -1;
	l->server.nat = wants_nat(l->fdl);
	offer_kinds(l);
	for (size_t i = 1; i < c->word_count; i++)
		if (check_file(l, c->words[i], e) < 0)
			return -1;
	l->out = cli_opt(c, "output-dir") ? cli_opt(c, "output-dir") : "results";
	return file_mkdirs(l->out, 0777, e);
}

// ---- images, services, files -----------------------------------------------------------------------------

static int import_images(struct cli *c, struct err *e)
{
	size_t n;
	const char **values = cli_opt_values(c, "import", &n);

	for (size_t i = 0; i < n; i++) {
		struct span from = span_of(values[i]), name = span_cut(&from, '=');
		auto_json json_t *image = NULL;

		if (!name.n || !from.n)
			return cli_usage(c, e, "--import wants IMAGE=FILE, not \"%s\"", values[i]);
		if (cli_image_send(c, from.p, arena_strndup(&c->a, name.p, name.n), &image, e) < 0)
			return err_wrap(e, "%s", from.p);
	}
	return 0;
}

// Those that were not imported come from their registries.
static int pull_images(struct local *l, struct err *e)
{
	for (size_t i = 0; i < l->fdl->count; i++) {
		const char *image = l->fdl->entries[i].service->image;
		auto_json json_t *found = NULL, *pulled = NULL;

		if (strcmp(image, "host") == 0)
			continue;
		if (cli_get_json(l->c, cli_path(l->c, "/system/images/%s", image), &found, e) == 0)
			continue;
		if (e->code != ERR_NOT_FOUND || cli_image_fetch(l->c, image, NULL, &pulled, e) < 0)
			return err_wrap(e, "image %s (a file is given by --import)", image);
	}
	return 0;
}

static int apply_all(struct local *l, struct err *e)
{
	for (size_t i = 0; i < l->fdl->count; i++) {
		const struct fdl_service *s = l->fdl->entries[i].service;
		const char *done;

		if (cli_apply_one(l->c, s, &done, e) < 0)
			return err_wrap(e, "service %s", s->name);
	}
	return 0;
}

static int put_files(struct local *l, struct err *e)
{
	const struct fdl_io *io = own_input(l->first);

	for (size_t i = 1; i < l->c->word_count; i++) {
		const char *path = l->c->words[i];
		const char *name = cli_base_name(l->c, path);
		auto_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, e);
		struct stat st;

		if (fd < 0)
			return -1;
		if (fstat(fd, &st) < 0)
			return err_sys(e, ERR_IO, errno, "%s", path);
		if (cli_s3_put(l->c, io->bucket, key_below(l->c, io, name), fd,
			       (uint64_t)st.st_size, NULL, NULL, e) < 0)
			return err_wrap(e, "%s", path);
	}
	return 0;
}

// ---- what came of it -------------------------------------------------------------------------------------

// The script's own words, for who is writing it.
static void tell_job(struct local *l, const json_t *job)
{
	struct cli *c = l->c;
	auto_http_answer struct http_answer a = { 0 };
	struct cli_request r = {
		.method = "GET", .path = cli_path(c, "/system/jobs/%s/log", cli_text(job, "name"))
	};
	const char *input = strrchr(cli_text(job, "input"), '/'), *reason = cli_text(job, "reason");
	struct err e = { 0 };
	struct span rest;

	cli_note(c, "%s %s: %s%s%s", cli_text(job, "service"), cli_clean(c, input ? input + 1 : ""),
		 cli_text(job, "state"), *reason ? ": " : "", cli_clean(c, reason));
	if (cli_call(c, &r, &a, &e) < 0) {
		cli_note(c, "  its log cannot be read: %s", e.msg);
		return;
	}
	rest = span_trim(buf_span(&a.body));
	while (rest.n > 0) {
		struct span line = span_cut(&rest, '\n');

		cli_note(c, "  | %s", cli_clean(c, arena_strndup(&c->a, line.p, line.n)));
	}
}

// The jobs come with the newest first.
static void pick_for_shell(struct local *l, const json_t *job)
{
	bool failed = strcmp(cli_text(job, "state"), "succeeded") != 0;

	if (failed || !l->failed)
		l->shell_job = arena_strdup(&l->c->a, cli_text(job, "name"));
}

static int open_shell(struct local *l, struct err *e)
{
	if (!l->shell_job)
		return err_set(e, ERR_NOT_FOUND, "there is no job to open a shell on");
	cli_note(l->c, "a shell on %s", l->shell_job);
	return cli_shell(l->c, l->shell_job, NULL, 0, e) < 0 ? -1 : 0;
}

static int tell_jobs(struct local *l, struct err *e)
{
	const char *after = "";

	do {
		auto_json json_t *page = NULL;
		json_t *job;
		size_t i;

		if (cli_get_json(l->c,
				 cli_path(l->c, "/system/jobs?limit=%ld&after=%s", (long)PAGE,
					  after),
				 &page, e) < 0)
			return -1;
		json_array_foreach(json_object_get(page, "jobs"), i, job)
		{
			tell_job(l, job);
			pick_for_shell(l, job);
			l->failed += strcmp(cli_text(job, "state"), "succeeded") != 0;
		}
		after = arena_strdup(&l->c->a, cli_text(page, "next"));
	} while (*after);
	return 0;
}

// A file that was given may lie where another service writes.
static bool is_given(const struct local *l, const struct fdl_io *io, const char *key)
{
	const struct fdl_io *in = own_input(l->first);

	if (strcmp(in->bucket, io->bucket) != 0)
		return false;
	for (size_t i = 1; i < l->c->word_count; i++) {
		const char *name = cli_base_name(l->c, l->c->words[i]);

		if (strcmp(key_below(l->c, in, name), key) == 0)
			return true;
	}
	return false;
}

static int take_folder(struct local *l, const struct fdl_io *io, struct err *e)
{
	struct cli *c = l->c;
	const char *prefix = key_below(c, io, "");
	struct cli_object *o;
	size_t n;

	if (cli_s3_list(c, io->bucket, prefix, &o, &n, e) < 0)
		return -1;
	for (; o; o = o->next) {
		const char *name = arena_printf(&c->a, "%s/%s", io->bucket, o->key), *path = NULL;

		if (is_given(l, io, o->key))
			continue;
		if (cli_local_path(c, l->out, name, &path, e) < 0 ||
		    cli_s3_get(c, io->bucket, o->key, path, NULL, NULL, e) < 0)
			return -1;
		fprintf(c->out, "%s\n", path);
		l->results++;
	}
	return 0;
}

// Do two services write to this folder, and was it the other's turn?
static bool is_taken(const struct local *l, const struct fdl_io *io)
{
	for (size_t i = 0; i < l->fdl->count; i++) {
		const struct fdl_service *s = l->fdl->entries[i].service;

		for (size_t k = 0; k < s->output_count; k++) {
			const struct fdl_io *other = &s->outputs[k];

			if (other == io)
				return false;
			if (is_own_store(other) && strcmp(other->bucket, io->bucket) == 0 &&
			    strcmp(other->folder, io->folder) == 0)
				return true;
		}
	}
	return false;
}

static int take_results(struct local *l, struct err *e)
{
	for (size_t i = 0; i < l->fdl->count; i++) {
		const struct fdl_service *s = l->fdl->entries[i].service;

		for (size_t k = 0; k < s->output_count; k++)
			if (is_own_store(&s->outputs[k]) && !is_taken(l, &s->outputs[k]) &&
			    take_folder(l, &s->outputs[k], e) < 0)
				return -1;
	}
	return 0;
}

static int run(struct local *l, struct err *e)
{
	int got;

	if (import_images(l->c, e) < 0 || pull_images(l, e) < 0 || apply_all(l, e) < 0 ||
	    put_files(l, e) < 0)
		return -1;
	got = cli_wait(l->c, NULL, NULL, l->timeout_s, e);
	cli_progress_end(l->c);
	if (got < 0 || tell_jobs(l, e) < 0 || take_results(l, e) < 0)
		return -1;
	cli_note(l->c, "%zu results in %s", l->results, l->out);
	if (cli_opt(l->c, "shell") && open_shell(l, e) < 0)
		return err_wrap(e, "--shell");
	return got ? got : l->failed ? CLI_FAILED : CLI_OK;
}

int cli_local(struct cli *c, struct err *e)
{
	struct local l = { .c = c, .server.what = "local" };
	bool keep = cli_opt(c, "keep") != NULL;
	int got = prepare(&l, e);

	if (got == 0)
		got = private_server_start(c, &l.server, e);
	if (got == 0) {
		got = run(&l, e);
		if (keep)
			cli_note(c, "the data is kept in %s", l.server.dir);
		private_server_stop(c, &l.server, keep);
	}
	fdl_file_free(l.fdl);
	return got;
}
