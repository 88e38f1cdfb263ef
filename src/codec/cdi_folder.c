// SPDX-License-Identifier: Apache-2.0
#include "codec/cdi_folder.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct reading {
	struct arena *a;
	const struct cdi_from *from;
	struct cdi_set *out;
	unsigned folder;
};

static void warn(const struct reading *r, const char *file, const char *text)
{
	auto_free char *line = mem_printf("%s%s%s: %s", r->from->folders[r->folder],
					  file ? "/" : "", file ? file : "", text);

	if (r->from->warn)
		r->from->warn(r->from->owner, line);
}

static bool wanted(const char *name)
{
	struct span s = span_of(name);

	return name[0] != '.' && (span_ends(s, SPAN(".json")) || span_ends(s, SPAN(".yaml")));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int open_folder(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// The names of a folder's files, sorted; the caller's. One more than CDI_FILES_MAX: there are too many.
static size_t list(int dir, char *names[static CDI_FILES_MAX + 1])
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *f;
	size_t n = 0;

	if (!d) {
		file_close(fd);
		return 0;
	}
	while (n <= CDI_FILES_MAX && (f = readdir(d)))
		if (wanted(f->d_name))
			names[n++] = mem_strdup(f->d_name);
	closedir(d);
	qsort(names, n, sizeof(names[0]), by_name);
	return n;
}

static int check_owner(const struct cdi_from *from, const struct stat *st, struct err *e)
{
	if (!from->checked)
		return 0;
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_set(e, ERR_DENIED, "it must belong to root, but belongs to user %u",
			       st->st_uid);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return err_set(e, ERR_DENIED, "others may write to it: chmod go-w");
	return 0;
}

static int read_file(const struct reading *r, int dir, const char *name, struct cdi_spec *out,
		     struct err *e)
{
	auto_fd int fd = file_open(dir, name, O_RDONLY | O_NONBLOCK, 0, e);
	auto_buf struct buf text;
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "it is no file");
	if (check_owner(r->from, &st, e) < 0)
		return -1;
	buf_init(&text, CDI_FILE_BYTES_MAX);
	return file_read_all(fd, &text, e) < 0 ? -1 : cdi_parse(r->a, buf_span(&text), out, e);
}

static void add(const struct reading *r, const struct cdi_spec *spec, const struct cdi_device *d,
		const char *file)
{
	struct cdi_set *set = r->out;
	const char *name = arena_printf(r->a, "%s=%s", spec->kind, d->name);
	struct cdi_entry entry = { name, spec, d, file, r->folder, false };
	size_t i = 0;

	while (i < set->count && strcmp(set->at[i].name, name) != 0)
		i++;
	if (i == CDI_ALL_MAX) {
		warn(r, file, "there are too many devices: the rest is left out");
		return;
	}
	if (i < set->count && set->at[i].folder == r->folder) {
		auto_free char *text = mem_printf("%s is in %s, too: none of the two is used", name,
						  set->at[i].file);

		set->at[i].clash = true;
		warn(r, file, text);
		return;
	}
	set->at[i] = entry;
	set->count += i == set->count;
}

static void read_folder(const struct reading *r)
{
	auto_fd int dir = open_folder(r->from->folders[r->folder]);
	char *names[CDI_FILES_MAX + 1];
	struct err e = { 0 };
	struct stat st;
	size_t n;

	if (dir < 0) {
		err_sys(&e, ERR_IO, errno, "open it");
		if (errno != ENOENT)
			warn(r, NULL, e.msg);
		return;
	}
	if (fstat(dir, &st) < 0 || check_owner(r->from, &st, &e) < 0) {
		warn(r, NULL, e.msg);
		return;
	}
	n = list(dir, names);
	if (n > CDI_FILES_MAX)
		warn(r, NULL, "it holds too many files: some are left out");
	for (size_t i = 0; i < n; i++) {
		struct cdi_spec *spec = arena_alloc(r->a, sizeof(*spec));
		const char *file = arena_strdup(r->a, names[i]);

		mem_free(names[i]);
		if (i == CDI_FILES_MAX)
			continue;
		e = (struct err){ 0 };
		if (read_file(r, dir, file, spec, &e) < 0) {
			warn(r, file, e.msg);
			continue;
		}
		for (size_t k = 0; k < spec->device_count; k++)
			add(r, spec, &spec->devices[k], file);
	}
}

void cdi_read(struct arena *a, const struct cdi_from *from, struct cdi_set *out)
{
	struct reading r = { .a = a, .from = from };
	size_t kept = 0;

	*out = (struct cdi_set){ .at = arena_alloc(a, CDI_ALL_MAX * sizeof(*out->at)) };
	r.out = out;
	for (r.folder = 0; r.folder < from->count; r.folder++)
		read_folder(&r);
	for (size_t i = 0; i < out->count; i++)
		if (!out->at[i].clash)
			out->at[kept++] = out->at[i];
	out->count = kept;
}

const struct cdi_entry *cdi_find(const struct cdi_set *set, const char *name)
{
	for (size_t i = 0; i < set->count; i++)
		if (strcmp(set->at[i].name, name) == 0)
			return &set->at[i];
	return NULL;
}

// FNV-1a
static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const unsigned char *)p)[i]) * UINT64_C(0x100000001b3);
	return h;
}

uint64_t cdi_stamp(const struct cdi_from *from)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (unsigned i = 0; i < from->count; i++) {
		auto_fd int dir = open_folder(from->folders[i]);
		char *names[CDI_FILES_MAX + 1];
		size_t n = dir < 0 ? 0 : list(dir, names);

		h = mix(h, &i, sizeof(i));
		for (size_t k = 0; k < n; k++) {
			struct stat st = { 0 };

			h = mix(h, names[k], strlen(names[k]));
			if (fstatat(dir, names[k], &st, 0) == 0) {
				h = mix(h, &st.st_mtim, sizeof(st.st_mtim));
				h = mix(h, &st.st_ctim, sizeof(st.st_ctim)); // owner and mode, too
				h = mix(h, &st.st_size, sizeof(st.st_size));
			}
			mem_free(names[k]);
		}
	}
	return h;
}

size_t cdi_edits_of(const struct cdi_entry *const *devices, size_t count,
		    const struct cdi_edits **out)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const struct cdi_edits *all = &devices[i]->spec->edits;
		bool had = false;

		for (size_t k = 0; k < n; k++)
			had = had || out[k] == all;
		if (!had)
			out[n++] = all;
		out[n++] = &devices[i]->device->edits;
	}
	return n;
}
