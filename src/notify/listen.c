// SPDX-License-Identifier: Apache-2.0
// listen: who has no target and takes events as they happen. Its events are rows like those of targets, under the negative
// of its id, and go when they were read.
#include "base/mem.h"
#include "notify/engine.h"
#include "store/store.h"

struct notify_listener {
	struct notify_listener *next;
	struct notify *notify;
	int64_t id;
	struct notify_listen o;
	struct notification_rule rule; // as a bucket's would be
	struct arena mem;
	// Rows, about: those of a transaction that failed count until nothing is found; below 0 for a moment when one
	// that was not committed yet was taken for such.
	_Atomic int waiting;
	atomic_bool lost;
	int64_t after; // the last row that was read …
	int64_t gone;  // … and that was removed
};

// ---- which events --------------------------------------------------------------------------------------

static bool hears(const struct notify_listener *l, int64_t bucket)
{
	return !l->o.bucket || l->o.bucket == bucket;
}

size_t listeners_wanting(struct notify *n, const struct store_event *ev, uint32_t event,
			 int64_t *out, size_t count)
{
	for (struct notify_listener *l = n->listeners; l; l = l->next) {
		if (!hears(l, ev->bucket_id) || !notification_fits(&l->rule, event, ev->key))
			continue;
		if (atomic_load(&l->waiting) >= NOTIFY_LISTEN_ROOM) {
			atomic_store(&l->lost, true);
			continue;
		}
		atomic_fetch_add(&l->waiting, 1);
		out[count++] = -l->id;
	}
	return count;
}

uint32_t listeners_events(const struct notify *n)
{
	uint32_t events = 0;

	for (const struct notify_listener *l = n->listeners; l; l = l->next)
		events |= l->o.events;
	return events;
}

bool listeners_hear(const struct notify *n, int64_t bucket, uint32_t events)
{
	for (const struct notify_listener *l = n->listeners; l; l = l->next)
		if (hears(l, bucket) && (l->o.events & events))
			return true;
	return false;
}

void listeners_wake(struct notify *n, int64_t id)
{
	for (struct notify_listener *l = n->listeners; l; l = l->next)
		if (l->id == id)
			l->o.news(l->o.owner);
}

// ---- rows ----------------------------------------------------------------------------------------------

struct removal {
	struct db_request request; // first: `done` gets its address
	int64_t target, through;
};

static int remove_in(struct db_conn *c, void *arg, struct err *e)
{
	struct removal *r = arg;

	return db_exec(c, "DELETE FROM notify_events WHERE target=?1 AND dead=0 AND seq<=?2",
		       DB_ARGS(db_int(r->target), db_int(r->through)), e) < 0
		       ? -1
		       : 0;
}

static void removed(struct db_request *r, int result unused_arg, const struct err *e unused_arg)
{
	mem_free(r); // what is left goes at the next start
}

static void remove_through(struct notify_listener *l, int64_t through)
{
	struct removal *r = mem_zalloc(sizeof(*r));

	*r = (struct removal){
		.request = { .fn = remove_in, .arg = r, .done = removed, .lazy = true },
		.target = -l->id,
		.through = through
	};
	db_submit(l->notify->db, &r->request);
}

static int purge_in(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c, "DELETE FROM notify_events WHERE target<0", DB_NO_ARGS, e) < 0 ? -1 : 0;
}

int listeners_purge(struct notify *n, struct err *e)
{
	int64_t left;
	struct db_conn *c = db_reader(n->db, e);

	if (!c || db_get_int(c, "SELECT count(*) FROM notify_events WHERE target<0", DB_NO_ARGS, 0,
			     &left, e) < 0)
		return -1;
	return left ? db_write(n->db, purge_in, NULL, e) : 0;
}

int notify_listen_next(struct notify_listener *l, size_t limit, struct arena *mem,
		       struct notify_letter **out, size_t *count, struct err *e)
{
	int waiting = atomic_load(&l->waiting);
	bool lost = atomic_load(&l->lost);

	if (letters_read(l->notify, -l->id, false, l->after, limit, mem, out, count, e) < 0)
		return -1;
	if (l->gone < l->after) {
		remove_through(l, l->after);
		l->gone = l->after;
	}
	if (*count) {
		l->after = (*out)[*count - 1].seq;
		atomic_fetch_sub(&l->waiting, (int)*count);
		return 0;
	}
	if (lost)
		return err_set(e, ERR_LIMIT, "over %d events waited for this listener",
			       NOTIFY_LISTEN_ROOM);
	atomic_fetch_sub(&l->waiting, waiting);
	return 0;
}

// ---- life ----------------------------------------------------------------------------------------------

int notify_listen_begin(struct notify *n, const struct notify_listen *o,
			struct notify_listener **out, struct err *e)
{
	struct notify_listener *l = mem_zalloc(sizeof(*l));
	size_t count = 0;

	l->notify = n;
	l->o = *o;
	l->rule = (struct notification_rule){ .events = o->events,
					      .prefix = arena_span(&l->mem, o->prefix),
					      .suffix = arena_span(&l->mem, o->suffix) };
	pthread_rwlock_wrlock(&n->lock);
	for (struct notify_listener *k = n->listeners; k; k = k->next)
		count++;
	if (count < NOTIFY_LISTENERS_MAX) {
		l->id = ++n->last_listener;
		l->next = n->listeners;
		n->listeners = l;
		rules_wanted(n);
	}
	pthread_rwlock_unlock(&n->lock);
	if (!l->id) {
		arena_release(&l->mem);
		mem_free(l);
		return err_set(e, ERR_LIMIT, "%d clients listen already", NOTIFY_LISTENERS_MAX);
	}
	*out = l;
	return 0;
}

void notify_listen_end(struct notify_listener *l)
{
	struct notify *n = l->notify;

	pthread_rwlock_wrlock(&n->lock);
	for (struct notify_listener **at = &n->listeners; *at; at = &(*at)->next)
		if (*at == l) {
			*at = l->next;
			break;
		}
	rules_wanted(n);
	pthread_rwlock_unlock(&n->lock);
	remove_through(l, INT64_MAX);
	arena_release(&l->mem);
	mem_free(l);
}
