// SPDX-License-Identifier: Apache-2.0
// wait: calls that wait until their request is on disk, or has at least run.
#include "base/log.h"
#include "base/mem.h"
#include "db/private.h"

struct waiter {
	struct db_request request; // first: `done` gets its address
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool finished;
	int result;
	struct err *e;
};

static void finish(struct waiter *w, int result, const struct err *e)
{
	pthread_mutex_lock(&w->lock);
	if (!w->finished) {
		w->finished = true;
		w->result = result;
		if (result < 0)
			*w->e = *e;
		pthread_cond_signal(&w->over);
	}
	pthread_mutex_unlock(&w->lock);
}

static void waiter_done(struct db_request *r, int result, const struct err *e)
{
	finish((struct waiter *)r, result, e);
}

static int submit_and_wait(struct db *d, struct db_request *r, struct waiter *w)
{
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->over, NULL);
	db_submit(d, r);
	pthread_mutex_lock(&w->lock);
	while (!w->finished)
		pthread_cond_wait(&w->over, &w->lock);
	pthread_mutex_unlock(&w->lock);
	pthread_cond_destroy(&w->over);
	pthread_mutex_destroy(&w->lock);
	return w->result;
}

int db_write(struct db *d, db_write_fn fn, void *arg, struct err *e)
{
	struct waiter w = { .request = { .fn = fn, .arg = arg, .done = waiter_done }, .e = e };

	return submit_and_wait(d, &w.request, &w);
}

static int nothing(struct db_conn *c unused_arg, void *arg unused_arg, struct err *e unused_arg)
{
	return 0;
}

void db_settle(struct db *d)
{
	struct err e = { 0 };

	if (db_write(d, nothing, NULL, &e) < 0)
		return; // so did those before it
}

// The request outlives the caller (its commit comes later), so it lives on the heap; the caller's part is
// told apart by `waiting`.
struct lazy {
	struct db_request request;
	struct waiter *waiting;
	db_write_fn fn;
	void *arg;
};

static int lazy_run(struct db_conn *c, void *arg, struct err *e)
{
	struct lazy *z = arg;
	struct waiter *w = z->waiting;
	int result = z->fn(c, z->arg, e);

	z->waiting = NULL;
	finish(w, result, e);
	return result;
}

static void lazy_done(struct db_request *r, int result, const struct err *e)
{
	struct lazy *z = (struct lazy *)r;

	if (z->waiting) // the batch failed before it ran
		finish(z->waiting, result, e);
	else if (result < 0 && e->code != ERR_BUSY && e->code != ERR_NOT_FOUND &&
		 e->code != ERR_CONFLICT)
		log_warn("db", "a lazy write did not reach the disk: %s", e->msg);
	mem_free(z);
}

int db_write_lazy(struct db *d, db_write_fn fn, void *arg, struct err *e)
{
	struct waiter w = { .e = e };
	struct lazy *z = mem_zalloc(sizeof(*z));

	*z = (struct lazy){ .request = { .fn = lazy_run, .arg = z, .done = lazy_done },
			    .waiting = &w,
			    .fn = fn,
			    .arg = arg };
	return submit_and_wait(d, &z->request, &w);
}
