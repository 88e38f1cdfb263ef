// copying: content files between a store and a backup of it, either way. Private to store.
// Owner: whoever begins ends it with copying_end(), after a failure too. Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "store/backup.h"
#include "store/dirs.h"

struct db;

struct copying {
	const struct backup_options *o;
	struct backed_up *out;
	int to;		  // the backup's folder
	struct dirs dirs; // the store's; only fds and paths are used
	struct db *db;	  // the snapshot's
	char *chunk;
};

// Begins with this; set `o` and `out`.
struct copying copying_begin(const struct backup_options *o, struct backed_up *out);
void copying_end(struct copying *k);

must_check int copying_open_content(struct copying *k, struct err *e); // the store's directories
// The 256 folders that files lie in; `below` is "" or ends with "/".
must_check int copying_make_folders(int dir, const char *below, struct err *e);
// Every file that the snapshot names; `back`: from the backup to the store. Damaged ones are told and left out.
must_check int copying_all(struct copying *k, bool back, struct err *e);
