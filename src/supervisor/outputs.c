// SPDX-License-Identifier: Apache-2.0
#include "supervisor/outputs.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

// ---- what is there -----------------------------------------------------------------------------------

struct walk {
	struct arena *mem;
	struct output *files; // owned
	size_t n, cap;
};

static int check_name(const char *name, struct err *e)
{
	if (!span_is_utf8(span_of(name)))
		return err_set(e, ERR_INVALID, "an output's name is not UTF-8 text");
	if (strlen(name) > OUTPUT_NAME_MAX)
		return err_set(e, ERR_LIMIT, "an output's name is over %d bytes", OUTPUT_NAME_MAX);
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(e, ERR_INVALID, "an output's name holds control characters");
	return 0;
}

static int add_file(struct walk *w, const char *path, uint64_t size, struct err *e)
{
	if (w->n == OUTPUTS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d output files", OUTPUTS_MAX);
	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 64;
		w->files = mem_realloc(w->files, w->cap, sizeof(*w->files));
	}
	w->files[w->n++] = (struct output){ path, size };
	return 0;
}

static int walk_dir(struct walk *w, int at, const char *name, const char *prefix, unsigned depth,
		    struct err *e);

static int walk_entry(struct walk *w, int dir, const char *prefix, const char *name, unsigned depth,
		      struct err *e)
{
	const char *path = arena_printf(w->mem, "%s%s", prefix, name);
	struct stat st;

	if (check_name(path, e) < 0)
		return -1;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, ERR_IO, errno, "output %s", path);
	if (S_ISDIR(st.st_mode))
		return walk_dir(w, dir, name, arena_printf(w->mem, "%s/", path), depth + 1, e);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "output %s is a %s: only regular files are taken",
			       path, S_ISLNK(st.st_mode) ? "symbolic link" : "special file");
	return add_file(w, path, (uint64_t)st.st_size, e);
}

static int walk_dir(struct walk *w, int at, const char *name, const char *prefix, unsigned depth,
		    struct err *e)
{
	auto_fd int fd = file_open(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, e);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;
	int bad = 0;

	if (!list)
		return fd < 0 ? -1 : err_sys(e, ERR_IO, errno, "output directory");
	file_take(&fd); // the list's from now on
	if (depth > OUTPUTS_DEPTH_MAX)
		bad = err_set(e, ERR_LIMIT, "output directories are nested over %d deep",
			      OUTPUTS_DEPTH_MAX);
	while (!bad && (d = readdir(list)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			bad = walk_entry(w, dirfd(list), prefix, d->d_name, depth, e);
	closedir(list);
	return bad;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct output *)a)->name, ((const struct output *)b)->name);
}

int outputs_find(int dir, struct arena *mem, struct outputs *out, struct err *e)
{
	struct walk w = { .mem = mem };
	int bad = walk_dir(&w, dir, ".", "", 0, e);

	*out = (struct outputs){ .dir = dir };
	if (!bad && w.n) {
		qsort(w.files, w.n, sizeof(*w.files), by_name);
		out->files = arena_alloc(mem, w.n * sizeof(*w.files));
		memcpy(out->files, w.files, w.n * sizeof(*w.files));
		out->n = w.n;
	}
	mem_free(w.files);
	return bad;
}

int outputs_open(const struct outputs *o, size_t i, struct err *e)
{
	auto_fd int fd =
		file_open(o->dir, o->files[i].name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, e);
	struct stat st;

	if (fd < 0)
		return err_wrap(e, "output");
	if (fstat(fd, &st) < 0)
		return err_sys(e, ERR_IO, errno, "output %s", o->files[i].name);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != o->files[i].size)
		return err_set(e, ERR_CONFLICT, "output %s changed after the script's end",
			       o->files[i].name);
	return file_take(&fd);
}

// ---- where it goes -----------------------------------------------------------------------------------

bool outputs_key(const struct fdl_io *io, const char *name, struct arena *mem, const char **key)
{
	if (!fdl_io_matches(io, span_of(name)))
		return false;
	*key = *io->folder ? arena_printf(mem, "%s/%s", io->folder, name) : name;
	return true;
}

const char *outputs_bucket(const struct config *c, const struct fdl_io *io,
			   const char *event_bucket)
{
	for (size_t i = 0; c->isolate_user && i < c->bucket_count; i++)
		if (strcmp(c->buckets[i], event_bucket) == 0)
			return event_bucket;
	return io->bucket;
}

static int send_file(const struct outputs *o, size_t file, const struct config *c,
		     struct storage **stores, const char *event_bucket, const struct report *report,
		     struct arena *mem, size_t *sent, struct err *e)
{
	const char *key;

	for (size_t i = 0; i < c->output_count; i++) {
		const struct fdl_io *io = &c->outputs[i];
		const char *bucket = outputs_bucket(c, io, event_bucket);
		auto_fd int fd = -1;

		if (!stores[i] || !outputs_key(io, o->files[file].name, mem, &key))
			continue;
		fd = outputs_open(o, file, e);
		if (fd < 0 || storage_put(stores[i], bucket, key, fd, o->files[file].size, e) < 0)
			return -1;
		report_at(report, REPORT_INFO, "Uploaded \"%s\" to %s/%s of %s",
			  o->files[file].name, bucket, key, io->provider);
		++*sent;
	}
	return 0;
}

int outputs_send(const struct outputs *o, const struct config *c, struct storage **stores,
		 const char *event_bucket, const struct report *report, struct arena *mem,
		 struct err *e)
{
	size_t sent = 0;

	for (size_t i = 0; i < o->n; i++)
		if (send_file(o, i, c, stores, event_bucket, report, mem, &sent, e) < 0)
			return err_wrap(e, "upload (%zu done before)", sent);
	return 0;
}
