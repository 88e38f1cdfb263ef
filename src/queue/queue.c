// SPDX-License-Identifier: Apache-2.0
#include "queue/row.h"

#include "base/clock.h"
#include "base/mem.h"

enum { WAKE_BATCH = 1000 }; // delayed jobs made ready in one write

static const char *const state_names[QUEUE_STATES] = {
	"queued", "staging", "running", "uploading", "succeeded", "failed", "cancelled", "dead",
};

const char *queue_state_name(enum queue_state s)
{
	return (unsigned)s < QUEUE_STATES ? state_names[s] : "unknown";
}

bool queue_state_parse(struct span text, enum queue_state *out)
{
	for (unsigned i = 0; i < QUEUE_STATES; i++)
		if (span_is(text, state_names[i])) {
			*out = (enum queue_state)i;
			return true;
		}
	return false;
}

int queue_open(struct queue **out, struct db *d, struct err *e)
{
	struct queue *q = mem_zalloc(sizeof(*q));

	q->db = d;
	pthread_mutex_init(&q->lock, NULL);
	calls_start(q);
	if (limits_load(q, e) < 0 || trace_load(q, e) < 0) {
		queue_close(q);
		return err_wrap(e, "queue");
	}
	*out = q;
	return 0;
}

void queue_close(struct queue *q)
{
	if (!q)
		return;
	calls_release(q);
	limits_release(q);
	pthread_mutex_destroy(&q->lock);
	mem_free(q);
}

// ---- adding --------------------------------------------------------------------------------------------

int job_room_in(struct queue *q, struct db_conn *c, const struct queue_new *n, struct err *e)
{
	uint64_t user_max = queue_limits_get(q, n->owner).queued;
	int64_t queued;

	if (n->queued_max) {
		if (db_get_int(c, "SELECT n FROM job_counts WHERE service=?1 AND state=0",
			       DB_ARGS(db_int(n->service)), 0, &queued, e) < 0)
			return -1;
		queued += (int64_t)calls_count(q, n->service, 0);
		if ((uint64_t)queued >= n->queued_max)
			return err_set(e, ERR_BUSY, "the queue of the service is full: %lld jobs",
				       (long long)queued);
	}
	if (user_max) {
		if (db_get_int(c, "SELECT sum(queued) FROM lanes WHERE owner=?1",
			       DB_ARGS(db_int(n->owner)), 0, &queued, e) < 0)
			return -1;
		queued += (int64_t)calls_count(q, 0, n->owner);
		if ((uint64_t)queued >= user_max)
			return err_set(e, ERR_BUSY,
				       "the user has %lld jobs in the queue, %llu are allowed",
				       (long long)queued, (unsigned long long)user_max);
	}
	return 0;
}

int job_event_in(struct db_conn *c, const struct queue_job *j, const char *source,
		 struct span payload, struct err *e)
{
	return db_exec(c,
		       "INSERT INTO events(service,trigger,source,bucket,key,version,job,time_ns) "
		       "VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
		       DB_ARGS(db_int(j->service), db_int(j->trigger), db_str(source),
			       db_int(j->bucket), db_text(j->key), db_int(j->version),
			       db_int(j->id), db_int(j->created_ns)),
		       e) < 0 ||
			       db_exec(c, "INSERT INTO payloads(job,data) VALUES(?1,?2)",
				       DB_ARGS(db_int(j->id), db_blob(payload)), e) < 0
		       ? -1
		       : 0;
}

// Events are told apart by their object, service and trigger. One that makes a job again has a trigger of the job's
// own, below those of backfills and groups, which are negative too.
#define AGAIN_TRIGGERS (-(INT64_C(1) << 41))

int queue_add_in(struct queue *q, struct db_conn *c, const struct queue_new *n, int64_t *job,
		 struct err *e)
{
	auto_arena struct arena mem = { 0 };
	int64_t now = clock_wall_ns(), known;
	struct queue_job j = { .service = n->service,
			       .trigger = n->trigger,
			       .bucket = n->bucket,
			       .key = n->key,
			       .version = n->version,
			       .created_ns = now };
	uint8_t uuid[16];

	*job = 0;
	if (n->version && !n->again) {
		// The index is of versions other than 0, which the planner does not know of a parameter.
		if (db_get_int(c,
			       "SELECT id FROM events WHERE version=?1 AND version<>0 AND "
			       "service=?2 AND trigger=?3",
			       DB_ARGS(db_int(n->version), db_int(n->service), db_int(n->trigger)),
			       0, &known, e) < 0)
			return -1;
		if (known)
			return 0; // told again: it made its job the first time
	}
	if (!n->unbounded && job_room_in(q, c, n, e) < 0)
		return -1;
	rand_uuid(uuid);
	if (db_exec(c,
		    "INSERT INTO jobs(uuid,service,revision,owner,state,attempt,sync,priority,"
		    "run_after_ns,lease_ns,run,depth,created_ns) "
		    "VALUES(?1,?2,?3,?4,0,0,?5,?6,0,0,?7,?8,?9)",
		    DB_ARGS(db_blob(span_make(uuid, 16)), db_int(n->service), db_int(n->revision),
			    db_int(n->owner), db_int(n->sync), db_int(n->priority), db_int(n->run),
			    db_int(n->depth), db_int(now)),
		    e) < 0)
		return -1;
	*job = j.id = db_last_id(c);
	if (n->again)
		j.trigger = AGAIN_TRIGGERS - j.id;
	if (!n->run &&
	    db_exec(c, "UPDATE jobs SET run=-id WHERE id=?1", DB_ARGS(db_int(*job)), e) < 0)
		return -1; // a chain that begins with a call, not with an object
	if (queue_trace_begin_in(c, n->run ? n->run : -*job, n->trace, e) < 0 ||
	    job_event_in(c, &j, n->source, n->payload, e) < 0 ||
	    job_count_in(c, n->service, QUEUE_QUEUED, 1, e) < 0 ||
	    job_find_in(c, *job, &mem, &j, e) < 0 || job_lane_in(c, &j, 1, e) < 0)
		return -1;
	q->added++;
	return job_tell_in(c, &j, QUEUE_QUEUED, NULL, e);
}

struct add {
	struct queue *q;
	const struct queue_new *n;
	int64_t *job;
};

static int add(struct db_conn *c, void *arg, struct err *e)
{
	struct add *a = arg;

	return queue_add_in(a->q, c, a->n, a->job, e);
}

int queue_add(struct queue *q, const struct queue_new *n, int64_t *job, struct err *e)
{
	struct add a = { q, n, job };

	return db_write(q->db, add, &a, e);
}

// ---- reading -------------------------------------------------------------------------------------------

// The entry of a lane among those that are there, made when it is new.
static struct queue_lane *lane_of(struct arena *mem, struct queue_lane **list, size_t *n,
				  size_t *cap, size_t known, const struct queue_lane *l)
{
	for (size_t i = 0; i < known; i++)
		if ((*list)[i].owner == l->owner && (*list)[i].service == l->service &&
		    (*list)[i].priority == l->priority)
			return &(*list)[i];
	if (*n == *cap) {
		struct queue_lane *more = arena_alloc(mem, 2 * *cap * sizeof(*more));

		memcpy(more, *list, *cap * sizeof(*more));
		*list = more;
		*cap *= 2;
	}
	(*list)[*n] = *l;
	return &(*list)[(*n)++];
}

int queue_lanes(struct queue *q, struct arena *mem, struct queue_lane **out, size_t *n,
		struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = NULL;
	size_t calls = calls_lanes(q, mem, out), cap = calls + 1;
	int got;

	*n = calls;
	if (!c)
		return -1;
	s = db_query(c, "SELECT owner,service,priority FROM lanes WHERE queued>0", DB_NO_ARGS, e);
	while ((got = db_step(s, e)) > 0) {
		struct queue_lane l = { .owner = db_col_int(s, 0),
					.service = db_col_int(s, 1),
					.priority = (int)db_col_int(s, 2) };

		lane_of(mem, out, n, &cap, calls, &l)->rows = true;
	}
	return got;
}

int queue_ready(struct queue *q, const struct queue_lane *l, int64_t after, int64_t upto,
		size_t limit, struct arena *mem, struct queue_job **out, size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = NULL;

	*n = 0;
	if (!c)
		return -1;
	s = db_query(c,
		     JOB_SELECT "WHERE j.state=0 AND j.run_after_ns=0 AND j.owner=?1 AND "
				"j.service=?2 AND j.priority=?3 AND j.id>?4 AND j.id<=?5 "
				"ORDER BY j.id LIMIT ?6",
		     DB_ARGS(db_int(l->owner), db_int(l->service), db_int(l->priority),
			     db_int(after), db_int(upto), db_int((int64_t)limit)),
		     e);
	return jobs_collect(s, limit, mem, out, n, e);
}

struct waking {
	struct queue *q;
	int64_t now_ns;
};

static int wake(struct db_conn *c, void *arg, struct err *e)
{
	struct waking *w = arg;
	int n = db_exec(c,
			"UPDATE jobs SET run_after_ns=0 WHERE id IN (SELECT id FROM jobs "
			"INDEXED BY jobs_delayed WHERE state=0 AND run_after_ns>0 AND "
			"run_after_ns<=?1 ORDER BY run_after_ns "
			"LIMIT ?2)",
			DB_ARGS(db_int(w->now_ns), db_int(WAKE_BATCH)), e);

	w->q->added += n > 0;
	return n < 0 ? -1 : 0;
}

// The planner knows no counts and would look through all that is queued.
int queue_wake(struct queue *q, int64_t now_ns, int64_t *next_ns, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	struct waking w = { q, now_ns };

	*next_ns = 0;
	if (!c || db_get_int(c,
			     "SELECT run_after_ns FROM jobs INDEXED BY jobs_delayed WHERE "
			     "state=0 AND run_after_ns>0 ORDER BY run_after_ns LIMIT 1",
			     DB_NO_ARGS, 0, next_ns, e) < 0)
		return -1;
	return *next_ns && *next_ns <= now_ns ? db_write_lazy(q->db, wake, &w, e) : 0;
}

int queue_active(struct queue *q, struct arena *mem, struct queue_job **out, size_t *n,
		 struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = NULL;
	int64_t count;

	*n = 0;
	if (!c || db_get_int(c, "SELECT count(*) FROM jobs WHERE state IN (1,2,3)", DB_NO_ARGS, 0,
			     &count, e) < 0)
		return -1;
	s = db_query(c, JOB_SELECT "WHERE j.state IN (1,2,3) ORDER BY j.id", DB_NO_ARGS, e);
	return jobs_collect(s, (size_t)count + 1, mem, out, n, e);
}

int queue_job_get(struct queue *q, int64_t id, struct arena *mem, struct queue_job *out,
		  struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);

	return c ? job_find_in(c, id, mem, out, e) : -1;
}

// The UUID at the end of a job's name.
static bool uuid_of_name(struct span name, uint8_t out[static 16])
{
	size_t k = 0;

	if (name.n < 37)
		return false;
	name = span_from(name, name.n - 36);
	for (size_t i = 0; i < 36; i++) {
		char pair[3] = { name.p[i], i < 35 ? name.p[i + 1] : '\0', '\0' };
		char *end;

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (name.p[i] != '-')
				return false;
			continue;
		}
		out[k++] = (uint8_t)strtoul(pair, &end, 16);
		if (end != pair + 2)
			return false;
		i++;
	}
	return k == 16;
}

int queue_job_find(struct queue *q, struct span name, struct arena *mem, struct queue_job *out,
		   struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	uint8_t uuid[16];
	int64_t id = 0;

	if (!c)
		return -1;
	if (uuid_of_name(name, uuid) &&
	    db_get_int(c, "SELECT id FROM jobs WHERE uuid=?1",
		       DB_ARGS(db_blob(span_make(uuid, 16))), 0, &id, e) < 0)
		return -1;
	if (!id || job_find_in(c, id, mem, out, e) < 0 || !span_is(name, out->name))
		return err_set(e, ERR_NOT_FOUND, "no job named " SPAN_FMT,
			       SPAN_ARG(span_head(name, QUEUE_NAME_MAX)));
	return 0;
}

int queue_payload(struct queue *q, int64_t job, struct arena *mem, struct span *out, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = NULL;
	int got;

	if (!c)
		return -1;
	s = db_query(c, "SELECT data FROM payloads WHERE job=?1", DB_ARGS(db_int(job)), e);
	got = db_step(s, e);
	if (got <= 0)
		return got ? -1 : err_set(e, ERR_NOT_FOUND, "no such job");
	*out = arena_span(mem, db_col_span(s, 0));
	return 0;
}

static void attempt_from_row(struct db_stmt *s, struct arena *mem, struct queue_attempt *a)
{
	*a = (struct queue_attempt){
		.number = (unsigned)db_col_int(s, 0),
		.leased_ns = db_col_int(s, 3),
		.started_ns = db_col_int(s, 4),
		.uploading_ns = db_col_int(s, 5),
		.ended_ns = db_col_int(s, 6),
		.exit_code = (int)db_col_int(s, 8),
		.signal = (int)db_col_int(s, 9),
		.memory_peak = (uint64_t)db_col_int(s, 11),
		.cpu_us = (uint64_t)db_col_int(s, 12),
		.devices = arena_span(mem, db_col_span(s, 13)).p,
	};
	snprintf(a->driver, sizeof(a->driver), SPAN_FMT, SPAN_ARG(db_col_span(s, 1)));
	snprintf(a->node, sizeof(a->node), SPAN_FMT, SPAN_ARG(db_col_span(s, 2)));
	snprintf(a->outcome, sizeof(a->outcome), SPAN_FMT, SPAN_ARG(db_col_span(s, 7)));
	snprintf(a->reason, sizeof(a->reason), SPAN_FMT, SPAN_ARG(db_col_span(s, 10)));
}

int queue_attempts(struct queue *q, int64_t job, struct arena *mem, struct queue_attempt **out,
		   size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = NULL;
	int64_t count;
	int got;

	*n = 0;
	if (!c || db_get_int(c, "SELECT count(*) FROM attempts WHERE job=?1", DB_ARGS(db_int(job)),
			     0, &count, e) < 0)
		return -1;
	*out = arena_alloc(mem, (size_t)count * sizeof(**out));
	s = db_query(c,
		     "SELECT number,driver,node,leased_ns,started_ns,uploading_ns,ended_ns,outcome,"
		     "coalesce(exit_code,-1),coalesce(signal,0),reason,memory_peak,cpu_us,devices "
		     "FROM attempts WHERE job=?1 ORDER BY number",
		     DB_ARGS(db_int(job)), e);
	while ((got = db_step(s, e)) > 0 && *n < (size_t)count)
		attempt_from_row(s, mem, &(*out)[(*n)++]);
	return got < 0 ? -1 : 0;
}

int queue_list(struct queue *q, const struct queue_filter *f, struct arena *mem,
	       struct queue_job **out, size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = NULL;
	struct db_val service = db_int(f->service), run = db_int(f->run), state = db_int(f->state),
		      owner = db_int(f->owner), before = db_int(f->before ? f->before : INT64_MAX),
		      limit = db_int((int64_t)f->limit);

	*n = 0;
	if (!c)
		return -1;
	// One text for each index to be used; `state` and `owner` filter what comes.
	if (f->run)
		s = db_query(c,
			     JOB_SELECT
			     "WHERE j.run=?1 AND (?2=0 OR j.service=?2) AND (?3<0 OR j.state=?3) "
			     "AND (?4=0 OR j.owner=?4) AND j.id<?5 ORDER BY j.id DESC LIMIT ?6",
			     DB_ARGS(run, service, state, owner, before, limit), e);
	else if (f->service && f->state >= 0)
		s = db_query(c,
			     JOB_SELECT
			     "WHERE j.service=?1 AND j.state=?2 AND "
			     "(?3=0 OR j.owner=?3) AND j.id<?4 ORDER BY j.id DESC LIMIT ?5",
			     DB_ARGS(service, state, owner, before, limit), e);
	else if (f->service)
		s = db_query(c,
			     JOB_SELECT "WHERE j.service=?1 AND (?2=0 OR j.owner=?2) AND j.id<?3 "
					"ORDER BY j.id DESC LIMIT ?4",
			     DB_ARGS(service, owner, before, limit), e);
	else if (f->state >= 0)
		s = db_query(c,
			     JOB_SELECT "WHERE j.state=?1 AND (?2=0 OR j.owner=?2) AND j.id<?3 "
					"ORDER BY j.id DESC LIMIT ?4",
			     DB_ARGS(state, owner, before, limit), e);
	else if (f->owner)
		s = db_query(c,
			     JOB_SELECT "WHERE j.owner=?1 AND j.id<?2 ORDER BY j.id DESC LIMIT ?3",
			     DB_ARGS(owner, before, limit), e);
	else
		s = db_query(c, JOB_SELECT "WHERE j.id<?1 ORDER BY j.id DESC LIMIT ?2",
			     DB_ARGS(before, limit), e);
	return jobs_collect(s, f->limit, mem, out, n, e);
}

int queue_head(struct queue *q, int64_t *created_ns, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);

	return c ? db_get_int(c, "SELECT created_ns FROM jobs WHERE state=0 ORDER BY id LIMIT 1",
			      DB_NO_ARGS, 0, created_ns, e)
		 : -1;
}

int queue_oldest(struct queue *q, int64_t service, int64_t *job, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);

	return c ? db_get_int(c, "SELECT min(id) FROM jobs WHERE service=?1 AND state=0",
			      DB_ARGS(db_int(service)), 0, job, e)
		 : -1;
}

int queue_counts(struct queue *q, int64_t service, int64_t run, uint64_t out[static QUEUE_STATES],
		 struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = NULL;
	int got;

	memset(out, 0, QUEUE_STATES * sizeof(*out));
	if (!c)
		return -1;
	s = run ? db_query(c,
			   "SELECT state,count(*) FROM jobs WHERE run=?1 AND (?2=0 OR service=?2) "
			   "GROUP BY state",
			   DB_ARGS(db_int(run), db_int(service)), e)
		: db_query(c,
			   "SELECT state,sum(n) FROM job_counts WHERE ?1=0 OR service=?1 GROUP BY "
			   "state",
			   DB_ARGS(db_int(service)), e);
	while ((got = db_step(s, e)) > 0) {
		int64_t state = db_col_int(s, 0);

		if (state >= 0 && state < QUEUE_STATES)
			out[state] = (uint64_t)db_col_int(s, 1);
	}
	return got;
}

uint64_t queue_added(struct queue *q)
{
	return q->added;
}
