// SPDX-License-Identifier: Apache-2.0
#include "base/lock.h"

#include "base/err.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

enum { STACK_BYTES = 512 * 1024 };

void lock_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t a;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(c, &a);
	pthread_condattr_destroy(&a);
}

bool lock_wait(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_mono_ns)
{
	struct timespec t = { deadline_mono_ns / NS_PER_S, deadline_mono_ns % NS_PER_S };

	if (!deadline_mono_ns)
		return pthread_cond_wait(c, m) == 0;
	return pthread_cond_timedwait(c, m, &t) != ETIMEDOUT;
}

void lock_thread_start(pthread_t *t, const char *name, void *(*fn)(void *), void *arg)
{
	pthread_attr_t a;
	sigset_t all, old;
	int bad;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	bad = pthread_create(t, &a, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&a);
	check(!bad);
	pthread_setname_np(*t, name);
}
