// SPDX-License-Identifier: Apache-2.0
#include "store/check.h"

#include "base/file.h"
#include "store/blocks.h"
#include "store/listed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 16, TEXT_MAX = 1400, FOLDERS = 256 };

struct checking {
	struct store *store;
	const struct store_check_options *o;
	struct store_checked *out;
};

static void say(const struct checking *k, const char *fmt, ...) format_printf(2, 3);
static void say(const struct checking *k, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (k->o->say)
		k->o->say(k->o->owner, text);
}

// ---- content files -------------------------------------------------------------------------------------

static int check_file(const struct checking *k, const struct listed_file *f, struct err *e)
{
	struct err why = { 0 };
	bool right = blocks_verify(k->store, f->id, f->size, f->sums, NULL, NULL, &why) > 0;
	char name[FILE_NAME_MAX];

	k->out->files++;
	k->out->bytes += f->size;
	if (right && !f->bad)
		return 0;
	if (right) {
		k->out->mended++;
		say(k, "content file %s was marked as damaged and is right",
		    file_name(f->id, name));
	} else {
		k->out->damaged++;
		say(k, "content file %s: %s", file_name(f->id, name), why.msg);
	}
	return k->o->repair && blocks_mark(k->store, f->id, !right, e) < 0 ? -1 : 0;
}

static int check_files(const struct checking *k, struct err *e)
{
	int64_t after = 0;
	int n = PAGE;

	while (n == PAGE) {
		auto_arena struct arena mem = { 0 };
		struct listed_file page[PAGE];

		if (listed_files(k->store->db, after, PAGE, &mem, page, &n, e) < 0)
			return -1;
		for (int i = 0; i < n; i++)
			if (check_file(k, &page[i], e) < 0)
				return -1;
		after = n ? page[n - 1].id : 0;
	}
	return 0;
}

// ---- what lies in the database -------------------------------------------------------------------------

static int check_bodies(const struct checking *k, struct err *e)
{
	struct db_conn *c = db_reader(k->store->db, e);
	auto_query struct db_stmt *q =
		db_query(c, "SELECT content,crc,data FROM bodies", DB_NO_ARGS, e);
	int got;

	while ((got = db_step(q, e)) > 0) {
		k->out->bodies++;
		if (content_crc(db_col_span(q, 2)) == (uint32_t)db_col_int(q, 1))
			continue;
		k->out->damaged++;
		say(k, "the body of content %lld differs from what was written",
		    (long long)db_col_int(q, 0));
	}
	return got;
}

static int check_objects(const struct checking *k, struct err *e)
{
	struct db_conn *c = db_reader(k->store->db, e);
	auto_query struct db_stmt *q =
		db_query(c,
			 "SELECT b.name,o.key,o.version,o.delete_marker OR CASE o.storage WHEN "
			 "0 THEN EXISTS(SELECT 1 FROM bodies WHERE content=o.content) WHEN 1 "
			 "THEN EXISTS(SELECT 1 FROM contents WHERE id=o.content AND "
			 "size=o.size) ELSE 1 END FROM objects o JOIN buckets b ON "
			 "b.id=o.bucket",
			 DB_NO_ARGS, e);
	int got;

	while ((got = db_step(q, e)) > 0) {
		k->out->objects++;
		if (db_col_int(q, 3))
			continue;
		k->out->missing++;
		say(k, SPAN_FMT "/" SPAN_FMT " (version %lld) has lost its content",
		    SPAN_ARG(db_col_span(q, 0)), SPAN_ARG(db_col_span(q, 1)),
		    (long long)db_col_int(q, 2));
	}
	return got;
}

// ---- files that nobody owns ----------------------------------------------------------------------------

static int move_aside(const struct checking *k, const struct content_dir *dir, const char *from,
		      const char *name, struct err *e)
{
	char to[FILE_NAME_MAX + 16];

	if (mkdirat(dir->fd, "aside", 0700) < 0 && errno != EEXIST)
		return err_sys(e, ERR_IO, errno, "mkdir aside");
	snprintf(to, sizeof(to), "aside/%.24s", name);
	if (renameat(dir->fd, from, dir->fd, to) < 0)
		return err_sys(e, ERR_IO, errno, "move %s aside", from);
	say(k, "moved to %s/%s", dir->path, to);
	return 0;
}

static int check_name(const struct checking *k, unsigned dir, int folder, const char *name,
		      struct err *e)
{
	const struct content_dir *where = &k->store->dirs.at[dir];
	struct db_conn *c = db_reader(k->store->db, e);
	char path[FILE_NAME_MAX + 256], own[FILE_NAME_MAX], *end;
	unsigned long long id = strtoull(name, &end, 16);
	int64_t known = 0;

	snprintf(path, sizeof(path), "%02x/%.200s", (unsigned)folder, name);
	if (!c)
		return -1;
	if (!*end && id && id < UINT64_C(1) << DIR_SHIFT &&
	    strcmp(file_name((int64_t)id, own), path) == 0 &&
	    db_get_int(c,
		       "SELECT EXISTS(SELECT 1 FROM files WHERE id=?1) OR EXISTS(SELECT 1 FROM "
		       "garbage WHERE file=?1)",
		       DB_ARGS(db_int(dirs_id(dir, (int64_t)id))), 0, &known, e) < 0)
		return -1;
	if (known)
		return 0;
	k->out->orphans++;
	say(k, "%s/%s belongs to no object", where->path, path);
	return k->o->repair ? move_aside(k, where, path, name, e) : 0;
}

static int check_folder(const struct checking *k, unsigned dir, int folder, struct err *e)
{
	char path[8];
	int fd, bad = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%02x", (unsigned)folder);
	fd = file_open(k->store->dirs.at[dir].fd, path, O_RDONLY | O_DIRECTORY, 0, e);
	if (fd < 0)
		return -1;
	d = fdopendir(fd);
	if (!d) {
		file_close(fd);
		return err_sys(e, ERR_IO, errno, "read %s", path);
	}
	for (struct dirent *x; !bad && (x = readdir(d));)
		if (x->d_name[0] != '.')
			bad = check_name(k, dir, folder, x->d_name, e);
	closedir(d);
	return bad;
}

int store_check(struct store *s, const struct store_check_options *o, struct store_checked *out,
		struct err *e)
{
	struct checking k = { s, o, out };

	*out = (struct store_checked){ 0 };
	if (check_files(&k, e) < 0 || check_bodies(&k, e) < 0 || check_objects(&k, e) < 0)
		return -1;
	for (unsigned dir = 0; dir < s->dirs.n; dir++)
		for (int i = 0; i < FOLDERS; i++)
			if (check_folder(&k, dir, i, e) < 0)
				return -1;
	return 0;
}
