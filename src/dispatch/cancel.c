// SPDX-License-Identifier: Apache-2.0
// cancel: ending jobs because somebody asked for it.
#include "base/clock.h"
#include "dispatch/job.h"

enum {
	END_WAIT_MS = 15000, // for jobs to end
	CANCEL_BATCH = 256,
};

// Somebody may wait for one that was ended while it was queued.
static void answer_cancelled(struct dispatch *d, const int64_t *ids, size_t n)
{
	struct dispatch_answer a = { .fd = -1, .reason = "cancelled" };

	for (size_t i = 0; i < n; i++)
		answer_deliver(d, ids[i], &a);
}

// A call that waits and that the filter means, or the one with this number: 1 when there was one.
static unsigned cancel_waiting(struct dispatch *d, const struct queue_filter *f, int64_t job)
{
	struct queue_result r = { .exit_code = -1, .reason = "cancelled" };
	struct queue_call *call = queue_call_pick(d->o.queue, f, job);

	if (!call)
		return 0;
	call_end(d, call, QUEUE_CANCELLED, &r);
	answer_cancelled(d, &call->row.id, 1);
	queue_call_put(call);
	return 1;
}

// An active call, which may have no row to look at.
static bool cancel_call(struct dispatch *d, int64_t job)
{
	auto_lock held = lock_hold(&d->lock);
	struct job *j = job_find(d, job);

	if (!j || !j->call)
		return false;
	j->cancel = true;
	if (!j->ended)
		job_ask_end(d, j->id, j->row.attempt);
	return true;
}

int dispatch_cancel(struct dispatch *d, int64_t job, struct err *e)
{
	static const struct queue_filter any = { 0 };
	struct job *j;
	int ended;

	if (cancel_waiting(d, &any, job) || cancel_call(d, job))
		return 0;
	ended = queue_cancel(d->o.queue, job, e);
	if (ended < 0)
		return -1;
	if (ended) {
		answer_cancelled(d, &job, 1);
		return 0;
	}
	pthread_mutex_lock(&d->lock);
	j = job_find(d, job);
	if (j) {
		j->cancel = true;
		if (!j->ended)
			job_ask_end(d, j->id, j->row.attempt);
	}
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static int cancel_queued(struct dispatch *d, const struct dispatch_scope *scope, uint64_t *count,
			 struct err *e)
{
	struct queue_filter f = { .service = scope->service,
				  .run = scope->run,
				  .owner = scope->owner,
				  .limit = CANCEL_BATCH };
	int64_t ids[CANCEL_BATCH];
	size_t n;

	while (cancel_waiting(d, &f, 0))
		++*count;
	do { // in pieces, so that other writers get between
		if (queue_cancel_some(d->o.queue, &f, ids, &n, e) < 0)
			return -1;
		answer_cancelled(d, ids, n);
		*count += n;
	} while (n == f.limit);
	return 0;
}

static bool means(const struct dispatch_scope *s, const struct queue_job *j)
{
	return (!s->service || j->service == s->service) && (!s->run || j->run == s->run) &&
	       (!s->owner || j->owner == s->owner);
}

// With the lock held: asks the active jobs of the scope to end; the number that is still active. The walk starts
// again after each one, since the lock was given up.
static size_t cancel_active(struct dispatch *d, const struct dispatch_scope *s, uint64_t *count)
{
	size_t at = 0, left = 0;
	void *value;

	while (map_next(&d->active, &at, NULL, &value)) {
		struct job *j = value;

		if (!means(s, &j->row))
			continue;
		left++;
		if (j->cancel)
			continue;
		j->cancel = true;
		++*count;
		if (!j->ended) {
			job_ask_end(d, j->id, j->row.attempt);
			at = left = 0;
		}
	}
	return left;
}

int dispatch_cancel_all(struct dispatch *d, const struct dispatch_scope *s, uint64_t *count,
			struct err *e)
{
	int64_t deadline = clock_mono_ns() + END_WAIT_MS * NS_PER_MS;
	bool in_time = true;
	size_t left;

	*count = 0;
	if (cancel_queued(d, s, count, e) < 0)
		return -1;
	if (s->queued_only)
		return 0;
	pthread_mutex_lock(&d->lock);
	while ((left = cancel_active(d, s, count)) && in_time)
		in_time = lock_wait(&d->idle, &d->lock, deadline);
	pthread_mutex_unlock(&d->lock);
	if (left)
		return err_set(e, ERR_TIMEOUT, "%zu jobs do not end", left);
	return cancel_queued(d, s, count,
			     e); // what the last ones started or was between two states
}

int dispatch_cancel_service(struct dispatch *d, int64_t service, struct err *e)
{
	struct dispatch_scope s = { .service = service };
	uint64_t count;

	dispatch_retire(d, service);
	return dispatch_cancel_all(d, &s, &count, e);
}
