// SPDX-License-Identifier: Apache-2.0
// jobschange: ending jobs, running them again, forgetting them; one by one or many at once.
#include "api/req.h"
#include "db/db.h"
#include "dispatch/dispatch.h"
#include "fdl/fdl.h"

#include <time.h>

enum { DELETE_BATCH = 256, LOG_ATTEMPTS_MAX = 32, CANCEL_ROUNDS = 4 };

void api_jobs_cancel(struct req *q)
{
	struct queue_job j;
	struct err e = { 0 };

	if (!req_job(q, q->param[0], &j))
		return;
	if (dispatch_cancel(q->api->o.dispatch, j.id, &e) < 0)
		reply_error(q, &e);
	else
		reply_empty(q, 202);
}

void api_jobs_redrive(struct req *q)
{
	struct queue_job j;
	struct err e = { 0 };

	if (!req_job(q, q->param[0], &j))
		return;
	if (queue_redrive(q->api->o.queue, j.id, &e) < 0)
		reply_error(q, &e);
	else
		reply_empty(q, 202);
}

void api_jobs_rerun(struct req *q)
{
	auto_service_def struct service_def *d = NULL;
	struct queue_job j, made;
	struct err e = { 0 };
	int64_t id;

	if (!req_job(q, q->param[0], &j))
		return;
	// The service of today says how long its queue may be; what runs is the job's own revision.
	if (service_by_id(q->api->o.services, j.service, &d, &e) < 0 ||
	    queue_rerun(q->api->o.queue, j.id, d->fdl->queue_max, &id, &e) < 0 ||
	    queue_job_get(q->api->o.queue, id, http_arena(q->http), &made, &e) < 0) {
		reply_call_error(q, &e);
		return;
	}
	http_reply_headerf(q->http, "X-Oscar-Job", "%s", made.name);
	reply_json(q, 201, req_job_json(q, &made));
}

// ---- many at once ----------------------------------------------------------------------------------------

// Which jobs are meant; the whole cluster's only with ?all=1. False when answered.
static bool many_of(struct req *q, struct queue_filter *f)
{
	if (!req_job_filter(q, f))
		return false;
	if (f->service || f->run || query_flag(q, "all"))
		return true;
	reply_text(q, 400, "name a service or a run, or say all=1");
	return false;
}

// Files of a run that wait for its end are forgotten with it, before it ends by this. A job of theirs may have been made
// meanwhile: then once more.
static int cancel_all(struct req *q, const struct dispatch_scope *s, uint64_t *count, struct err *e)
{
	bool whole = s->run && !s->service && !s->queued_only;
	uint64_t n, groups = 0;

	*count = 0;
	for (int i = 0; i < CANCEL_ROUNDS; i++) {
		if ((whole &&
		     service_groups_cancel(q->api->o.services, s->run, s->owner, &groups, e) < 0) ||
		    dispatch_cancel_all(q->api->o.dispatch, s, &n, e) < 0)
			return -1;
		*count += n;
		if (!whole || !(groups + n))
			break;
	}
	return 0;
}

void api_jobs_cancel_all(struct req *q)
{
	struct dispatch_scope s;
	struct queue_filter f;
	struct err e = { 0 };
	uint64_t n;

	if (!many_of(q, &f))
		return;
	if (f.state > QUEUE_QUEUED) {
		reply_text(q, 400, "state: only \"queued\", or none for queued and running jobs");
		return;
	}
	s = (struct dispatch_scope){ f.service, f.run, f.owner, f.state == QUEUE_QUEUED };
	if (cancel_all(q, &s, &n, &e) < 0)
		reply_error(q, &e);
	else
		reply_json(q, 200, json_pack("{s:I}", "cancelled", (json_int_t)n));
}

static int redrive_all(struct req *q, struct queue_filter *f, uint64_t *count, struct err *e)
{
	int64_t after = 0;
	size_t n;

	f->limit = DELETE_BATCH;
	do {
		if (queue_redrive_some(q->api->o.queue, f, &after, &n, e) < 0)
			return -1;
		*count += n;
	} while (n == f->limit);
	return 0;
}

void api_jobs_redrive_all(struct req *q)
{
	static const int each[] = { QUEUE_FAILED, QUEUE_DEAD };
	struct queue_filter f;
	struct err e = { 0 };
	uint64_t n = 0;
	bool one, bad = false;

	if (!many_of(q, &f))
		return;
	one = f.state >= 0;
	for (size_t i = 0; i < (one ? 1 : ARRAY_LEN(each)) && !bad; i++) {
		f.state = one ? f.state : each[i];
		bad = redrive_all(q, &f, &n, &e) < 0;
	}
	if (bad)
		reply_error(q, &e);
	else
		reply_json(q, 200, json_pack("{s:I}", "redriven", (json_int_t)n));
}

// ---- deleting --------------------------------------------------------------------------------------------

struct purge {
	struct queue *queue;
	int64_t service, ids[DELETE_BATCH];
	bool only_succeeded;
	size_t n;
};

static int purge_in(struct db_conn *c, void *arg, struct err *e)
{
	struct purge *p = arg;

	return queue_purge_in(p->queue, c, p->service, p->only_succeeded, DELETE_BATCH, p->ids,
			      &p->n, e);
}

int purge_jobs(struct api *a, int64_t service, bool only_succeeded, struct err *e)
{
	struct purge p = { .queue = a->o.queue,
			   .service = service,
			   .only_succeeded = only_succeeded };

	do { // in pieces, so that other writers get between
		if (db_write(a->o.db, purge_in, &p, e) < 0)
			return -1;
		for (size_t i = 0; i < p.n; i++)
			dispatch_log_remove(a->o.dispatch, p.ids[i], LOG_ATTEMPTS_MAX);
	} while (p.n == DELETE_BATCH);
	return 0;
}

void api_logs_delete(struct req *q)
{
	auto_service_def struct service_def *d = req_service(q);
	bool all = query_flag(q, "all");
	struct err e = { 0 };

	if (!d)
		return;
	if (!req_sees_all(q, d)) {
		reply_text(q, 403, "only the owner may delete the jobs of a service");
		return;
	}
	if ((all && dispatch_cancel_service(q->api->o.dispatch, d->id, &e) < 0) ||
	    purge_jobs(q->api, d->id, !all, &e) < 0)
		reply_error(q, &e);
	else
		reply_empty(q, 204);
}

void api_logs_delete_one(struct req *q)
{
	struct queue_job j;
	struct err e = { 0 };

	if (!req_job_of_service(q, &j))
		return;
	if (j.state < QUEUE_SUCCEEDED) // as deleting a pod ends it
		for (int i = 0; i < 200 && j.state < QUEUE_SUCCEEDED; i++) {
			struct timespec pause = { .tv_nsec = 50 * 1000000 };

			if (i == 0 && dispatch_cancel(q->api->o.dispatch, j.id, &e) < 0 &&
			    e.code != ERR_CONFLICT)
				break;
			nanosleep(&pause, NULL);
			if (queue_job_get(q->api->o.queue, j.id, http_arena(q->http), &j, &e) < 0)
				break;
		}
	if (queue_delete(q->api->o.queue, j.id, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	dispatch_log_remove(q->api->o.dispatch, j.id, j.attempt);
	reply_empty(q, 204);
}
