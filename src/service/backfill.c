// SPDX-License-Identifier: Apache-2.0
#include "service/backfill.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db.h"
#include "fdl/fdl.h"
#include "queue/queue.h"
#include "service/group.h"
#include "service/registry.h"
#include "store/event.h"
#include "store/store.h"

#include <fnmatch.h>

enum { PIECE = 200, IDLE_MS = 1000 };

#define BACKFILL_SELECT                                                                            \
	"SELECT id,service,owner,input,prefix,glob,since_ns,changed,lim,after,looked,queued,"      \
	"skipped,state,reason,created_ns,ended_ns,sample,rest,rest_bytes,first_job,last_job "      \
	"FROM backfills "

const char *backfill_state_name(enum backfill_state s)
{
	static const char *const names[] = { "working", "done", "cancelled", "failed" };

	return (size_t)s < ARRAY_LEN(names) ? names[s] : "unknown";
}

static const char *text_of(struct db_stmt *s, int col, struct arena *mem)
{
	struct span v = db_col_span(s, col);

	return arena_strndup(mem, v.p ? v.p : "", v.n);
}

static void from_row(struct db_stmt *s, struct arena *mem, struct backfill *b)
{
	*b = (struct backfill){ .id = db_col_int(s, 0),
				.service = db_col_int(s, 1),
				.owner = db_col_int(s, 2),
				.input = (size_t)db_col_int(s, 3),
				.prefix = text_of(s, 4, mem),
				.glob = text_of(s, 5, mem),
				.since_ns = db_col_int(s, 6),
				.changed = db_col_int(s, 7),
				.limit = (uint64_t)db_col_int(s, 8),
				.after = text_of(s, 9, mem),
				.looked = (uint64_t)db_col_int(s, 10),
				.queued = (uint64_t)db_col_int(s, 11),
				.skipped = (uint64_t)db_col_int(s, 12),
				.state = (enum backfill_state)db_col_int(s, 13),
				.reason = text_of(s, 14, mem),
				.created_ns = db_col_int(s, 15),
				.ended_ns = db_col_int(s, 16),
				.sample = (uint64_t)db_col_int(s, 17),
				.rest = (uint64_t)db_col_int(s, 18),
				.rest_bytes = (uint64_t)db_col_int(s, 19),
				.first_job = db_col_int(s, 20),
				.last_job = db_col_int(s, 21) };
}

// ---- asking for one ------------------------------------------------------------------------------------

struct start {
	const struct service_def *def;
	const struct backfill *b;
	int64_t id;
};

static int start_in(struct db_conn *c, void *arg, struct err *e)
{
	struct start *s = arg;
	const struct backfill *b = s->b;

	if (db_exec(c,
		    "INSERT INTO backfills(service,owner,input,prefix,glob,since_ns,changed,lim,"
		    "created_ns,sample) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
		    DB_ARGS(db_int(s->def->id), db_int(s->def->owner), db_int((int64_t)b->input),
			    db_str(b->prefix), db_str(b->glob), db_int(b->since_ns),
			    db_int(b->changed), db_int((int64_t)b->limit), db_int(clock_wall_ns()),
			    db_int((int64_t)b->sample)),
		    e) < 0)
		return -1;
	s->id = db_last_id(c);
	return 0;
}

int backfill_start(struct services *s, const struct service_caller *who, struct span name,
		   const struct backfill *b, int64_t *id, struct err *e)
{
	auto_service_def struct service_def *d = NULL;
	struct start start = { .b = b };

	if (service_get(s, who, name, &d, e) < 0)
		return -1;
	if (!who->admin && who->user != d->owner)
		return err_set(e, ERR_DENIED, "only the owner may backfill a service");
	if (b->input >= d->fdl->input_count)
		return err_set(e, ERR_INVALID, "input: the service has %zu", d->fdl->input_count);
	if (strlen(b->prefix) > BACKFILL_TEXT_MAX || strlen(b->glob) > BACKFILL_TEXT_MAX)
		return err_set(e, ERR_INVALID, "prefix, glob: over %d bytes", BACKFILL_TEXT_MAX);
	if (b->limit > INT64_MAX)
		return err_set(e, ERR_INVALID, "limit: too large");
	if (b->sample && fdl_io_groups(&d->fdl->inputs[b->input]))
		return err_set(e, ERR_INVALID, "sample: not of an input that groups its files");
	if (b->sample > BACKFILL_SAMPLE_MAX)
		return err_set(e, ERR_INVALID, "sample: at most %d", BACKFILL_SAMPLE_MAX);
	start.def = d;
	if (db_write(s->o.db, start_in, &start, e) < 0)
		return -1;
	*id = start.id;
	return 0;
}

int backfill_list(struct services *s, int64_t service, size_t limit, struct arena *mem,
		  struct backfill **out, size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(s->o.db, e);
	auto_query struct db_stmt *q = NULL;
	int got;

	*n = 0;
	*out = arena_alloc(mem, limit * sizeof(**out));
	if (!c)
		return -1;
	q = db_query(c, BACKFILL_SELECT "WHERE service=?1 ORDER BY id DESC LIMIT ?2",
		     DB_ARGS(db_int(service), db_int((int64_t)limit)), e);
	while ((got = db_step(q, e)) > 0)
		from_row(q, mem, &(*out)[(*n)++]);
	return got;
}

int backfill_get(struct services *s, const struct service_caller *who, int64_t id,
		 struct arena *mem, struct backfill *out, struct err *e)
{
	struct db_conn *c = db_reader(s->o.db, e);
	auto_query struct db_stmt *q = NULL;
	int got;

	if (!c)
		return -1;
	q = db_query(c, BACKFILL_SELECT "WHERE id=?1 AND (?2 OR owner=?3)",
		     DB_ARGS(db_int(id), db_int(who->admin), db_int(who->user)), e);
	got = db_step(q, e);
	if (got > 0)
		from_row(q, mem, out);
	return got == 0 ? err_set(e, ERR_NOT_FOUND, "no such backfill") : got < 0 ? -1 : 0;
}

struct cancel {
	const struct service_caller *who;
	int64_t id;
};

static int cancel_in(struct db_conn *c, void *arg, struct err *e)
{
	const struct cancel *w = arg;
	int64_t owner, state;

	if (db_get_int(c, "SELECT owner FROM backfills WHERE id=?1", DB_ARGS(db_int(w->id)), 0,
		       &owner, e) < 0 ||
	    db_get_int(c, "SELECT state FROM backfills WHERE id=?1", DB_ARGS(db_int(w->id)), 0,
		       &state, e) < 0)
		return -1;
	if (!owner || (!w->who->admin && owner != w->who->user))
		return err_set(e, ERR_NOT_FOUND, "no such backfill");
	if (state != BACKFILL_WORKING)
		return err_set(e, ERR_CONFLICT, "the backfill has ended");
	return db_exec(c, "UPDATE backfills SET state=2,ended_ns=?2 WHERE id=?1",
		       DB_ARGS(db_int(w->id), db_int(clock_wall_ns())), e) < 0
		       ? -1
		       : 0;
}

int backfill_cancel(struct services *s, const struct service_caller *who, int64_t id, struct err *e)
{
	struct cancel w = { who, id };

	return db_write(s->o.db, cancel_in, &w, e);
}

// ---- working -------------------------------------------------------------------------------------------

struct piece {
	struct services *s;
	struct backfill b;
	struct service_def *def;
	struct store_list list;
	bool stale; // it was cancelled meanwhile
};

// The same version went through the same script and image before, whatever revision that was.
static int done_before(const struct piece *p, struct db_conn *c, int64_t version, bool *out,
		       struct err *e)
{
	int64_t found;

	*out = false;
	if (!p->b.changed)
		return 0;
	if (db_get_int(c,
		       "SELECT 1 FROM events v JOIN jobs j ON j.id=v.job JOIN service_revisions r "
		       "ON r.service=j.service AND r.revision=j.revision WHERE v.version=?1 AND "
		       "v.version<>0 AND v.service=?2 AND j.state=4 AND r.script_hash=?3 AND "
		       "r.image_id=?4",
		       DB_ARGS(db_int(version), db_int(p->def->id), db_str(p->def->script_hash),
			       db_str(p->def->image_id)),
		       0, &found, e) < 0)
		return -1;
	*out = found;
	return 0;
}

static bool wanted(const struct piece *p, const struct store_object *o)
{
	const struct fdl_io *io = &p->def->fdl->inputs[p->b.input];
	auto_free char *text = NULL;
	struct span name;

	if (o->mtime_ns < p->b.since_ns || !fdl_io_takes(io, span_of(io->bucket), o->key, &name))
		return false;
	text = mem_strndup(name.p, name.n);
	return !*p->b.glob || fnmatch(p->b.glob, text, 0) == 0;
}

static int queue_one(struct piece *p, struct db_conn *c, const struct store_object *o,
		     struct err *e)
{
	const struct service_def *d = p->def;
	struct store_cause cause = { .principal = d->fdl->owner,
				     .user_agent = "oscar",
				     .user = d->owner };
	struct store_event ev = { .name = "s3:ObjectCreated:Put",
				  .bucket_id = o->bucket_id,
				  .bucket = span_of(d->fdl->inputs[p->b.input].bucket),
				  .key = o->key,
				  .version = o->version,
				  .null_version = o->null_version,
				  .size = o->size,
				  .etag = span_of(o->etag),
				  .time_ns = o->mtime_ns,
				  .cause = &cause };
	auto_buf struct buf record = { .max = STORE_EVENT_TEXT_MAX };
	struct queue_new n = { .service = d->id,
			       .revision = d->revision,
			       .owner = d->owner,
			       .trigger = -p->b.id, // so that it is apart from the upload's own job
			       .source = "backfill",
			       .bucket = o->bucket_id,
			       .key = o->key,
			       .version = o->version,
			       .priority = 2 * d->fdl->priority,
			       .queued_max = d->fdl->queue_max };
	int64_t job;

	if (!store_event_write(&ev, STORE_EVENT_POSTED, ev.version, &record))
		return err_set(e, ERR_LIMIT, "the event record is over %d bytes",
			       STORE_EVENT_TEXT_MAX);
	n.payload = buf_span(&record);
	if (fdl_io_groups(&d->fdl->inputs[p->b.input])) {
		n.run = d->fdl->inputs[p->b.input].group_run ? o->run : 0;
		p->b.queued++;
		return group_take_in(p->s, c, d, p->b.input, &n, e);
	}
	if (queue_add_in(p->s->o.queue, c, &n, &job, e) < 0)
		return -1;
	p->b.queued++;
	p->b.last_job = job;
	if (!p->b.first_job)
		p->b.first_job = job;
	return 0;
}

// True when the object was dealt with; false at the limit or with a full queue.
static int take_one(struct piece *p, struct db_conn *c, const struct store_object *o, bool *full,
		    struct err *e)
{
	bool before;

	if (wanted(p, o)) {
		if (done_before(p, c, o->version, &before, e) < 0)
			return -1;
		if (before) {
			p->b.skipped++;
		} else if (p->b.sample && p->b.queued >= p->b.sample) {
			p->b.rest++;
			p->b.rest_bytes += o->size;
		} else if (queue_one(p, c, o, e) < 0) {
			*full = e->code == ERR_BUSY;
			return *full ? 0 : -1;
		}
	}
	p->b.looked++;
	return 0;
}

static int piece_in(struct db_conn *c, void *arg, struct err *e)
{
	struct piece *p = arg;
	struct backfill *b = &p->b;
	struct span after = span_of(b->after);
	bool full = false, over = !p->list.truncated;
	int64_t state;

	if (db_get_int(c, "SELECT state FROM backfills WHERE id=?1", DB_ARGS(db_int(b->id)),
		       BACKFILL_CANCELLED, &state, e) < 0)
		return -1;
	p->stale = state != BACKFILL_WORKING;
	for (size_t i = 0; i < p->list.n && !p->stale; i++) {
		struct err why = { 0 };

		if (take_one(p, c, &p->list.entries[i].object, &full, &why) < 0) {
			*e = why;
			return -1;
		}
		over = full ? false : over;
		if (full)
			break;
		after = p->list.entries[i].object.key;
		if (b->limit && b->queued + b->rest >= b->limit) {
			over = true;
			break;
		}
	}
	if (p->stale)
		return 0;
	b->state = over ? BACKFILL_DONE : BACKFILL_WORKING;
	p->list.truncated = !over && !full;
	return db_exec(c,
		       "UPDATE backfills SET after=?2,looked=?3,queued=?4,skipped=?5,state=?6,"
		       "ended_ns=?7,rest=?8,rest_bytes=?9,first_job=?10,last_job=?11 WHERE id=?1",
		       DB_ARGS(db_int(b->id), db_text(after), db_int((int64_t)b->looked),
			       db_int((int64_t)b->queued), db_int((int64_t)b->skipped),
			       db_int(b->state), db_int(over ? clock_wall_ns() : 0),
			       db_int((int64_t)b->rest), db_int((int64_t)b->rest_bytes),
			       db_int(b->first_job), db_int(b->last_job)),
		       e) < 0
		       ? -1
		       : 0;
}

struct failure {
	int64_t id;
	const char *reason;
};

static int fail_in(struct db_conn *c, void *arg, struct err *e)
{
	const struct failure *f = arg;

	return db_exec(c,
		       "UPDATE backfills SET state=3,reason=?2,ended_ns=?3 WHERE id=?1 AND state=0",
		       DB_ARGS(db_int(f->id), db_str(f->reason), db_int(clock_wall_ns())), e) < 0
		       ? -1
		       : 0;
}

// The oldest one that works and may go on: those whose queue was full last time wait for their next turn.
static int next_one(struct services *s, int64_t after, struct arena *mem, struct backfill *b,
		    struct err *e)
{
	struct db_conn *c = db_reader(s->o.db, e);
	auto_query struct db_stmt *q = NULL;
	int got;

	if (!c)
		return -1;
	q = db_query(c, BACKFILL_SELECT "WHERE state=0 AND id>?1 ORDER BY id LIMIT 1",
		     DB_ARGS(db_int(after)), e);
	got = db_step(q, e);
	if (got > 0)
		from_row(q, mem, b);
	return got;
}

static int work(struct piece *p, struct arena *mem, struct err *e)
{
	struct store_list_options o = { .limit = PIECE };
	const struct fdl_io *io;

	if (service_by_id(p->s, p->b.service, &p->def, e) < 0)
		return -1;
	if (p->b.input >= p->def->fdl->input_count)
		return err_set(e, ERR_INVALID, "the service has no such input any more");
	io = &p->def->fdl->inputs[p->b.input];
	o.bucket = span_of(io->bucket);
	o.prefix = span_of(io->folder[0] ? arena_printf(mem, "%s/%s", io->folder, p->b.prefix)
					 : p->b.prefix);
	o.after = span_of(p->b.after);
	if (store_list(p->s->o.store, &o, mem, &p->list, e) < 0)
		return -1;
	return db_write(p->s->o.db, piece_in, p, e);
}

int backfill_step(struct services *s, struct err *e)
{
	int64_t after = 0;
	int more = 0, got;

	for (;;) {
		auto_arena struct arena mem = { 0 };
		struct piece p = { .s = s };
		struct err why = { 0 };

		got = next_one(s, after, &mem, &p.b, e);
		if (got <= 0)
			return got < 0 ? -1 : more;
		after = p.b.id;
		if (work(&p, &mem, &why) < 0) {
			struct failure f = { p.b.id, why.msg };

			if (why.code != ERR_NOT_FOUND && why.code != ERR_INVALID &&
			    why.code != ERR_LIMIT)
				*e = why; // of the disk or the database: tried again
			else if (db_write(s->o.db, fail_in, &f, e) < 0)
				log_warn("service", "backfill %lld: %s", (long long)f.id, e->msg);
		} else {
			more |= p.list.truncated && !p.stale;
		}
		service_def_put(p.def);
		if (e->code)
			return -1;
	}
}

static void *backfill_main(void *arg)
{
	struct services *s = arg;
	int64_t pause_ms = 0;

	while (chore_rest(&s->backfill, pause_ms * NS_PER_MS)) {
		struct err e = { 0 };
		int more = backfill_step(s, &e);

		if (more < 0)
			log_warn("service", "backfill: %s", e.msg);
		pause_ms = more > 0 ? 1 : IDLE_MS;
	}
	return NULL;
}

void backfill_run(struct services *s)
{
	chore_start(&s->backfill, "backfill", backfill_main, s);
}

void backfill_halt(struct services *s)
{
	chore_stop(&s->backfill);
}
