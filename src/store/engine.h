// engine: what the files of this module share. Private to store.
// Functions ending in _in run inside a write, on the writer thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/lock.h"
#include "db/db.h"
#include "store/store.h"

#include <stdatomic.h>

enum store_storage { STORE_INLINE = 0, STORE_SEGMENTS = 1, STORE_EXTERNAL = 2 };
enum store_versioning { STORE_UNVERSIONED = 0, STORE_VERSIONED = 1, STORE_SUSPENDED = 2 };

struct store {
	struct db *db;
	struct store_options o;
	char *content_path;
	const char *content_rel; // below data_dir, NULL when it lies elsewhere
	int content_dir;
	struct store_sink sink;
	_Atomic uint64_t config_seq; // see store_config_seq()
	bool freed;		     // the running batch left garbage; writer thread only

	pthread_mutex_t lock;	     // guards what follows
	int64_t file_next, file_end; // reserved ids not handed out
	int64_t spare, spare_end;    // a block reserved ahead
	bool reserving;		     // one is on its way
	struct store_put *live;	     // puts that hold an id
	bool stop;
	pthread_cond_t reap;
	bool garbage; // a commit left some
	pthread_t reaper;
};

// A piece of content: a range of a file.
struct segment {
	int64_t file;
	uint64_t offset, length;
};

// Where an object's bytes are.
struct content {
	enum store_storage storage;
	int64_t id;
};

// ---- rows ----------------------------------------------------------------------------------------------

#define OBJECT_COLUMNS                                                                             \
	"key,version,null_version,delete_marker,owner,size,etag,mtime_ns,storage,content,parts,"   \
	"meta,tags,checksum,job,run,depth,acl"
// Reads the columns above into *o (copied into mem) and *at.
void object_from_row(struct db_stmt *s, struct arena *mem, struct store_object *o,
		     struct content *at);

must_check int bucket_find(struct db_conn *c, struct span name, struct store_bucket *out,
			   int *versioning, struct err *e);
// The latest version, delete markers included; 1 = found, 0 = none.
must_check int object_latest(struct db_conn *c, int64_t bucket, struct span key, struct arena *mem,
			     struct store_object *o, struct content *at, struct err *e);
// version 0 = latest; delete markers and missing are ERR_NOT_FOUND.
must_check int object_find(struct db_conn *c, const struct store_bucket *b, struct span key,
			   int64_t version, struct arena *mem, struct store_object *o,
			   struct content *at, struct err *e);

// Adds a new version of a key: replaces the null version where the bucket keeps no versions, counts, and
// tells the sink. o->version, o->run and o->null_version are set here.
must_check int object_insert_in(struct store *s, struct db_conn *c, const struct store_bucket *b,
				int versioning, struct store_object *o, struct content at,
				const struct store_cause *cause, struct err *e);
must_check int object_remove_row_in(struct store *s, struct db_conn *c, int64_t bucket,
				    const struct store_object *o, struct content at, struct err *e);
// Checks if_none_match and if_match of the options against the latest version.
must_check int object_conditions_in(struct db_conn *c, int64_t bucket,
				    const struct store_put_options *o, struct err *e);
// Copies everything that o points to.
void put_options_copy(struct arena *mem, struct store_put_options *to,
		      const struct store_put_options *o);
must_check int put_options_check(const struct store_put_options *o, struct err *e);

// ---- content -------------------------------------------------------------------------------------------

enum { FILE_NAME_MAX = 32 };
// "ab/1ab" below the content directory.
char *file_name(int64_t id, char out[static FILE_NAME_MAX]);
// Gives the put its file id and adds it to the live ones.
must_check int file_id_new(struct store *s, struct store_put *p, struct err *e);
must_check int file_create(struct store *s, int64_t id, struct err *e); // the descriptor
must_check int file_dir_sync(struct store *s, int64_t id, struct err *e);

must_check int content_new_in(struct db_conn *c, const struct segment *segments, size_t n,
			      uint64_t size, int64_t *id,
			      struct err *e); // counts the files' references
must_check int content_share_in(struct db_conn *c, struct content from, struct content *to,
				struct err *e);
must_check int content_release_in(struct store *s, struct db_conn *c, struct content at,
				  struct err *e);
must_check int content_segments(struct db_conn *c, int64_t id, struct arena *mem,
				struct segment **out, size_t *n, struct err *e);

// The checksum kept beside bytes in the database.
uint32_t content_crc(struct span bytes);
