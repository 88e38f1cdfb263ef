// placing: files that the store itself puts into a directory served in place: what jobs made. Private to store.
// Purpose: all of a job's files appear with the transaction that ends it, each with one event. So a file is written
//   under a name that the index passes over (PLACING_PREFIX), beside where it shall lie; the transaction takes it into
//   the index and notes the two names; then it is renamed, and the note goes. After a crash the notes say which
//   renames are left. A file of that name without a note, and a day old, is removed by the index.
// While a key has a note, or somebody is about to write one, it is claimed: the index leaves it alone, a second writer
//   gets ERR_BUSY, and who reads it is given the file under the name that it has at the moment.
// Owner: struct store has the claims; a struct placing belongs to one thread at a time.
// Errors: ERR_DENIED (the directory takes no files, or these rights do not suffice), ERR_INVALID (not a name that a file
//   can have there), ERR_BUSY (the key is claimed), ERR_UNAVAILABLE (the directory is not there), ERR_FULL, ERR_IO.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "store/engine.h"

#include <sys/stat.h>

struct place;
struct placing;

#define PLACING_PREFIX ".oscar-part-"
enum { PLACING_NAME_MAX = 32, PLACING_STALE_S = 24 * 3600 };

// Claims the key and opens its folder, which is made when it is missing, like the one that it lies in.
must_check int placing_begin(struct store *s, const struct store_bucket *b, struct span key,
			     struct placing **out, struct err *e);
// Takes the bytes of a finished regular file, which stays: by a link, by sharing them, or by a copy.
must_check int placing_take(struct placing *p, int dir, const char *name, uint64_t max,
			    struct err *e);
must_check int placing_stage(struct placing *p, struct err *e); // [sync]
uint64_t placing_size(const struct placing *p);
// What was made, by number: folders, from the outermost, then the file. False: no more.
bool placing_made(const struct placing *p, size_t i, int *folder, const char **name,
		  const char **later);
// Adds the version to the index, with its event. What the file decides is set in *o.
must_check int placing_apply_in(struct placing *p, struct db_conn *c, const struct store_bucket *b,
				struct store_object *o, const struct store_cause *cause,
				struct err *e);
void placing_committed(struct placing *p); // renames; what fails is tried again by the place
void placing_unsure(struct placing *p);	   // the note may be on disk or not
void placing_free(struct placing *p);	   // removes what was not committed; NULL is fine

// ---- for the place -------------------------------------------------------------------------------------

must_check int placings_load(struct store *s, struct err *e);
// Does what is left to do by notes of the place's bucket that nobody works on. On its own thread.
void placings_settle(struct place *p);
// The file of a key that is committed and perhaps not renamed: an O_RDONLY descriptor, or -1.
int placing_open(struct store *s, int root, int64_t bucket, struct span key);
// A name as files have before their rename.
bool placing_is_part(struct span key);
// Removes such a file of this folder when nobody can be writing to it any more.
void placing_sweep(struct place *p, int folder, const char *name, struct span key);

// ---- shared by placing.c and settle.c ------------------------------------------------------------------

// What is behind the last slash.
struct span placing_last_part(struct span key);
// The rename of a note. 0: it has done its work, also when the name is a folder's meanwhile, which it stays.
must_check int placing_move(int folder, const char *part, const char *name, struct err *e);
// Deletes the note with one of the next commits.
must_check int placing_forget(struct store *s, int64_t bucket, struct span key, struct err *e);
