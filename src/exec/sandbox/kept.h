// exec/sandbox/kept: sandboxes that stay for the next call. Private to exec/sandbox.
// Purpose: a call costs a fork inside, not a sandbox. The kept one has a folder like a job's, whose input, output and
//   log are those of the call that it serves, until that is forgotten. Its shim ends it when our connection ends.
// Owner: struct kept_pool owns the connections; folders and the sandboxes' lives are the driver's, which starts and ends
//   them as jobs of its own with ids that begin with KEPT_PREFIX.
// Threads: safe, but for what says "the thread": the driver's own. Names are those of runner/jobdir.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "exec/exec.h"
#include "runner/jobdir.h"
#include "runner/proto.h"

#include <poll.h>
#include <pthread.h>

enum { KEPT_MAX = 64 };
#define KEPT_PREFIX "w"

struct kept;
struct kept_pool {
	int jobs; // borrowed
	pthread_mutex_t lock;
	struct kept *first;
	unsigned count, serial;
	// To the driver, by the thread, without the lock.
	void *owner;
	void (*started)(void *owner, const char *name, int64_t wall_ns);
	void (*ended)(void *owner, const char *name, const struct jobdir_exit *x);
};

void kept_init(struct kept_pool *p, int jobs);
void kept_release(struct kept_pool *p);

// One for the call `name`: an idle one, or a new one that the driver shall start (*fresh) under the id; false when the
// call cannot be served so (too many, or an input that must be bound).
bool kept_take(struct kept_pool *p, const struct exec_spec *s, const char *name,
	       char id[static PROTO_JOB_MAX], bool *fresh);
// Lays out the call in the folder, which is there. On failure, or when it could not be started: kept_drop(). `folder`
// is that of one that has ended, which nobody needs any more, else "".
must_check int kept_prepare(struct kept_pool *p, const struct exec_spec *s, const char *name,
			    struct err *e);
void kept_drop(struct kept_pool *p, const char *name, char folder[static JOBDIR_NAME_MAX]);
// It may be sent now; the thread does so. False: its sandbox has ended.
bool kept_send(struct kept_pool *p, const char *name);
void kept_cancel(struct kept_pool *p, const char *name);
void kept_retire(struct kept_pool *p, int64_t service);

// What is at `path` in the folder of this call, to read, or -1.
int kept_open(struct kept_pool *p, const char *name, const char *path, int flags);
// True when the call was of a kept one, which is cleaned, and is free or ends; `folder` as above.
bool kept_forget(struct kept_pool *p, const char *name, char folder[static JOBDIR_NAME_MAX]);
// Did a kept one of an earlier life serve this call? It is ending, for its daemon is gone.
bool kept_served(struct kept_pool *p, const char *name);

// The thread: its sandbox is ready; its sandbox has ended (the call that it had is told of it). True: nobody needs the
// folder any more.
void kept_ready(struct kept_pool *p, const char *id);
bool kept_gone(struct kept_pool *p, const char *id, const struct jobdir_exit *x);
// The thread: what to wait for; what came, and what waits to be sent; one that shall be ended, told once.
size_t kept_poll(struct kept_pool *p, struct pollfd out[static KEPT_MAX]);
void kept_turn(struct kept_pool *p, const struct pollfd *polled, size_t n);
bool kept_ending(struct kept_pool *p, char id[static PROTO_JOB_MAX]);
void kept_count(struct kept_pool *p, struct exec_kept *out);
// When (monotonic) the next idle one is to be frozen or ended, 0 = none.
int64_t kept_due(struct kept_pool *p);
