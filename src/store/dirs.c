// SPDX-License-Identifier: Apache-2.0
#include "store/dirs.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "db/db.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	MARK_MAX = 128,
	INSTALLATION = (DIRS_INSTALLATION_MAX - 1) / 2, // bytes of its name
	FOLDERS = 256,					// of a directory
	UNMARKED = -1,
};
#define MARK ".oscar-content"

// ---- the mark ------------------------------------------------------------------------------------------

struct mark {
	char installation[DIRS_INSTALLATION_MAX];
	int number;
};

// UNMARKED when there is none.
static int mark_read(int dir, const char *path, struct mark *m, struct err *e)
{
	auto_buf struct buf b = { .max = MARK_MAX };
	struct err why = { 0 };

	m->number = UNMARKED;
	if (file_read_path(dir, MARK, &b, &why) < 0) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		*e = why;
		return -1;
	}
	buf_add_char(&b, '\0');
	if (sscanf(b.p, "content %d of %32s", &m->number, m->installation) != 2 || m->number < 0 ||
	    m->number >= STORE_DIRS_MAX)
		return err_set(e, ERR_INVALID, "%s/" MARK " is not as it was written", path);
	return 0;
}

static int mark_write(int dir, const struct mark *m, struct err *e)
{
	char text[MARK_MAX];
	int n = snprintf(text, sizeof(text), "content %d of %s\n", m->number, m->installation);

	return file_replace(dir, MARK, 0600, text, (size_t)n, e);
}

// ---- what the database knows ---------------------------------------------------------------------------

// How many directories hold content, and where they were seen last.
struct known {
	char installation[DIRS_INSTALLATION_MAX]; // "" = none yet
	char *paths[STORE_DIRS_MAX];
	int n;
};

static void known_free(struct known *k)
{
	for (int i = 0; i < STORE_DIRS_MAX; i++)
		mem_free(k->paths[i]);
}

static int known_load(struct db *db, struct known *k, struct err *e)
{
	struct db_conn *c = db_reader(db, e);
	auto_query struct db_stmt *q =
		db_query(c,
			 "SELECT name,value FROM settings WHERE name='installation' OR "
			 "(name>='content.00' AND name<='content.99') ORDER BY name",
			 DB_NO_ARGS, e);
	int got;

	while ((got = db_step(q, e)) > 0) {
		struct span name = db_col_span(q, 0), value = db_col_span(q, 1);

		if (span_is(name, "installation"))
			snprintf(k->installation, sizeof(k->installation), SPAN_FMT,
				 SPAN_ARG(value));
		else if (k->n < STORE_DIRS_MAX)
			k->paths[k->n++] = mem_strndup(value.p, value.n);
	}
	return got;
}

struct knowing {
	const struct dirs *dirs;
	const char *installation;
};

static int know_in(struct db_conn *c, void *arg, struct err *e)
{
	struct knowing *k = arg;

	if (db_exec(c, "INSERT OR REPLACE INTO settings(name,value) VALUES('installation',?1)",
		    DB_ARGS(db_str(k->installation)), e) < 0)
		return -1;
	for (unsigned i = 0; i < k->dirs->n; i++) {
		char name[32];

		snprintf(name, sizeof(name), "content.%02u", i);
		if (db_exec(c, "INSERT OR REPLACE INTO settings(name,value) VALUES(?1,?2)",
			    DB_ARGS(db_str(name), db_str(k->dirs->at[i].path)), e) < 0)
			return -1;
	}
	return 0;
}

// ---- opening -------------------------------------------------------------------------------------------

static int make_folders(const struct content_dir *d, struct err *e)
{
	// From the last to the first: when the first exists, an earlier start made them all.
	if (faccessat(d->fd, "00", F_OK, 0) == 0)
		return 0;
	for (int i = FOLDERS - 1; i >= 0; i--) {
		char name[8];

		snprintf(name, sizeof(name), "%02x", (unsigned)i);
		if (mkdirat(d->fd, name, 0711) < 0 && errno != EEXIST)
			return err_sys(e, ERR_IO, errno, "mkdir %s/%s", d->path, name);
	}
	return file_sync(d->fd, e);
}

static int dir_open(struct content_dir *d, const char *path, const char *rel, struct err *e)
{
	struct stat st;

	*d = (struct content_dir){ .path = mem_strdup(path), .rel = rel, .fd = -1 };
	if (file_mkdirs(path, 0711, e) < 0)
		return -1;
	d->fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, e);
	if (d->fd < 0)
		return -1;
	if (fstat(d->fd, &st) < 0)
		return err_sys(e, ERR_IO, errno, "stat %s", path);
	d->device = st.st_dev;
	return 0;
}

static void dir_close(struct content_dir *d)
{
	file_close(d->fd);
	mem_free(d->path);
	*d = (struct content_dir){ .fd = -1 };
}

// Puts a directory that has a mark in its place.
static int dir_place(struct dirs *d, struct content_dir *dir, const struct mark *m,
		     const struct known *k, struct err *e)
{
	if (strcmp(m->installation, k->installation) != 0)
		return err_set(e, ERR_INVALID,
			       "%s holds the content of another installation: name the right "
			       "folder, or an empty one",
			       dir->path);
	if (d->at[m->number].path)
		return err_set(e, ERR_INVALID, "%s and %s are the same content directory",
			       d->at[m->number].path, dir->path);
	d->at[m->number] = *dir;
	dir->fd = -1;
	dir->path = NULL;
	return 0;
}

static int missing_check(const struct dirs *d, const struct known *k, struct err *e)
{
	for (int i = 0; i < k->n; i++)
		if (!d->at[i].path)
			return err_set(e, ERR_INVALID,
				       "content directory %d, last seen at %s, is missing: mount "
				       "its disk, or say where it is (--content)",
				       i, k->paths[i]);
	return 0;
}

// Gives the next free number to one without a mark. The mark first: a number that the database does not know yet
// is taken as new at the next start.
static int dir_add(struct dirs *d, struct content_dir *dir, const struct known *k, struct err *e)
{
	struct mark m = { .number = 0 };

	while (m.number < STORE_DIRS_MAX && d->at[m.number].path)
		m.number++;
	if (m.number == STORE_DIRS_MAX)
		return err_set(e, ERR_LIMIT, "at most %d content directories", STORE_DIRS_MAX);
	memcpy(m.installation, k->installation, sizeof(m.installation));
	if (mark_write(dir->fd, &m, e) < 0)
		return -1;
	return dir_place(d, dir, &m, k, e);
}

static struct content_dir *table_new(void)
{
	struct content_dir *at = mem_zalloc(STORE_DIRS_MAX * sizeof(*at));

	for (int i = 0; i < STORE_DIRS_MAX; i++)
		at[i].fd = -1;
	return at;
}

struct opening {
	struct content_dir dirs[STORE_DIRS_MAX];
	struct mark marks[STORE_DIRS_MAX];
	unsigned n;
};

static int open_paths(struct opening *o, const char *data_dir, const char *const *paths,
		      struct err *e)
{
	auto_free char *own = mem_printf("%s/content", data_dir);
	const char *const only[] = { own, NULL };

	for (const char *const *p = paths && *paths ? paths : only; *p; p++) {
		struct content_dir *dir = &o->dirs[o->n];

		if (o->n == STORE_DIRS_MAX)
			return err_set(e, ERR_LIMIT, "at most %d content directories",
				       STORE_DIRS_MAX);
		o->n++;
		if (dir_open(dir, *p, strcmp(*p, own) == 0 ? "content" : NULL, e) < 0 ||
		    mark_read(dir->fd, *p, &o->marks[o->n - 1], e) < 0)
			return -1;
	}
	return 0;
}

static int place_all(struct dirs *d, struct opening *o, const struct known *k, struct err *e)
{
	for (unsigned i = 0; i < o->n; i++)
		if (o->marks[i].number != UNMARKED &&
		    dir_place(d, &o->dirs[i], &o->marks[i], k, e) < 0)
			return -1;
	if (missing_check(d, k, e) < 0)
		return -1;
	for (unsigned i = 0; i < o->n; i++)
		if (o->dirs[i].path && dir_add(d, &o->dirs[i], k, e) < 0)
			return -1;
	for (d->n = 0; d->n < STORE_DIRS_MAX && d->at[d->n].path; d->n++)
		if (make_folders(&d->at[d->n], e) < 0)
			return -1;
	return d->n == o->n ? 0 : err_set(e, ERR_INVALID, "content directory %u is missing", d->n);
}

static bool known_already(const struct dirs *d, const struct known *k)
{
	if (k->n != (int)d->n)
		return false;
	for (unsigned i = 0; i < d->n; i++)
		if (strcmp(d->at[i].path, k->paths[i]) != 0)
			return false;
	return true;
}

static int open_all(struct dirs *d, struct opening *o, struct db *db, const char *data_dir,
		    const char *const *paths, struct err *e)
{
	struct known k = { .n = 0 };
	struct knowing w = { d, k.installation };
	int result = -1;

	if (known_load(db, &k, e) == 0 && open_paths(o, data_dir, paths, e) == 0) {
		if (!k.installation[0])
			rand_hex(k.installation, INSTALLATION);
		result = place_all(d, o, &k, e);
		if (result == 0 && !known_already(d, &k))
			result = db_write(db, know_in, &w, e);
		snprintf(d->installation, sizeof(d->installation), "%s", k.installation);
	}
	known_free(&k);
	return result;
}

int dirs_open(struct dirs *d, struct db *db, const char *data_dir, const char *const *paths,
	      struct err *e)
{
	auto_free char *folder = mem_strdup(db_path(db));
	struct opening o = { .n = 0 };
	char *slash = strrchr(folder, '/');
	int result = -1;

	if (slash)
		slash[slash == folder] = '\0';
	d->at = table_new();
	d->db_fd = file_open(AT_FDCWD, slash ? folder : ".", O_RDONLY | O_DIRECTORY, 0, e);
	d->data_fd = file_open(AT_FDCWD, data_dir, O_RDONLY | O_DIRECTORY, 0, e);
	if (d->db_fd >= 0 && d->data_fd >= 0)
		result = open_all(d, &o, db, data_dir, paths, e);
	for (unsigned i = 0; i < o.n; i++)
		if (o.dirs[i].path)
			dir_close(&o.dirs[i]);
	if (result < 0)
		dirs_close(d);
	return result;
}

void dirs_close(struct dirs *d)
{
	for (unsigned i = 0; d->at && i < STORE_DIRS_MAX; i++)
		if (d->at[i].path)
			dir_close(&d->at[i]);
	mem_free(d->at);
	d->at = NULL;
	d->n = 0;
	file_close(d->db_fd);
	file_close(d->data_fd);
	d->db_fd = d->data_fd = -1;
}

int dirs_open_plain(struct dirs *d, const char *data_dir, const char *const *paths, struct err *e)
{
	struct opening o = { .n = 0 };
	int bad;

	*d = DIRS_NONE;
	d->at = table_new();
	bad = open_paths(&o, data_dir, paths, e);
	// Those that have marks lie where these say.
	for (unsigned i = 0; i < o.n; i++) {
		int at = o.marks[i].number;

		if (at == UNMARKED)
			at = (int)d->n;
		if (d->at[at].path) // two of one number: of different installations
			continue;
		d->at[at] = o.dirs[i];
		o.dirs[i] = (struct content_dir){ .fd = -1 };
		d->n = d->n > (unsigned)at ? d->n : (unsigned)at + 1;
	}
	for (unsigned i = 0; i < o.n; i++)
		if (o.dirs[i].path)
			dir_close(&o.dirs[i]);
	if (bad < 0)
		dirs_close(d);
	return bad;
}

int dirs_mark(struct dirs *d, struct db *db, struct err *e)
{
	struct known k = { .n = 0 };
	struct knowing w = { d, k.installation };
	struct mark m = { .number = 0 };
	int bad = known_load(db, &k, e);

	if (!bad && (unsigned)k.n > d->n)
		bad = err_set(e, ERR_INVALID, "the content came from %d directories", k.n);
	memcpy(m.installation, k.installation, sizeof(m.installation));
	for (; !bad && (unsigned)m.number < d->n; m.number++)
		bad = mark_write(d->at[m.number].fd, &m, e);
	if (!bad)
		bad = db_write(db, know_in, &w, e);
	known_free(&k);
	return bad;
}

// ---- using ---------------------------------------------------------------------------------------------

int dirs_fd(const struct dirs *d, int64_t id)
{
	unsigned i = dirs_index(id);

	return i < d->n ? d->at[i].fd : -1;
}

// What an ordinary user may still take, of 1024 parts of the disk: bytes or inodes, whichever is scarcer.
static unsigned free_parts(int fd)
{
	struct statvfs v;
	uint64_t bytes, inodes;

	if (fstatvfs(fd, &v) < 0 || !v.f_blocks)
		return 0;
	bytes = (uint64_t)v.f_bavail * 1024 / v.f_blocks;
	inodes = v.f_files ? (uint64_t)v.f_favail * 1024 / v.f_files : 1024;
	return (unsigned)(bytes < inodes ? bytes : inodes);
}

static enum store_room level(const struct dirs *d, unsigned parts)
{
	return parts * 100 < d->stop_percent * 1024  ? STORE_ROOM_NONE
	       : parts * 100 < d->low_percent * 1024 ? STORE_ROOM_LOW
						     : STORE_ROOM_PLENTY;
}

static uint64_t free_bytes(int fd)
{
	struct statvfs v;

	return fstatvfs(fd, &v) < 0 ? 0 : (uint64_t)v.f_bavail * v.f_frsize;
}

unsigned dirs_choose(const struct dirs *d, dev_t wish)
{
	uint64_t most = 0;
	unsigned best = 0;

	if (d->n == 1)
		return 0;
	for (unsigned i = 0; i < d->n; i++) {
		uint64_t here = level(d, free_parts(d->at[i].fd)) == STORE_ROOM_NONE
					? 0
					: free_bytes(d->at[i].fd);

		if (here && wish && d->at[i].device == wish)
			return i;
		if (here > most) {
			most = here;
			best = i;
		}
	}
	return best;
}

enum store_room dirs_room(const struct dirs *d)
{
	unsigned content = 0, db = free_parts(d->db_fd);
	enum store_room room;

	for (unsigned i = 0; i < d->n; i++) {
		unsigned here = free_parts(d->at[i].fd);

		content = here > content ? here : content;
	}
	room = level(d, db < content ? db : content);
	if (room == STORE_ROOM_PLENTY && level(d, free_parts(d->data_fd)) != STORE_ROOM_PLENTY)
		return STORE_ROOM_LOW;
	return room;
}
