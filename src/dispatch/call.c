// SPDX-License-Identifier: Apache-2.0
// call: jobs whose callers wait. One that ends while it is young is written once, with its outcome, before its caller
// hears of it; one that lasts gets a row like other jobs, so that it is seen, can be cancelled and outlives us.
#include "queue/call.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db.h"
#include "dispatch/job.h"
#include "fdl/fdl.h"

int dispatch_call_new(struct dispatch *d, const struct service_def *def, int64_t user,
		      struct span payload, const struct trace_context *trace,
		      struct queue_call **out, struct err *e)
{
	struct queue_new n;

	if (service_call_describe(d->o.services, def, user, payload, true, trace, &n, e) < 0)
		return -1;
	return queue_call_new(d->o.queue, &n, def->fdl->name, out, e);
}

int dispatch_call(struct dispatch *d, struct queue_call *call, dispatch_answer_fn fn, void *owner,
		  struct err *e)
{
	pthread_mutex_lock(&d->lock);
	if (d->stopping || !d->started) {
		pthread_mutex_unlock(&d->lock);
		queue_call_put(call);
		return err_set(e, ERR_UNAVAILABLE, "the server is stopping");
	}
	waiter_add(d, call->row.id, fn, owner);
	queue_call_wait(d->o.queue, call);
	d->look = true;
	pthread_cond_signal(&d->wake);
	pthread_mutex_unlock(&d->lock);
	return 0;
}

int job_payload(struct dispatch *d, const struct job *j, struct arena *mem, struct span *out,
		struct err *e)
{
	if (!j->call)
		return queue_payload(d->o.queue, j->row.id, mem, out, e);
	*out = j->call->payload;
	return 0;
}

// ---- rows of active calls ------------------------------------------------------------------------------

bool job_has_row(struct dispatch *d, const struct job *j)
{
	auto_lock held = lock_hold(&d->lock);

	return !j->call || j->row_asked;
}

static struct queue_stand stand_of(struct dispatch *d, const struct job *j, enum queue_state state)
{
	return (struct queue_stand){ .state = state,
				     .attempt = j->row.attempt,
				     .driver = d->driver->ops->name,
				     .node = j->node,
				     .devices = j->devices,
				     .leased_ns = j->leased_ns,
				     .started_ns =
					     j->ended ? j->result.started_wall_ns : j->started_ns,
				     .lease_ms = d->o.lease_ms };
}

void job_settle(struct dispatch *d, struct job *j)
{
	auto_lock held = lock_hold(&d->lock);

	if (j->call)
		queue_call_settled(d->o.queue, j->call);
}

int job_end_in(struct dispatch *d, struct db_conn *c, const struct job *j, enum queue_state to,
	       int64_t run_after_ns, const struct queue_result *r, struct err *e)
{
	struct queue_stand s;

	if (!j->call)
		return queue_end_in(d->o.queue, c, j->row.id, j->row.attempt, to, run_after_ns, r,
				    e);
	{
		auto_lock held = lock_hold(&d->lock);

		s = stand_of(d, j, to);
	}
	s.run_after_ns = run_after_ns;
	s.result = r;
	return queue_call_end_in(d->o.queue, c, j->call, &s, e);
}

struct ending {
	struct dispatch *d;
	const struct job *j;
	enum queue_state to;
	const struct queue_result *result;
};

static int end_in(struct db_conn *c, void *arg, struct err *e)
{
	const struct ending *x = arg;

	return job_end_in(x->d, c, x->j, x->to, 0, x->result, e);
}

int job_end(struct dispatch *d, struct job *j, enum queue_state to, const struct queue_result *r,
	    struct err *e)
{
	struct ending x = { d, j, to, r };

	job_settle(d, j);
	return db_write(d->o.db, end_in, &x, e);
}

int job_give_back(struct dispatch *d, struct job *j, int64_t run_after_ns, struct err *e)
{
	struct queue_stand s = { .attempt = j->row.attempt, .run_after_ns = run_after_ns };

	if (!j->call)
		return queue_release(d->o.queue, j->row.id, j->row.attempt, run_after_ns, e);
	job_settle(d, j);
	return queue_call_release(d->o.queue, j->call, &s, e);
}

// ---- those that never began ----------------------------------------------------------------------------

struct call_end {
	struct queue *queue;
	const struct queue_call *call;
	const struct queue_stand *stand;
};

static int call_end_in(struct db_conn *c, void *arg, struct err *e)
{
	const struct call_end *x = arg;

	return queue_call_end_in(x->queue, c, x->call, x->stand, e);
}

void call_end(struct dispatch *d, struct queue_call *call, enum queue_state to,
	      const struct queue_result *r)
{
	struct queue_stand s = { .state = to,
				 .attempt = to == QUEUE_FAILED,
				 .driver = d->driver->ops->name,
				 .leased_ns = clock_wall_ns(),
				 .result = r };
	struct call_end x = { d->o.queue, call, &s };
	struct err e = { 0 };

	queue_call_settled(d->o.queue, call);
	if (db_write(d->o.db, call_end_in, &x, &e) < 0)
		log_warn("dispatch", "job %s: %s", call->row.name, e.msg);
}

// ---- those that last -----------------------------------------------------------------------------------

struct late {
	struct db_request request; // first: `done` gets its address
	struct dispatch *d;
	struct queue_call *call;
	bool waited; // it was queued in memory and shall be so in the database
};

static int late_in(struct db_conn *c, void *arg, struct err *e)
{
	const struct late *l = arg;
	struct queue_stand s = { .state = QUEUE_QUEUED };
	struct dispatch *d = l->d;
	char node[EXEC_NODE_MAX];

	if (!l->waited) {
		auto_lock held = lock_hold(&d->lock);
		const struct job *j = job_find(d, l->call->row.id);

		if (!j || j->call != l->call)
			return 0; // it ended before
		s = stand_of(d, j, j->started_ns ? QUEUE_RUNNING : QUEUE_STAGING);
		memcpy(node, j->node, sizeof(node));
		s.node = node;
	}
	return queue_call_write_in(d->o.queue, c, l->call, &s, e);
}

static void late_done(struct db_request *r, int result, const struct err *e)
{
	struct late *l = (struct late *)r;
	struct dispatch_answer a = { .fd = -1 };

	if (result < 0)
		log_warn("dispatch", "job %s cannot be recorded: %s", l->call->row.name, e->msg);
	if (result < 0 && l->waited) {
		snprintf(a.reason, sizeof(a.reason), "the call cannot be recorded: %.200s", e->msg);
		answer_deliver(l->d, l->call->row.id, &a);
	} else if (result < 0) {
		queue_call_again(l->d->o.queue, l->call);
	}
	queue_call_put(l->call);
	mem_free(l);
}

int64_t calls_record(struct dispatch *d, bool all)
{
	int64_t young = d->o.call_young_ms * NS_PER_MS, oldest;
	struct queue_call *call;
	bool waited;

	// Under the lock, so that who settles a call or looks for one writes after this.
	auto_lock held = lock_hold(&d->lock);

	while ((call = queue_call_old(d->o.queue, all ? INT64_MAX : clock_mono_ns() - young,
				      &waited, &oldest))) {
		struct late *l = mem_zalloc(sizeof(*l));
		struct job *j = job_find(d, call->row.id);

		*l = (struct late){ .request = { .fn = late_in, .arg = l, .done = late_done },
				    .d = d,
				    .call = call,
				    .waited = waited };
		if (j)
			j->row_asked = true;
		db_submit(d->o.db, &l->request);
	}
	return oldest ? oldest + young : 0;
}

void calls_stop(struct dispatch *d)
{
	calls_record(d, true);
	db_settle(d->o.db);
}
