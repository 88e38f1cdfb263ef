// SPDX-License-Identifier: Apache-2.0
#include "store/backup.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/schema.h"
#include "store/blocks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 64, TEXT_MAX = 1400 };

// ---- nothing goes meanwhile ----------------------------------------------------------------------------

int backup_lock_open(const char *data_dir, struct err *e)
{
	auto_free char *path = mem_printf("%s/backup.lock", data_dir);

	return file_open(AT_FDCWD, path, O_RDONLY | O_CREAT, 0600, e);
}

bool backup_may_remove(int lock)
{
	return flock(lock, LOCK_EX | LOCK_NB) == 0;
}

void backup_removed(int lock)
{
	flock(lock, LOCK_UN);
}

// ---- what both ways share ------------------------------------------------------------------------------

struct copying {
	const struct backup_options *o;
	struct backed_up *out;
	int to;		  // the backup's folder
	struct dirs dirs; // the store's; only fds and paths are used
	struct db *db;	  // the snapshot's
	char *chunk;
};

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

struct listed {
	int64_t id;
	uint64_t size;
	struct span sums;
};

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
static int copy_bytes(const struct copying *k, int from, int to, const struct listed *f,
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
		     const struct listed *f, struct err *e)
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

static int read_page(struct db *db, int64_t after, struct arena *mem,
		     struct listed out[static PAGE], int *n, struct err *e)
{
	struct db_conn *c = db_reader(db, e);
	auto_query struct db_stmt *q =
		c ? db_query(c, "SELECT id,size,crcs FROM files WHERE id>?1 ORDER BY id LIMIT 64",
			     DB_ARGS(db_int(after)), e)
		  : NULL;
	int got;

	*n = 0;
	while ((got = q ? db_step(q, e) : -1) > 0)
		out[(*n)++] = (struct listed){ db_col_int(q, 0), (uint64_t)db_col_int(q, 1),
					       arena_span(mem, db_col_span(q, 2)) };
	return got;
}

static int copy_one(struct copying *k, const struct listed *f, bool back, struct err *e)
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

static int copy_all(struct copying *k, bool back, struct err *e)
{
	int64_t after = 0;
	int n = PAGE;

	while (n == PAGE) {
		auto_arena struct arena mem = { 0 };
		struct listed page[PAGE];

		if (read_page(k->db, after, &mem, page, &n, e) < 0)
			return -1;
		for (int i = 0; i < n; i++)
			if (copy_one(k, &page[i], back, e) < 0)
				return -1;
		after = n ? page[n - 1].id : 0;
	}
	return 0;
}

static int open_snapshot(struct copying *k, const char *path, struct err *e)
{
	struct db_options dbo = { .path = path,
				  .migrations = schema_migrations,
				  .migration_count = schema_migration_count,
				  .no_reserve = true };

	return db_open(&k->db, &dbo, e);
}

static int make_folders(int dir, const char *below, struct err *e)
{
	for (unsigned i = 0; i < 256; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s%02x", below, i);
		if (mkdirat(dir, name, 0711) < 0 && errno != EEXIST)
			return err_sys(e, ERR_IO, errno, "mkdir %s", name);
	}
	return 0;
}

// ---- there ---------------------------------------------------------------------------------------------

static int open_backup(struct copying *k, struct err *e)
{
	const char *to = k->o->to;

	if (file_mkdirs(to, 0700, e) < 0)
		return -1;
	k->to = file_open(AT_FDCWD, to, O_RDONLY | O_DIRECTORY, 0, e);
	if (k->to < 0)
		return -1;
	if (mkdirat(k->to, "snapshots", 0700) < 0 && errno != EEXIST)
		return err_sys(e, ERR_IO, errno, "mkdir %s/snapshots", to);
	if (mkdirat(k->to, "content", 0700) < 0 && errno != EEXIST)
		return err_sys(e, ERR_IO, errno, "mkdir %s/content", to);
	return make_folders(k->to, "content/", e);
}

static int take_snapshot(struct copying *k, const char *folder, struct err *e)
{
	auto_free char *path = mem_printf("%s/snapshots/%s", k->o->to, folder);
	auto_free char *db = mem_printf("%s/oscar.db", path);

	if (file_remove_tree(AT_FDCWD, path, e) < 0 || file_mkdirs(path, 0700, e) < 0 ||
	    db_snapshot(k->o->db_path, db, e) < 0)
		return -1;
	return open_snapshot(k, db, e);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char **at;
	size_t n;
};

static void names_free(struct names *l)
{
	for (size_t i = 0; i < l->n; i++)
		mem_free(l->at[i]);
	mem_free(l->at);
}
#define auto_names at_scope_exit(names_free)

// The snapshots that are whole, oldest first.
static int list_snapshots(int to, struct names *l, struct err *e)
{
	int fd = file_open(to, "snapshots", O_RDONLY | O_DIRECTORY, 0, e);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		file_close(fd);
		return fd < 0 ? -1 : err_sys(e, ERR_IO, errno, "read snapshots");
	}
	for (struct dirent *x; (x = readdir(d));) {
		size_t n = strlen(x->d_name);

		if (x->d_name[0] == '.' || n >= BACKUP_NAME_MAX || x->d_name[n - 1] != 'Z')
			continue;
		l->at = mem_realloc(l->at, l->n + 1, sizeof(*l->at));
		l->at[l->n++] = mem_strdup(x->d_name);
	}
	closedir(d);
	if (l->n)
		qsort(l->at, l->n, sizeof(*l->at), by_name);
	return 0;
}

// Removes the file unless one of these databases has it.
static int drop_unless_named(const struct copying *k, struct db **kept, size_t n,
			     const char *folder, const char *name, struct err *e)
{
	auto_free char *path = mem_printf("content/%s/%s", folder, name);
	unsigned long long number = strtoull(name, NULL, 16);
	int64_t known = 0;

	for (size_t i = 0; i < n && !known; i++) {
		struct db_conn *c = db_reader(kept[i], e);

		for (unsigned dir = 0; c && dir < STORE_DIRS_MAX && !known; dir++)
			if (db_get_int(c, "SELECT 1 FROM files WHERE id=?1",
				       DB_ARGS(db_int(dirs_id(dir, (int64_t)number))), 0, &known,
				       e) < 0)
				return -1;
		if (!c)
			return -1;
	}
	if (!known && unlinkat(k->to, path, 0) < 0 && errno != ENOENT)
		return err_sys(e, ERR_IO, errno, "remove %s", path);
	return 0;
}

static int drop_content(const struct copying *k, struct db **kept, size_t n, struct err *e)
{
	int bad = 0;

	for (unsigned i = 0; i < 256 && !bad; i++) {
		char folder[8], path[32];
		int fd;
		DIR *d;

		snprintf(folder, sizeof(folder), "%02x", i);
		snprintf(path, sizeof(path), "content/%s", folder);
		fd = file_open(k->to, path, O_RDONLY | O_DIRECTORY, 0, e);
		d = fd < 0 ? NULL : fdopendir(fd);
		if (!d) {
			file_close(fd);
			return fd < 0 ? -1 : err_sys(e, ERR_IO, errno, "read %s", path);
		}
		for (struct dirent *x; !bad && (x = readdir(d));)
			if (x->d_name[0] != '.')
				bad = drop_unless_named(k, kept, n, folder, x->d_name, e);
		closedir(d);
	}
	return bad;
}

static int drop_old(struct copying *k, struct err *e)
{
	auto_names struct names l = { 0 };
	struct db **kept;
	size_t drop, n = 0;
	int bad = 0;

	if (!k->o->keep)
		return 0;
	if (list_snapshots(k->to, &l, e) < 0)
		return -1;
	if (l.n <= k->o->keep)
		return 0;
	drop = l.n - k->o->keep;
	for (size_t i = 0; i < drop && !bad; i++) {
		auto_free char *path = mem_printf("snapshots/%s", l.at[i]);

		bad = file_remove_tree(k->to, path, e);
		k->out->dropped += !bad;
	}
	kept = mem_zalloc(k->o->keep * sizeof(struct db *));
	for (size_t i = drop; i < l.n && !bad; i++) {
		auto_free char *path = mem_printf("%s/snapshots/%s/oscar.db", k->o->to, l.at[i]);
		struct db_options dbo = { .path = path,
					  .migrations = schema_migrations,
					  .migration_count = schema_migration_count,
					  .no_reserve = true };

		bad = db_open(&kept[n], &dbo, e);
		n += !bad;
	}
	if (!bad)
		bad = drop_content(k, kept, n, e);
	for (size_t i = 0; i < n; i++)
		db_close(kept[i]);
	mem_free(kept);
	return bad;
}

// The snapshot gets its name when all that belongs to it is there.
static int name_snapshot(struct copying *k, const char *part, struct err *e)
{
	auto_free char *from = mem_printf("snapshots/%s", part);
	auto_free char *to = mem_printf("snapshots/%s", k->out->name);

	db_close(k->db);
	k->db = NULL;
	if (syncfs(k->to) < 0)
		return err_sys(e, ERR_IO, errno, "sync %s", k->o->to);
	if (renameat(k->to, from, k->to, to) < 0)
		return err_sys(e, ERR_IO, errno, "rename %s", from);
	return syncfs(k->to) < 0 ? err_sys(e, ERR_IO, errno, "sync %s", k->o->to) : 0;
}

static int open_content(struct copying *k, struct err *e)
{
	return dirs_open_plain(&k->dirs, k->o->data_dir, k->o->content_dirs, e);
}

static void copying_end(struct copying *k)
{
	db_close(k->db);
	dirs_close(&k->dirs);
	file_close(k->to);
	mem_free(k->chunk);
}

// Names in order of time: 20261125T013000.123Z.
static void name_by_time(char out[static BACKUP_NAME_MAX])
{
	int64_t now = clock_wall_ns();
	time_t s = (time_t)(now / NS_PER_S);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(out, BACKUP_NAME_MAX, "%Y%m%dT%H%M%S", &tm);
	snprintf(out + n, BACKUP_NAME_MAX - n, ".%03dZ", (int)(now % NS_PER_S / NS_PER_MS));
}

int store_backup(const struct backup_options *o, struct backed_up *out, struct err *e)
{
	struct copying k = { .o = o, .out = out, .to = -1, .dirs = DIRS_NONE };
	static const char part[] = "new";
	auto_fd int lock = -1;
	int bad;

	*out = (struct backed_up){ 0 };
	name_by_time(out->name);
	k.chunk = mem_alloc(BLOCK_SIZE);
	lock = backup_lock_open(o->data_dir, e);
	bad = lock < 0 || open_backup(&k, e) < 0;
	if (!bad && flock(k.to, LOCK_EX | LOCK_NB) < 0)
		bad = err_set(e, ERR_BUSY, "another backup to %s is being made", o->to) < 0;
	if (!bad && flock(lock, LOCK_SH) < 0)
		bad = err_sys(e, ERR_IO, errno, "lock %s", o->data_dir) < 0;
	bad = bad || take_snapshot(&k, part, e) < 0 || open_content(&k, e) < 0 ||
	      copy_all(&k, false, e) < 0 || o->rest(o->owner, e) < 0 ||
	      name_snapshot(&k, part, e) < 0 || drop_old(&k, e) < 0;
	copying_end(&k);
	return bad ? -1 : 0;
}

// ---- and back ------------------------------------------------------------------------------------------

static int find_snapshot(struct copying *k, const char *name, struct err *e)
{
	auto_names struct names l = { 0 };

	k->to = file_open(AT_FDCWD, k->o->to, O_RDONLY | O_DIRECTORY, 0, e);
	if (k->to < 0 || list_snapshots(k->to, &l, e) < 0)
		return -1;
	for (size_t i = l.n; i-- > 0;)
		if (!name || !*name || strcmp(name, l.at[i]) == 0) {
			snprintf(k->out->name, sizeof(k->out->name), "%s", l.at[i]);
			return 0;
		}
	return err_set(e, ERR_NOT_FOUND, "%s has no snapshot %s", k->o->to, name ? name : "");
}

// A copy of the snapshot's database beside its place, which gets its name last.
static int copy_database(const struct copying *k, const char *part, struct err *e)
{
	auto_free char *from = mem_printf("%s/snapshots/%s/oscar.db", k->o->to, k->out->name);

	if (access(k->o->db_path, F_OK) == 0)
		return err_set(e, ERR_EXISTS, "%s exists already: restore into an empty folder",
			       k->o->db_path);
	if (unlink(part) < 0 && errno != ENOENT)
		return err_sys(e, ERR_IO, errno, "remove %s", part);
	return db_snapshot(from, part, e);
}

static int put_database(struct copying *k, const char *part, struct err *e)
{
	int bad = dirs_mark(&k->dirs, k->db, e);

	db_close(k->db);
	k->db = NULL;
	if (bad < 0)
		return -1;
	sync();
	if (rename(part, k->o->db_path) < 0)
		return err_sys(e, ERR_IO, errno, "rename %s", part);
	sync();
	return 0;
}

int store_restore(const struct backup_options *o, const char *name, struct backed_up *out,
		  struct err *e)
{
	struct copying k = { .o = o, .out = out, .to = -1, .dirs = DIRS_NONE };
	auto_free char *part = mem_printf("%s.part", o->db_path);
	int bad;

	*out = (struct backed_up){ 0 };
	k.chunk = mem_alloc(BLOCK_SIZE);
	bad = find_snapshot(&k, name, e) < 0 || copy_database(&k, part, e) < 0 ||
	      open_snapshot(&k, part, e) < 0 || open_content(&k, e) < 0;
	for (unsigned i = 0; i < k.dirs.n && !bad; i++)
		bad = make_folders(k.dirs.at[i].fd, "", e) < 0;
	bad = bad || copy_all(&k, true, e) < 0 || o->rest(o->owner, e) < 0 ||
	      put_database(&k, part, e) < 0;
	copying_end(&k);
	return bad ? -1 : 0;
}
