// SPDX-License-Identifier: Apache-2.0
#include "base/chore.h"

void chore_start(struct chore *c, const char *name, void *(*fn)(void *), void *arg)
{
	*c = (struct chore){ .started = true };
	pthread_mutex_init(&c->lock, NULL);
	lock_cond_init(&c->wake);
	lock_thread_start(&c->thread, name, fn, arg);
}

void chore_stop(struct chore *c)
{
	if (!c->started)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	c->started = false;
}

bool chore_rest(struct chore *c, int64_t ns)
{
	int64_t until = clock_mono_ns() + ns;
	auto_lock held = lock_hold(&c->lock);

	while (!c->stop && lock_wait(&c->wake, &c->lock, until))
		;
	return !c->stop;
}
