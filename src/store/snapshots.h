// snapshots: the databases of a backup, and what goes with the old ones. Private to store.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "store/copying.h"

must_check int snapshot_open(struct db **out, const char *path, struct err *e);

// The names of those that are whole, oldest first.
struct snapshots {
	char **at;
	size_t n;
};
must_check int snapshots_list(int backup, struct snapshots *out, struct err *e);
void snapshots_free(struct snapshots *l);
#define auto_snapshots at_scope_exit(snapshots_free)

// Removes what is over the number that is to be kept, with the content that nothing else has.
must_check int snapshots_drop_old(struct copying *k, struct err *e);
