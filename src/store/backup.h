// backup: a copy of all objects and of the database that belongs to them, made beside a running daemon, and its way
// back.
// Purpose: database and content of one moment. A snapshot of the database is taken first; files are immutable, and
//   none is removed while a backup holds the data folder's "backup.lock", so every file that the snapshot names is
//   still there. Files that an earlier backup copied are not copied again.
// Layout of a backup: snapshots/NAME/oscar.db, NAME being the time (UTC); content/ab/1ab, files of all snapshots.
// Threads: one call at a time. Errors: as in store/store.h; ERR_CORRUPT when a file differs from what was written:
//   it is named, the others are copied, and the snapshot is kept.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "store/store.h"

enum { BACKUP_NAME_MAX = 32 };

struct backup_options {
	const char *data_dir, *db_path;
	const char *const *content_dirs;	    // as in store_options
	const char *to;				    // the backup's folder
	unsigned keep;				    // snapshots; older ones go. 0 = all
	void (*say)(void *owner, const char *text); // one line a finding
	// Copies what else belongs to it: after database and content, before the copy counts as one.
	int (*rest)(void *owner, struct err *e);
	void *owner;
};
struct backed_up {
	char name[BACKUP_NAME_MAX];
	uint64_t files, bytes;	       // of the snapshot
	uint64_t copied, copied_bytes; // now
	uint64_t damaged;
	unsigned dropped; // snapshots that went
};
must_check int store_backup(const struct backup_options *o, struct backed_up *out, struct err *e);

// `name` NULL or "" is the newest. ERR_EXISTS when there is a database already. Content goes to as many directories
// as it came from. What was copied before an interruption is not copied again.
must_check int store_restore(const struct backup_options *o, const char *name,
			     struct backed_up *out, struct err *e);

// For the one that removes files: false while a backup is being made. Each success needs its backup_removed().
bool backup_may_remove(int lock);
void backup_removed(int lock);
int backup_lock_open(const char *data_dir, struct err *e);
