// SPDX-License-Identifier: Apache-2.0
// again: what an engine or a disk refused for now and is tried again at each tick: taking a job back, ending it,
// accounting it. A job stays active until one of them has an answer.
#include "base/clock.h"
#include "base/log.h"
#include "dispatch/job.h"

void again_later(struct dispatch *d, int64_t id, unsigned what)
{
	struct job *j;

	pthread_mutex_lock(&d->lock);
	j = job_find(d, id);
	if (j)
		j->again |= what;
	pthread_mutex_unlock(&d->lock);
}

// The attempt did not happen, unless the queue was told that it began: then it ends as stopped and is not counted.
static int give_back(struct dispatch *d, struct job *j, bool cancelled, struct err *e)
{
	struct queue_result r = { .outcome = cancelled ? "cancelled" : "stopped",
				  .exit_code = -1,
				  .reason =
					  cancelled ? "cancelled" : "the engine has no such job" };
	int64_t after = clock_wall_ns() + BUSY_DELAY_MS * NS_PER_MS;

	if (!cancelled) {
		if (job_give_back(d, j, after, e) == 0)
			return 0;
		if (e->code != ERR_CONFLICT)
			return -1;
	}
	return job_end(d, j, cancelled ? QUEUE_CANCELLED : QUEUE_QUEUED, &r, e);
}

// The engine knows nothing of it, so it never ran.
static void back_to_queue(struct dispatch *d, struct job *j)
{
	struct dispatch_answer a = { .fd = -1, .reason = "cancelled" };
	bool cancelled = job_cancelled(d, j);
	struct err e = { 0 };

	if (give_back(d, j, cancelled, &e) < 0 && e.code != ERR_CONFLICT &&
	    e.code != ERR_NOT_FOUND) {
		log_warn("dispatch", "job %s: %s", j->row.name, e.msg);
		again_later(d, j->row.id, AGAIN_ADOPT);
		return;
	}
	if (cancelled && j->row.sync)
		answer_deliver(d, j->row.id, &a);
	job_release(d, j);
}

void adopt_active(struct dispatch *d, struct job *j)
{
	int64_t id = j->row.id;
	struct err e = { 0 };

	if (d->driver->ops->adopt(d->driver, j->id, j->row.attempt, &e) < 0) {
		if (e.code == ERR_UNAVAILABLE) { // it may run: not to be started a second time
			again_later(d, id, AGAIN_ADOPT);
			return;
		}
		if (e.code != ERR_NOT_FOUND)
			log_warn("dispatch", "job %s cannot be taken back: %s", j->row.name, e.msg);
		back_to_queue(d, j);
		return;
	}
	job_end_if_cancelled(d, id); // j may be gone already
}

static void again_one(struct dispatch *d, int64_t id)
{
	struct job *j;
	unsigned what;

	pthread_mutex_lock(&d->lock);
	j = job_find(d, id);
	what = j ? j->again : 0;
	if (j)
		j->again = 0;
	if (what & AGAIN_STAGE)
		job_give(d, j, JOB_STAGE);
	if (what & AGAIN_ACCOUNT)
		job_give(d, j, JOB_COLLECT);
	pthread_mutex_unlock(&d->lock);
	if (what & AGAIN_ADOPT)
		adopt_active(d, j);
	else if (what & AGAIN_CANCEL)
		job_end_if_cancelled(d, id);
}

void again_sweep(struct dispatch *d)
{
	auto_arena struct arena mem = { 0 };
	size_t at = 0, n = 0;
	int64_t *ids;
	void *value;

	pthread_mutex_lock(&d->lock);
	ids = arena_alloc(&mem, (d->active.count + 1) * sizeof(*ids));
	while (map_next(&d->active, &at, NULL, &value))
		if (((struct job *)value)->again)
			ids[n++] = ((struct job *)value)->row.id;
	pthread_mutex_unlock(&d->lock);
	for (size_t i = 0; i < n; i++)
		again_one(d, ids[i]);
}
