// store: the object store engine: buckets, objects, multipart uploads, and the events they cause.
// Purpose: an object and its events are one transaction; bytes are on disk before a call says so.
// Owner: struct store owns the content directory. Knows no HTTP and no service: a sink plugged in by app
//   hears of every change inside its transaction.
// Threads: every call is safe from any thread; a store_put, store_reader belongs to one thread at a time.
//   Calls marked [sync] wait for the disk; the others read only.
// Lifetime: results live in the caller's arena.
// Errors: ERR_NOT_FOUND (bucket, key, version, upload: err.sys is one of enum store_missing), ERR_EXISTS,
//   ERR_CONFLICT (bucket not empty, precondition), ERR_INVALID, ERR_LIMIT, ERR_FULL, ERR_CORRUPT, ERR_IO.
//   On failure nothing changed.
// Content: inline (in the database, up to inline_max), segments (files of the content directory, immutable,
//   reference-counted), external (a file of a directory bucket).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>
#include <sys/types.h>

struct db;
struct db_conn;
struct store;
struct store_put;
struct store_reader;

enum {
	STORE_BUCKET_MAX = 64,	// with the NUL; names have 3 … 63 characters
	STORE_KEY_MAX = 1024,	// bytes
	STORE_META_MAX = 16384, // packed metadata of one object
	STORE_ETAG_MAX = 48,
	STORE_UPLOAD_ID_MAX = 40,
	STORE_PART_MAX = 10000,
	STORE_PAGE_MAX = 1000,
	STORE_DIRS_MAX = 16,
};

enum { // version numbers with a meaning of their own
	STORE_VERSION_LATEST = 0,
	STORE_VERSION_NULL = -1, // the one made while the bucket kept no versions
};

enum { STORE_VERSION_TEXT = 20 };
// A version as clients name it: sixteen hexadecimal digits, or "null".
char *store_version_text(int64_t version, bool null_version, char out[static STORE_VERSION_TEXT]);

enum store_missing { // err.sys of ERR_NOT_FOUND
	STORE_NO_BUCKET = 1,
	STORE_NO_KEY,
	STORE_NO_VERSION,
	STORE_NO_UPLOAD,
	STORE_NO_PART,
	STORE_NO_CONFIG,
	STORE_DELETE_MARKER, // the version asked for is one
};

// Packed as name NUL value NUL …; names lower case: "content-type", "cache-control", "x-amz-meta-…".
struct store_meta {
	struct span packed;
};

// What changed, told to the sink inside the transaction that changes it. Of what only reads or labels an object the
// version is that of the object.
struct store_event {
	const char *name; // "s3:ObjectCreated:Put", …
	int64_t bucket_id;
	struct span bucket, key;
	int64_t version; // numbers of new ones increase over the whole installation
	bool null_version;
	uint64_t size;
	struct span etag;
	struct store_meta meta;
	int64_t time_ns;
	const struct store_cause *cause;
};

struct trace_context;
// Who did it, for events and provenance; borrowed. NULL members are unknown.
struct store_cause {
	const char *event;     // event name; NULL = s3:ObjectCreated:Put
	const char *principal; // access key or user name
	const char *source_ip;
	const char *user_agent;
	const char *request_id;
	int64_t user;
	int64_t job;			   // made by this job, 0 = by a client
	int64_t run;			   // root id of the chain, 0 = starts one
	unsigned depth;			   // jobs between the root and this object
	const struct trace_context *trace; // of the request
};

struct store_object;
// What an event says of an object; its name, time and cause are the caller's to fill in.
struct store_event store_event_about(int64_t bucket_id, struct span bucket,
				     const struct store_object *o);

struct store_sink {
	void *owner;
	int (*changed)(void *owner, struct db_conn *c, const struct store_event *ev, struct err *e);
};

struct store_options {
	struct db *db;
	const char *data_dir;
	// Content directories, ends with NULL; NULL or none is DATA/content. More may be added at a later start.
	const char *const *content_dirs;
	uint32_t inline_max;	    // bytes; 0 = 16384
	uint64_t object_max;	    // bytes; 0 = 5 TiB
	uint64_t part_min;	    // smallest part that is not the last; 0 = 5 MiB
	uint32_t free_low_percent;  // see store_room(); 0 = 5
	uint32_t free_stop_percent; // 0 = 2
	unsigned upload_days;	    // uploads that nobody completed are aborted after; 0 = 7
	unsigned scrub_days;	    // all content is read again each … days; 0 = 30
	unsigned scrub_mib_s;	    // … at most this fast; 0 = 16
	uint64_t hot_bytes;	    // kept in memory of what is read often; 0 = 8 MiB
	unsigned day_s;		    // what lifecycle rules count as a day, for tests; 0 = 86400
};
must_check int store_open(struct store **out, const struct store_options *o, struct err *e);
void store_close(struct store *s);
void store_set_sink(struct store *s, const struct store_sink *sink); // before the first write

// How much of the disks is free, bytes or inodes: of the database's, of the content directory that has most, of the
// data folder's. Below free_low_percent nothing should be begun that makes data, below free_stop_percent (of the
// first two) puts fail with ERR_FULL; reading and deleting always go on.
enum store_room { STORE_ROOM_NONE, STORE_ROOM_LOW, STORE_ROOM_PLENTY };
enum store_room store_room(const struct store *s);

// What this thread reads between the two is of one moment, and cheaper than alone (db_read_begin).
void store_read_begin(struct store *s);
void store_read_end(struct store *s);

// ---- buckets -------------------------------------------------------------------------------------------

enum store_versioning { STORE_UNVERSIONED = 0, STORE_VERSIONED = 1, STORE_SUSPENDED = 2 };

// Object lock. A retention without a mode is none; a hold that was never set is neither on nor off.
enum store_lock_mode { STORE_LOCK_NONE, STORE_LOCK_GOVERNANCE, STORE_LOCK_COMPLIANCE };
enum store_hold { STORE_HOLD_UNSET, STORE_HOLD_OFF, STORE_HOLD_ON };
struct store_lock {
	enum store_lock_mode mode;
	int64_t until_ns;
	enum store_hold hold;
};
struct store_lock_default { // of a bucket; either days or years
	enum store_lock_mode mode;
	unsigned days, years;
};

// Zero is no bound.
struct store_quota {
	uint64_t bytes, objects;
};

struct store_bucket {
	int64_t id;
	char name[STORE_BUCKET_MAX];
	int64_t owner;
	int64_t created_ns;
	int64_t service; // made by this service, 0 = by a user
	int visibility;	 // enum auth_visibility
	uint64_t objects, bytes;
	bool directory; // a directory served in place
	enum store_versioning versioning;
	bool lockable; // object lock was turned on, which is for good
	struct store_lock_default retention;
	struct store_quota quota;
	bool lifecycle; // it has rules
};

// ERR_INVALID with the rule that is broken (S3 naming rules).
must_check int store_bucket_name_check(struct span name, struct err *e);

must_check int store_bucket_create(struct store *s, struct span name, int64_t owner,
				   int64_t service, struct store_bucket *out,
				   struct err *e); // [sync]
must_check int store_bucket_create_in(struct store *s, struct db_conn *c, struct span name,
				      int64_t owner, int64_t service, struct store_bucket *out,
				      struct err *e); // inside the caller's transaction
// With object lock, and so with versions. [sync]
must_check int store_bucket_create_lockable(struct store *s, struct span name, int64_t owner,
					    struct store_bucket *out, struct err *e);
must_check int store_bucket_get(struct store *s, struct span name, struct store_bucket *out,
				struct err *e);
// The same without counts of objects and bytes, from memory most of the time.
must_check int store_bucket_look(struct store *s, struct span name, struct store_bucket *out,
				 struct err *e);
// ERR_CONFLICT when it holds objects or versions. Uploads that nobody completed are aborted.
must_check int store_bucket_delete(struct store *s, struct span name, struct err *e); // [sync]
// Names after `after`, at most `limit`; owner 0 = all.
must_check int store_bucket_list(struct store *s, struct arena *mem, int64_t owner,
				 struct span after, size_t limit, struct store_bucket **out,
				 size_t *n, struct err *e);
must_check int store_bucket_set_visibility(struct store *s, struct span name, int visibility,
					   struct err *e); // [sync]

// Once kept, versions stay: to STORE_VERSIONED or STORE_SUSPENDED. ERR_CONFLICT for suspending where objects
// can be locked. [sync]
must_check int store_bucket_set_versioning(struct store *s, struct span name,
					   enum store_versioning versioning, struct err *e);
// Turns object lock on with this default (mode none: no default). ERR_CONFLICT unless versions are kept. [sync]
must_check int store_bucket_set_retention(struct store *s, struct span name,
					  const struct store_lock_default *retention,
					  struct err *e);
// A put that would go over a bound fails with ERR_LIMIT and err.sys = STORE_OVER_QUOTA. A user's counts all
// buckets that the user owns. [sync]
enum { STORE_OVER_QUOTA = 200 };
must_check int store_bucket_set_quota(struct store *s, struct span name,
				      const struct store_quota *quota, struct err *e);
must_check int store_user_set_quota(struct store *s, int64_t user, const struct store_quota *quota,
				    struct err *e);
must_check int store_user_quota(struct store *s, int64_t user, struct store_quota *quota,
				struct store_quota *used, struct err *e);

// ---- directories served in place -----------------------------------------------------------------------
// The bucket's objects are the regular files below a directory: its name is the key, its etag is made of inode, size
// and time of change. Nothing is read to know them. Links, other file systems and names that cannot be keys are left
// out. The bucket is changed by changing the files: writing through the store is ERR_DENIED, but for files that are taken
// as they are (by_link: what jobs made) where the directory takes these. A file that is no longer what was indexed cannot
// be read (ERR_BUSY) until it is indexed anew.

enum { STORE_SENTINEL_MAX = 64 };
// When a file is complete, so that it becomes an object: when its writer closed it (where nobody tells: as stable),
// when it did not change for stable_s, or when a file of its name and the sentinel's lies beside it.
enum store_directory_complete {
	STORE_DIRECTORY_CLOSED,
	STORE_DIRECTORY_STABLE,
	STORE_DIRECTORY_SENTINEL,
};
const char *store_directory_complete_name(enum store_directory_complete c);
bool store_directory_complete_parse(const char *text, enum store_directory_complete *out);

struct store_directory {
	const char *path;
	enum store_directory_complete complete;
	unsigned stable_s;    // 0 = 5
	unsigned interval_s;  // all is looked at again after; 0 = 60
	const char *sentinel; // NULL = ".done"
	bool no_watch;	      // by looking alone, as on network file systems
	bool outputs;	      // files that jobs made may be put there
	int64_t inode;	      // of the directory, found when it is made a bucket
};
struct store_directory_state { // of the last look at all of it
	uint64_t files, added, removed;
	uint64_t incomplete;					// not indexed yet
	uint64_t skipped_names, skipped_kinds, skipped_folders; // no key; no file; not readable
	uint64_t scans;
	int64_t scanned_ns, took_ms;
	bool watching;
	char fault[256]; // "" = none
};
// The path must lie below one of the roots (absolute, without links; ends with NULL): else ERR_DENIED. [sync]
must_check int store_directory_create(struct store *s, struct span name, int64_t owner,
				      const struct store_directory *d, const char *const *roots,
				      struct store_bucket *out, struct err *e);
must_check int store_directory_get(struct store *s, int64_t bucket, struct arena *mem,
				   struct store_directory *out, struct store_directory_state *state,
				   struct err *e);
// The folder of this key ("" = all of it), open for reading; the caller's. ERR_NOT_FOUND, ERR_UNAVAILABLE while the
// directory is not there.
must_check int store_directory_folder(struct store *s, int64_t bucket, const char *folder,
				      struct err *e);
// Indexing begins, after the sink was set, and ends, before what the sink needs goes away.
void store_directories_start(struct store *s);
void store_directories_stop(struct store *s);

// Documents kept with a bucket by kind ("tagging", "policy", "cors", "lifecycle", "notification", "acl", …).
must_check int store_config_get(struct store *s, struct span bucket, const char *kind,
				struct arena *mem, struct span *doc, struct err *e);
// All documents of a bucket, in order of their kinds.
struct store_config {
	struct span kind, doc;
};
must_check int store_config_all(struct store *s, int64_t bucket_id, struct arena *mem,
				struct store_config **out, size_t *n, struct err *e);
// Counts the changes of documents, each after its commit: what was read since the count had its present value is
// still so. For caches of parsed documents (a bucket's id is never used twice, so its end needs no notice).
uint64_t store_config_seq(struct store *s);
must_check int store_config_set(struct store *s, struct span bucket, const char *kind,
				struct span doc, struct err *e); // [sync]
must_check int store_config_remove(struct store *s, struct span bucket, const char *kind,
				   struct err *e); // [sync]

// ---- metadata ------------------------------------------------------------------------------------------

// Adds to a packed list being built; the caller bounds it by STORE_META_MAX.
struct buf;
void store_meta_add(struct buf *b, struct span name, struct span value);
bool store_meta_next(struct span *rest, struct span *name, struct span *value);
struct span store_meta_get(struct store_meta m, const char *name); // empty when absent

struct store_object {
	struct span bucket, key;
	int64_t bucket_id;
	int64_t version;   // internal number; increasing
	bool null_version; // its S3 version id is "null"
	bool delete_marker;
	bool latest;
	int64_t owner;
	uint64_t size;
	char etag[STORE_ETAG_MAX]; // without quotes: md5 hex, or md5-N
	int64_t mtime_ns;
	struct store_meta meta;
	struct span tags; // URL query form, "" = none
	struct span
		acl; // as the client layer packed it; "" = its owner and the bucket's have all rights
	struct span
		checksum; // "CRC32:base64…:FULL_OBJECT", "" = none (as the client layer packed it)
	unsigned parts;	  // 0 = plain
	int64_t job, run; // made by, chain root
	unsigned depth;
	struct store_lock lock;
	struct span storage_class; // "" = the usual one
	int64_t content;	   // for store_object_parts()
};

struct store_part {
	unsigned number;
	char etag[STORE_ETAG_MAX];
	uint64_t size;
	int64_t mtime_ns;
	struct span checksum;
};

// ---- writing objects -----------------------------------------------------------------------------------

// What must hold of the version in question, looked at inside the transaction. Zero is no condition. Else the
// call fails with ERR_CONFLICT, or STORE_NO_KEY when if_match is of what is not there (a delete marker is nothing).
struct store_conditions {
	struct span if_match;	   // its etag without quotes; "*" = any
	struct span if_none_match; // "*" = there is none; else one that it must not have
	bool check_size;
	uint64_t size;
	int64_t mtime_s; // last changed within this second
};

struct store_put_options {
	struct span bucket, key;
	int64_t owner;
	struct store_meta meta;
	struct span tags;
	struct span acl;
	uint64_t size; // when known, else UINT64_MAX
	bool by_link; // by store_put_take_file(), which needs no room: that it is short is seen only when it copies
	struct span storage_class;
	struct store_lock lock; // without a mode: the bucket's default
	struct store_conditions only_if;
	struct store_cause cause;
};

// Starts an object. Everything in the options is copied. The bucket must exist.
must_check int store_put_begin(struct store *s, const struct store_put_options *o,
			       struct store_put **out, struct err *e);
// Starts a part of a multipart upload (number 1 … STORE_PART_MAX).
must_check int store_put_begin_part(struct store *s, struct span bucket, struct span key,
				    struct span upload, unsigned number, uint64_t size,
				    struct store_put **out, struct err *e);
must_check int store_put_write(struct store_put *p, struct span bytes, struct err *e);
// Takes a finished regular file instead of bytes, by a hard link where it lies on the same file system, else by
// copying. The file must not change any more; the caller removes its name after the commit, so that a crash
// before it loses nothing.
must_check int store_put_take_file(struct store_put *p, int dir, const char *name, struct err *e);
// After the last byte, for Content-MD5: ERR_INVALID with err.sys = STORE_BAD_MD5 when the bytes have another one, now or,
// where it takes time to know, from finish.
enum { STORE_BAD_MD5 = 201 };
must_check int store_put_expect_md5(struct store_put *p, const uint8_t md5[static 16],
				    struct err *e);
void store_put_set_checksum(struct store_put *p, struct span checksum); // copied
// Makes it durable and visible, with its events. [sync] The put is used up whether it succeeds or fails.
must_check int store_put_finish(struct store_put *p, struct arena *mem, struct store_object *out,
				struct err *e);
void store_put_abort(struct store_put *p); // NULL is fine

// The same in two steps, for callers that must not wait. Only when nothing but the commit is to be waited for.
bool store_put_is_quick(const struct store_put *p);
// `done` comes on another thread and must be short; afterwards the caller takes what was made, on success, and
// frees the put with store_put_abort().
typedef void store_done_fn(void *owner, int result, const struct err *e);
void store_put_submit(struct store_put *p, store_done_fn *done, void *owner);
void store_put_made(const struct store_put *p, struct arena *mem, struct store_object *out);

// For several objects in one transaction with something else: stage each (bytes on disk), then apply each
// inside the caller's write; afterwards free each with store_put_abort(), which keeps what was committed.
must_check int store_put_stage(struct store_put *p, struct err *e); // [sync]
must_check int store_put_apply(struct store_put *p, struct db_conn *c, struct err *e);
// What it made in a directory, files and folders, for who gives them to somebody: number i, false when there are no
// more. `later` is the name that it gets with the commit, NULL = it stays. All are borrowed.
bool store_put_made_there(const struct store_put *p, size_t i, int *folder, const char **name,
			  const char **later);
void store_put_committed(struct store_put *p); // tell it after the commit succeeded
// … or failed with ERR_IO: then it may be on disk all the same. The bytes are kept, and the next start decides.
void store_put_unsure(struct store_put *p);

// ---- reading objects -----------------------------------------------------------------------------------

// A delete marker is ERR_NOT_FOUND: STORE_NO_KEY as the latest, STORE_DELETE_MARKER when asked for by its
// version. Either way *out has its version and time.
must_check int store_object_get(struct store *s, struct span bucket, struct span key,
				int64_t version, struct arena *mem, struct store_object *out,
				struct err *e);

// Metadata and content of the same version.
must_check int store_reader_open(struct store *s, struct span bucket, struct span key,
				 int64_t version, struct arena *mem, struct store_object *out,
				 struct store_reader **reader, struct err *e);
// A version by its number alone (as events keep it).
must_check int store_reader_open_version(struct store *s, int64_t bucket_id, struct span key,
					 int64_t version, struct arena *mem,
					 struct store_object *out, struct store_reader **reader,
					 struct err *e);
void store_reader_close(struct store_reader *r);
static inline void store_reader_close_ptr(struct store_reader **r)
{
	store_reader_close(*r);
}
#define auto_reader at_scope_exit(store_reader_close_ptr)

// Writes all of it to a file. As pread below.
must_check int store_reader_save(struct store_reader *r, int fd, struct err *e);

// May give fewer bytes than asked; 0 at the end. What differs from what was written is ERR_CORRUPT.
must_check ssize_t store_reader_pread(struct store_reader *r, uint64_t at, void *p, size_t n,
				      struct err *e);
// Compares all of the content with what was written, unless that was done since the start: for content that
// leaves by store_reader_path(). Takes as long as reading it. ERR_CORRUPT when it differs.
must_check int store_reader_verify(struct store_reader *r, struct err *e);
// The bytes themselves when the content is inline; else false.
bool store_reader_inline(struct store_reader *r, struct span *bytes);
// When the range lies in one file that is known to be right: a new descriptor (the caller's) and the offset in it;
// else false. The first reader of a larger file after a start gets false: reading it by pread checks it.
bool store_reader_file(struct store_reader *r, uint64_t at, uint64_t n, int *fd, uint64_t *offset);
// When the whole content is one file: its path relative to the data directory, for binding; else false.
bool store_reader_path(struct store_reader *r, char *out, size_t size);
// The same wherever the file lies, also of a directory: a new descriptor (the caller's), and the time of change that
// the file has as long as it is this content.
bool store_reader_whole(struct store_reader *r, int *fd, int64_t *mtime_ns);

// The parts of a version made by a multipart upload, in order: number, size, checksum. None for other versions.
must_check int store_object_parts(struct store *s, const struct store_object *o, struct arena *mem,
				  struct store_part **out, size_t *n, struct err *e);

// What a job made and what of it is still there, in order of buckets and keys.
struct store_made {
	char bucket[STORE_BUCKET_MAX];
	struct span key;
	int64_t version;
	uint64_t size;
};
must_check int store_made_by(struct store *s, int64_t job, size_t limit, struct arena *mem,
			     struct store_made **out, size_t *n, struct err *e);

// ---- listing -------------------------------------------------------------------------------------------

struct store_list_options {
	struct span bucket;
	struct span prefix;
	struct span delimiter; // empty = none
	struct span
		after; // keys strictly after this one; a common prefix given here is skipped whole
	size_t limit;  // 0 … STORE_PAGE_MAX
	bool versions; // all versions and delete markers, newest first within a key
	int64_t after_version; // with versions: continue inside the key `after`
};
struct store_list_entry {
	bool is_prefix;		    // then only object.key (the common prefix) is set
	struct store_object object; // without meta and tags
};
struct store_list {
	struct store_list_entry *entries;
	size_t n;
	bool truncated;
	struct span next; // give it as `after` for the next page
	int64_t next_version;
};
must_check int store_list(struct store *s, const struct store_list_options *o, struct arena *mem,
			  struct store_list *out, struct err *e);

// ---- deleting, copying, tags ---------------------------------------------------------------------------

struct store_deleted {
	bool existed;
	bool delete_marker; // one was made, or the deleted version was one
	int64_t version;
	bool null_version;
};
// The latest version of a key that keeps versions gets a delete marker on top; a version is removed. What is
// missing is success, with conditions on size and time too, but not with if_match. ERR_DENIED for a locked
// version; `bypass` overrules governance.
struct store_delete_item {
	struct span key;
	int64_t version;
	bool bypass;
	struct store_conditions only_if;
	int result; // 0 or -1 with err
	struct store_deleted done;
	struct err err;
};
// One of them. [sync]
must_check int store_delete(struct store *s, struct span bucket, struct store_delete_item *item,
			    const struct store_cause *cause, struct err *e);
// Fails only when none of them could be tried; else each has its result.
// store_delete() for callers that must not wait; `item`, `bucket` and `cause` stay until `done`, which finds the
// result in the item too.
void store_delete_submit(struct store *s, struct span bucket, struct store_delete_item *item,
			 const struct store_cause *cause, store_done_fn *done, void *owner);
must_check int store_delete_many(struct store *s, struct span bucket,
				 struct store_delete_item *items, size_t n,
				 const struct store_cause *cause, struct err *e); // [sync]

struct store_source {
	struct span bucket, key;
	int64_t version;
};
// For a checksum of what is copied. `bytes` hears all of it in order; NULL: there is no need to read. `checksum`
// is asked afterwards for what is kept with the copy; NULL: an object keeps its source's.
struct store_hearer {
	void *owner;
	void (*bytes)(void *owner, struct span piece);
	struct span (*checksum)(void *owner);
};
// Copies by sharing content. `o` says the destination; replace_meta: take o->meta, else the source's; the
// same for tags. hearer may be NULL. [sync]
must_check int store_copy(struct store *s, const struct store_source *from,
			  const struct store_put_options *o, bool replace_meta, bool replace_tags,
			  const struct store_hearer *hearer, struct arena *mem,
			  struct store_object *out, struct err *e);

// The lock of a version: its retention, or its hold. ERR_DENIED when that would shorten what is locked. [sync]
must_check int store_retention_set(struct store *s, struct span bucket, struct span key,
				   int64_t version, const struct store_lock *lock, bool bypass,
				   const struct store_cause *cause, struct err *e);
must_check int store_hold_set(struct store *s, struct span bucket, struct span key, int64_t version,
			      bool on, const struct store_cause *cause, struct err *e);

// The causes of what follows may be NULL: nobody knows. Of *changed, version and null_version are filled in. No tags
// removes them.
must_check int store_tags_set(struct store *s, struct span bucket, struct span key, int64_t version,
			      struct span tags, const struct store_cause *cause,
			      struct store_object *changed, struct err *e); // [sync]
must_check int store_acl_set(struct store *s, struct span bucket, struct span key, int64_t version,
			     struct span acl, const struct store_cause *cause,
			     struct err *e); // [sync]

// ---- multipart -----------------------------------------------------------------------------------------

struct store_upload {
	char id[STORE_UPLOAD_ID_MAX];
	struct span key;
	int64_t owner;
	int64_t created_ns;
	struct span checksum; // algorithm and type as the client layer packed them
	struct store_meta meta;
	struct span tags; // the object gets them when it is completed
	struct span acl;  // and this
	struct span storage_class;
	struct store_lock lock;
};
must_check int store_upload_create(struct store *s, const struct store_put_options *o,
				   struct span checksum, char id[static STORE_UPLOAD_ID_MAX],
				   struct err *e); // [sync]
must_check int store_upload_get(struct store *s, struct span bucket, struct span key,
				struct span upload, struct arena *mem, struct store_upload *out,
				struct err *e);
must_check int store_upload_abort(struct store *s, struct span bucket, struct span key,
				  struct span upload, struct err *e); // [sync]
// Uploads in order of (key, id) after (after_key, after_id).
must_check int store_upload_list(struct store *s, struct span bucket, struct span prefix,
				 struct span after_key, struct span after_id, size_t limit,
				 struct arena *mem, struct store_upload **out, size_t *n,
				 bool *truncated, struct err *e);
must_check int store_part_list(struct store *s, struct span bucket, struct span key,
			       struct span upload, unsigned after, size_t limit, struct arena *mem,
			       struct store_part **out, size_t *n, bool *truncated, struct err *e);
// A part that is a range of an existing object, sharing its content. size UINT64_MAX = to the end. [sync]
must_check int store_part_copy(struct store *s, struct span bucket, struct span key,
			       struct span upload, unsigned number, const struct store_source *from,
			       uint64_t offset, uint64_t size, const struct store_hearer *hearer,
			       struct store_part *out, struct err *e);
// Joins the named parts in the given order: metadata only. The parts must be ascending and carry the etags
// the store knows. Who completes again in the same way gets the same answer, while the version lives.
// ERR_INVALID with err.sys = enum store_part_fault. [sync]
enum store_part_fault { STORE_PART_ORDER = 100, STORE_PART_UNKNOWN, STORE_PART_SMALL };
struct store_complete_part {
	unsigned number;
	struct span etag; // without quotes
};
must_check int store_upload_complete(struct store *s, const struct store_put_options *o,
				     struct span upload, const struct store_complete_part *parts,
				     size_t n, struct span checksum, struct arena *mem,
				     struct store_object *out, struct err *e);
