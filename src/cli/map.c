// map: a script on every file of a folder, results into another: no FDL, no bucket name, no server to
// start. Files of one folder go through one service, so that results find back to their folder.
// Owner: struct map belongs to the call. Threads: one. Errors: those of the server and of base/file.h.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"
#include "cli/private_server.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "fdl/fdl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDERS_MAX = 1000, FILES_MAX = 1000000, DEPTH_MAX = 64, FAILURES_TOLD = 20, LOG_TAIL = 3 };

struct map_file {
	const char *name; // in its folder
	struct map_file *next;
};

struct map_folder {
	const char *path; // relative to IN_DIR, "" for itself
	const char *service;
	struct map_file *files, **end;
	size_t count;
	bool created;
};

struct map {
	struct cli *c;
	struct private_server server;
	const char *in, *out, *bucket;
	struct map_folder folders[FOLDERS_MAX];
	size_t folder_count, file_count, uploaded;
	dev_t out_dev; // not to be read as input when it lies in IN_DIR
	ino_t out_ino;
	int64_t start_ns, timeout_s;
	json_t *failures; // [{"file":…,"reason":…}]
	size_t results, outputs;
};

// ---- what there is to do -------------------------------------------------------------------------------

static const char *join(struct cli *c, const char *dir, const char *name)
{
	return *dir ? arena_printf(&c->a, "%s/%s", dir, name) : arena_strdup(&c->a, name);
}

static bool is_key_part(const char *name)
{
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	return span_is_utf8(span_of(name));
}

static void add_failure(struct map *m, const char *file, const char *reason)
{
	json_array_append_new(m->failures, json_pack("{s:s,s:s}", "file", cli_clean(m->c, file),
						     "reason", cli_clean(m->c, reason)));
}

static int add_file(struct map *m, struct map_folder *f, const char *name, struct err *e)
{
	struct map_file *file = arena_alloc(&m->c->a, sizeof(*file));

	if (!is_key_part(name)) {
		add_failure(m, join(m->c, f->path, name), "its name is not text in UTF-8");
		return 0;
	}
	if (++m->file_count > FILES_MAX)
		return err_set(e, ERR_LIMIT, "more than %d files", FILES_MAX);
	file->name = arena_strdup(&m->c->a, name);
	*f->end = file;
	f->end = &file->next;
	f->count++;
	return 0;
}

static int scan(struct map *m, const char *path, unsigned depth, struct err *e);

// Names with a point in front are left out, as the shell's * does.
static int scan_entry(struct map *m, struct map_folder *f, int dir, const char *name,
		      unsigned depth, struct err *e)
{
	struct stat link, st;

	if (name[0] == '.' || fstatat(dir, name, &link, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (S_ISDIR(link.st_mode)) {
		if (link.st_dev == m->out_dev && link.st_ino == m->out_ino)
			return 0;
		return scan(m, join(m->c, f->path, name), depth + 1, e);
	}
	if (fstatat(dir, name, &st, 0) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return add_file(m, f, name, e);
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int scan(struct map *m, const char *path, unsigned depth, struct err *e)
{
	const char *full = *path ? join(m->c, m->in, path) : m->in;
	at_scope_exit(close_dir) DIR *dir = opendir(full);
	struct map_folder *f = &m->folders[m->folder_count];
	struct dirent *entry;

	if (!dir)
		return err_sys(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s", full);
	if (m->folder_count == FOLDERS_MAX || depth > DEPTH_MAX)
		return err_set(e, ERR_LIMIT, "more than %d folders, or deeper than %d", FOLDERS_MAX,
			       DEPTH_MAX);
	*f = (struct map_folder){ .path = path };
	f->end = &f->files;
	m->folder_count++;
	while ((entry = readdir(dir)) != NULL)
		if (scan_entry(m, f, dirfd(dir), entry->d_name, depth, e) < 0)
			return -1;
	return 0;
}

// ---- services ------------------------------------------------------------------------------------------

static json_t *environment_of(struct cli *c)
{
	json_t *variables = json_object();
	size_t n;
	const char **values = cli_opt_values(c, "env", &n);

	for (size_t i = 0; i < n; i++) {
		struct span value = span_of(values[i]), name = span_cut(&value, '=');

		json_object_setn_new(variables, name.p, name.n, json_stringn(value.p, value.n));
	}
	return json_pack("{s:o}", "variables", variables);
}

static json_t *one_io(const char *bucket, const char *folder, size_t k)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s%zu", bucket, folder, k);
	return json_pack("[{s:s,s:s}]", "storage_provider", "minio.default", "path", path);
}

static const char *opt_or(const struct cli *c, const char *name, const char *otherwise)
{
	const char *given = cli_opt(c, name);

	return given ? given : otherwise;
}

static int create_service(struct map *m, size_t k, const char *script, struct err *e)
{
	struct map_folder *f = &m->folders[k];
	auto_http_answer struct http_answer a = { 0 };
	auto_fdl_service struct fdl_service *checked = NULL;
	auto_free char *text = NULL;
	int64_t timeout = 0;
	auto_json json_t *s =
		json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:s}", "name", f->service, "image",
			  opt_or(m->c, "image", "host"), "script", script, "cpu",
			  opt_or(m->c, "cpu", "1"), "memory", opt_or(m->c, "memory", "512Mi"),
			  "input", one_io(m->bucket, "in", k), "output",
			  one_io(m->bucket, "out", k), "environment", environment_of(m->c),
			  "network", cli_opt(m->c, "network") ? "host" : "none");
	struct cli_request r = { .method = "POST", .path = "/system/services" };

	if (!s)
		return err_set(e, ERR_INVALID, "the script is not a text in UTF-8");
	if (cli_opt_seconds(m->c, "job-timeout", &timeout, e) < 0)
		return -1;
	if (timeout)
		json_object_set_new(s, "timeout", json_integer(timeout));
	if (fdl_service_from(s, &checked, e) < 0) // a clear word before the server is asked
		return -1;
	text = codec_json_text(s, CODEC_JSON_PLAIN);
	r.body = span_of(text);
	if (cli_call(m->c, &r, &a, e) < 0)
		return -1;
	f->created = true;
	return 0;
}

static int create_services(struct map *m, struct err *e)
{
	auto_buf struct buf script = { 0 };
	char id[9];

	buf_init(&script, FDL_SCRIPT_MAX);
	if (file_read_path(AT_FDCWD, cli_opt(m->c, "script"), &script, e) < 0)
		return -1;
	if (!script.p || memchr(script.p, 0, script.n))
		return err_set(e, ERR_INVALID, "%s is empty or no text", cli_opt(m->c, "script"));
	rand_hex(id, 4);
	m->bucket = arena_printf(&m->c->a, "map-%s", id);
	for (size_t k = 0; k < m->folder_count; k++) {
		m->folders[k].service = arena_printf(&m->c->a, "map-%s-%zu", id, k);
		if (m->folders[k].count > 0 && create_service(m, k, script.p, e) < 0)
			return -1;
	}
	return 0;
}

// Best effort, also after Ctrl-C: what the command made goes away again.
static void remove_services(struct map *m)
{
	for (size_t k = 0; k < m->folder_count; k++) {
		auto_http_answer struct http_answer a = { 0 };
		struct cli_request r = { .method = "DELETE",
					 .path = cli_path(m->c, "/system/services/%s",
							  m->folders[k].service),
					 .timeout_ms = 20000 };
		struct err e = { 0 };

		if (m->folders[k].created && cli_call(m->c, &r, &a, &e) < 0)
			cli_note(m->c, "oscar: service %s is left behind: %s",
				 m->folders[k].service, e.msg);
	}
}

// ---- work ----------------------------------------------------------------------------------------------

static int upload_one(struct map *m, size_t k, const struct map_file *file, struct err *e)
{
	const char *path = join(m->c, m->in, join(m->c, m->folders[k].path, file->name));
	const char *key = arena_printf(&m->c->a, "in%zu/%s", k, file->name);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		add_failure(m, join(m->c, m->folders[k].path, file->name), "it cannot be read");
		return 0;
	}
	if (cli_s3_put(m->c, m->bucket, key, fd, (uint64_t)st.st_size, NULL, NULL, e) < 0)
		return -1;
	m->uploaded++;
	cli_progress(m->c, "uploading: %zu of %zu files", m->uploaded, m->file_count);
	return 0;
}

static int upload_all(struct map *m, struct err *e)
{
	for (size_t k = 0; k < m->folder_count; k++)
		for (const struct map_file *f = m->folders[k].files; f; f = f->next)
			if (upload_one(m, k, f, e) < 0)
				return -1;
	return 0;
}

static int count_all(struct map *m, struct cli_counts *sum, struct err *e)
{
	*sum = (struct cli_counts){ 0 };
	for (size_t k = 0; k < m->folder_count; k++) {
		struct cli_counts n;

		if (!m->folders[k].created)
			continue;
		if (cli_counts_get(m->c, m->folders[k].service, NULL, &n, e) < 0)
			return -1;
		sum->queued += n.queued;
		sum->staging += n.staging;
		sum->running += n.running;
		sum->uploading += n.uploading;
		sum->succeeded += n.succeeded;
		sum->failed += n.failed;
		sum->cancelled += n.cancelled;
		sum->dead += n.dead;
	}
	return 0;
}

// 0 when all have ended, CLI_TIMEOUT, or negative with `e`.
static int wait_all(struct map *m, struct err *e)
{
	for (;;) {
		int64_t took = (clock_mono_ns() - m->start_ns) / NS_PER_S, done;
		struct cli_counts n;

		if (count_all(m, &n, e) < 0)
			return -1;
		done = n.succeeded + cli_counts_bad(&n);
		cli_progress(m->c,
			     "%" PRId64 " of %zu done, %" PRId64 " running, %" PRId64
			     " failed, %" PRId64 ":%02" PRId64,
			     done, m->uploaded, n.staging + n.running + n.uploading,
			     cli_counts_bad(&n), took / 60, took % 60);
		if (done >= (int64_t)m->uploaded && cli_counts_active(&n) == 0)
			return 0;
		if (m->timeout_s && took > m->timeout_s)
			return CLI_TIMEOUT;
		if (cli_sleep_ms(done < 20 ? 100 : 300, e) < 0)
			return -1;
	}
}

// ---- results -------------------------------------------------------------------------------------------

static int download_folder(struct map *m, size_t k, struct err *e)
{
	const char *prefix = arena_printf(&m->c->a, "out%zu/", k);
	size_t skip = strlen(prefix), n;
	struct cli_object *o;

	if (cli_s3_list(m->c, m->bucket, prefix, &o, &n, e) < 0)
		return -1;
	for (; o; o = o->next) {
		const char *name = join(m->c, m->folders[k].path, o->key + skip), *path = NULL;

		if (cli_local_path(m->c, m->out, name, &path, e) < 0 ||
		    cli_s3_get(m->c, m->bucket, o->key, path, NULL, NULL, e) < 0)
			return -1;
		m->results++;
		cli_progress(m->c, "downloading: %zu results", m->results);
	}
	return 0;
}

// The last lines of the failed job's log, which say more than its status.
static void tell_log(struct map *m, const char *job)
{
	auto_http_answer struct http_answer a = { 0 };
	struct cli_request r = { .method = "GET",
				 .path = cli_path(m->c, "/system/jobs/%s/log", job) };
	struct span lines[LOG_TAIL] = { 0 }, rest;
	struct err ignored = { 0 };
	size_t n = 0;

	if (cli_call(m->c, &r, &a, &ignored) < 0)
		return;
	rest = span_trim(buf_span(&a.body));
	while (rest.n > 0)
		lines[n++ % LOG_TAIL] = span_cut(&rest, '\n');
	for (size_t i = n < LOG_TAIL ? 0 : n - LOG_TAIL; i < n; i++) {
		struct span line = span_head(lines[i % LOG_TAIL], 200);

		cli_note(m->c, "      | %s",
			 cli_clean(m->c, arena_strndup(&m->c->a, line.p, line.n)));
	}
}

static void take_job(struct map *m, size_t k, const json_t *job)
{
	const char *name = strrchr(cli_text(job, "input"), '/'), *file;

	m->outputs += (size_t)cli_int(job, "outputs_count");
	if (strcmp(cli_text(job, "state"), "succeeded") == 0)
		return;
	file = join(m->c, m->folders[k].path, name ? name + 1 : "");
	add_failure(m, file, *cli_text(job, "reason") ? cli_text(job, "reason") : "failed");
	if (json_array_size(m->failures) > FAILURES_TOLD)
		return;
	cli_note(m->c, "  failed: %s: %s", cli_clean(m->c, file),
		 cli_clean(m->c, cli_text(job, "reason")));
	if (json_array_size(m->failures) <= 3)
		tell_log(m, cli_text(job, "name"));
}

static int take_jobs(struct map *m, size_t k, struct err *e)
{
	const char *after = "";

	for (;;) {
		auto_json json_t *page = NULL;
		json_t *job;
		size_t i;

		if (cli_get_json(m->c,
				 cli_path(m->c, "/system/jobs?service=%s&limit=500&after=%s",
					  m->folders[k].service, after),
				 &page, e) < 0)
			return -1;
		json_array_foreach(json_object_get(page, "jobs"), i, job)
		{
			take_job(m, k, job);
		}
		after = arena_strdup(&m->c->a, cli_text(page, "next"));
		if (!*after)
			return 0;
	}
}

static int take_results(struct map *m, struct err *e)
{
	for (size_t k = 0; k < m->folder_count; k++)
		if (m->folders[k].created &&
		    (download_folder(m, k, e) < 0 || take_jobs(m, k, e) < 0))
			return -1;
	return 0;
}

static int tell_end(struct map *m)
{
	size_t bad = json_array_size(m->failures);

	if (bad > FAILURES_TOLD)
		cli_note(m->c, "  … and %zu more", bad - FAILURES_TOLD);
	if (m->outputs > m->results)
		cli_note(m->c,
			 "oscar: %zu results were overwritten by others of the same name: let the "
			 "script name its results after its input",
			 m->outputs - m->results);
	if (m->c->format == CLI_JSON) {
		auto_json json_t *v =
			json_pack("{s:I,s:I,s:I,s:O}", "files", (json_int_t)m->file_count, "failed",
				  (json_int_t)bad, "results", (json_int_t)m->results, "failures",
				  m->failures);

		cli_print_json(m->c, v);
	}
	cli_note(m->c, "%zu of %zu files done, %zu failed; %zu results in %s",
		 m->file_count - (bad < m->file_count ? bad : m->file_count), m->file_count, bad,
		 m->results, m->out);
	return bad ? CLI_FAILED : CLI_OK;
}

static int run_map(struct map *m, struct err *e)
{
	int got;

	if (create_services(m, e) < 0 || upload_all(m, e) < 0)
		return -1;
	got = wait_all(m, e);
	if (got == CLI_TIMEOUT)
		cli_note(m->c, "oscar: not all is done after %" PRId64 " s; taking what is there",
			 m->timeout_s);
	if (got < 0 || take_results(m, e) < 0)
		return -1;
	return tell_end(m) == CLI_OK ? got : got ? got : CLI_FAILED;
}

static int prepare(struct map *m, struct err *e)
{
	struct stat st;

	if (!cli_opt(m->c, "script"))
		return cli_usage(m->c, e, "--script FILE is needed: what runs on each file");
	if (cli_opt_seconds(m->c, "timeout", &m->timeout_s, e) < 0 ||
	    file_mkdirs(m->out, 0777, e) < 0)
		return -1;
	if (stat(m->out, &st) < 0)
		return err_sys(e, ERR_IO, errno, "%s", m->out);
	m->out_dev = st.st_dev;
	m->out_ino = st.st_ino;
	if (scan(m, "", 0, e) < 0)
		return -1;
	if (m->file_count == 0)
		return err_set(e, ERR_NOT_FOUND, "there are no files in %s", m->in);
	return 0;
}

static void free_map(struct map **m)
{
	json_decref((*m)->failures);
	mem_free(*m);
}

int cli_map(struct cli *c, struct err *e)
{
	at_scope_exit(free_map) struct map *m = mem_zalloc(sizeof(*m));
	const char *named = getenv("OSCAR_ENDPOINT");
	bool keep = cli_opt(c, "keep") != NULL;
	int got;

	m->c = c;
	m->server.what = "map";
	m->in = c->words[0];
	m->out = c->words[1];
	m->failures = json_array();
	m->start_ns = clock_mono_ns();
	if (prepare(m, e) < 0)
		return -1;
	if ((!named || !*named) && !cli_opt(c, "endpoint") &&
	    private_server_start(c, &m->server, e) < 0)
		return -1;
	got = run_map(m, e);
	cli_progress_end(c);
	if (m->server.pid) {
		if (keep)
			cli_note(c, "the data is kept in %s", m->server.dir);
		private_server_stop(c, &m->server, keep);
	} else if (!keep) {
		cli_interrupt_catch(); // the clean-up's calls must not be cut off by the Ctrl-C before
		remove_services(m);
	}
	return got;
}
