// SPDX-License-Identifier: Apache-2.0
// worker: jobs are staged and collected by threads that may block.
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "dispatch/job.h"

#include <stdio.h>

void job_give(struct dispatch *d, struct job *j, enum job_task task)
{
	j->task = task;
	j->next = NULL;
	*d->todo_tail = j;
	d->todo_tail = &j->next;
	pthread_cond_signal(&d->work);
}

// The job never got to the driver: it waits for its turn again where the engine had no room, else it fails.
static void stage_failed(struct dispatch *d, struct job *j, const struct err *why)
{
	bool cancelled = job_cancelled(d, j);
	bool later = !cancelled && (why->code == ERR_BUSY || why->code == ERR_FULL);
	struct queue_result r = { .outcome = "stage", .exit_code = -1, .reason = why->msg };
	struct dispatch_answer a = { .fd = -1 };
	struct err e = { 0 };
	int bad = later ? job_give_back(d, j, clock_wall_ns() + BUSY_DELAY_MS * NS_PER_MS, &e)
			: job_end(d, j, cancelled ? QUEUE_CANCELLED : QUEUE_FAILED, &r, &e);

	if (bad < 0 && e.code != ERR_CONFLICT && e.code != ERR_NOT_FOUND) {
		log_warn("dispatch", "job %s: %s", j->row.name, e.msg);
		again_later(d, j->row.id, AGAIN_STAGE);
		return;
	}
	if (j->row.sync && !later) {
		snprintf(a.reason, sizeof(a.reason), "%s", why->msg);
		answer_deliver(d, j->row.id, &a);
	}
	job_release(d, j);
}

static void stage(struct dispatch *d, struct job *j)
{
	int64_t id = j->row.id;
	struct err e = { 0 };

	if (job_cancelled(d, j)) {
		err_set(&e, ERR_CANCELLED, "cancelled");
		stage_failed(d, j, &e);
	} else if (stage_job(d, j, &e) == 0) {
		// From the submit on the job may end, be collected and freed at any time. One that was cancelled
		// while it was being staged did not reach the driver then.
		job_end_if_cancelled(d, id);
	} else if (e.code == ERR_EXISTS || e.code == ERR_UNAVAILABLE) {
		// This submit or an earlier one may have come through without its answer.
		adopt_active(d, j);
	} else {
		stage_failed(d, j, &e);
	}
}

static void *worker_main(void *arg)
{
	struct dispatch *d = arg;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		struct job *j = d->todo;

		if (d->workers_stop)
			break;
		if (!j) {
			pthread_cond_wait(&d->work, &d->lock);
			continue;
		}
		d->todo = j->next;
		if (!d->todo)
			d->todo_tail = &d->todo;
		pthread_mutex_unlock(&d->lock);
		if (j->task == JOB_STAGE)
			stage(d, j);
		else
			collect_job(d, j);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

void workers_start(struct dispatch *d)
{
	d->worker_count = d->o.workers;
	d->workers = mem_zalloc(d->worker_count * sizeof(*d->workers));
	for (unsigned i = 0; i < d->worker_count; i++)
		lock_thread_start(&d->workers[i], "dispatch-work", worker_main, d);
}

void workers_stop(struct dispatch *d)
{
	pthread_mutex_lock(&d->lock);
	d->workers_stop = true;
	pthread_cond_broadcast(&d->work);
	pthread_mutex_unlock(&d->lock);
	for (unsigned i = 0; i < d->worker_count; i++)
		pthread_join(d->workers[i], NULL);
}
