// SPDX-License-Identifier: Apache-2.0
// notify: from a change of an object to the rows of its events.
#include "notify/notify.h"

#include "base/log.h"
#include "base/mem.h"
#include "notify/engine.h"
#include "store/event.h"
#include "store/store.h"

enum { RETRY_MS = 250, RETRY_MAX_MS = 20000 };

// ---- events --------------------------------------------------------------------------------------------

static void mark(struct notify *n, int64_t target)
{
	for (size_t i = 0; i < n->given_count; i++)
		if (n->given[i] == target)
			return;
	if (n->given_count < ARRAY_LEN(n->given))
		n->given[n->given_count++] = target;
}

static int insert_in(struct notify *n, struct db_conn *c, int64_t target,
		     const struct store_event *ev, struct span record, struct err *e)
{
	if (db_exec(c,
		    "INSERT INTO notify_events(target,bucket,key,time_ns,record) "
		    "VALUES(?1,?2,?3,?4,?5)",
		    DB_ARGS(db_int(target), db_int(ev->bucket_id), db_text(ev->key),
			    db_int(ev->time_ns), db_text(record)),
		    e) < 0)
		return -1;
	mark(n, target);
	return 0;
}

// One event for one target. A full one drops it and counts.
static int give_in(struct notify *n, struct db_conn *c, int64_t target,
		   const struct store_event *ev, struct span record, struct err *e)
{
	int got =
		db_exec(c, "UPDATE notify_targets SET events=events+1 WHERE id=?1 AND events<room",
			DB_ARGS(db_int(target)), e);

	if (got < 0)
		return -1;
	if (!got)
		return db_exec(c, "UPDATE notify_targets SET dropped=dropped+1 WHERE id=?1",
			       DB_ARGS(db_int(target)), e) < 0
			       ? -1
			       : 0;
	return insert_in(n, c, target, ev, record, e);
}

enum { ADDRESSEES_MAX = NOTIFICATION_RULES_MAX + NOTIFY_LISTENERS_MAX };

// The targets of the rules that fit, each once, and who listens, by the negative of their id.
static size_t addressees(struct notify *n, const struct store_event *ev, uint32_t event,
			 int64_t out[static ADDRESSEES_MAX])
{
	uint64_t bucket = (uint64_t)ev->bucket_id;
	struct bucket_rules *b;
	size_t count = 0;

	pthread_rwlock_rdlock(&n->lock);
	b = map_get(&n->rules, map_key_u64(&bucket));
	for (size_t i = 0; b && (b->events & event) && i < b->n; i++) {
		bool known = !notification_fits(&b->rules[i].rule, event, ev->key);

		for (size_t k = 0; !known && k < count; k++)
			known = out[k] == b->rules[i].target;
		if (!known)
			out[count++] = b->rules[i].target;
	}
	count = listeners_wanting(n, ev, event, out, count);
	pthread_rwlock_unlock(&n->lock);
	return count;
}

// A new version brings its number as the sequencer; what else happens to a key gets one of its own.
static int sequencer_in(struct db_conn *c, const struct store_event *ev, uint32_t event,
			int64_t *out, struct err *e)
{
	*out = ev->version;
	if (event & (NOTIFICATION_CREATED | NOTIFICATION_MARKER | NOTIFICATION_EXPIRED_MARK))
		return 0;
	return db_next(c, "version", out, e);
}

int notify_changed(void *notify, struct db_conn *c, const struct store_event *ev, struct err *e)
{
	struct notify *n = notify;
	int64_t to[ADDRESSEES_MAX], sequencer;
	auto_buf struct buf posted = { .max = STORE_EVENT_TEXT_MAX };
	auto_buf struct buf listened = { .max = STORE_EVENT_TEXT_MAX };
	uint32_t wanted = atomic_load_explicit(&n->wanted, memory_order_acquire), event;
	size_t count;

	if (!wanted || !notification_events(span_of(ev->name), &event) || !(wanted & event))
		return 0;
	count = addressees(n, ev, event, to);
	if (!count)
		return 0;
	if (sequencer_in(c, ev, event, &sequencer, e) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		bool listens = to[i] < 0;
		struct buf *record = listens ? &listened : &posted;

		if (!record->n &&
		    !store_event_write(ev, listens ? STORE_EVENT_LISTENED : STORE_EVENT_POSTED,
				       sequencer, record))
			return err_set(e, ERR_LIMIT, "the event record is over %d bytes",
				       STORE_EVENT_TEXT_MAX);
		if ((listens ? insert_in : give_in)(n, c, to[i], ev, buf_span(record), e) < 0)
			return -1;
	}
	return 0;
}

// After each commit, on the writer.
static void committed(void *owner)
{
	struct notify *n = owner;
	bool local = false;

	if (!n->given_count)
		return;
	pthread_rwlock_rdlock(&n->lock);
	for (size_t i = 0; i < n->given_count; i++) {
		struct target *t = target_by_id(n, n->given[i]);

		if (n->given[i] < 0)
			listeners_wake(n, -n->given[i]);
		if (t && t->lane && n->started)
			lane_wake(t->lane);
		local |= t && t->local;
	}
	pthread_rwlock_unlock(&n->lock);
	n->given_count = 0;
	if (local && n->o.queued)
		n->o.queued(n->o.owner);
}

bool notify_wants(struct notify *n, int64_t bucket_id, uint32_t events)
{
	uint64_t id = (uint64_t)bucket_id;
	struct bucket_rules *b;
	bool wants;

	if (!(atomic_load_explicit(&n->wanted, memory_order_acquire) & events))
		return false;
	pthread_rwlock_rdlock(&n->lock);
	b = map_get(&n->rules, map_key_u64(&id));
	wants = (b && (b->events & events)) || listeners_hear(n, bucket_id, events);
	pthread_rwlock_unlock(&n->lock);
	return wants;
}

// ---- reads ---------------------------------------------------------------------------------------------

struct access {
	struct db_request request;
	struct notify *notify;
	struct arena mem;
	struct store_event ev;
	struct store_cause cause;
};

static int access_in(struct db_conn *c, void *arg, struct err *e)
{
	struct access *a = arg;

	return notify_changed(a->notify, c, &a->ev, e);
}

static void access_done(struct db_request *r, int result, const struct err *e)
{
	struct access *a = (struct access *)r;

	if (result < 0)
		log_warn("notify", "the event of a read is lost: %s", e->msg);
	arena_release(&a->mem);
	mem_free(a);
}

static const char *keep(struct arena *mem, const char *s)
{
	return s ? arena_strdup(mem, s) : NULL;
}

void notify_accessed(struct notify *n, const struct store_event *ev)
{
	struct access *a = mem_zalloc(sizeof(*a));

	a->notify = n;
	a->ev = *ev;
	a->ev.name = keep(&a->mem, ev->name);
	a->ev.bucket = arena_span(&a->mem, ev->bucket);
	a->ev.key = arena_span(&a->mem, ev->key);
	a->ev.etag = arena_span(&a->mem, ev->etag);
	a->ev.meta.packed = arena_span(&a->mem, ev->meta.packed);
	if (ev->cause) {
		a->cause.principal = keep(&a->mem, ev->cause->principal);
		a->cause.source_ip = keep(&a->mem, ev->cause->source_ip);
		a->cause.user_agent = keep(&a->mem, ev->cause->user_agent);
		a->cause.request_id = keep(&a->mem, ev->cause->request_id);
	}
	a->ev.cause = &a->cause;
	a->request =
		(struct db_request){ .fn = access_in, .arg = a, .done = access_done, .lazy = true };
	db_submit(n->db, &a->request);
}

// ---- life ----------------------------------------------------------------------------------------------

int notify_open(struct notify **out, const struct notify_options *o, struct err *e)
{
	struct notify *n = mem_zalloc(sizeof(*n));

	n->db = o->db;
	n->o = *o;
	n->o.retry_ms = o->retry_ms ? o->retry_ms : RETRY_MS;
	n->o.retry_max_ms = o->retry_max_ms ? o->retry_max_ms : RETRY_MAX_MS;
	n->region = mem_strdup(o->region ? o->region : "us-east-1");
	pthread_mutex_init(&n->change, NULL);
	pthread_rwlock_init(&n->lock, NULL);
	if (targets_purge(n, e) < 0 || listeners_purge(n, e) < 0 || targets_load(n, e) < 0 ||
	    rules_load(n, e) < 0) {
		notify_close(n);
		return err_wrap(e, "notifications");
	}
	db_on_commit(n->db, committed, n);
	*out = n;
	return 0;
}

void notify_on_queued(struct notify *n, void (*fn)(void *owner), void *owner)
{
	pthread_rwlock_wrlock(&n->lock);
	n->o.queued = fn;
	n->o.owner = owner;
	pthread_rwlock_unlock(&n->lock);
}

void notify_start(struct notify *n)
{
	pthread_rwlock_wrlock(&n->lock);
	n->started = true;
	for (struct target *t = n->targets; t; t = t->next)
		if (t->lane)
			lane_wake(t->lane);
	pthread_rwlock_unlock(&n->lock);
}

void notify_close(struct notify *n)
{
	struct target *t;

	if (!n)
		return;
	check(!n->listeners);
	db_off_commit(n->db, n);
	while ((t = n->targets)) {
		n->targets = t->next;
		target_free(t);
	}
	rules_release(n);
	pthread_rwlock_destroy(&n->lock);
	pthread_mutex_destroy(&n->change);
	mem_free(n->region);
	mem_free(n);
}
