// group: files of an input that make one job together (`group: {count, wait}`, `{run: true}`, `{manifest}`).
// Purpose: an event of such an input becomes a member of the open group instead of a job; when the group has all its
//   files, or the first has waited for long enough, the same write takes it away and adds its job, whose payload has
//   the records of all. So an event is in one group or one job, whatever is killed when.
// Owner: struct services, which starts and stops the thread that closes what is due. Threads: safe.
// Errors: ERR_BUSY (the queue is full), db's. Private to service, but for service_groups().
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "service/service.h"

struct arena;
struct db_stmt;
struct queue_new;

struct group {
	int64_t id, service, input, n, bytes, run, depth, due_ns;
	bool made; // a member was made by a job
	enum service_group_kind kind;
};
#define GROUP_SELECT "SELECT id,service,input,n,bytes,run,depth,made,due_ns,kind FROM input_groups "
void group_from_row(struct db_stmt *q, struct group *g);
// 1 = found, 0 = it is not there (any more), -1.
must_check int group_get(struct db_conn *c, int64_t id, struct group *g, struct err *e);

// The object and the event that its job is about; `payload` has all of them.
struct group_event {
	struct span key, payload;
	int64_t bucket, version;
};

enum { GROUP_BYTES_MAX = 1 << 20 }; // of records; then it is closed with what it has

// `n` is the job that the event would make alone.
must_check int group_take_in(struct services *s, struct db_conn *c, const struct service_def *d,
			     size_t input, const struct queue_new *n, struct err *e);

// The definition changed: what is open is closed as it is, soon, by the new one. Or the service goes.
must_check int group_due_in(struct db_conn *c, int64_t service, struct err *e);
must_check int group_forget_in(struct db_conn *c, int64_t service, struct err *e);

// Parts of these, for groups of either kind. open(): a new one with its first member to come; drop(): without a job; make():
// the job of its files, without the group's rows.
must_check int group_open_in(struct db_conn *c, const struct group *g, int64_t now_ns, int64_t *id,
			     struct err *e);
must_check int group_put_in(struct db_conn *c, struct group *g, const struct queue_new *n,
			    struct span payload, struct err *e);
must_check int group_drop_in(struct db_conn *c, int64_t group, struct err *e);
must_check int group_make_in(struct services *s, struct db_conn *c, const struct service_def *d,
			     const struct group *g, const struct group_event *ev, struct err *e);

// rungroup.c: as group_take_in(), for an input with `group: {run: true}`. step(): looks whether runs that are waited for
// have ended.
must_check int rungroup_take_in(struct services *s, struct db_conn *c, const struct service_def *d,
				size_t input, const struct queue_new *n, struct err *e);
must_check int rungroup_step(struct services *s, struct err *e);
void rungroup_release(struct services *s);

// manifest.c: likewise for an input with `group: {manifest: …}`: each manifest waits for the files that it names.
must_check int manifest_take_in(struct services *s, struct db_conn *c, const struct service_def *d,
				size_t input, const struct queue_new *n, struct err *e);
must_check int manifest_step(struct services *s, struct err *e);
void manifest_release(struct services *s);

// Closes what is due. ERR_BUSY when some has to wait.
must_check int group_step(struct services *s, struct err *e);

void group_run(struct services *s);
void group_halt(struct services *s);
