// call: jobs whose callers wait for the answer. They are kept in memory while they are young and written once, with
// their outcome; only those that last get a row before it.
// Purpose: a call costs one commit, the one before its answer. A crash before it leaves nothing: the caller saw no
//   answer, and the call's number never comes again.
// Owner: struct queue has those that wait, in lanes beside those of its rows; who took one out has it. All are counted
//   references. Numbers come from blocks that are reserved in the database.
// Threads: safe. What is public of a call never changes. Errors: ERR_BUSY (the queue of the service or of the user is
//   full), ERR_UNAVAILABLE (no number: the database takes no writes), db's.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "queue/queue.h"

struct queue_call {
	struct queue_job row; // as it was made: queued, without an attempt
	struct span payload;
	int64_t made_ns;	    // monotonic
	struct trace_context trace; // of the caller, or none
	// private
	uint8_t uuid[16];
	const char *source;
	struct call_lane *lane; // where it waits, or NULL
	struct queue_call *next, **at;
	struct queue_call *younger, **young_at; // young_at NULL: its row was asked for
	bool settled;
	_Atomic int refs;
};
struct queue_call *queue_call_ref(struct queue_call *call);
void queue_call_put(struct queue_call *call); // NULL is fine

// Names and numbers a call of the service with this name; `source` must be static, the payload is copied. It waits for
// nobody yet.
must_check int queue_call_new(struct queue *q, const struct queue_new *n, const char *service_name,
			      struct queue_call **out, struct err *e);
// It waits for its turn, behind those of its lane; the reference goes to the queue.
void queue_call_wait(struct queue *q, struct queue_call *call);

// The first of a lane as a new reference, or NULL. Taking it out fails when it does not wait any more; else the queue's
// reference is the caller's.
struct queue_call *queue_call_first(struct queue *q, const struct queue_lane *l);
bool queue_call_take(struct queue *q, struct queue_call *call);
// Takes one out that waits and that the filter means (limit, state and before are not looked at), or the one with this
// number; NULL when there is none.
struct queue_call *queue_call_pick(struct queue *q, const struct queue_filter *f, int64_t job);
uint64_t queue_calls_waiting(struct queue *q);

// The oldest call without a row that was made before `made_ns`, as a reference of the caller, who has its row written;
// it is told once. *waited: it waited, and is taken out. NULL: none; *next_ns is when the oldest was made, 0 = there is
// none.
struct queue_call *queue_call_old(struct queue *q, int64_t made_ns, bool *waited, int64_t *next_ns);
// It shall not be told as an old one from now on (again: later than now, after its row could not be written).
void queue_call_settled(struct queue *q, struct queue_call *call);
void queue_call_again(struct queue *q, struct queue_call *call);

// How a call stands when it is written.
struct queue_stand {
	enum queue_state state;
	unsigned attempt;	    // 0 = it has not begun
	const char *driver;	    // with an attempt, as what follows
	const char *node, *devices; // NULL = none; as in queue_lease_item
	int64_t leased_ns, started_ns, lease_ms;
	int64_t run_after_ns;		   // QUEUE_QUEUED
	const struct queue_result *result; // NULL: the attempt is not over, or never was
};
// Inside a write: gives the call its row, unless it has one.
must_check int queue_call_write_in(struct queue *q, struct db_conn *c,
				   const struct queue_call *call, const struct queue_stand *s,
				   struct err *e);
// Inside a write: as queue_end_in() for the stand's attempt, state and result; the row is made when there is none.
must_check int queue_call_end_in(struct queue *q, struct db_conn *c, const struct queue_call *call,
				 const struct queue_stand *s, struct err *e);
// As queue_release() for the stand's attempt. [waits for the disk]
must_check int queue_call_release(struct queue *q, const struct queue_call *call,
				  const struct queue_stand *s, struct err *e);
