// SPDX-License-Identifier: Apache-2.0
#include "http/pool.h"

#include "base/lock.h"
#include "base/mem.h"

#include <stdio.h>

struct call {
	void (*fn)(void *a, void *b);
	void *a, *b;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t ready;
	struct call *ring; // `size` places, `count` filled from `first`
	unsigned size, first, count;
	unsigned claimed; // claimed or filled
	bool stopping;
	unsigned workers;
	pthread_t threads[];
};

static bool next_call(struct pool *p, struct call *out)
{
	auto_lock held = lock_hold(&p->lock);

	while (!p->count) {
		if (p->stopping)
			return false;
		lock_wait(&p->ready, &p->lock, 0);
	}
	*out = p->ring[p->first];
	p->first = (p->first + 1) % p->size;
	p->count--;
	p->claimed--;
	return true;
}

static void *worker(void *arg)
{
	struct pool *p = arg;
	struct call c;

	while (next_call(p, &c))
		c.fn(c.a, c.b);
	return NULL;
}

struct pool *pool_open(const char *name, unsigned workers, unsigned queue)
{
	struct pool *p = mem_zalloc(sizeof(*p) + workers * sizeof(p->threads[0]));
	char title[32];

	pthread_mutex_init(&p->lock, NULL);
	lock_cond_init(&p->ready);
	p->ring = mem_zalloc(queue * sizeof(p->ring[0]));
	p->size = queue;
	p->workers = workers;
	for (unsigned i = 0; i < workers; i++) {
		snprintf(title, sizeof(title), "%.8s-w%u", name, i % 1000);
		lock_thread_start(&p->threads[i], title, worker, p);
	}
	return p;
}

void pool_close(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->ready);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->workers; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->ready);
	pthread_mutex_destroy(&p->lock);
	mem_free(p->ring);
	mem_free(p);
}

bool pool_claim(struct pool *p)
{
	auto_lock held = lock_hold(&p->lock);

	if (p->claimed == p->size || p->stopping)
		return false;
	p->claimed++;
	return true;
}

void pool_run(struct pool *p, void (*fn)(void *a, void *b), void *a, void *b)
{
	auto_lock held = lock_hold(&p->lock);

	p->ring[(p->first + p->count++) % p->size] = (struct call){ fn, a, b };
	pthread_cond_signal(&p->ready);
}
