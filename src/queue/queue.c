// SPDX-License-Identifier: Apache-2.0
#include "queue/queue.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/feed.h"

static const char *const state_names[QUEUE_STATES] = {
	"queued", "staging", "running", "uploading", "succeeded", "failed", "cancelled", "dead",
};

struct queue {
	struct db *db;
	_Atomic uint64_t added;
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

int queue_open(struct queue **out, struct db *d, struct err *e unused_arg)
{
	*out = mem_zalloc(sizeof(**out));
	(*out)->db = d;
	return 0;
}

void queue_close(struct queue *q)
{
	mem_free(q);
}

// ---- rows ----------------------------------------------------------------------------------------------

#define JOB_SELECT                                                                                 \
	"SELECT j.id,j.uuid,coalesce(s.name,'deleted'),j.service,j.revision,j.owner,j.state,"      \
	"j.attempt,j.sync,j.priority,j.run,j.depth,j.run_after_ns,j.created_ns,j.started_ns,"      \
	"j.ended_ns,coalesce(j.exit_code,-1),j.reason,j.outputs,v.trigger,v.bucket,v.version,v."   \
	"key "                                                                                     \
	"FROM jobs j LEFT JOIN services s ON s.id=j.service "                                      \
	"LEFT JOIN events v ON v.id=(SELECT min(id) FROM events WHERE job=j.id) "

// Names of 25 characters and more are cut to 16, as OSCAR does.
static void make_name(struct queue_job *j, const uint8_t uuid[static 16])
{
	char text[RAND_UUID_TEXT];
	int n = (int)strlen(j->service_name);

	snprintf(j->name, sizeof(j->name), "%.*s-%s", n >= 25 ? 16 : n, j->service_name,
		 rand_uuid_text(uuid, text));
}

static void job_from_row(struct db_stmt *s, struct arena *mem, struct queue_job *j)
{
	struct span uuid = db_col_span(s, 1);

	*j = (struct queue_job){
		.id = db_col_int(s, 0),
		.service = db_col_int(s, 3),
		.revision = db_col_int(s, 4),
		.owner = db_col_int(s, 5),
		.state = (enum queue_state)db_col_int(s, 6),
		.attempt = (unsigned)db_col_int(s, 7),
		.sync = db_col_int(s, 8),
		.priority = (int)db_col_int(s, 9),
		.run = db_col_int(s, 10),
		.depth = (unsigned)db_col_int(s, 11),
		.run_after_ns = db_col_int(s, 12),
		.created_ns = db_col_int(s, 13),
		.started_ns = db_col_int(s, 14),
		.ended_ns = db_col_int(s, 15),
		.exit_code = (int)db_col_int(s, 16),
		.outputs = (unsigned)db_col_int(s, 18),
		.trigger = db_col_int(s, 19),
		.bucket = db_col_int(s, 20),
		.version = db_col_int(s, 21),
		.key = arena_span(mem, db_col_span(s, 22)),
	};
	snprintf(j->service_name, sizeof(j->service_name), SPAN_FMT, SPAN_ARG(db_col_span(s, 2)));
	snprintf(j->reason, sizeof(j->reason), SPAN_FMT, SPAN_ARG(db_col_span(s, 17)));
	if (uuid.n == 16)
		make_name(j, (const uint8_t *)uuid.p);
}

static int collect(struct db_stmt *s, size_t limit, struct arena *mem, struct queue_job **out,
		   size_t *n, struct err *e)
{
	int got = -1;

	*n = 0;
	*out = arena_alloc(mem, limit * sizeof(**out));
	while (*n < limit && (got = s ? db_step(s, e) : -1) > 0)
		job_from_row(s, mem, &(*out)[(*n)++]);
	return *n == limit ? 0 : got;
}

static int find_in(struct db_conn *c, int64_t id, struct arena *mem, struct queue_job *out,
		   struct err *e)
{
	auto_query struct db_stmt *s =
		db_query(c, JOB_SELECT "WHERE j.id=?1", DB_ARGS(db_int(id)), e);
	int got = s ? db_step(s, e) : -1;

	if (got < 0)
		return -1;
	if (!got)
		return err_set(e, ERR_NOT_FOUND, "no such job");
	job_from_row(s, mem, out);
	return 0;
}

// ---- changing state ------------------------------------------------------------------------------------

static int count_in(struct db_conn *c, int64_t service, enum queue_state s, int64_t by,
		    struct err *e)
{
	return db_exec(c,
		       "INSERT INTO job_counts(service,state,n) VALUES(?1,?2,?3) "
		       "ON CONFLICT DO UPDATE SET n=n+?3",
		       DB_ARGS(db_int(service), db_int(s), db_int(by)), e) < 0
		       ? -1
		       : 0;
}

static int tell(struct db_conn *c, const struct queue_job *j, enum queue_state to,
		const char *reason, struct err *e)
{
	auto_buf struct buf doc;

	buf_init(&doc, 4096);
	buf_printf(
		&doc,
		"{\"job\":\"%s\",\"service\":\"%s\",\"state\":\"%s\",\"attempt\":%u,\"run\":%lld",
		j->name, j->service_name, state_names[to], j->attempt, (long long)j->run);
	if (reason && *reason) {
		buf_add_str(&doc, ",\"reason\":\"");
		for (const char *p = reason; *p; p++)
			if (*p == '"' || *p == '\\')
				buf_printf(&doc, "\\%c", *p);
			else
				buf_add_char(&doc, (unsigned char)*p < 0x20 ? ' ' : *p);
		buf_add_char(&doc, '"');
	}
	buf_add_char(&doc, '}');
	return feed_append(c, "job", j->owner, buf_span(&doc), e);
}

static int move_in(struct db_conn *c, struct queue_job *j, enum queue_state to, const char *reason,
		   struct err *e)
{
	if (count_in(c, j->service, j->state, -1, e) < 0 || count_in(c, j->service, to, 1, e) < 0)
		return -1;
	return tell(c, j, to, reason, e);
}

// ---- adding --------------------------------------------------------------------------------------------

int queue_add_in(struct queue *q, struct db_conn *c, const struct queue_new *n, int64_t *job,
		 struct err *e)
{
	auto_arena struct arena mem = { 0 };
	int64_t now = clock_wall_ns(), known;
	struct queue_job j;
	uint8_t uuid[16];

	*job = 0;
	if (n->version) {
		if (db_get_int(
			    c,
			    "SELECT id FROM events WHERE version=?1 AND service=?2 AND trigger=?3",
			    DB_ARGS(db_int(n->version), db_int(n->service), db_int(n->trigger)), 0,
			    &known, e) < 0)
			return -1;
		if (known)
			return 0; // told again: it made its job the first time
	}
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
	*job = db_last_id(c);
	if (!n->run &&
	    db_exec(c, "UPDATE jobs SET run=-id WHERE id=?1", DB_ARGS(db_int(*job)), e) < 0)
		return -1; // a chain that begins with a call, not with an object
	if (db_exec(c,
		    "INSERT INTO events(service,trigger,source,bucket,key,version,job,time_ns) "
		    "VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
		    DB_ARGS(db_int(n->service), db_int(n->trigger), db_str(n->source),
			    db_int(n->bucket), db_text(n->key), db_int(n->version), db_int(*job),
			    db_int(now)),
		    e) < 0 ||
	    db_exec(c, "INSERT INTO payloads(job,data) VALUES(?1,?2)",
		    DB_ARGS(db_int(*job), db_blob(n->payload)), e) < 0 ||
	    count_in(c, n->service, QUEUE_QUEUED, 1, e) < 0 || find_in(c, *job, &mem, &j, e) < 0)
		return -1;
	q->added++;
	return tell(c, &j, QUEUE_QUEUED, NULL, e);
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

int queue_ready(struct queue *q, int64_t now_ns, size_t limit, struct arena *mem,
		struct queue_job **out, size_t *n, int64_t *next_ns, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = NULL;

	*n = 0;
	*next_ns = 0;
	if (!c)
		return -1;
	s = db_query(c,
		     JOB_SELECT "WHERE j.state=0 AND j.run_after_ns<=?1 "
				"ORDER BY j.priority DESC, j.run_after_ns, j.id LIMIT ?2",
		     DB_ARGS(db_int(now_ns), db_int((int64_t)limit)), e);
	if (collect(s, limit, mem, out, n, e) < 0)
		return -1;
	return db_get_int(c, "SELECT min(run_after_ns) FROM jobs WHERE state=0 AND run_after_ns>?1",
			  DB_ARGS(db_int(now_ns)), 0, next_ns, e);
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
	return collect(s, (size_t)count + 1, mem, out, n, e);
}

int queue_job_get(struct queue *q, int64_t id, struct arena *mem, struct queue_job *out,
		  struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);

	return c ? find_in(c, id, mem, out, e) : -1;
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
	if (!id || find_in(c, id, mem, out, e) < 0 || !span_is(name, out->name))
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
	got = s ? db_step(s, e) : -1;
	if (got <= 0)
		return got ? -1 : err_set(e, ERR_NOT_FOUND, "no such job");
	*out = arena_span(mem, db_col_span(s, 0));
	return 0;
}

static void attempt_from_row(struct db_stmt *s, struct queue_attempt *a)
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
		     "coalesce(exit_code,-1),coalesce(signal,0),reason,memory_peak,cpu_us "
		     "FROM attempts WHERE job=?1 ORDER BY number",
		     DB_ARGS(db_int(job)), e);
	while ((got = s ? db_step(s, e) : -1) > 0 && *n < (size_t)count)
		attempt_from_row(s, &(*out)[(*n)++]);
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
	else if (f->service)
		s = db_query(c,
			     JOB_SELECT
			     "WHERE j.service=?1 AND (?2<0 OR j.state=?2) AND "
			     "(?3=0 OR j.owner=?3) AND j.id<?4 ORDER BY j.id DESC LIMIT ?5",
			     DB_ARGS(service, state, owner, before, limit), e);
	else
		s = db_query(c,
			     JOB_SELECT
			     "WHERE (?1<0 OR j.state=?1) AND (?2=0 OR j.owner=?2) AND j.id<?3 "
			     "ORDER BY j.id DESC LIMIT ?4",
			     DB_ARGS(state, owner, before, limit), e);
	return collect(s, f->limit, mem, out, n, e);
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
	while ((got = s ? db_step(s, e) : -1) > 0) {
		int64_t state = db_col_int(s, 0);

		if (state >= 0 && state < QUEUE_STATES)
			out[state] = (uint64_t)db_col_int(s, 1);
	}
	return got;
}

// ---- the life of a job ---------------------------------------------------------------------------------

struct step {
	struct queue *q;
	int64_t job;
	unsigned attempt;
	int64_t time_ns;
	enum queue_state to;
	const struct queue_result *result;
	int answer;
};

uint64_t queue_added(struct queue *q)
{
	return q->added;
}

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
	if (find_in(c, it->job, &mem, &j, e) < 0)
		return e->code == ERR_NOT_FOUND ? 0 : -1;
	if (j.state != QUEUE_QUEUED)
		return 0;
	j.attempt++;
	if (db_exec(c, "UPDATE jobs SET state=1, attempt=?2, lease_ns=?3 WHERE id=?1",
		    DB_ARGS(db_int(j.id), db_int(j.attempt), db_int(l->until_ns)), e) < 0 ||
	    db_exec(c,
		    "INSERT OR REPLACE INTO attempts(job,number,driver,leased_ns) "
		    "VALUES(?1,?2,?3,?4)",
		    DB_ARGS(db_int(j.id), db_int(j.attempt), db_str(l->driver),
			    db_int(clock_wall_ns())),
		    e) < 0)
		return -1;
	it->attempt = j.attempt;
	return move_in(c, &j, QUEUE_STAGING, NULL, e);
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

	if (find_in(c, s->job, &mem, &j, e) < 0)
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
	return n < 0 ? -1 : move_in(c, &j, s->to, NULL, e);
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

	if (find_in(c, job, &mem, &j, e) < 0)
		return -1;
	if (j.attempt != attempt || j.state == QUEUE_QUEUED || j.state >= QUEUE_SUCCEEDED)
		return err_set(e, ERR_CONFLICT, "job %s is %s in attempt %u", j.name,
			       state_names[j.state], j.attempt);
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
	return move_in(c, &j, to, r->reason, e);
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

static int release(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct step *s = arg;
	struct queue_job j;

	if (find_in(c, s->job, &mem, &j, e) < 0)
		return -1;
	if (j.attempt != s->attempt || j.state != QUEUE_STAGING)
		return err_set(e, ERR_CONFLICT, "job %s is %s in attempt %u", j.name,
			       state_names[j.state], j.attempt);
	if (db_exec(c, "DELETE FROM attempts WHERE job=?1 AND number=?2",
		    DB_ARGS(db_int(j.id), db_int(j.attempt)), e) < 0 ||
	    db_exec(c,
		    "UPDATE jobs SET state=0, attempt=attempt-1, run_after_ns=?2, lease_ns=0 WHERE "
		    "id=?1",
		    DB_ARGS(db_int(j.id), db_int(s->time_ns)), e) < 0)
		return -1;
	s->q->added++;
	return move_in(c, &j, QUEUE_QUEUED, NULL, e);
}

int queue_release(struct queue *q, int64_t job, unsigned attempt, int64_t run_after_ns,
		  struct err *e)
{
	struct step s = { .q = q, .job = job, .attempt = attempt, .time_ns = run_after_ns };

	return db_write(q->db, release, &s, e);
}

static int cancel(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct step *s = arg;
	struct queue_job j;

	if (find_in(c, s->job, &mem, &j, e) < 0)
		return -1;
	if (j.state >= QUEUE_SUCCEEDED)
		return err_set(e, ERR_CONFLICT, "job %s is %s already", j.name,
			       state_names[j.state]);
	s->answer = j.state == QUEUE_QUEUED;
	if (!s->answer)
		return 0;
	if (db_exec(c, "UPDATE jobs SET state=6, ended_ns=?2, reason='cancelled' WHERE id=?1",
		    DB_ARGS(db_int(j.id), db_int(clock_wall_ns())), e) < 0)
		return -1;
	return move_in(c, &j, QUEUE_CANCELLED, "cancelled", e);
}

int queue_cancel(struct queue *q, int64_t job, struct err *e)
{
	struct step s = { .q = q, .job = job };

	return db_write(q->db, cancel, &s, e) < 0 ? -1 : s.answer;
}

static int redrive(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct step *s = arg;
	struct queue_job j;

	if (find_in(c, s->job, &mem, &j, e) < 0)
		return -1;
	if (j.state < QUEUE_FAILED)
		return err_set(e, ERR_CONFLICT,
			       "job %s is %s: only failed, cancelled and dead jobs "
			       "are sent again",
			       j.name, state_names[j.state]);
	if (db_exec(c,
		    "UPDATE jobs SET state=0, run_after_ns=0, ended_ns=0, started_ns=0, "
		    "reason=NULL,"
		    "exit_code=NULL WHERE id=?1",
		    DB_ARGS(db_int(j.id)), e) < 0)
		return -1;
	s->q->added++;
	return move_in(c, &j, QUEUE_QUEUED, NULL, e);
}

int queue_redrive(struct queue *q, int64_t job, struct err *e)
{
	struct step s = { .q = q, .job = job };

	return db_write(q->db, redrive, &s, e);
}

// ---- deleting ------------------------------------------------------------------------------------------

static int delete_in(struct db_conn *c, const struct queue_job *j, struct err *e)
{
	if (j->state < QUEUE_SUCCEEDED)
		return err_set(e, ERR_CONFLICT, "job %s is %s: cancel it first", j->name,
			       state_names[j->state]);
	if (db_exec(c, "DELETE FROM attempts WHERE job=?1", DB_ARGS(db_int(j->id)), e) < 0 ||
	    db_exec(c, "DELETE FROM payloads WHERE job=?1", DB_ARGS(db_int(j->id)), e) < 0 ||
	    db_exec(c, "DELETE FROM jobs WHERE id=?1", DB_ARGS(db_int(j->id)), e) < 0)
		return -1;
	// The event stays while its object version does, so that telling it again makes no second job.
	if (db_exec(c, "DELETE FROM events WHERE job=?1 AND version=0", DB_ARGS(db_int(j->id)), e) <
	    0)
		return -1;
	return count_in(c, j->service, j->state, -1, e);
}

int queue_purge_in(struct queue *q unused_arg, struct db_conn *c, int64_t service,
		   bool only_succeeded, size_t limit, int64_t *ids, size_t *deleted, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct queue_job *jobs;
	size_t n;

	*deleted = 0;
	{
		auto_query struct db_stmt *s = db_query(
			c,
			JOB_SELECT "WHERE j.service=?1 AND j.state>=4 AND (?2=0 OR j.state=4) "
				   "ORDER BY j.id LIMIT ?3",
			DB_ARGS(db_int(service), db_int(only_succeeded), db_int((int64_t)limit)),
			e);

		if (collect(s, limit, &mem, &jobs, &n, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < n; i++) {
		if (delete_in(c, &jobs[i], e) < 0)
			return -1;
		ids[(*deleted)++] = jobs[i].id;
	}
	return 0;
}

static int delete_one(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct step *s = arg;
	struct queue_job j;

	return find_in(c, s->job, &mem, &j, e) < 0 ? -1 : delete_in(c, &j, e);
}

int queue_delete(struct queue *q, int64_t job, struct err *e)
{
	struct step s = { .q = q, .job = job };

	return db_write(q->db, delete_one, &s, e);
}
