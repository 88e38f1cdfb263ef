// SPDX-License-Identifier: Apache-2.0
// snapshots: the databases of a backup, and what goes with the old ones.
#include "store/snapshots.h"

#include "base/file.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/schema.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int snapshot_open(struct db **out, const char *path, struct err *e)
{
	struct db_options o = { .path = path,
				.migrations = schema_migrations,
				.migration_count = schema_migration_count,
				.no_reserve = true };

	return db_open(out, &o, e);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void snapshots_free(struct snapshots *l)
{
	for (size_t i = 0; i < l->n; i++)
		mem_free(l->at[i]);
	mem_free(l->at);
}

int snapshots_list(int to, struct snapshots *l, struct err *e)
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

// Content that none of these snapshots has any more.
static int drop_content_but(struct copying *k, char *const *snapshots, size_t count, struct err *e)
{
	struct db **kept = mem_zalloc(count * sizeof(struct db *));
	size_t n = 0;
	int bad = 0;

	for (size_t i = 0; i < count && !bad; i++) {
		auto_free char *path =
			mem_printf("%s/snapshots/%s/oscar.db", k->o->to, snapshots[i]);

		bad = snapshot_open(&kept[n], path, e);
		n += !bad;
	}
	if (!bad)
		bad = drop_content(k, kept, n, e);
	for (size_t i = 0; i < n; i++)
		db_close(kept[i]);
	mem_free(kept);
	return bad;
}

int snapshots_drop_old(struct copying *k, struct err *e)
{
	auto_snapshots struct snapshots l = { 0 };
	size_t drop;

	if (!k->o->keep)
		return 0;
	if (snapshots_list(k->to, &l, e) < 0)
		return -1;
	if (l.n <= k->o->keep)
		return 0;
	drop = l.n - k->o->keep;
	for (size_t i = 0; i < drop; i++) {
		auto_free char *path = mem_printf("snapshots/%s", l.at[i]);

		if (file_remove_tree(k->to, path, e) < 0)
			return -1;
		k->out->dropped++;
	}
	return drop_content_but(k, l.at + drop, k->o->keep, e);
}
