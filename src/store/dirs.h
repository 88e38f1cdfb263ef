// dirs: the content directories: in which one a file lies, which takes the next one, how much room there is.
// Purpose: content may lie on several file systems, and more may be added later. A file's id says where it lies:
//   the number of its directory in the bits from DIR_SHIFT on, below them its own number.
// Each directory has a mark, ".oscar-content", with its number and the installation that it belongs to, so that a
//   disk that is not mounted, or another one in its place, is noticed before anything is written.
// Owner: struct store, and a backup for its time. Threads: after dirs_open() any. Private to store.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "store/store.h"

#include <stdint.h>
#include <sys/types.h>

struct db;

enum { DIR_SHIFT = 56, DIRS_INSTALLATION_MAX = 33 };

struct content_dir {
	char *path;
	const char *rel; // below the data directory, NULL when it lies elsewhere
	int fd;
	dev_t device;
};
struct dirs {
	struct content_dir *at;
	unsigned n;
	int db_fd;   // the database's folder
	int data_fd; // where jobs lie
	unsigned low_percent, stop_percent;
	char installation[DIRS_INSTALLATION_MAX]; // a name that no other one has
};

// `paths` ends with NULL; NULL itself is DATA/content. ERR_INVALID when one belongs to another installation, is
// named twice, or one that holds content is not named; the text says which and what to do.
must_check int dirs_open(struct dirs *d, struct db *db, const char *data_dir,
			 const char *const *paths, struct err *e);
void dirs_close(struct dirs *d);
#define DIRS_NONE ((struct dirs){ .db_fd = -1, .data_fd = -1 })

// Without a look at marks, in the order in which they are named; for copying content out and in.
must_check int dirs_open_plain(struct dirs *d, const char *data_dir, const char *const *paths,
			       struct err *e);
// Gives these directories to the installation of a database that was put back. ERR_INVALID when they are too few.
must_check int dirs_mark(struct dirs *d, struct db *db, struct err *e);

static inline int64_t dirs_number(int64_t id)
{
	return id & ((INT64_C(1) << DIR_SHIFT) - 1);
}
static inline unsigned dirs_index(int64_t id)
{
	return (unsigned)(id >> DIR_SHIFT);
}
static inline int64_t dirs_id(unsigned dir, int64_t number)
{
	return (int64_t)dir << DIR_SHIFT | number;
}
// The directory that a file lies in, -1 when there is none of that number (so that opening fails).
int dirs_fd(const struct dirs *d, int64_t id);

// The directory with the most room; one of this device comes first while it has room (0 = no wish).
unsigned dirs_choose(const struct dirs *d, dev_t wish);

enum store_room dirs_room(const struct dirs *d);
