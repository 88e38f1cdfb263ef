// file_cmds: files of services: their inputs and outputs in the object store. Owner: struct cli.
// Threads: one. Errors: those of the server and of base/file.h.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

// A place in the store: "bucket/key".
struct place {
	const char *bucket, *key;
};

static struct place place_of(struct cli *c, const char *path)
{
	struct span key = span_of(path), bucket;

	while (key.n > 0 && key.p[0] == '/')
		key = span_from(key, 1);
	bucket = span_cut(&key, '/');
	return (struct place){ arena_strndup(&c->a, bucket.p, bucket.n),
			       arena_strndup(&c->a, key.p, key.n) };
}

static int get_service(struct cli *c, json_t **out, struct err *e)
{
	if (cli_get_json(c, cli_path(c, "/system/services/%s", c->words[0]), out, e) == 0)
		return 0;
	if (e->code == ERR_NOT_FOUND)
		return err_set(e, ERR_NOT_FOUND, "there is no service \"%s\"", c->words[0]);
	return -1;
}

// The peer's clients name the provider as a word of its own; there is but one.
static void drop_provider_word(struct cli *c)
{
	if (c->word_count < 3 ||
	    (strcmp(c->words[1], "minio.default") != 0 && strcmp(c->words[1], "minio") != 0))
		return;
	memmove(&c->words[1], &c->words[2], (c->word_count - 2) * sizeof(*c->words));
	c->word_count--;
}

static bool is_own_store(const json_t *io)
{
	struct span provider = span_of(cli_text(io, "storage_provider"));

	return provider.n == 0 || span_eq_nocase(provider, SPAN("minio")) ||
	       span_eq_nocase(provider, SPAN("minio.default"));
}

// The folder of the n-th entry of `list` ("input", "output") that lies in the server's own store, always
// with "/" at its end; NULL when there are fewer.
static const char *folder_of(struct cli *c, const json_t *service, const char *list, size_t n)
{
	const char *name = cli_text(service, "name");
	json_t *io;
	size_t i;

	json_array_foreach(json_object_get(service, list), i, io)
	{
		struct span path = span_trim(span_of(cli_text(io, "path")));

		if (!is_own_store(io) || n-- > 0)
			continue;
		while (path.n > 0 && path.p[path.n - 1] == '/')
			path = span_head(path, path.n - 1);
		while (path.n > 0 && path.p[0] == '/')
			path = span_from(path, 1);
		if (span_find(path, '/') < 0)
			return arena_printf(&c->a, "%s/" SPAN_FMT "/", name, SPAN_ARG(path));
		return arena_printf(&c->a, SPAN_FMT "/", SPAN_ARG(path));
	}
	return NULL;
}

struct shown {
	struct cli *c;
	const char *name;
	uint64_t size;
	uint64_t last;
};

// Drawn for each full MiB only.
static void show_transfer(void *owner, uint64_t done)
{
	struct shown *s = owner;

	if (done != s->size && done - s->last < 1 << 20)
		return;
	s->last = done;
	if (s->size)
		cli_progress(s->c, "%s: %.1f of %.1f MiB", s->name, (double)done / 1048576.0,
			     (double)s->size / 1048576.0);
	else
		cli_progress(s->c, "%s: %.1f MiB", s->name, (double)done / 1048576.0);
}

const char *cli_base_name(struct cli *c, const char *path)
{
	return basename(arena_strdup(&c->a, path));
}

static int put(struct cli *c, const char *path, struct place to, struct err *e)
{
	auto_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, e);
	struct shown shown = { .c = c, .name = cli_base_name(c, path) };
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is not a file", path);
	shown.size = (uint64_t)st.st_size;
	if (cli_s3_put(c, to.bucket, to.key, fd, shown.size, show_transfer, &shown, e) < 0)
		return -1;
	cli_progress_end(c);
	return 0;
}

static int put_target(struct cli *c, const json_t *service, struct place *out, struct err *e)
{
	const char *path = c->word_count > 2 ? c->words[2] : folder_of(c, service, "input", 0);

	if (!path)
		return err_set(e, ERR_INVALID,
			       "service %s has no input in the server's own store; name a path",
			       c->words[0]);
	if (path[strlen(path) - 1] == '/')
		path = arena_printf(&c->a, "%s%s", path, cli_base_name(c, c->words[1]));
	*out = place_of(c, path);
	if (!*out->key)
		return err_set(e, ERR_INVALID, "\"%s\" names a bucket; wanted bucket/key", path);
	return 0;
}

int cli_put_file(struct cli *c, struct err *e)
{
	auto_json json_t *service = NULL;
	int64_t timeout_s = 0;
	const char *run = NULL;
	struct place to = { 0 };

	drop_provider_word(c);
	if (cli_opt_seconds(c, "timeout", &timeout_s, e) < 0 || get_service(c, &service, e) < 0 ||
	    put_target(c, service, &to, e) < 0 || put(c, c->words[1], to, e) < 0)
		return -1;
	if (c->format == CLI_JSON)
		fprintf(c->out, "{\"bucket\":\"%s\",\"key\":\"%s\"}\n", to.bucket,
			cli_clean(c, to.key));
	else
		fprintf(c->out, "%s/%s\n", to.bucket, to.key);
	fflush(c->out);
	if (!cli_opt(c, "wait"))
		return 0;
	if (cli_job_of_input(c, c->words[0], to.bucket, to.key, &run, e) < 0)
		return -1;
	if (!run)
		return err_set(e, ERR_NOT_FOUND,
			       "%s/%s started no job of %s: its folder or the filters of the input "
			       "do not fit",
			       to.bucket, to.key, c->words[0]);
	return cli_wait(c, NULL, run, timeout_s, e);
}

int cli_local_path(struct cli *c, const char *dir, const char *name, const char **out,
		   struct err *e)
{
	if (!file_path_is_plain(span_of(name)))
		return err_set(e, ERR_INVALID, "the key \"%.100s\" cannot be a file name", name);
	*out = arena_printf(&c->a, "%s/%s", dir, name);
	return file_mkdirs(dirname(arena_strdup(&c->a, *out)), 0777, e);
}

static int get_one(struct cli *c, struct place from, uint64_t size, const char *path, struct err *e)
{
	struct shown shown = { .c = c, .name = cli_base_name(c, path), .size = size };

	return cli_s3_get(c, from.bucket, from.key, path, show_transfer, &shown, e);
}

// All objects below a prefix, by their names after it. *count is added to.
static int get_all(struct cli *c, struct place from, const char *dir, size_t *count, struct err *e)
{
	struct cli_object *o;
	size_t n, at = 0, skip = strlen(from.key);

	if (file_mkdirs(dir, 0777, e) < 0 || cli_s3_list(c, from.bucket, from.key, &o, &n, e) < 0)
		return -1;
	for (; o; o = o->next) {
		struct place one = { from.bucket, o->key };
		const char *path = NULL;

		cli_progress(c, "%zu of %zu files", ++at, n);
		if (cli_local_path(c, dir, o->key + skip, &path, e) < 0 ||
		    get_one(c, one, 0, path, e) < 0)
			return -1;
	}
	*count += n;
	return 0;
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int get_newest(struct cli *c, struct place from, const char *to, struct err *e)
{
	struct cli_object *o, *newest = NULL;
	size_t n;

	if (cli_s3_list(c, from.bucket, from.key, &o, &n, e) < 0)
		return -1;
	for (; o; o = o->next)
		if (!newest || strcmp(o->modified, newest->modified) >= 0)
			newest = o;
	if (!newest)
		return err_set(e, ERR_NOT_FOUND, "there is nothing below %s/%s", from.bucket,
			       from.key);
	if (is_directory(to))
		to = arena_printf(&c->a, "%s/%s", to, cli_base_name(c, newest->key));
	from.key = newest->key;
	if (get_one(c, from, newest->size, to, e) < 0)
		return -1;
	fprintf(c->out, "%s\n", to);
	return 0;
}

static int get_outputs(struct cli *c, const json_t *service, const char *dir, size_t *count,
		       struct err *e)
{
	const char *folder;
	size_t i = 0;

	while ((folder = folder_of(c, service, "output", i++)) != NULL)
		if (get_all(c, place_of(c, folder), dir, count, e) < 0)
			return -1;
	if (i == 1)
		return err_set(e, ERR_INVALID, "service %s has no output in the server's own store",
			       c->words[0]);
	return 0;
}

int cli_get_file(struct cli *c, struct err *e)
{
	auto_json json_t *service = NULL;
	const char *to, *path;
	struct place from;
	size_t count = 0;

	drop_provider_word(c);
	to = c->words[c->word_count - 1];
	if (get_service(c, &service, e) < 0)
		return -1;
	path = c->word_count > 2 ? c->words[1] : NULL;
	if (cli_opt(c, "latest")) {
		path = path ? path : folder_of(c, service, "output", 0);
		return get_newest(c, place_of(c, path ? path : ""), to, e);
	}
	if (path && path[strlen(path) - 1] != '/') {
		from = place_of(c, path);
		if (is_directory(to))
			to = arena_printf(&c->a, "%s/%s", to, cli_base_name(c, from.key));
		if (get_one(c, from, 0, to, e) < 0)
			return -1;
		cli_progress_end(c);
		fprintf(c->out, "%s\n", to);
		return 0;
	}
	if (path ? get_all(c, place_of(c, path), to, &count, e) < 0
		 : get_outputs(c, service, to, &count, e) < 0)
		return -1;
	cli_note(c, "%zu files in %s", count, to);
	return 0;
}

static void list_json(const char *bucket, const struct cli_object *o, json_t *all)
{
	for (; o; o = o->next)
		json_array_append_new(all, json_pack("{s:s,s:s,s:I,s:s}", "bucket", bucket, "key",
						     o->key, "size", (json_int_t)o->size,
						     "modified", o->modified ? o->modified : ""));
}

static void list_rows(struct cli_table *t, const char *bucket, const struct cli_object *o)
{
	for (; o; o = o->next) {
		cli_table_addf(t, "%s/%s", bucket, o->key);
		cli_table_add(t, cli_size(t->c, o->size));
		cli_table_add(t, o->modified ? o->modified : "");
	}
}

int cli_list_files(struct cli *c, struct err *e)
{
	auto_json json_t *service = NULL;
	auto_json json_t *all = json_array();
	struct cli_table t;
	const char *path;
	size_t i = 0, n;

	drop_provider_word(c);
	if (get_service(c, &service, e) < 0)
		return -1;
	cli_table_begin(&t, c, "FILE SIZE MODIFIED");
	for (;;) {
		struct cli_object *o;
		struct place from;

		path = c->word_count > 1 ? (i == 0 ? c->words[1] : NULL)
					 : folder_of(c, service, "output", i);
		if (!path)
			break;
		i++;
		from = place_of(c, path);
		if (cli_s3_list(c, from.bucket, from.key, &o, &n, e) < 0)
			return -1;
		list_json(from.bucket, o, all);
		list_rows(&t, from.bucket, o);
	}
	if (c->format == CLI_JSON)
		cli_print_json(c, all);
	else
		cli_table_end(&t);
	return 0;
}

int cli_delete_file(struct cli *c, struct err *e)
{
	struct place at;

	drop_provider_word(c);
	at = place_of(c, c->words[1]);
	if (!*at.key)
		return err_set(e, ERR_INVALID, "\"%s\" names a bucket; wanted bucket/key",
			       c->words[1]);
	return cli_s3_delete(c, at.bucket, at.key, e);
}
