// place: a directory served in place as a bucket: what is below it, kept in the index as it changes. Private to store.
// Owner: one thread a place (watch.c); its root directory stays open. Threads: as said.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/chore.h"
#include "store/engine.h"

#include <sys/stat.h>

enum { PLACES_MAX = 64 };

struct place {
	struct place *next;
	struct store *store;
	int64_t bucket, owner;
	char name[STORE_BUCKET_MAX];
	char *path;
	int root; // -1 while it cannot be opened
	struct store_directory set;
	char sentinel[STORE_SENTINEL_MAX];
	struct chore chore;

	pthread_mutex_t lock; // guards what follows
	struct store_directory_state state;
	bool look; // somebody found the index behind the directory: look now
	int wake;  // eventfd: look, or stop
};

must_check int places_load(struct store *s, struct err *e);
void places_free(struct store *s);
// The bucket stops being a place, before its rows go.
must_check int place_leave(struct store *s, int64_t bucket, struct err *e);

// The file of an external version, when it still is what was indexed: ERR_BUSY when it changed, ERR_NOT_FOUND.
must_check int place_open_file(struct store *s, const struct store_object *o, int64_t inode,
			       struct err *e);
// With places.lock held; NULL when the bucket is none.
struct place *place_find(struct store *s, int64_t bucket);
// Has the place look now.
void place_wake(struct store *s, int64_t bucket);

// ---- scan.c, look.c, differences.c ---------------------------------------------------------------------

struct watch;
// Compares all of the directory with the index and writes the differences. `w` hears of each folder; NULL is fine.
// ERR_CANCELLED when the place is to stop.
must_check int place_scan(struct place *p, struct watch *w, struct err *e);
// The same of one name.
// known_only: of what is indexed already.
must_check int place_look(struct place *p, struct span key, bool known_only, struct err *e);
int64_t place_mtime(const struct stat *st);
void place_etag(const struct stat *st, char out[static STORE_ETAG_MAX]);
// A file that nobody writes to any more, as far as can be told without hearing that it was closed.
bool place_settled(const struct place *p, const struct stat *st, int64_t now_ns);
// Says of another file that it is complete, and is no object itself.
bool place_is_sentinel(const struct place *p, struct span key);

// ---- watch.c -------------------------------------------------------------------------------------------

void *place_main(void *place);
// Of an open folder with this key ("" or "a/b/").
void watch_folder(struct watch *w, int fd, struct span key);
