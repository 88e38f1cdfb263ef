// SPDX-License-Identifier: Apache-2.0
#include "service/group.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "db/db.h"
#include "fdl/fdl.h"
#include "queue/queue.h"
#include "service/registry.h"
#include "store/event.h"

enum { DUE_MAX = 64, IDLE_MS = 500 };

// Jobs of groups are apart from those of triggers (positive) and of backfills (negative, small).
#define GROUP_TRIGGER(id) (SERVICE_GROUP_TRIGGERS - (id))

void group_from_row(struct db_stmt *q, struct group *g)
{
	*g = (struct group){ .id = db_col_int(q, 0),
			     .service = db_col_int(q, 1),
			     .input = db_col_int(q, 2),
			     .n = db_col_int(q, 3),
			     .bytes = db_col_int(q, 4),
			     .run = db_col_int(q, 5),
			     .depth = db_col_int(q, 6),
			     .made = db_col_int(q, 7),
			     .due_ns = db_col_int(q, 8),
			     .kind = (enum service_group_kind)db_col_int(q, 9) };
}

int group_get(struct db_conn *c, int64_t id, struct group *g, struct err *e)
{
	auto_query struct db_stmt *q =
		db_query(c, GROUP_SELECT "WHERE id=?1", DB_ARGS(db_int(id)), e);
	int got = db_step(q, e);

	if (got > 0)
		group_from_row(q, g);
	return got;
}

// ---- closing -------------------------------------------------------------------------------------------

struct members {
	json_t *all; // what MinIO would say of the first, with the records of all
	struct span key;
	int64_t bucket, version;
};

static int add_member(struct members *m, struct span payload, struct err *e)
{
	auto_json json_t *doc = NULL;

	if (codec_json_parse(payload, STORE_EVENT_TEXT_MAX, &doc, e) < 0)
		return -1;
	if (m->all)
		json_array_extend(json_object_get(m->all, "Records"),
				  json_object_get(doc, "Records"));
	else
		m->all = mem_take(&doc);
	return 0;
}

// In the order of their keys.
static int read_members(struct db_conn *c, int64_t group, struct arena *mem, struct members *m,
			struct err *e)
{
	auto_query struct db_stmt *q = db_query(
		c,
		"SELECT key,bucket,version,payload FROM input_group_members WHERE grp=?1 ORDER "
		"BY key",
		DB_ARGS(db_int(group)), e);
	int got;

	while ((got = db_step(q, e)) > 0) {
		if (!m->all) {
			m->key = arena_span(mem, db_col_span(q, 0));
			m->bucket = db_col_int(q, 1);
			m->version = db_col_int(q, 2);
		}
		if (add_member(m, db_col_span(q, 3), e) < 0)
			return -1;
	}
	return got;
}

int group_drop_in(struct db_conn *c, int64_t group, struct err *e)
{
	return db_exec(c, "DELETE FROM input_group_members WHERE grp=?1", DB_ARGS(db_int(group)),
		       e) < 0 ||
			       db_exec(c, "DELETE FROM input_groups WHERE id=?1",
				       DB_ARGS(db_int(group)), e) < 0
		       ? -1
		       : 0;
}

int group_make_in(struct services *s, struct db_conn *c, const struct service_def *d,
		  const struct group *g, const struct group_event *ev, struct err *e)
{
	struct queue_new n = { .service = d->id,
			       .revision = d->revision,
			       .owner = d->owner,
			       .trigger = GROUP_TRIGGER(g->id),
			       .source = "group",
			       .bucket = ev->bucket,
			       .key = ev->key,
			       .version = ev->version,
			       .payload = ev->payload,
			       .priority = 2 * d->fdl->priority,
			       .queued_max = d->fdl->queue_max,
			       .run = g->run,
			       .depth = (unsigned)g->depth,
			       .unbounded = g->made };
	int64_t job;

	return queue_add_in(s->o.queue, c, &n, &job, e) < 0
		       ? err_wrap(e, "service %s", d->fdl->name)
		       : 0;
}

static int close_in(struct services *s, struct db_conn *c, const struct service_def *d,
		    const struct group *g, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_free char *text = NULL;
	struct members m = { .all = NULL };
	int bad = read_members(c, g->id, &mem, &m, e);

	if (!bad && m.all) {
		struct group_event ev = { .key = m.key, .bucket = m.bucket, .version = m.version };

		text = codec_json_text(m.all, CODEC_JSON_PLAIN);
		ev.payload = span_of(text);
		bad = group_make_in(s, c, d, g, &ev, e);
	}
	json_decref(m.all);
	return bad < 0 ? -1 : group_drop_in(c, g->id, e);
}

// ---- members -------------------------------------------------------------------------------------------

int group_open_in(struct db_conn *c, const struct group *g, int64_t now_ns, int64_t *id,
		  struct err *e)
{
	if (db_exec(c,
		    "INSERT INTO "
		    "input_groups(service,input,n,bytes,run,depth,made,opened_ns,due_ns,kind) "
		    "VALUES(?1,?2,0,0,?3,0,0,?4,?5,?6)",
		    DB_ARGS(db_int(g->service), db_int(g->input), db_int(g->run), db_int(now_ns),
			    db_int(g->due_ns), db_int(g->kind)),
		    e) < 0)
		return -1;
	*id = db_last_id(c);
	return 0;
}

static int open_one(struct db_conn *c, const struct service_def *d, size_t input,
		    const struct queue_new *n, struct group *g, struct err *e)
{
	auto_query struct db_stmt *q =
		db_query(c,
			 GROUP_SELECT
			 "WHERE service=?1 AND input=?2 AND due_ns>0 AND kind=0 ORDER BY "
			 "id LIMIT 1",
			 DB_ARGS(db_int(d->id), db_int((int64_t)input)), e);
	int64_t now = clock_wall_ns(), wait_ns = d->fdl->inputs[input].group_wait_s * NS_PER_S;
	int got = db_step(q, e);

	if (got > 0)
		group_from_row(q, g);
	if (got)
		return got < 0 ? -1 : 0;
	*g = (struct group){
		.service = d->id, .input = (int64_t)input, .run = n->run, .due_ns = now + wait_ns
	};
	return group_open_in(c, g, now, &g->id, e);
}

// Another version of a key that waits takes its place: the one before may be gone already.
int group_put_in(struct db_conn *c, struct group *g, const struct queue_new *n, struct span payload,
		 struct err *e)
{
	int64_t before;

	if (db_get_int(c,
		       "SELECT 1+length(CAST(payload AS BLOB)) FROM input_group_members WHERE "
		       "grp=?1 AND key=?2",
		       DB_ARGS(db_int(g->id), db_text(n->key)), 0, &before, e) < 0 ||
	    db_exec(c,
		    "INSERT OR REPLACE INTO input_group_members(grp,key,bucket,version,payload) "
		    "VALUES(?1,?2,?3,?4,?5)",
		    DB_ARGS(db_int(g->id), db_text(n->key), db_int(n->bucket), db_int(n->version),
			    db_text(payload)),
		    e) < 0)
		return -1;
	g->n += !before;
	g->bytes += (int64_t)payload.n - (before ? before - 1 : 0);
	g->depth = n->depth > g->depth ? n->depth : g->depth;
	g->made |= n->unbounded;
	return db_exec(c, "UPDATE input_groups SET n=?2,bytes=?3,depth=?4,made=?5 WHERE id=?1",
		       DB_ARGS(db_int(g->id), db_int(g->n), db_int(g->bytes), db_int(g->depth),
			       db_int(g->made)),
		       e) < 0
		       ? -1
		       : 0;
}

int group_take_in(struct services *s, struct db_conn *c, const struct service_def *d, size_t input,
		  const struct queue_new *n, struct err *e)
{
	struct group g;

	if (d->fdl->inputs[input].manifest)
		return manifest_take_in(s, c, d, input, n, e);
	if (d->fdl->inputs[input].group_run)
		return rungroup_take_in(s, c, d, input, n, e);
	if (open_one(c, d, input, n, &g, e) < 0 || group_put_in(c, &g, n, n->payload, e) < 0)
		return -1;
	return g.n >= d->fdl->inputs[input].group_count || g.bytes >= GROUP_BYTES_MAX
		       ? close_in(s, c, d, &g, e)
		       : 0;
}

int group_due_in(struct db_conn *c, int64_t service, struct err *e)
{
	return db_exec(c, "UPDATE input_groups SET due_ns=0 WHERE service=?1 AND kind=0",
		       DB_ARGS(db_int(service)), e) < 0
		       ? -1
		       : 0;
}

int group_forget_in(struct db_conn *c, int64_t service, struct err *e)
{
	return db_exec(c,
		       "DELETE FROM input_group_members WHERE grp IN (SELECT id FROM input_groups "
		       "WHERE "
		       "service=?1)",
		       DB_ARGS(db_int(service)), e) < 0 ||
			       db_exec(c, "DELETE FROM input_groups WHERE service=?1",
				       DB_ARGS(db_int(service)), e) < 0
		       ? -1
		       : 0;
}

// ---- those that are due --------------------------------------------------------------------------------

struct closing {
	struct services *s;
	int64_t id;
};

static int close_one(struct db_conn *c, void *arg, struct err *e)
{
	struct closing *w = arg;
	auto_service_def struct service_def *d = NULL;
	struct group g;
	int got = group_get(c, w->id, &g, e);

	if (got <= 0)
		return got; // it was filled meanwhile
	if (service_by_id(w->s, g.service, &d, e) < 0)
		return group_drop_in(c, g.id, e);
	return close_in(w->s, c, d, &g, e);
}

static int find_due(struct services *s, int64_t *ids, size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(s->o.db, e);
	auto_query struct db_stmt *q = NULL;
	int got;

	if (!c)
		return -1;
	q = db_query(c,
		     "SELECT id FROM input_groups WHERE due_ns<=?1 AND kind=0 ORDER BY due_ns "
		     "LIMIT 64",
		     DB_ARGS(db_int(clock_wall_ns())), e);
	while ((got = db_step(q, e)) > 0)
		ids[(*n)++] = db_col_int(q, 0);
	return got;
}

int group_step(struct services *s, struct err *e)
{
	int64_t ids[DUE_MAX];
	size_t n = 0;
	int bad = 0;

	if (find_due(s, ids, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct closing w = { s, ids[i] };
		struct err why = { 0 };

		if (db_write(s->o.db, close_one, &w, &why) < 0) {
			*e = why; // those of other services go on
			bad = -1;
		}
	}
	return bad;
}

static void *group_main(void *arg)
{
	struct services *s = arg;

	while (chore_rest(&s->grouper, IDLE_MS * NS_PER_MS)) {
		struct err e = { 0 };

		if (group_step(s, &e) < 0 && e.code != ERR_BUSY)
			log_warn("service", "groups: %s", e.msg);
		if (rungroup_step(s, &e) < 0 && e.code != ERR_BUSY)
			log_warn("service", "groups of runs: %s", e.msg);
		if (manifest_step(s, &e) < 0 && e.code != ERR_BUSY)
			log_warn("service", "manifests: %s", e.msg);
	}
	return NULL;
}

void group_run(struct services *s)
{
	chore_start(&s->grouper, "service-groups", group_main, s);
}

void group_halt(struct services *s)
{
	chore_stop(&s->grouper);
	rungroup_release(s);
	manifest_release(s);
}

// ---- for users -----------------------------------------------------------------------------------------

#define LIST_SELECT "SELECT service,input,n,opened_ns,due_ns,run,kind FROM input_groups "

int service_groups(struct services *s, int64_t service, int64_t run, struct arena *mem,
		   struct service_group **out, size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(s->o.db, e);
	auto_query struct db_stmt *q = NULL;
	int got;

	*n = 0;
	*out = arena_alloc(mem, SERVICE_GROUPS_MAX * sizeof(**out));
	if (!c)
		return -1;
	q = db_query(c,
		     run ? LIST_SELECT "WHERE run=?1 ORDER BY id LIMIT 64"
			 : LIST_SELECT "WHERE service=?1 ORDER BY id LIMIT 64",
		     DB_ARGS(db_int(run ? run : service)), e);
	while ((got = db_step(q, e)) > 0)
		(*out)[(*n)++] =
			(struct service_group){ .service = db_col_int(q, 0),
						.input = (size_t)db_col_int(q, 1),
						.files = (uint64_t)db_col_int(q, 2),
						.opened_ns = db_col_int(q, 3),
						.due_ns = db_col_int(q, 4),
						.run = db_col_int(q, 5),
						.kind = (enum service_group_kind)db_col_int(q, 6) };
	return got;
}

struct cancelling {
	int64_t run, owner;
	uint64_t n;
};

static int cancel_in(struct db_conn *c, void *arg, struct err *e)
{
	struct cancelling *w = arg;
	const struct db_val args[] = { db_int(w->run), db_int(w->owner) };
	int n;

	if (db_exec(c,
		    "DELETE FROM input_group_members WHERE grp IN (SELECT g.id FROM input_groups g "
		    "JOIN services s ON s.id=g.service WHERE g.run=?1 AND g.kind=1 AND (?2=0 "
		    "OR "
		    "s.owner=?2))",
		    args, 2, e) < 0)
		return -1;
	n = db_exec(c,
		    "DELETE FROM input_groups WHERE run=?1 AND kind=1 AND service IN (SELECT id "
		    "FROM services WHERE ?2=0 OR owner=?2)",
		    args, 2, e);
	w->n = n < 0 ? 0 : (uint64_t)n;
	return n < 0 ? -1 : 0;
}

int service_groups_cancel(struct services *s, int64_t run, int64_t owner, uint64_t *n,
			  struct err *e)
{
	struct cancelling w = { run, owner, 0 };
	int bad = db_write(s->o.db, cancel_in, &w, e);

	*n = w.n;
	return bad;
}
