// SPDX-License-Identifier: Apache-2.0
// rungroup: one job for all files of a run (`group: {run: true}`), once nothing of the run is active any more.
// A run is looked at by the thread of group.c, beside the writer, from the last job on that it found active; the write
// that makes the job looks once more, so that it stands for a moment at which the run had ended. What is queued again
// later (redrive) makes a group and a job of its own.
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "db/db.h"
#include "db/feed.h"
#include "fdl/fdl.h"
#include "queue/queue.h"
#include "service/group.h"
#include "service/registry.h"
#include "store/event.h"

enum { LOOK_MAX = 1024, RUN_GROUPS_MAX = 64, FAILED_MAX = 100 };

// ---- members -------------------------------------------------------------------------------------------

// The group of a run, made when it is missing.
static int open_run(struct db_conn *c, const struct service_def *d, size_t input, int64_t run,
		    struct group *g, struct err *e)
{
	auto_query struct db_stmt *q =
		db_query(c, GROUP_SELECT "WHERE run=?1 AND service=?2 AND input=?3 AND kind=1",
			 DB_ARGS(db_int(run), db_int(d->id), db_int((int64_t)input)), e);
	int64_t now = clock_wall_ns();
	int got = db_step(q, e);

	if (got > 0)
		group_from_row(q, g);
	if (got)
		return got < 0 ? -1 : 0;
	*g = (struct group){ .service = d->id,
			     .input = (int64_t)input,
			     .run = run,
			     .kind = SERVICE_GROUP_RUN,
			     .due_ns = now + d->fdl->inputs[input].group_wait_s * NS_PER_S };
	return group_open_in(c, g, now, &g->id, e);
}

// Only the file that opened the group keeps its event; of the others key and version are enough.
static int keeps_event(struct db_conn *c, const struct group *g, struct span key, bool *out,
		       struct err *e)
{
	int64_t one;

	*out = !g->n;
	if (*out)
		return 0;
	if (db_get_int(c,
		       "SELECT 1 FROM input_group_members WHERE grp=?1 AND key=?2 AND payload<>''",
		       DB_ARGS(db_int(g->id), db_text(key)), 0, &one, e) < 0)
		return -1;
	*out = one;
	return 0;
}

int rungroup_take_in(struct services *s unused_arg, struct db_conn *c, const struct service_def *d,
		     size_t input, const struct queue_new *n, struct err *e)
{
	struct group g;
	bool whole;

	if (open_run(c, d, input, n->run ? n->run : n->version, &g, e) < 0)
		return -1;
	if (g.n >= FDL_GROUP_RUN_MAX) // its job will say so
		return db_exec(c, "UPDATE input_groups SET n=n+1 WHERE id=?1",
			       DB_ARGS(db_int(g.id)), e) < 0
			       ? -1
			       : 0;
	if (keeps_event(c, &g, n->key, &whole, e) < 0)
		return -1;
	return group_put_in(c, &g, n, whole ? n->payload : SPAN(""), e);
}

// ---- closing -------------------------------------------------------------------------------------------

enum fate { KEEP, DROP, CLOSE };

struct one {
	struct group group;
	struct service_def *def; // NULL = it is gone
	enum fate fate;
	const char *why; // it is dropped
};

struct closing {
	struct services *s;
	int64_t run, passed;
	uint64_t redriven;
	struct one all[RUN_GROUPS_MAX];
	size_t n;
	struct queue_failed *failed;
	size_t failed_count;
	uint64_t failed_all;
	struct arena mem;
};

static void add_file(json_t *files, struct db_stmt *q)
{
	char version[STORE_VERSION_TEXT];
	struct span key = db_col_span(q, 0);

	store_version_text(db_col_int(q, 2), false, version);
	json_array_append_new(files,
			      json_pack("{s:s%,s:s}", "key", key.p, key.n, "version", version));
}

static json_t *failed_json(const struct closing *w)
{
	json_t *list = json_array();

	for (size_t i = 0; i < w->failed_count; i++)
		json_array_append_new(list,
				      json_pack("{s:s,s:s,s:s,s:s%}", "job", w->failed[i].name,
						"service", w->failed[i].service_name, "state",
						queue_state_name(w->failed[i].state), "key",
						w->failed[i].key.p ? w->failed[i].key.p : "",
						w->failed[i].key.n));
	return list;
}

// The event of the file that came first, with all files and what failed.
static int read_event(struct closing *w, struct db_conn *c, const struct group *g,
		      struct group_event *ev, json_t **out, struct err *e)
{
	auto_query struct db_stmt *q = db_query(c,
						"SELECT key,bucket,version,payload FROM "
						"input_group_members WHERE grp=?1 ORDER BY key",
						DB_ARGS(db_int(g->id)), e);
	auto_json json_t *files = json_array(), *doc = NULL;
	int got;

	while ((got = db_step(q, e)) > 0) {
		struct span payload = db_col_span(q, 3);

		add_file(files, q);
		if (!payload.n)
			continue;
		if (codec_json_parse(payload, STORE_EVENT_TEXT_MAX, &doc, e) < 0)
			return -1;
		ev->key = arena_span(&w->mem, db_col_span(q, 0));
		ev->bucket = db_col_int(q, 1);
		ev->version = db_col_int(q, 2);
	}
	if (got < 0)
		return -1;
	if (!doc)
		return err_set(e, ERR_CORRUPT, "a group of run %lld without an event",
			       (long long)g->run);
	json_object_set_new(doc, "Oscar",
			    json_pack("{s:o,s:O,s:b,s:I,s:o}", "run",
				      json_sprintf("%lld", (long long)g->run), "files", files,
				      "over", g->n > FDL_GROUP_RUN_MAX, "failed",
				      (json_int_t)w->failed_all, "failed_jobs", failed_json(w)));
	*out = mem_take(&doc);
	return 0;
}

static int make_job(struct closing *w, struct db_conn *c, const struct one *o,
		    const struct group *g, struct err *e)
{
	auto_json json_t *doc = NULL;
	auto_free char *text = NULL;
	struct group_event ev = { .version = 0 };

	if (read_event(w, c, g, &ev, &doc, e) < 0)
		return -1;
	text = codec_json_text(doc, CODEC_JSON_PLAIN);
	ev.payload = span_of(text);
	return group_make_in(w->s, c, o->def, g, &ev, e);
}

static int tell_dropped(struct db_conn *c, const struct one *o, const struct group *g,
			struct err *e)
{
	auto_json json_t *doc = NULL;
	auto_free char *text = NULL;

	if (!o->def)
		return 0;
	doc = json_pack("{s:s,s:s,s:o,s:I,s:s}", "service", o->def->fdl->name, "change",
			"group-dropped", "run", json_sprintf("%lld", (long long)g->run), "files",
			(json_int_t)g->n, "reason", o->why);
	text = codec_json_text(doc, CODEC_JSON_PLAIN);
	log_warn("service", "%s: %lld files of run %lld make no job: %s", o->def->fdl->name,
		 (long long)g->n, (long long)g->run, o->why);
	return feed_append(c, "service", o->def->owner, span_of(text), e);
}

// Whatever of the run is queued, or waits in a group of another kind, makes files of it yet.
static int still_active(struct db_conn *c, int64_t run, int64_t *passed, bool *out, struct err *e)
{
	int64_t job, group = 0;

	if (queue_run_active(c, run, passed, &job, e) < 0 ||
	    (!job && db_get_int(c, "SELECT id FROM input_groups WHERE run=?1 AND kind<>1 LIMIT 1",
				DB_ARGS(db_int(run)), 0, &group, e) < 0))
		return -1;
	*out = job || group;
	return 0;
}

static int end_one(struct closing *w, struct db_conn *c, const struct one *o, struct err *e)
{
	struct group g; // as it is now
	int got = group_get(c, o->group.id, &g, e);

	if (got <= 0)
		return got;
	if ((o->fate == CLOSE ? make_job(w, c, o, &g, e) : tell_dropped(c, o, &g, e)) < 0)
		return -1;
	return group_drop_in(c, g.id, e);
}

static int close_in(struct db_conn *c, void *arg, struct err *e)
{
	struct closing *w = arg;
	int64_t passed = w->passed;
	bool active;

	if (queue_redriven(w->s->o.queue) != w->redriven)
		return 0; // what was passed may be active again: looked at anew
	if (still_active(c, w->run, &passed, &active, e) < 0)
		return -1;
	for (size_t i = 0; i < w->n && !active; i++)
		if (w->all[i].fate != KEEP && end_one(w, c, &w->all[i], e) < 0)
			return -1;
	return 0;
}

// ---- which of them -------------------------------------------------------------------------------------

// Do files that the one makes start the other, perhaps through further services? The lock is held.
static bool leads_to(struct services *s, const struct service_def *from,
		     const struct service_def *to)
{
	auto_arena struct arena mem = { 0 };
	const struct service_def **line =
		arena_alloc(&mem, (s->by_name.count + 1) * sizeof(struct service_def *));
	size_t head = 0, tail = 0;

	line[tail++] = from;
	while (head < tail) {
		const struct service_def *at = line[head++];
		size_t next = 0;
		void *value;

		if (fdl_feeds(at->fdl, to->fdl))
			return true;
		while (map_next(&s->by_name, &next, NULL, &value)) {
			const struct service_def *d = value;
			bool seen = !fdl_feeds(at->fdl, d->fdl);

			for (size_t i = 0; i < tail && !seen; i++)
				seen = line[i]->id == d->id;
			if (!seen)
				line[tail++] = d;
		}
	}
	return false;
}

// Those come first whose job may make files for others'.
static void keep_later_ones(struct closing *w)
{
	pthread_rwlock_rdlock(&w->s->lock);
	for (size_t i = 0; i < w->n; i++) {
		bool first = true;

		for (size_t k = 0; k < w->n && first && w->all[i].fate == CLOSE; k++)
			first = k == i || w->all[k].fate == DROP ||
				!leads_to(w->s, w->all[k].def, w->all[i].def);
		if (!first)
			w->all[i].why = "later";
	}
	for (size_t i = 0; i < w->n; i++)
		if (w->all[i].fate == CLOSE && w->all[i].why)
			w->all[i].fate = KEEP;
	pthread_rwlock_unlock(&w->s->lock);
}

static int choose_fate(struct closing *w, struct db_conn *c, struct one *o, struct err *e)
{
	const struct fdl_io *io = NULL;
	int64_t backfill;

	if (o->def && (size_t)o->group.input < o->def->fdl->input_count)
		io = &o->def->fdl->inputs[o->group.input];
	o->fate = DROP;
	if (!io || !io->group_run) {
		o->why = "the service was changed and does not wait for runs there any more; "
			 "`oscar backfill` takes the files";
		return 0;
	}
	if (db_get_int(c, "SELECT id FROM backfills WHERE service=?1 AND state=0 LIMIT 1",
		       DB_ARGS(db_int(o->group.service)), 0, &backfill, e) < 0)
		return -1;
	if (io->group_unfailed && w->failed_all && o->group.due_ns <= clock_wall_ns()) {
		o->why = "jobs of the run have failed, and none was sent again in time";
		return 0;
	}
	o->fate = backfill || (io->group_unfailed && w->failed_all) ? KEEP : CLOSE;
	return 0;
}

static int read_groups(struct closing *w, struct db_conn *c, struct err *e)
{
	auto_query struct db_stmt *q =
		db_query(c, GROUP_SELECT "WHERE run=?1 AND kind=1 ORDER BY id LIMIT 64",
			 DB_ARGS(db_int(w->run)), e);
	int got;

	while ((got = db_step(q, e)) > 0)
		group_from_row(q, &w->all[w->n++].group);
	return got;
}

static int close_run(struct closing *w, struct db_conn *c, struct err *e)
{
	bool any = false;

	if (read_groups(w, c, e) < 0 || queue_run_failed(c, w->run, FAILED_MAX, &w->mem, &w->failed,
							 &w->failed_count, &w->failed_all, e) < 0)
		return -1;
	for (size_t i = 0; i < w->n; i++) {
		struct err gone = { 0 };

		if (service_by_id(w->s, w->all[i].group.service, &w->all[i].def, &gone) < 0)
			w->all[i].def = NULL;
		if (choose_fate(w, c, &w->all[i], e) < 0)
			return -1;
	}
	keep_later_ones(w);
	for (size_t i = 0; i < w->n; i++)
		any = any || w->all[i].fate != KEEP;
	return any ? db_write(w->s->o.db, close_in, w, e) : 0;
}

// ---- looking -------------------------------------------------------------------------------------------

static void forget_passed(struct services *s)
{
	size_t at = 0;
	void *value;

	while (map_next(&s->runs.passed, &at, NULL, &value))
		mem_free(value);
	map_release(&s->runs.passed);
}

// How far the run was looked at; ours.
static int64_t *passed_of(struct services *s, int64_t run)
{
	uint64_t key = (uint64_t)run;
	int64_t *passed = map_get(&s->runs.passed, map_key_u64(&key));

	if (!passed) {
		passed = mem_zalloc(sizeof(*passed));
		*passed = INT64_MIN;
		map_put(&s->runs.passed, map_key_u64(&key), passed);
	}
	return passed;
}

static int look_at(struct services *s, struct db_conn *c, int64_t run, struct err *e)
{
	struct closing w = { .s = s, .run = run, .redriven = s->runs.redriven };
	int64_t *passed = passed_of(s, run);
	uint64_t key = (uint64_t)run;
	bool active, waits = false;
	int bad;

	if (still_active(c, run, passed, &active, e) < 0)
		return -1;
	if (active)
		return 0;
	w.passed = *passed;
	bad = close_run(&w, c, e);
	for (size_t i = 0; i < w.n; i++) {
		waits = waits || w.all[i].fate == KEEP;
		service_def_put(w.all[i].def);
	}
	arena_release(&w.mem);
	if (!bad && !waits)
		mem_free(map_remove(&s->runs.passed, map_key_u64(&key)));
	return bad;
}

static int find_runs(struct services *s, struct db_conn *c, int64_t runs[static LOOK_MAX],
		     size_t *n, struct err *e)
{
	auto_query struct db_stmt *q = db_query(
		c, "SELECT id,run FROM input_groups WHERE kind=1 AND id>?1 ORDER BY id LIMIT 1024",
		DB_ARGS(db_int(s->runs.last)), e);
	int64_t last = 0;
	size_t rows = 0;
	int got;

	*n = 0;
	while ((got = db_step(q, e)) > 0) {
		int64_t run = db_col_int(q, 1);
		bool known = false;

		last = db_col_int(q, 0);
		rows++;
		for (size_t i = 0; i < *n && !known; i++)
			known = runs[i] == run;
		if (!known)
			runs[(*n)++] = run;
	}
	s->runs.last = rows == LOOK_MAX ? last : 0; // the others next time
	return got;
}

int rungroup_step(struct services *s, struct err *e)
{
	struct db_conn *c = db_reader(s->o.db, e);
	uint64_t redriven = queue_redriven(s->o.queue);
	int64_t runs[LOOK_MAX];
	size_t n;
	int bad = 0;

	if (!c)
		return -1;
	if (redriven != s->runs.redriven)
		forget_passed(s);
	s->runs.redriven = redriven;
	if (find_runs(s, c, runs, &n, e) < 0)
		return -1;
	if (!n)
		forget_passed(s); // of runs that were cancelled
	for (size_t i = 0; i < n; i++) {
		struct err why = { 0 };

		if (look_at(s, c, runs[i], &why) < 0) {
			*e = why; // other runs go on
			bad = -1;
		}
	}
	return bad;
}

void rungroup_release(struct services *s)
{
	forget_passed(s);
}
