// SPDX-License-Identifier: Apache-2.0
// controller: the one thread that decides what runs next, and looks after what is due.
#include "base/clock.h"
#include "db/db.h"
#include "dispatch/job.h"
#include "queue/queue.h"

enum { TICK_MS = 1000 };

static void renew_leases(struct dispatch *d)
{
	size_t at = 0;
	void *value;

	pthread_mutex_lock(&d->lock);
	while (map_next(&d->active, &at, NULL, &value)) {
		const struct job *j = value;

		if (!j->call || j->row_asked)
			queue_renew(d->o.queue, j->row.id, d->o.lease_ms);
	}
	pthread_mutex_unlock(&d->lock);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

// One round of everything; *wake_ns (monotonic) = when the next is due. True when it may go on at once.
static bool turn(struct dispatch *d, int64_t *renewed, int64_t *swept, int64_t *wake_ns)
{
	int64_t next, due, now;
	bool more;

	*wake_ns = clock_mono_ns() + TICK_MS * NS_PER_MS;
	more = choose_round(d, &next);
	if (clock_mono_ns() - *swept >= TICK_MS * NS_PER_MS) {
		again_sweep(d);
		strays_sweep(d);
		devices_look(d);
		*swept = clock_mono_ns();
	}
	if (clock_mono_ns() - *renewed > d->o.lease_ms * NS_PER_MS / 3) {
		renew_leases(d);
		*renewed = clock_mono_ns();
	}
	due = calls_record(d, false);
	if (due)
		*wake_ns = earlier(*wake_ns, due);
	now = clock_wall_ns();
	if (next && next - now < TICK_MS * NS_PER_MS)
		*wake_ns = earlier(*wake_ns, clock_mono_ns() + (next > now ? next - now : 0));
	return more;
}

static void *controller_main(void *arg)
{
	struct dispatch *d = arg;
	int64_t renewed = clock_mono_ns(), swept = renewed, wake;

	pthread_mutex_lock(&d->lock);
	while (!d->stopping) {
		bool more;

		d->look = false;
		pthread_mutex_unlock(&d->lock);
		more = turn(d, &renewed, &swept, &wake);
		pthread_mutex_lock(&d->lock);
		while (!more && !d->stopping && !d->look && lock_wait(&d->wake, &d->lock, wake))
			;
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

void dispatch_look(struct dispatch *d)
{
	auto_lock held = lock_hold(&d->lock);

	d->look = true;
	pthread_cond_signal(&d->wake);
}

// After each commit, on the writer thread.
static void on_commit(void *owner)
{
	struct dispatch *d = owner;

	pthread_mutex_lock(&d->lock);
	if (queue_added(d->o.queue) != d->added_seen && !d->look) {
		d->look = true;
		pthread_cond_signal(&d->wake);
	}
	pthread_mutex_unlock(&d->lock);
}

void controller_start(struct dispatch *d)
{
	db_on_commit(d->o.db, on_commit, d);
	lock_thread_start(&d->controller, "dispatch", controller_main, d);
}

void controller_stop(struct dispatch *d)
{
	pthread_mutex_lock(&d->lock);
	d->stopping = true;
	pthread_cond_broadcast(&d->wake);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->controller, NULL);
}
