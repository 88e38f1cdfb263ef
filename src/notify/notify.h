// notify: what happens to objects, told to targets outside: webhooks, NATS, and queues of our own that are read
// through the API.
// Purpose: rules of buckets say which events go to which target. An event is written in the transaction that changes
//   the object; delivery follows at once, is repeated until it succeeds, keeps the order of a key, and ends in the
//   target's dead letters when it takes too long. Targets are the administrator's.
// Owner: struct notify owns its threads: of a target up to four while there is something to send, none otherwise.
// Threads: every call is safe from any thread; notify_changed() is the store's sink and runs on the writer.
// Lifetime: results live in the caller's arena.
// Errors: ERR_NOT_FOUND (target), ERR_INVALID (configuration; of rules with err.sys = enum notification_fault),
//   ERR_CONFLICT (a target that rules name cannot go), ERR_LIMIT, and those of the database.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "codec/notification.h"

struct db;
struct db_conn;
struct notify;
struct store;
struct store_event;

enum {
	NOTIFY_TARGETS_MAX = 256,
	NOTIFY_NAME_MAX = 64,	 // with the NUL
	NOTIFY_VALUE_MAX = 2048, // of a setting
	NOTIFY_PAGE_MAX = 1000,
	NOTIFY_LISTENERS_MAX = 256,
	NOTIFY_LISTEN_ROOM = 10000, // events that wait for one listener
};

struct notify_options {
	struct db *db;
	struct store *store;
	const char *region;		 // in ARNs
	unsigned retry_ms, retry_max_ms; // waits between tries double from … to …; 0 = 250, 20,000
	// A queue of our own got events, or lost its target; on the database's writer or the caller, short. May be NULL.
	void (*queued)(void *owner);
	void *owner;
};
must_check int notify_open(struct notify **out, const struct notify_options *o, struct err *e);
void notify_start(struct notify *n); // delivers from now on
void notify_close(struct notify *n);
void notify_on_queued(struct notify *n, void (*fn)(void *owner), void *owner);

// ---- events --------------------------------------------------------------------------------------------

int notify_changed(void *notify, struct db_conn *c, const struct store_event *ev, struct err *e);
// Whether some rule of the bucket asks for one of these events. Cheap.
bool notify_wants(struct notify *n, int64_t bucket_id, uint32_t events);
// An event that changes nothing (a read). It is written soon; a crash may lose it.
void notify_accessed(struct notify *n, const struct store_event *ev);

// ---- rules of a bucket ---------------------------------------------------------------------------------

// A document without rules removes what there was. [sync]
must_check int notify_rules_set(struct notify *n, struct span bucket, struct span doc,
				struct err *e);
// The document, or "" when there are no rules.
must_check int notify_rules_get(struct notify *n, struct span bucket, struct arena *mem,
				struct span *doc, struct err *e);

// ---- targets -------------------------------------------------------------------------------------------

struct notify_setting {
	const char *key, *value;
};
// A setting that a kind of target has, as documented in docs/user/events.md.
struct notify_key {
	const char *name, *missing; // its value when not set
	bool secret, needed;
	const char *help;
};
// NULL when there is no such kind. The keys end with a NULL name.
const struct notify_key *notify_keys(const char *kind);
const char *const *notify_kinds(void); // ends with NULL

struct notify_target {
	const char *kind, *name, *arn;
	struct notify_setting *settings; // those that were set; secrets as they are
	size_t setting_count;
	uint64_t events;   // waiting or dead
	uint64_t dead;	   // of these
	uint64_t dropped;  // since the target was made, because it was full
	const char *fault; // of the last try, "" when it succeeded
};
// Makes the target or changes the settings named; a setting of value "" is unset. [sync]
must_check int notify_target_set(struct notify *n, const char *kind, const char *name,
				 const struct notify_setting *settings, size_t count,
				 struct err *e);
// Its events go with it. [sync]
must_check int notify_target_remove(struct notify *n, const char *kind, const char *name,
				    struct err *e);
must_check int notify_target_get(struct notify *n, const char *kind, const char *name,
				 struct arena *mem, struct notify_target *out, struct err *e);
// All, in order of kind and name.
must_check int notify_target_list(struct notify *n, struct arena *mem, struct notify_target **out,
				  size_t *count, struct err *e);

// ---- what waits ----------------------------------------------------------------------------------------

struct notify_letter {
	int64_t seq; // increasing; the delivery's id
	int64_t time_ns;
	unsigned attempts;
	int64_t dead_ns; // 0 = waits
	const char *reason;
	struct span record; // JSON
};
// Letters after this seq, the oldest first: those that wait (all of a queue of our own), or the dead ones.
must_check int notify_letters(struct notify *n, const char *kind, const char *name, bool dead,
			      int64_t after, size_t limit, struct arena *mem,
			      struct notify_letter **out, size_t *count, struct err *e);
// Of a queue of our own: all up to this seq were taken. The number removed. [sync]
must_check int notify_take(struct notify *n, const char *name, int64_t through, uint64_t *removed,
			   struct err *e);
// Dead letters get another try (`again`) or are dropped: one of them, or with seq 0 all. Their number. [sync]
must_check int notify_dead(struct notify *n, const char *kind, const char *name, int64_t seq,
			   bool again, uint64_t *count, struct err *e);

// ---- listening -----------------------------------------------------------------------------------------

// Events for a client that holds a connection and has no target (MinIO's ListenNotification). They are written with the
// change and read after its commit, so that none is told that did not happen; none outlives its listener.
struct notify_listen {
	int64_t bucket; // its id; 0 = all
	uint32_t events;
	struct span prefix, suffix; // copied
	void (*news)(void *owner);  // an event was committed; on the database's writer, short
	void *owner;
};
struct notify_listener;
// ERR_LIMIT: there are NOTIFY_LISTENERS_MAX.
must_check int notify_listen_begin(struct notify *n, const struct notify_listen *o,
				   struct notify_listener **out, struct err *e);
// What came since the last call, up to `limit`; *count 0 = nothing. ERR_LIMIT: the listener was too slow, and what
// did not find room is lost. One thread at a time.
must_check int notify_listen_next(struct notify_listener *l, size_t limit, struct arena *mem,
				  struct notify_letter **out, size_t *count, struct err *e);
void notify_listen_end(struct notify_listener *l); // no news comes after it
