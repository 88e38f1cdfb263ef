// engine: what the files of notify share. Private to notify.
// Locks: `change` is held by whoever changes rules or targets, across the write, so that memory follows the database;
// `lock` guards the lists and is short. A lane's own lock is taken alone.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/lock.h"
#include "base/map.h"
#include "db/db.h"
#include "notify/notify.h"
#include "notify/sender.h"

#include <stdatomic.h>

struct lane;

// A target as it is now. Replaced whole when its settings change.
struct target {
	struct target *next;
	int64_t id;
	int64_t created_ns;
	char kind[16], name[NOTIFY_NAME_MAX];
	struct arena mem;
	struct notify_setting *settings;
	size_t setting_count;
	struct lane *lane; // NULL: a queue of our own, or disabled
	bool local;	   // a queue of our own
};

struct rule_target { // a rule with what it names
	struct notification_rule rule;
	int64_t target;
};
struct bucket_rules {
	int64_t bucket;
	struct arena mem;
	struct rule_target *rules;
	size_t n;
	uint32_t events; // of all rules
};

struct notify {
	struct db *db;
	struct notify_options o;
	char *region;
	pthread_mutex_t change;
	pthread_rwlock_t lock; // guards what follows
	struct target *targets;
	struct map rules;	 // bucket id to struct bucket_rules
	_Atomic uint32_t wanted; // of all buckets: most changes of most installations end here
	struct notify_listener *listeners;
	int64_t last_listener;
	bool started;
	// Who the running batch has events for: targets, and listeners by the negative of their id. Writer thread only.
	int64_t given[NOTIFY_TARGETS_MAX + NOTIFY_LISTENERS_MAX];
	size_t given_count;
};

// What delivery needs to know; borrowed until lane_close().
struct lane_options {
	struct db *db;
	int64_t target, created_ns;
	const char *label; // for logs
	struct sender_options sender;
	unsigned retry_ms, retry_max_ms;
	unsigned attempts_max; // 0 = no bound
	int64_t age_max_ns;
};

// ---- setting.c -----------------------------------------------------------------------------------------

const struct notify_key *setting_key(const char *kind, const char *name);
const char *setting_raw(const struct target *t, const char *key);    // NULL = not said
const char *target_setting(const struct target *t, const char *key); // with its default
// Up to `max`; 0 for a kind that has no such setting.
bool setting_number(const struct target *t, const char *key, uint64_t max, uint64_t *out,
		    struct err *e);
must_check int setting_check(const struct target *t, struct err *e);

// ---- target.c ------------------------------------------------------------------------------------------

must_check int targets_load(struct notify *n, struct err *e);
must_check int targets_purge(struct notify *n, struct err *e); // what a crash left of removed ones
void target_free(struct target *t);
struct target *target_by_name(struct notify *n, const char *kind, const char *name);
struct target *target_by_id(struct notify *n, int64_t id);
// The target of an ARN, 0 when there is none. `lock` is held.
int64_t target_by_arn(struct notify *n, struct span arn);
// "arn:minio:sqs:REGION:NAME:KIND"
char *target_arn(struct notify *n, struct arena *mem, const struct target *t);

// ---- rules.c -------------------------------------------------------------------------------------------

must_check int rules_load(struct notify *n, struct err *e);
void rules_release(struct notify *n);
void rules_wanted(struct notify *n); // rules or listeners changed; `lock` is held
// A bucket whose rules name the target, "" when none does.
void rules_naming(struct notify *n, int64_t target, char out[static 64]);

// ---- letters.c -----------------------------------------------------------------------------------------

must_check int letters_read(struct notify *n, int64_t target, bool dead, int64_t after,
			    size_t limit, struct arena *mem, struct notify_letter **out,
			    size_t *count, struct err *e);

// ---- lane.c --------------------------------------------------------------------------------------------

struct lane *lane_open(const struct lane_options *o);
void lane_wake(struct lane *l);	 // there are new letters
void lane_again(struct lane *l); // forgets its waits: try now
void lane_close(struct lane *l); // waits for what is being sent
void lane_fault(struct lane *l, char out[static 256]);

// ---- listen.c ------------------------------------------------------------------------------------------

// Appends the listeners that want the event, by the negative of their id; the new count. `lock` is held.
size_t listeners_wanting(struct notify *n, const struct store_event *ev, uint32_t event,
			 int64_t *out, size_t count);
uint32_t listeners_events(const struct notify *n); // of all; `lock` is held
bool listeners_hear(const struct notify *n, int64_t bucket,
		    uint32_t events);				 // some of these; `lock` is held
void listeners_wake(struct notify *n, int64_t id);		 // `lock` is held
must_check int listeners_purge(struct notify *n, struct err *e); // what a crash left
