// private: what the files of expose share.
//   expose.c: life, looking and ordering; scale.c: which service has what instances, as
//   plan.c decides; instance.c: one
//   instance from its start to its end; exchange.c: a request on http's loops; upstream.c: the sockets that a request
//   waits for, answers, and requests that take too long; forward.c: heads.
// Who has a request: http's loop while it is not suspended; else the queue or the set of sockets in which it is, from
//   where it is taken with the lock held. So it has one owner at any time, and its own fields need no lock.
// Private to expose. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/lock.h"
#include "codec/http_body.h"
#include "dispatch/dispatch.h"
#include "expose/expose.h"
#include "fdl/fdl.h"
#include "service/service.h"

enum {
	IDLE_CONNS = 32,       // kept open to an instance
	IN_BYTES = 32 << 10,   // of an answer, held at a time
	OUT_BYTES = 256 << 10, // of a request, held at a time: its head, or a piece of its body
};

// A connection to an instance. `known`: it is in the set of upstream.c.
struct conn {
	int fd;
	bool known;
};

enum exchange_state {
	X_RUNS,	       // on http's loop, or with whoever took it
	X_WAITS,       // for an instance, in its outlet's list
	X_WAITS_DIAL,  // for a connection, in its instance's list
	X_DIALS,       // its instance makes a connection for it
	X_WAITS_WRITE, // for its socket
	X_WAITS_READ,
	X_RELAYS, // in another protocol: upstream.c's thread has it until its end
};

struct exchange {
	struct expose *x;
	struct http_req *http;
	struct service_def *def;
	struct outlet *outlet;	   // where it was counted, or NULL
	struct instance *instance; // likewise
	struct conn conn;
	enum exchange_state state;		// [lock] but for X_RUNS
	struct exchange *park_next, *park_prev; // [lock] all that are suspended
	struct exchange *next;			// [lock] in a list of those that wait
	int64_t timeout_ms, deadline_ns, look_ns, moved_ns;
	bool has_body, chunks; // of the request
	bool complete;	       // the request has come whole
	bool reused, retried;  // its connection served others before
	bool broken;	       // the answer on its way cannot be ended
	struct buf out;
	size_t sent;
	// The answer.
	char *in;
	size_t in_at, in_n;
	unsigned interim;
	bool close; // the connection cannot be used again
	struct http_body body;
	struct span piece; // of the body, taken from `in` and not given out
	// Another protocol.
	bool upgrade; // the client asked for one
	struct relay *relay;
};

enum instance_state { I_STARTS, I_READY, I_LEAVES, I_GONE };

struct instance {
	struct instance *next;
	struct outlet *outlet;
	struct service_def *def;
	char id[EXEC_JOB_ID_MAX];
	pthread_t thread;
	pthread_cond_t wake;
	int64_t began_ns, ready_ns, idle_ns, drain_by_ns;
	int door; // the thread's own
	// [lock]
	enum instance_state state;
	bool submitted, started, ended, end;
	// To be frozen, is frozen: it has no connection then, and making one thaws it; it cannot be.
	bool freeze, frozen, unfreezable;
	struct exec_result result;
	unsigned active; // requests that have it
	struct conn idle[IDLE_CONNS];
	unsigned idle_count;
	struct exchange *dials, **dials_tail;
};

// A service that is exposed. All of it [lock].
struct outlet {
	struct outlet *next;
	struct expose *x;
	int64_t service;
	struct service_def *def; // the newest
	bool deleted, paused, stopped, seen;
	struct instance *instances;
	unsigned count;
	struct exchange *waiters, **waiters_tail;
	unsigned waiting;
	unsigned requests;	    // that hold the struct
	unsigned failures;	    // in a row
	int64_t retry_ns;	    // no instance before
	char last[EXEC_JOB_ID_MAX]; // the one that ended last, whose log is kept
	struct expose_state told;
};

struct expose {
	struct expose_options o;
	int epoll, wake; // of upstream.c
	pthread_t scaler, upstream;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t scale;
	struct outlet *outlets;
	unsigned instances;
	uint64_t requests; // since the beginning
	struct exchange *parked;
	bool refresh, closing, stop;
};

// ---- exchange.c ----------------------------------------------------------------------------------------

void exchange_begin(struct expose *x, struct http_req *r);
void exchange_body(struct exchange *q, struct span piece);
void exchange_finish(struct exchange *q);
void exchange_gone(struct exchange *q);

// With the lock held: into the list of suspended ones, and out of it.
void exchange_park(struct exchange *q, enum exchange_state state);
void exchange_unpark(struct exchange *q);
// A suspended one that has a connection now goes on. The lock is not held.
void exchange_given(struct exchange *q);
// The first error is the answer; an answer on its way breaks off. `suspended`: it goes on with that.
void exchange_fail(struct exchange *q, unsigned status, const char *text, bool suspended);
// Lets its instance go, and its connection, to the next one that waits where it can be used again.
void exchange_release(struct exchange *q);
// And its outlet.
void exchange_forget(struct exchange *q);
// Tries to send what is to be sent: 1 = all is sent, 0 = the socket is full, -1 = nobody takes it.
int exchange_flush(struct exchange *q);

// ---- upstream.c ----------------------------------------------------------------------------------------

int upstream_open(struct expose *x, struct err *e);
void upstream_close(struct expose *x);
void *upstream_main(void *expose);
// Suspended already: waits for its socket. The lock is not held.
void upstream_wait(struct exchange *q, enum exchange_state state);
// What came of the answer. 0: its head is not whole; 1: it was answered; -1: it failed and the error is the answer;
// -2: it is to be sent again.
int upstream_take_answer(struct exchange *q);

// ---- relay.c -------------------------------------------------------------------------------------------

// The server's answer is 101: so is ours, and the bytes behind it go both ways until one side ends.
void relay_begin(struct exchange *q, const struct http_head *h);
// The thread: moves what can be moved. False: it is over, and relay_end() is due.
bool relay_turn(struct exchange *q);
void relay_end(struct exchange *q); // unparked already
void relay_free(struct exchange *q);

// ---- instance.c ----------------------------------------------------------------------------------------

// With the lock held: makes one, whose thread begins.
void instance_start(struct outlet *o, struct expose *x);
// With the lock held: a connection is to be made for it.
void instance_put_dial(struct instance *i, struct exchange *q);
void instance_free(struct instance *i); // after its thread ended; the lock is not held
// With the lock held: shall end; at once, or when its requests are over.
void instance_end(struct instance *i, struct expose *x, bool at_once);
// With the lock held: a connection that waits for use, or fd < 0.
struct conn instance_take_idle(struct instance *i);
// With the lock held: nothing in it shall run until its next request, if none comes before.
void instance_freeze(struct instance *i);
void instance_dispatch_events(struct expose *x);

// ---- scale.c -------------------------------------------------------------------------------------------

void *scale_main(void *expose);
// With the lock held.
struct outlet *scale_outlet(struct expose *x, int64_t service);
struct outlet *scale_outlet_of(struct expose *x, const struct service_def *def);
// The ready instance that takes one more request: of the newest revision, with the fewest of them; else NULL.
struct instance *scale_pick(const struct outlet *o);
bool scale_takes(const struct instance *i); // one more request
void scale_put_waiter(struct outlet *o, struct exchange *q);
struct exchange *scale_take_waiter(struct outlet *o);
void scale_drop_waiter(struct outlet *o, const struct exchange *q);
