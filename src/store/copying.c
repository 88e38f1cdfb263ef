// SPDX-License-Identifier: Apache-2.0
// copying: content files between a store and a backup of it, either way.
#include "store/copying.h"

#include "base/file.h"
#include "base/mem.h"
#include "store/blocks.h"
#include "store/listed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 64, TEXT_MAX = 1400 };

static void say(const struct copying *k, const char *fmt, ...) format_printf(2, 3);
static void say(const struct copying *k, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (k->o->say)
		k->o->say(k->o->owner, text);
}

// The file's name below the backup: numbers are unique over all directories.
static char *name_in_backup(int64_t id, char out[static FILE_NAME_MAX + 16])
{
	char name[FILE_NAME_MAX];

	snprintf(out, FILE_NAME_MAX + 16, "content/%s", file_name(id, name));
	return out;
}

static bool is_there(int dir, const char *name, uint64_t size)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == size;
}

// Copies and compares at once. 1 = right, 0 = it is damaged (and not copied), -1.
static int copy_bytes(const struct copying *k, int from, int to, const struct listed_file *f,
		      struct err *e)
{
	for (uint64_t at = 0, block = 0; at < f->size; block++) {
		size_t n = f->size - at < BLOCK_SIZE ? (size_t)(f->size - at) : BLOCK_SIZE;
		ssize_t got = file_pread_full(from, k->chunk, n, (off_t)at, e);

		if (got < 0)
			return -1;
		if ((size_t)got < n || !blocks_right(span_make(k->chunk, n), block, f->sums))
			return 0;
		if (file_write_all(to, k->chunk, n, e) < 0)
			return -1;
		at += n;
	}
	return 1;
}

// A file has its name when all of it is on disk.
static int copy_file(struct copying *k, int from_dir, const char *from, int to_dir, const char *to,
		     const struct listed_file *f, struct err *e)
{
	auto_free char *part = mem_printf("%s.part", to);
	auto_fd int in = -1, out = -1;
	int right;

	if (is_there(to_dir, to, f->size))
		return 0;
	in = file_open(from_dir, from, O_RDONLY | O_NOFOLLOW, 0, e);
	if (in < 0 && e->code != ERR_NOT_FOUND)
		return -1;
	out = in < 0 ? -1 : file_open(to_dir, part, O_WRONLY | O_CREAT | O_TRUNC, 0600, e);
	if (in >= 0 && out < 0)
		return -1;
	right = in < 0 ? 0 : copy_bytes(k, in, out, f, e);
	if (right <= 0) {
		unlinkat(to_dir, part, 0);
		if (right < 0)
			return err_wrap(e, "copy %s", from);
		k->out->damaged++;
		say(k, "%s is missing or differs from what was written: not copied", from);
		return 0;
	}
	if (file_sync(out, e) < 0)
		return err_wrap(e, "copy %s", from);
	if (renameat(to_dir, part, to_dir, to) < 0)
		return err_sys(e, ERR_IO, errno, "rename %s", part);
	k->out->copied++;
	k->out->copied_bytes += f->size;
	return 0;
}

static int copy_one(struct copying *k, const struct listed_file *f, bool back, struct err *e)
{
	char in_backup[FILE_NAME_MAX + 16], in_store[FILE_NAME_MAX];
	int store = dirs_fd(&k->dirs, f->id);

	if (store < 0)
		return err_set(e, ERR_INVALID,
			       "the content came from %u directories: name as many (--content)",
			       dirs_index(f->id) + 1);
	name_in_backup(f->id, in_backup);
	file_name(f->id, in_store);
	k->out->files++;
	k->out->bytes += f->size;
	return back ? copy_file(k, k->to, in_backup, store, in_store, f, e)
		    : copy_file(k, store, in_store, k->to, in_backup, f, e);
}

int copying_all(struct copying *k, bool back, struct err *e)
{
	int64_t after = 0;
	int n = PAGE;

	while (n == PAGE) {
		auto_arena struct arena mem = { 0 };
		struct listed_file page[PAGE];

		if (listed_files(k->db, after, PAGE, &mem, page, &n, e) < 0)
			return -1;
		for (int i = 0; i < n; i++)
			if (copy_one(k, &page[i], back, e) < 0)
				return -1;
		after = n ? page[n - 1].id : 0;
	}
	return 0;
}

int copying_make_folders(int dir, const char *below, struct err *e)
{
	for (unsigned i = 0; i < 256; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s%02x", below, i);
		if (mkdirat(dir, name, 0711) < 0 && errno != EEXIST)
			return err_sys(e, ERR_IO, errno, "mkdir %s", name);
	}
	return 0;
}

int copying_open_content(struct copying *k, struct err *e)
{
	return dirs_open_plain(&k->dirs, k->o->data_dir, k->o->content_dirs, e);
}

struct copying copying_begin(const struct backup_options *o, struct backed_up *out)
{
	*out = (struct backed_up){ 0 };
	return (struct copying){
		.o = o, .out = out, .to = -1, .dirs = DIRS_NONE, .chunk = mem_alloc(BLOCK_SIZE)
	};
}

void copying_end(struct copying *k)
{
	db_close(k->db);
	dirs_close(&k->dirs);
	file_close(k->to);
	mem_free(k->chunk);
}
