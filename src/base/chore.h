// chore: a thread of a module's own that works now and then until it is told to stop.
// Owner: whoever embeds struct chore; chore_stop() before its memory goes. Threads: start and stop belong to the
//   owner; rest and stopping to the thread; `lock` and `wake` may be used for what else the thread waits for.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/lock.h"

#include <stdatomic.h>

struct chore {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	atomic_bool stop; // set with the lock held
	bool started;
};

// Runs fn(arg) on a thread of that name, at most 15 characters. fn leaves when it is told to stop.
void chore_start(struct chore *c, const char *name, void *(*fn)(void *), void *arg);
// Tells it to stop and waits until it has. One that was never started is fine.
void chore_stop(struct chore *c);

// Sleeps for so long; false as soon as it is time to leave.
bool chore_rest(struct chore *c, int64_t ns);
