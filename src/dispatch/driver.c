// SPDX-License-Identifier: Apache-2.0
// driver: what the driver says of jobs, servers and shells, and what it is told of services.
#include "base/log.h"
#include "dispatch/job.h"
#include "queue/queue.h"

#include <stdio.h>

static void on_started(void *owner, const char *id, unsigned attempt, int64_t started_ns,
		       const char *node)
{
	struct dispatch *d = owner;
	struct job *j;
	bool row = true;

	if (server_started(d, id) || shell_started(d, id))
		return;
	pthread_mutex_lock(&d->lock);
	j = job_find(d, job_number(id));
	if (j && j->call && j->row.attempt == attempt) {
		j->started_ns = started_ns;
		snprintf(j->node, sizeof(j->node), "%s", node);
		row = j->row_asked;
	}
	pthread_mutex_unlock(&d->lock);
	if (row)
		queue_started(d->o.queue, job_number(id), attempt, started_ns, node);
}

static void on_ended(void *owner, const char *id, unsigned attempt, const struct exec_result *r)
{
	struct dispatch *d = owner;
	struct job *j;

	if (server_ended(d, id, r) || shell_ended(d, id, r))
		return;
	pthread_mutex_lock(&d->lock);
	j = job_find(d, job_number(id));
	if (j && j->row.attempt == attempt && !j->ended) {
		j->ended = true;
		j->result = *r;
		j->stopped = d->end_jobs && !j->cancel &&
			     (r->outcome == EXEC_CANCELLED || r->outcome == EXEC_LOST);
		job_give(d, j, JOB_COLLECT);
	} else {
		log_warn("dispatch", "an end of job %s attempt %u that is not active is ignored",
			 id, attempt);
	}
	pthread_mutex_unlock(&d->lock);
}

struct exec_events dispatch_events(struct dispatch *d)
{
	return (struct exec_events){ d, on_started, on_ended };
}

void dispatch_retire(struct dispatch *d, int64_t service)
{
	if (d->driver && d->driver->ops->retire)
		d->driver->ops->retire(d->driver, service);
	servers_changed(d, service);
}
