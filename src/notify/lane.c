// SPDX-License-Identifier: Apache-2.0
// lane: the delivery to one target. A window of the oldest letters lies in memory; of each key only the oldest one
// may be sent, so that a key keeps its order while others overtake. Threads come when there is something to send.
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "notify/engine.h"
#include "store/store.h"

enum {
	SENDERS = 4,		// threads of a lane
	WINDOW = 256,		// letters in memory
	WINDOW_LOW = 64,	// below: more are read
	WINDOW_BYTES = 1 << 20, // or one letter
	IDLE_S = 10,		// a thread without work ends
	REASON_MAX = 200,
};

struct letter {
	struct letter *prev, *next; // in the window, by seq
	struct letter *later;	    // the next one of its key
	struct letter *last;	    // of a head: the last one of its key
	bool head, busy;
	int64_t seq, time_ns;
	int64_t not_before; // monotonic
	unsigned attempts;
	struct span key; // bucket's id and key, what the order is kept for
	struct span record;
};

struct slot {
	pthread_t thread;
	enum { SLOT_FREE, SLOT_RUNS, SLOT_ENDED } state;
	struct lane *lane;
};

struct lane {
	struct lane_options o;
	_Atomic bool stop;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct letter *first, *last_letter;
	struct map heads;
	size_t n, bytes;
	unsigned idle;	// threads that wait for work
	int64_t loaded; // letters up to this seq were read
	bool more;	// there may be others
	bool loading;
	unsigned failures; // of the target as a whole, in a row
	int64_t paused;	   // monotonic
	char fault[256];
	struct slot slots[SENDERS];
};

// ---- the window ----------------------------------------------------------------------------------------

static void window_add(struct lane *l, struct letter *x)
{
	struct letter *head = map_get(&l->heads, x->key);

	x->prev = l->last_letter;
	*(l->last_letter ? &l->last_letter->next : &l->first) = x;
	l->last_letter = x;
	l->n++;
	l->bytes += x->record.n;
	if (head) {
		head->last->later = x;
		head->last = x;
		return;
	}
	x->head = true;
	x->last = x;
	map_put(&l->heads, x->key, x);
}

static void window_remove(struct lane *l, struct letter *x)
{
	struct letter *heir = x->later;

	*(x->prev ? &x->prev->next : &l->first) = x->next;
	*(x->next ? &x->next->prev : &l->last_letter) = x->prev;
	l->n--;
	l->bytes -= x->record.n;
	map_remove(&l->heads, x->key);
	if (heir) {
		heir->head = true;
		heir->last = x->last;
		map_put(&l->heads, heir->key, heir);
	}
	mem_free(x);
}

static struct letter *letter_new(struct db_stmt *q)
{
	int64_t bucket = db_col_int(q, 1);
	struct span key = db_col_span(q, 2), record = db_col_span(q, 5);
	struct letter *x = mem_zalloc(sizeof(*x) + sizeof(bucket) + key.n + record.n);
	char *p = (char *)(x + 1);

	x->seq = db_col_int(q, 0);
	x->time_ns = db_col_int(q, 3);
	x->attempts = (unsigned)db_col_int(q, 4);
	memcpy(p, &bucket, sizeof(bucket));
	if (key.n)
		memcpy(p + sizeof(bucket), key.p, key.n);
	x->key = span_make(p, sizeof(bucket) + key.n);
	p += x->key.n;
	if (record.n)
		memcpy(p, record.p, record.n);
	x->record = span_make(p, record.n);
	return x;
}

// Reads what follows the window into *list, oldest first; the number, or -1.
static int read_more(struct lane *l, int64_t after, struct letter *list[static WINDOW],
		     struct err *e)
{
	struct db_conn *c = db_reader(l->o.db, e);
	auto_query struct db_stmt *q =
		db_query(c,
			 "SELECT seq,bucket,key,time_ns,attempts,record FROM notify_events "
			 "WHERE target=?1 AND dead=0 AND seq>?2 ORDER BY seq LIMIT 192",
			 DB_ARGS(db_int(l->o.target), db_int(after)), e);
	size_t bytes = 0;
	int n = 0, got = 0;

	while (q && bytes < WINDOW_BYTES && (got = db_step(q, e)) > 0) {
		list[n] = letter_new(q);
		bytes += list[n++]->record.n;
	}
	if (q && got >= 0)
		return n;
	while (n)
		mem_free(list[--n]);
	return -1;
}

// With the lock held, which is given up while reading.
static void window_fill(struct lane *l)
{
	struct letter *list[WINDOW];
	int64_t after = l->loaded;
	struct err e = { 0 };
	int n;

	l->loading = true;
	l->more = false;
	pthread_mutex_unlock(&l->lock);
	n = read_more(l, after, list, &e);
	if (n < 0)
		log_warn("notify", "%s: %s", l->o.label, e.msg);
	pthread_mutex_lock(&l->lock);
	l->loading = false;
	if (n)
		l->more = true; // there may be more, or another try
	if (n < 0)
		l->paused = clock_mono_ns() + NS_PER_S;
	for (int i = 0; i < n; i++) {
		l->loaded = list[i]->seq;
		window_add(l, list[i]);
	}
}

// ---- outcomes ------------------------------------------------------------------------------------------

// A change of a letter's row that nobody waits for: a crash before its commit repeats the delivery.
struct settle {
	struct db_request request;
	int64_t seq, target;
	bool sent, dead;
	unsigned attempts;
	char reason[REASON_MAX];
};

static int settle_in(struct db_conn *c, void *arg, struct err *e)
{
	struct settle *s = arg;
	int changed;

	if (!s->sent)
		return db_exec(c,
			       "UPDATE notify_events SET attempts=?2, dead=?5, dead_ns=?3, "
			       "reason=?4 WHERE "
			       "seq=?1",
			       DB_ARGS(db_int(s->seq), db_int(s->attempts),
				       s->dead ? db_int(clock_wall_ns()) : db_null(),
				       db_str(s->reason), db_int(s->dead)),
			       e);
	changed = db_exec(c, "DELETE FROM notify_events WHERE seq=?1", DB_ARGS(db_int(s->seq)), e);
	if (changed <= 0)
		return changed;
	return db_exec(c, "UPDATE notify_targets SET events=events-1 WHERE id=?1",
		       DB_ARGS(db_int(s->target)), e);
}

static void settled(struct db_request *r, int result, const struct err *e)
{
	if (result < 0)
		log_warn("notify", "an event will be sent again: %s", e->msg);
	mem_free(r);
}

static void settle(struct lane *l, const struct letter *x, bool sent, bool dead, const char *reason)
{
	struct settle *s = mem_zalloc(sizeof(*s));

	s->seq = x->seq;
	s->target = l->o.target;
	s->sent = sent;
	s->dead = dead;
	s->attempts = x->attempts;
	snprintf(s->reason, sizeof(s->reason), "%s", reason);
	s->request =
		(struct db_request){ .fn = settle_in, .arg = s, .done = settled, .lazy = true };
	db_submit(l->o.db, &s->request);
}

// 1, 2, 4 … times the first wait, at most the longest, a quarter more or less.
static int64_t wait_ns(const struct lane *l, unsigned tries)
{
	int64_t ms = l->o.retry_ms;

	for (unsigned i = 1; i < tries && ms < l->o.retry_max_ms; i++)
		ms *= 2;
	if (ms > l->o.retry_max_ms)
		ms = l->o.retry_max_ms;
	return (ms * 3 / 4 + (int64_t)(rand_u64() % (uint64_t)(ms / 2 + 1))) * NS_PER_MS;
}

static void failed(struct lane *l, struct letter *x, const struct err *why)
{
	bool away =
		why->code == ERR_UNAVAILABLE || why->code == ERR_TIMEOUT || why->code == ERR_BUSY;
	int64_t now = clock_mono_ns();
	bool dead;

	if (!l->fault[0])
		log_warn("notify", "%s does not take events: %s", l->o.label, why->msg);
	snprintf(l->fault, sizeof(l->fault), "%s", why->msg);
	x->attempts++;
	x->not_before = now + wait_ns(l, x->attempts);
	dead = (l->o.attempts_max && x->attempts >= l->o.attempts_max) ||
	       clock_wall_ns() - x->time_ns > l->o.age_max_ns;
	if (away) {
		l->failures++;
		l->paused = now + wait_ns(l, l->failures);
		x->not_before = 0; // the whole target waits
	}
	settle(l, x, false, dead, why->msg);
	if (dead)
		window_remove(l, x);
}

static void delivered(struct lane *l, struct letter *x)
{
	if (l->fault[0])
		log_info("notify", "%s takes events again", l->o.label);
	l->fault[0] = '\0';
	l->failures = 0;
	l->paused = 0;
	settle(l, x, true, false, "");
	window_remove(l, x);
}

// ---- threads -------------------------------------------------------------------------------------------

// The oldest letter that may go now; else *until says when to look again (0 = when woken). After a failure of the
// target one thread tries alone.
static struct letter *choose(struct lane *l, int64_t now, int64_t *until)
{
	bool busy = false;

	*until = 0;
	if (l->paused > now) {
		*until = l->paused;
		return NULL;
	}
	for (struct letter *x = l->first; l->failures && x; x = x->next)
		busy |= x->busy;
	if (busy)
		return NULL;
	for (struct letter *x = l->first; x; x = x->next) {
		if (!x->head || x->busy)
			continue;
		if (x->not_before <= now)
			return x;
		if (!*until || x->not_before < *until)
			*until = x->not_before;
	}
	return NULL;
}

static void *sender_main(void *arg);

// With the lock held: one more thread when nobody waits for work.
static void more_hands(struct lane *l)
{
	if (l->idle || atomic_load(&l->stop))
		return;
	for (int i = 0; i < SENDERS; i++) {
		struct slot *s = &l->slots[i];

		if (s->state == SLOT_RUNS)
			continue;
		if (s->state == SLOT_ENDED)
			pthread_join(s->thread, NULL);
		s->state = SLOT_RUNS;
		s->lane = l;
		lock_thread_start(&s->thread, "notify", sender_main, s);
		return;
	}
}

static int send_one(struct lane *l, struct sender **s, const struct letter *x, struct err *e)
{
	struct sender_letter out = { .seq = x->seq,
				     .attempt = x->attempts + 1,
				     .record = x->record };

	snprintf(out.id, sizeof(out.id), "%llx-%llx", (unsigned long long)l->o.created_ns,
		 (unsigned long long)x->seq);
	if (!*s && sender_open(&l->o.sender, s, e) < 0)
		return -1;
	return (*s)->send(*s, &out, e);
}

// One step: sends a letter, reads more, or waits. False when the thread should end.
static bool step(struct lane *l, struct sender **s)
{
	int64_t now = clock_mono_ns(), until;
	struct letter *x;
	struct err e = { 0 };
	bool woken;
	int got;

	if (l->more && !l->loading && l->n < WINDOW_LOW && l->bytes < WINDOW_BYTES &&
	    l->paused <= now) {
		window_fill(l);
		return true;
	}
	x = choose(l, now, &until);
	if (!x) {
		l->idle++;
		woken = lock_wait(&l->wake, &l->lock, until ? until : now + IDLE_S * NS_PER_S);
		l->idle--;
		return until || woken || l->n || l->more;
	}
	x->busy = true;
	if (l->n > 1 && !l->failures)
		more_hands(l);
	pthread_mutex_unlock(&l->lock);
	got = send_one(l, s, x, &e);
	pthread_mutex_lock(&l->lock);
	x->busy = false;
	if (got == 0)
		delivered(l, x);
	else if (!atomic_load(&l->stop))
		failed(l, x, &e);
	if (l->idle && l->n)
		pthread_cond_signal(&l->wake);
	return true;
}

static void *sender_main(void *arg)
{
	struct slot *slot = arg;
	struct lane *l = slot->lane;
	struct sender *s = NULL;

	pthread_mutex_lock(&l->lock);
	while (!atomic_load(&l->stop) && step(l, &s))
		;
	slot->state = SLOT_ENDED;
	pthread_mutex_unlock(&l->lock);
	if (s)
		s->close(s);
	return NULL;
}

// ---- life ----------------------------------------------------------------------------------------------

static bool stopping(void *owner)
{
	struct lane *l = owner;

	return atomic_load(&l->stop);
}

struct lane *lane_open(const struct lane_options *o)
{
	struct lane *l = mem_zalloc(sizeof(*l));

	l->o = *o;
	l->o.sender.cancelled = stopping;
	l->o.sender.cancel_owner = l;
	pthread_mutex_init(&l->lock, NULL);
	lock_cond_init(&l->wake);
	return l;
}

void lane_wake(struct lane *l)
{
	auto_lock held = lock_hold(&l->lock);

	l->more = true;
	if (l->idle)
		pthread_cond_signal(&l->wake);
	else
		more_hands(l);
}

void lane_again(struct lane *l)
{
	pthread_mutex_lock(&l->lock);
	l->paused = 0;
	for (struct letter *x = l->first; x; x = x->next)
		x->not_before = 0;
	pthread_mutex_unlock(&l->lock);
	lane_wake(l);
}

void lane_close(struct lane *l)
{
	bool began[SENDERS];

	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	atomic_store(&l->stop, true);
	pthread_cond_broadcast(&l->wake);
	// A thread may have been started by another one just before; none is from now on.
	for (int i = 0; i < SENDERS; i++)
		began[i] = l->slots[i].state != SLOT_FREE;
	pthread_mutex_unlock(&l->lock);
	for (int i = 0; i < SENDERS; i++)
		if (began[i])
			pthread_join(l->slots[i].thread, NULL);
	while (l->first)
		window_remove(l, l->first);
	map_release(&l->heads);
	pthread_cond_destroy(&l->wake);
	pthread_mutex_destroy(&l->lock);
	mem_free(l);
}

void lane_fault(struct lane *l, char out[static 256])
{
	auto_lock held = lock_hold(&l->lock);

	snprintf(out, 256, "%s", l->fault);
}
