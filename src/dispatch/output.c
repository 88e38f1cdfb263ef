// SPDX-License-Identifier: Apache-2.0
// output: what lies below a job's output directory. The script made it, so nothing in it is trusted: no link is
// followed, nothing but regular files and directories is taken.
#include "base/file.h"
#include "base/mem.h"
#include "dispatch/job.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 64, NAME_MAX_BYTES = 1024 };

struct walk {
	struct arena *mem;
	struct output_file *found;
	size_t n, max;
};

static int name_check(const char *name, struct err *e)
{
	if (!span_is_utf8(span_of(name)))
		return err_set(e, ERR_INVALID, "an output's name is not UTF-8 text");
	if (strlen(name) > NAME_MAX_BYTES)
		return err_set(e, ERR_INVALID, "an output's name is over %d bytes", NAME_MAX_BYTES);
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(e, ERR_INVALID, "an output's name holds control characters");
	return 0;
}

static int walk_dir(struct walk *w, int dir, const char *prefix, unsigned depth, struct err *e);

static int take_entry(struct walk *w, int dir, const char *prefix, const char *name, unsigned depth,
		      struct err *e)
{
	const char *path = arena_printf(w->mem, "%s%s", prefix, name);
	struct output_file *f;
	struct stat st;

	if (name_check(path, e) < 0)
		return -1;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, ERR_IO, errno, "output %s", path);
	if (S_ISDIR(st.st_mode)) {
		auto_fd int sub = -1;

		if ((st.st_mode & S_IRWXU) != S_IRWXU && fchmodat(dir, name, S_IRWXU, 0) < 0)
			return err_sys(e, ERR_IO, errno, "output %s", path);
		sub = file_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, e);
		return sub < 0 ? -1
			       : walk_dir(w, sub, arena_printf(w->mem, "%s/", path), depth + 1, e);
	}
	if (S_ISLNK(st.st_mode))
		return err_set(e, ERR_INVALID,
			       "output %s is a symbolic link: only regular files are taken", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "output %s is not a regular file", path);
	if ((st.st_mode & S_IRUSR) == 0 && fchmodat(dir, name, S_IRUSR | S_IWUSR, 0) < 0)
		return err_sys(e, ERR_IO, errno, "output %s", path);
	if (w->n == w->max)
		return err_set(e, ERR_LIMIT, "more than %zu output files", w->max);
	f = arena_alloc(w->mem, sizeof(*f));
	*f = (struct output_file){ w->found, path, (uint64_t)st.st_size };
	w->found = f;
	w->n++;
	return 0;
}

static int walk_dir(struct walk *w, int dir, const char *prefix, unsigned depth, struct err *e)
{
	// Opened anew, not duplicated: a duplicate would share how far it was read.
	int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), bad = 0;
	DIR *list = again < 0 ? NULL : fdopendir(again);
	struct dirent *d;

	if (!list) {
		file_close(again);
		return err_sys(e, ERR_IO, errno, "output directory");
	}
	if (depth > DEPTH_MAX)
		bad = err_set(e, ERR_LIMIT, "output directories are nested over %d deep",
			      DEPTH_MAX);
	while (!bad && (d = readdir(list)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			bad = take_entry(w, dir, prefix, d->d_name, depth, e);
	closedir(list);
	return bad;
}

static int by_name(const void *a, const void *b)
{
	const struct output_file *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

int output_walk(int dir, unsigned max, struct arena *mem, struct output_file **out, size_t *n,
		struct err *e)
{
	struct walk w = { .mem = mem, .max = max };
	struct output_file **sorted;
	size_t i = 0;

	if (walk_dir(&w, dir, "", 0, e) < 0)
		return -1;
	sorted = arena_alloc(mem, (w.n + 1) * sizeof(*sorted));
	for (struct output_file *f = w.found; f; f = f->next)
		sorted[i++] = f;
	qsort(sorted, w.n, sizeof(*sorted), by_name);
	for (i = 0; i < w.n; i++)
		sorted[i]->next = sorted[i + 1]; // the last points to the zeroed end
	*out = sorted[0];
	*n = w.n;
	return 0;
}
