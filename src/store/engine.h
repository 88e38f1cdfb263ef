// engine: what the files of this module share. Private to store.
// Functions ending in _in run inside a write, on the writer thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/lock.h"
#include "base/map.h"
#include "db/db.h"
#include "store/dirs.h"
#include "store/store.h"

#include <stdatomic.h>

enum store_storage { STORE_INLINE = 0, STORE_SEGMENTS = 1, STORE_EXTERNAL = 2 };

struct place;
struct places {		       // directories served in place (place.h)
	pthread_rwlock_t lock; // guards the list; held while one of their files is opened
	struct place *first;
	bool started;
};

struct store {
	struct db *db;
	struct store_options o;
	struct dirs dirs;
	struct store_sink sink;
	_Atomic uint64_t config_seq; // see store_config_seq()
	_Atomic int64_t bad_files;   // known to be damaged
	bool freed;		     // the running batch left garbage; writer thread only

	pthread_mutex_t lock;	     // guards what follows
	int64_t file_next, file_end; // reserved numbers not handed out
	int64_t unsure; // the smallest number whose commit may or may not have been; 0 = none
	int64_t spare, spare_end; // a block reserved ahead
	bool reserving;		  // one is on its way …
	pthread_cond_t reserved;  // … and told when it is there
	struct store_put *live;	  // puts that hold an id
	bool stop;
	pthread_cond_t reap;
	bool garbage; // a commit left some
	pthread_t reaper;
	int backup_lock; // see backup_may_remove()
	struct keeper *keeper;
	struct rules_cache *rules;
	struct hot *hot;
	struct hasher *hasher;
	struct seen *seen; // content files that were found right
	struct scrub *scrub;
	struct places places;

	pthread_mutex_t claims_lock; // guards what follows
	struct map claims;	     // keys of directories that are being written (placing.h)
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
	"meta,tags,checksum,job,run,depth,lock,class,acl"
// Reads the columns above into *o (copied into mem) and *at.
void object_from_row(struct db_stmt *s, struct arena *mem, struct store_object *o,
		     struct content *at);

// All of an object that lies outside its struct.
enum { OBJECT_SPANS = 7 };
void object_spans(struct store_object *o, struct span *out[static OBJECT_SPANS]);
void object_copy(struct arena *mem, struct store_object *out, const struct store_object *o);

must_check int bucket_find(struct db_conn *c, struct span name, struct store_bucket *out,
			   struct err *e);
// The latest version, delete markers included; 1 = found, 0 = none.
must_check int object_latest(struct db_conn *c, int64_t bucket, struct span key, struct arena *mem,
			     struct store_object *o, struct content *at, struct err *e);
// A marker as latest and what is missing are ERR_NOT_FOUND; a marker by its version is found.
must_check int object_find(struct db_conn *c, const struct store_bucket *b, struct span key,
			   int64_t version, struct arena *mem, struct store_object *o,
			   struct content *at, struct err *e);

// Adds a new version of a key: replaces the null version where the bucket keeps no versions, counts, and
// tells the sink. o->version, o->run, o->null_version and a default lock are set here.
must_check int object_insert_in(struct store *s, struct db_conn *c, const struct store_bucket *b,
				struct store_object *o, struct content at,
				const struct store_cause *cause, struct err *e);
// Tells the sink what else happened to a version; cause may be NULL.
must_check int object_tell_in(struct store *s, struct db_conn *c, const struct store_bucket *b,
			      const struct store_object *o, const char *name,
			      const struct store_cause *cause, struct err *e);
must_check int object_remove_row_in(struct store *s, struct db_conn *c, int64_t bucket,
				    const struct store_object *o, struct content at, struct err *e);
// Checks the options' conditions against the latest version.
must_check int object_conditions_in(struct db_conn *c, int64_t bucket,
				    const struct store_put_options *o, struct err *e);
// The same of one version, NULL when there is none.
must_check int conditions_check(const struct store_conditions *c, const struct store_object *o,
				struct err *e);
// Then what a client asked for by its version is not a delete marker.
must_check int object_not_marker(const struct store_object *o, struct err *e);
int object_missing(struct err *e, enum store_missing what,
		   const char *text); // fills in ERR_NOT_FOUND
// Deletes one item; what it refuses is in it->result, failures of the database are returned.
must_check int delete_in(struct store *s, struct db_conn *c, const struct store_bucket *b,
			 struct store_delete_item *it, const struct store_cause *cause,
			 struct err *e);
// Copies everything that o points to.
void put_options_copy(struct arena *mem, struct store_put_options *to,
		      const struct store_put_options *o);
must_check int put_options_check(const struct store_put_options *o, struct err *e);

struct part_row {
	struct store_part pub;
	struct content at;
};
must_check int upload_find(struct db_conn *c, struct span bucket, struct span key,
			   struct span upload, struct arena *mem, struct store_upload *out,
			   struct err *e);
// At most `limit` parts of an upload after this number, in order.
must_check int parts_load(struct db_conn *c, struct span upload, unsigned after, size_t limit,
			  struct arena *mem, struct part_row **out, size_t *n, struct err *e);
// Deletes the rows of an upload, not its contents.
must_check int upload_forget_in(struct db_conn *c, struct span upload, struct err *e);
// The row of a part, in place of one of the same number, whose content is released. p->mtime_ns is set.
must_check int part_insert_in(struct store *s, struct db_conn *c, struct span bucket,
			      struct span key, struct span upload, struct store_part *p,
			      struct content at, struct err *e);
must_check int upload_abort_in(struct store *s, struct db_conn *c, struct span bucket,
			       struct span key, struct span upload, struct err *e);
// doc.p == NULL removes it.
must_check int config_set_in(struct db_conn *c, int64_t bucket, const char *kind, struct span doc,
			     struct err *e);

// The bytes are a file of a directory bucket.
bool reader_is_external(const struct store_reader *r);

// ERR_DENIED for a bucket that is a directory: nothing is written into it.
must_check int place_refuse(const struct store_bucket *b, struct err *e);

// ---- locks and quotas (lock.c, quota.c) ----------------------------------------------------------------

enum { LOCK_TEXT_MAX = 48 };
char *lock_text(const struct store_lock *l, char out[static LOCK_TEXT_MAX]); // NULL for none
struct store_lock lock_parse(struct span text);
struct store_lock_default retention_parse(struct span text);
// The default retention of the bucket, from now on, unless there is one.
void lock_default(const struct store_bucket *b, struct store_lock *l, int64_t now_ns);
must_check int lock_check_delete(const struct store_object *o, bool bypass, struct err *e);
// Before `bytes` more of `objects` more objects go into the bucket.
must_check int quota_check_in(struct db_conn *c, const struct store_bucket *b, uint64_t bytes,
			      unsigned objects, struct err *e);

// ---- content -------------------------------------------------------------------------------------------

enum { FILE_NAME_MAX = 32 };
// "ab/1ab" below its content directory.
char *file_name(int64_t id, char out[static FILE_NAME_MAX]);
// Gives the put its file id and adds it to the live ones. `wish`: see dirs_choose().
must_check int file_id_new(struct store *s, struct store_put *p, dev_t wish, struct err *e);
must_check int file_create(struct store *s, int64_t id, struct err *e); // the descriptor
must_check int file_open_read(const struct store *s, int64_t id, struct err *e);
// Missing is success.
must_check int file_unlink(const struct store *s, int64_t id, struct err *e);
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
