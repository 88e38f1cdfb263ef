// lock: pthread mutex, read-write lock and condition with scope exit. Order of locks: docs/dev/locks.md. No lock is held
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

// Likewise for readers, or the one writer: `auto_rwlock held = lock_read(&a->lock);`
typedef pthread_rwlock_t *rwlock_held;
static inline rwlock_held lock_read(pthread_rwlock_t *l)
{
	pthread_rwlock_rdlock(l);
	return l;
}
static inline rwlock_held lock_write(pthread_rwlock_t *l)
{
	pthread_rwlock_wrlock(l);
	return l;
}
static inline void rwlock_drop(rwlock_held *l)
{
	pthread_rwlock_unlock(*l);
}
#define auto_rwlock at_scope_exit(rwlock_drop) unused_arg rwlock_held

// A condition that waits on the monotonic clock.
void lock_cond_init(pthread_cond_t *c);

// Waits until signalled or until the monotonic deadline (0 = for ever); false when the deadline passed.
bool lock_wait(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_mono_ns);

// Starts a thread with all signals blocked; stops the process when the system cannot.
void lock_thread_start(pthread_t *t, const char *name, void *(*fn)(void *), void *arg);
