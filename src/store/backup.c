// SPDX-License-Identifier: Apache-2.0
// backup: all content and a snapshot of the database, copied while the daemon works.
#include "store/backup.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/db.h"
#include "store/snapshots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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
	return copying_make_folders(k->to, "content/", e);
}

static int take_snapshot(struct copying *k, const char *folder, struct err *e)
{
	auto_free char *path = mem_printf("%s/snapshots/%s", k->o->to, folder);
	auto_free char *db = mem_printf("%s/oscar.db", path);

	if (file_remove_tree(AT_FDCWD, path, e) < 0 || file_mkdirs(path, 0700, e) < 0 ||
	    db_snapshot(k->o->db_path, db, e) < 0)
		return -1;
	return snapshot_open(&k->db, db, e);
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
	struct copying k = copying_begin(o, out);
	static const char part[] = "new";
	auto_fd int lock = -1;
	int bad;

	name_by_time(out->name);
	lock = backup_lock_open(o->data_dir, e);
	bad = lock < 0 || open_backup(&k, e) < 0;
	if (!bad && flock(k.to, LOCK_EX | LOCK_NB) < 0)
		bad = err_set(e, ERR_BUSY, "another backup to %s is being made", o->to) < 0;
	if (!bad && flock(lock, LOCK_SH) < 0)
		bad = err_sys(e, ERR_IO, errno, "lock %s", o->data_dir) < 0;
	bad = bad || take_snapshot(&k, part, e) < 0 || copying_open_content(&k, e) < 0 ||
	      copying_all(&k, false, e) < 0 || o->rest(o->owner, e) < 0 ||
	      name_snapshot(&k, part, e) < 0 || snapshots_drop_old(&k, e) < 0;
	copying_end(&k);
	return bad ? -1 : 0;
}
