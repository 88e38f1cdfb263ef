// SPDX-License-Identifier: Apache-2.0
// life: what happens to a job after it was added: leases, steps, ends, cancelling, deleting.
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/row.h"

struct step {
	struct queue *q;
	int64_t job;
	unsigned attempt;
	int64_t time_ns;
	enum queue_state to;
	const struct queue_result *result;
	int answer;
};

struct lease {
	struct queue_lease_item *items;
	size_t n;
	const char *driver;
	int64_t until_ns;
};

static int lease_one(struct db_conn *c, const struct lease *l, struct queue_lease_item *it,
		     struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct queue_job j;

	it->attempt = 0;
	if (job_find_in(c, it->job, &mem, &j, e) < 0)
		return e->code == ERR_NOT_FOUND ? 0 : -1;
	if (j.state != QUEUE_QUEUED)
		return 0;
	j.attempt++;
	if (db_exec(c, "UPDATE jobs SET state=1, attempt=?2, lease_ns=?3 WHERE id=?1",
		    DB_ARGS(db_int(j.id), db_int(j.attempt), db_int(l->until_ns)), e) < 0 ||
	    db_exec(c,
		    "INSERT OR REPLACE INTO attempts(job,number,driver,leased_ns,devices) "
		    "VALUES(?1,?2,?3,?4,?5)",
		    DB_ARGS(db_int(j.id), db_int(j.attempt), db_str(l->driver),
			    db_int(clock_wall_ns()), db_str(it->devices ? it->devices : "")),
		    e) < 0)
		return -1;
	it->attempt = j.attempt;
	return job_move_in(c, &j, QUEUE_STAGING, NULL, e);
}

static int lease(struct db_conn *c, void *arg, struct err *e)
{
	struct lease *l = arg;

	for (size_t i = 0; i < l->n; i++)
		if (lease_one(c, l, &l->items[i], e) < 0)
			return -1;
	return 0;
}

int queue_lease(struct queue *q, struct queue_lease_item *items, size_t n, const char *driver,
		int64_t lease_ms, struct err *e)
{
	struct lease l = { items, n, driver, clock_wall_ns() + lease_ms * NS_PER_MS };

	return db_write(q->db, lease, &l, e);
}

// A step that nobody waits for.
struct posted {
	struct db_request request; // first: `done` gets its address
	struct step step;
	char node[64];
};

static void posted_done(struct db_request *r, int result, const struct err *e)
{
	if (result < 0)
		log_warn("queue", "a step of a job was not recorded: %s", e->msg);
	mem_free(r);
}

static void post(struct queue *q, db_write_fn fn, const struct step *s, const char *node)
{
	struct posted *p = mem_zalloc(sizeof(*p));

	p->step = *s;
	snprintf(p->node, sizeof(p->node), "%s", node);
	p->request = (struct db_request){ .fn = fn, .arg = p, .done = posted_done, .lazy = true };
	db_submit(q->db, &p->request);
}

static int renew(struct db_conn *c, void *arg, struct err *e)
{
	const struct step *s = &((struct posted *)arg)->step;

	return db_exec(c, "UPDATE jobs SET lease_ns=?2 WHERE id=?1 AND state IN (1,2,3)",
		       DB_ARGS(db_int(s->job), db_int(s->time_ns)), e) < 0
		       ? -1
		       : 0;
}

void queue_renew(struct queue *q, int64_t job, int64_t lease_ms)
{
	struct step s = { .job = job, .time_ns = clock_wall_ns() + lease_ms * NS_PER_MS };

	post(q, renew, &s, "");
}

// To running or uploading, from the states before; told again or too late it changes nothing.
static int advance(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	const struct posted *p = arg;
	const struct step *s = &p->step;
	struct queue_job j;
	int n;

	if (job_find_in(c, s->job, &mem, &j, e) < 0)
		return e->code == ERR_NOT_FOUND ? 0 : -1;
	if (j.attempt != s->attempt || j.state >= s->to || j.state == QUEUE_QUEUED)
		return 0;
	n = s->to == QUEUE_RUNNING
		    ? db_exec(c, "UPDATE jobs SET state=2, started_ns=?2 WHERE id=?1",
			      DB_ARGS(db_int(j.id), db_int(s->time_ns)), e)
		    : db_exec(c, "UPDATE jobs SET state=3 WHERE id=?1", DB_ARGS(db_int(j.id)), e);
	if (n < 0)
		return -1;
	n = s->to == QUEUE_RUNNING
		    ? db_exec(c,
			      "UPDATE attempts SET started_ns=?3, node=?4 WHERE job=?1 AND "
			      "number=?2",
			      DB_ARGS(db_int(j.id), db_int(j.attempt), db_int(s->time_ns),
				      db_str(p->node)),
			      e)
		    : db_exec(c, "UPDATE attempts SET uploading_ns=?3 WHERE job=?1 AND number=?2",
			      DB_ARGS(db_int(j.id), db_int(j.attempt), db_int(s->time_ns)), e);
	return n < 0 ? -1 : job_move_in(c, &j, s->to, NULL, e);
}

void queue_started(struct queue *q, int64_t job, unsigned attempt, int64_t started_ns,
		   const char *node)
{
	struct step s = {
		.job = job, .attempt = attempt, .time_ns = started_ns, .to = QUEUE_RUNNING
	};

	post(q, advance, &s, node);
}

void queue_uploading(struct queue *q, int64_t job, unsigned attempt)
{
	struct step s = {
		.job = job, .attempt = attempt, .time_ns = clock_wall_ns(), .to = QUEUE_UPLOADING
	};

	post(q, advance, &s, "");
}

int queue_end_in(struct queue *q, struct db_conn *c, int64_t job, unsigned attempt,
		 enum queue_state to, int64_t run_after_ns, const struct queue_result *r,
		 struct err *e)
{
	auto_arena struct arena mem = { 0 };
	int64_t now = clock_wall_ns();
	struct queue_job j;

	if (job_find_in(c, job, &mem, &j, e) < 0)
		return -1;
	if (j.attempt != attempt || j.state == QUEUE_QUEUED || j.state >= QUEUE_SUCCEEDED)
		return err_set(e, ERR_CONFLICT, "job %s is %s in attempt %u", j.name,
			       queue_state_name(j.state), j.attempt);
	if (db_exec(c,
		    "UPDATE attempts SET ended_ns=?3,outcome=?4,exit_code=?5,signal=?6,reason=?7,"
		    "memory_peak=?8,cpu_us=?9 WHERE job=?1 AND number=?2",
		    DB_ARGS(db_int(job), db_int(attempt), db_int(now), db_str(r->outcome),
			    r->exit_code < 0 ? db_null() : db_int(r->exit_code), db_int(r->signal),
			    db_str(r->reason), db_int((int64_t)r->memory_peak),
			    db_int((int64_t)r->cpu_us)),
		    e) < 0 ||
	    db_exec(c,
		    "UPDATE jobs SET state=?2, run_after_ns=?3, ended_ns=?4, exit_code=?5, "
		    "reason=?6,"
		    "outputs=?7, lease_ns=0 WHERE id=?1",
		    DB_ARGS(db_int(job), db_int(to), db_int(run_after_ns),
			    db_int(to == QUEUE_QUEUED ? 0 : now),
			    r->exit_code < 0 ? db_null() : db_int(r->exit_code), db_str(r->reason),
			    db_int(r->outputs)),
		    e) < 0)
		return -1;
	q->added += to == QUEUE_QUEUED;
	return job_move_in(c, &j, to, r->reason, e);
}

static int end(struct db_conn *c, void *arg, struct err *e)
{
	struct step *s = arg;

	return queue_end_in(s->q, c, s->job, s->attempt, s->to, s->time_ns, s->result, e);
}

int queue_end(struct queue *q, int64_t job, unsigned attempt, enum queue_state to,
	      int64_t run_after_ns, const struct queue_result *r, struct err *e)
{
	struct step s = { .q = q,
			  .job = job,
			  .attempt = attempt,
			  .to = to,
			  .time_ns = run_after_ns,
			  .result = r };

	return db_write(q->db, end, &s, e);
}

int job_release_in(struct queue *q, struct db_conn *c, int64_t job, unsigned attempt,
		   int64_t run_after_ns, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct queue_job j;

	if (job_find_in(c, job, &mem, &j, e) < 0)
		return -1;
	if (j.attempt != attempt || j.state != QUEUE_STAGING)
		return err_set(e, ERR_CONFLICT, "job %s is %s in attempt %u", j.name,
			       queue_state_name(j.state), j.attempt);
	if (db_exec(c, "DELETE FROM attempts WHERE job=?1 AND number=?2",
		    DB_ARGS(db_int(j.id), db_int(j.attempt)), e) < 0 ||
	    db_exec(c,
		    "UPDATE jobs SET state=0, attempt=attempt-1, run_after_ns=?2, lease_ns=0 WHERE "
		    "id=?1",
		    DB_ARGS(db_int(j.id), db_int(run_after_ns)), e) < 0)
		return -1;
	q->added++;
	return job_move_in(c, &j, QUEUE_QUEUED, NULL, e);
}

static int release(struct db_conn *c, void *arg, struct err *e)
{
	struct step *s = arg;

	return job_release_in(s->q, c, s->job, s->attempt, s->time_ns, e);
}

int queue_release(struct queue *q, int64_t job, unsigned attempt, int64_t run_after_ns,
		  struct err *e)
{
	struct step s = { .q = q, .job = job, .attempt = attempt, .time_ns = run_after_ns };

	return db_write(q->db, release, &s, e);
}

static int cancel_in(struct db_conn *c, struct queue_job *j, struct err *e)
{
	if (db_exec(c, "UPDATE jobs SET state=6, ended_ns=?2, reason='cancelled' WHERE id=?1",
		    DB_ARGS(db_int(j->id), db_int(clock_wall_ns())), e) < 0)
		return -1;
	return job_move_in(c, j, QUEUE_CANCELLED, "cancelled", e);
}

static int cancel(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct step *s = arg;
	struct queue_job j;

	if (job_find_in(c, s->job, &mem, &j, e) < 0)
		return -1;
	if (j.state >= QUEUE_SUCCEEDED)
		return err_set(e, ERR_CONFLICT, "job %s is %s already", j.name,
			       queue_state_name(j.state));
	s->answer = j.state == QUEUE_QUEUED;
	return s->answer ? cancel_in(c, &j, e) : 0;
}

int queue_cancel(struct queue *q, int64_t job, struct err *e)
{
	struct step s = { .q = q, .job = job };

	return db_write(q->db, cancel, &s, e) < 0 ? -1 : s.answer;
}

static int redrive_in(struct queue *q, struct db_conn *c, struct queue_job *j, struct err *e)
{
	if (db_exec(c,
		    "UPDATE jobs SET state=0, run_after_ns=0, ended_ns=0, started_ns=0, "
		    "reason=NULL, exit_code=NULL, attempts_before=attempt WHERE id=?1",
		    DB_ARGS(db_int(j->id)), e) < 0)
		return -1;
	q->added++;
	q->redriven++;
	return job_move_in(c, j, QUEUE_QUEUED, NULL, e);
}

static int redrive(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct step *s = arg;
	struct queue_job j;

	if (job_find_in(c, s->job, &mem, &j, e) < 0)
		return -1;
	if (j.state < QUEUE_FAILED)
		return err_set(e, ERR_CONFLICT,
			       "job %s is %s: only failed, cancelled and dead jobs "
			       "are sent again",
			       j.name, queue_state_name(j.state));
	return redrive_in(s->q, c, &j, e);
}

int queue_redrive(struct queue *q, int64_t job, struct err *e)
{
	struct step s = { .q = q, .job = job };

	return db_write(q->db, redrive, &s, e);
}

// ---- many at once --------------------------------------------------------------------------------------

struct many {
	struct queue *q;
	const struct queue_filter *f;
	int64_t *ids, after;
	size_t n;
};

// Jobs in one state that a filter means, from ids above `after` on.
static int find_some(struct db_conn *c, const struct many *m, enum queue_state state,
		     struct arena *mem, struct queue_job **out, size_t *n, struct err *e)
{
	const struct queue_filter *f = m->f;
	struct db_val service = db_int(f->service), run = db_int(f->run), owner = db_int(f->owner),
		      in = db_int(state), after = db_int(m->after),
		      limit = db_int((int64_t)f->limit);
	auto_query struct db_stmt *s = NULL;

	if (f->run)
		s = db_query(c,
			     JOB_SELECT "WHERE j.run=?1 AND j.state=?2 AND j.id>?3 AND "
					"(?4=0 OR j.service=?4) AND (?5=0 OR j.owner=?5) "
					"ORDER BY j.id LIMIT ?6",
			     DB_ARGS(run, in, after, service, owner, limit), e);
	else if (f->service)
		s = db_query(c,
			     JOB_SELECT "WHERE j.service=?1 AND j.state=?2 AND j.id>?3 AND "
					"(?4=0 OR j.owner=?4) ORDER BY j.id LIMIT ?5",
			     DB_ARGS(service, in, after, owner, limit), e);
	else
		s = db_query(c,
			     JOB_SELECT "WHERE j.state=?1 AND j.id>?2 AND (?3=0 OR j.owner=?3) "
					"ORDER BY j.id LIMIT ?4",
			     DB_ARGS(in, after, owner, limit), e);
	return jobs_collect(s, f->limit, mem, out, n, e);
}

static int cancel_some(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct many *m = arg;
	struct queue_job *jobs;
	size_t n;

	if (find_some(c, m, QUEUE_QUEUED, &mem, &jobs, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (cancel_in(c, &jobs[i], e) < 0)
			return -1;
		m->ids[m->n++] = jobs[i].id;
	}
	return 0;
}

int queue_cancel_some(struct queue *q, const struct queue_filter *f, int64_t *ids, size_t *n,
		      struct err *e)
{
	struct many m = { .q = q, .f = f, .ids = ids };
	int bad = db_write(q->db, cancel_some, &m, e);

	*n = bad ? 0 : m.n;
	return bad;
}

static int redrive_some(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct many *m = arg;
	struct queue_job *jobs;

	if (find_some(c, m, (enum queue_state)m->f->state, &mem, &jobs, &m->n, e) < 0)
		return -1;
	for (size_t i = 0; i < m->n; i++) {
		if (redrive_in(m->q, c, &jobs[i], e) < 0)
			return -1;
		m->after = jobs[i].id;
	}
	return 0;
}

int queue_redrive_some(struct queue *q, const struct queue_filter *f, int64_t *after, size_t *n,
		       struct err *e)
{
	struct many m = { .q = q, .f = f, .after = *after };

	*n = 0;
	if (f->state < QUEUE_FAILED || f->state >= QUEUE_STATES)
		return err_set(e, ERR_INVALID,
			       "only failed, cancelled and dead jobs are sent again");
	if (db_write(q->db, redrive_some, &m, e) < 0)
		return -1;
	*after = m.after;
	*n = m.n;
	return 0;
}
