// SPDX-License-Identifier: Apache-2.0
// callrow: the rows of calls, written once, however the call stands.
#include "base/clock.h"
#include "queue/row.h"

static int write_attempt(struct db_conn *c, const struct queue_call *call,
			 const struct queue_stand *s, int64_t now, struct err *e)
{
	const struct queue_result *r = s->result;
	struct db_val none = db_null();

	return db_exec(c,
		       "INSERT INTO attempts(job,number,driver,node,leased_ns,started_ns,ended_ns,"
		       "outcome,exit_code,signal,reason,memory_peak,cpu_us,devices) "
		       "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
		       DB_ARGS(db_int(call->row.id), db_int(s->attempt), db_str(s->driver),
			       db_str(s->node), db_int(s->leased_ns), db_int(s->started_ns),
			       db_int(r ? now : 0), r ? db_str(r->outcome) : none,
			       r && r->exit_code >= 0 ? db_int(r->exit_code) : none,
			       r ? db_int(r->signal) : none, r ? db_str(r->reason) : none,
			       r ? db_int((int64_t)r->memory_peak) : none,
			       r ? db_int((int64_t)r->cpu_us) : none,
			       db_str(s->devices ? s->devices : "")),
		       e) < 0
		       ? -1
		       : 0;
}

static int write_job(struct db_conn *c, const struct queue_call *call, const struct queue_stand *s,
		     int64_t now, struct err *e)
{
	const struct queue_job *j = &call->row;
	const struct queue_result *r = s->result;
	bool active = s->state > QUEUE_QUEUED && s->state < QUEUE_SUCCEEDED;

	return db_exec(c,
		       "INSERT INTO jobs(id,uuid,service,revision,owner,state,attempt,sync,"
		       "priority,run_after_ns,lease_ns,run,depth,created_ns,started_ns,ended_ns,"
		       "exit_code,reason,outputs) "
		       "VALUES(?1,?2,?3,?4,?5,?6,?7,1,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)",
		       DB_ARGS(db_int(j->id), db_blob(span_make(call->uuid, 16)),
			       db_int(j->service), db_int(j->revision), db_int(j->owner),
			       db_int(s->state), db_int(s->attempt), db_int(j->priority),
			       db_int(s->run_after_ns),
			       db_int(active ? clock_wall_ns() + s->lease_ms * NS_PER_MS : 0),
			       db_int(j->run), db_int(j->depth), db_int(j->created_ns),
			       db_int(s->started_ns), db_int(s->state >= QUEUE_SUCCEEDED ? now : 0),
			       r && r->exit_code >= 0 ? db_int(r->exit_code) : db_null(),
			       r ? db_str(r->reason) : db_null(), db_int(r ? r->outputs : 0)),
		       e) < 0
		       ? -1
		       : 0;
}

// 1 = it has a row, 0, or -1.
static int has_row(struct db_conn *c, const struct queue_call *call, struct err *e)
{
	int64_t id;

	if (db_get_int(c, "SELECT id FROM jobs WHERE id=?1", DB_ARGS(db_int(call->row.id)), 0, &id,
		       e) < 0)
		return -1;
	return id != 0;
}

static int write_call(struct queue *q, struct db_conn *c, const struct queue_call *call,
		      const struct queue_stand *s, struct err *e)
{
	int64_t now = clock_wall_ns();
	struct queue_job j = call->row;

	if (write_job(c, call, s, now, e) < 0 ||
	    queue_trace_begin_in(c, j.run, &call->trace, e) < 0 ||
	    job_event_in(c, &j, call->source, call->payload, e) < 0 ||
	    (s->attempt && write_attempt(c, call, s, now, e) < 0) ||
	    job_count_in(c, j.service, s->state, 1, e) < 0 ||
	    (s->state == QUEUE_QUEUED && job_lane_in(c, &j, 1, e) < 0))
		return -1;
	q->added += s->state == QUEUE_QUEUED;
	j.attempt = s->attempt;
	return job_tell_in(c, &j, s->state, s->result ? s->result->reason : NULL, e);
}

int queue_call_write_in(struct queue *q, struct db_conn *c, const struct queue_call *call,
			const struct queue_stand *s, struct err *e)
{
	int known = has_row(c, call, e);

	return known ? (known < 0 ? -1 : 0) : write_call(q, c, call, s, e);
}

int queue_call_end_in(struct queue *q, struct db_conn *c, const struct queue_call *call,
		      const struct queue_stand *s, struct err *e)
{
	int known = has_row(c, call, e);

	if (known < 0)
		return -1;
	return known ? queue_end_in(q, c, call->row.id, s->attempt, s->state, s->run_after_ns,
				    s->result, e)
		     : write_call(q, c, call, s, e);
}

struct giving_back {
	struct queue *q;
	const struct queue_call *call;
	const struct queue_stand *s;
};

static int give_back(struct db_conn *c, void *arg, struct err *e)
{
	const struct giving_back *g = arg;
	struct queue_stand s = { .state = QUEUE_QUEUED,
				 .attempt = g->s->attempt - 1,
				 .run_after_ns = g->s->run_after_ns };
	int known = has_row(c, g->call, e);

	if (known < 0)
		return -1;
	return known ? job_release_in(g->q, c, g->call->row.id, g->s->attempt, s.run_after_ns, e)
		     : write_call(g->q, c, g->call, &s, e);
}

int queue_call_release(struct queue *q, const struct queue_call *call, const struct queue_stand *s,
		       struct err *e)
{
	struct giving_back g = { q, call, s };

	return db_write(q->db, give_back, &g, e);
}
