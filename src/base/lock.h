// lock: pthread mutex and condition with scope exit. Order of locks: docs/dev/locks.md. No lock is held
// across I/O or a callback.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/attr.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdbool.h>

// Holds `m` until the end of the scope: `auto_lock held = lock_hold(&q->lock);`
typedef pthread_mutex_t *lock_held;
static inline lock_held lock_hold(pthread_mutex_t *m)
{
	pthread_mutex_lock(m);
	return m;
}
static inline void lock_drop(lock_held *m)
{
	if (*m)
		pthread_mutex_unlock(*m);
}
#define auto_lock at_scope_exit(lock_drop) unused_arg lock_held

// A condition that waits on the monotonic clock.
void lock_cond_init(pthread_cond_t *c);

// Waits until signalled or until the monotonic deadline (0 = for ever); false when the deadline passed.
bool lock_wait(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_mono_ns);

// Starts a thread with all signals blocked; stops the process when the system cannot.
void lock_thread_start(pthread_t *t, const char *name, void *(*fn)(void *), void *arg);
