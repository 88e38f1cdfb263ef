// SPDX-License-Identifier: Apache-2.0
// restore: a backup put back as a store.
#include "base/file.h"
#include "base/mem.h"
#include "db/db.h"
#include "store/snapshots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int find_snapshot(struct copying *k, const char *name, struct err *e)
{
	auto_snapshots struct snapshots l = { 0 };

	k->to = file_open(AT_FDCWD, k->o->to, O_RDONLY | O_DIRECTORY, 0, e);
	if (k->to < 0 || snapshots_list(k->to, &l, e) < 0)
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
	struct copying k = copying_begin(o, out);
	auto_free char *part = mem_printf("%s.part", o->db_path);
	int bad;

	bad = find_snapshot(&k, name, e) < 0 || copy_database(&k, part, e) < 0 ||
	      snapshot_open(&k.db, part, e) < 0 || copying_open_content(&k, e) < 0;
	for (unsigned i = 0; i < k.dirs.n && !bad; i++)
		bad = copying_make_folders(k.dirs.at[i].fd, "", e) < 0;
	bad = bad || copying_all(&k, true, e) < 0 || o->rest(o->owner, e) < 0 ||
	      put_database(&k, part, e) < 0;
	copying_end(&k);
	return bad ? -1 : 0;
}
