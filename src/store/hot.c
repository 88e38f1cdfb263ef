// SPDX-License-Identifier: Apache-2.0
// Objects lie in a table of as many locks as spots, one object a spot: the newest of those whose keys meet there. A
// spot remembers when something that belongs there was changed last, also after its object is gone, so that a reader
// who looked before the change cannot bring the old row back.
#include "store/hot.h"

#include "base/map.h"
#include "base/mem.h"

enum { SPOTS = 8192, BUCKETS_MAX = 4096, WORD = 64 };

static const uint64_t changing = UINT64_MAX; // by a transaction that did not end yet

struct entry {
	struct store_object o; // its spans lie behind it
	struct content at;
	struct span body;
	size_t bytes; // of all this
	char text[];
};

struct spot {
	pthread_mutex_t lock; // guards what follows
	uint64_t changed;     // the moment of the last change, or `changing`
	struct entry *entry;
	bool used; // since the hand passed
};

struct hot {
	struct db *db;
	uint64_t bytes_max;
	_Atomic uint64_t bytes;
	_Atomic size_t hand;   // where room is made next
	_Atomic bool watching; // ends of transactions are heard

	pthread_mutex_t lock;	  // guards the next two
	struct map buckets;	  // name to struct store_bucket
	uint64_t buckets_changed; // as `changed`

	uint64_t touched[SPOTS /
			 WORD]; // by the running transaction; writer thread only, as the next
	bool buckets_touched;
	struct spot spots[SPOTS];
};

// ---- ends of transactions ------------------------------------------------------------------------------

static void settle_spot(struct spot *p, uint64_t moment)
{
	auto_lock held = lock_hold(&p->lock);

	p->changed = moment;
}

static void ended(void *owner, uint64_t moment)
{
	struct hot *h = owner;

	for (size_t i = 0; i < SPOTS / WORD; i++)
		for (; h->touched[i]; h->touched[i] &= h->touched[i] - 1)
			settle_spot(&h->spots[i * WORD + (size_t)__builtin_ctzll(h->touched[i])],
				    moment);
	if (h->buckets_touched) {
		auto_lock held = lock_hold(&h->lock);

		h->buckets_changed = moment;
		h->buckets_touched = false;
	}
	atomic_store_explicit(&h->watching, true, memory_order_relaxed);
}

struct hot *hot_new(struct db *db, uint64_t bytes_max)
{
	struct hot *h = mem_zalloc(sizeof(*h));

	h->db = db;
	h->bytes_max = bytes_max;
	pthread_mutex_init(&h->lock, NULL);
	for (size_t i = 0; i < SPOTS; i++)
		pthread_mutex_init(&h->spots[i].lock, NULL);
	db_on_end(db, ended, h);
	return h;
}

static void forget_buckets(struct hot *h)
{
	size_t at = 0;
	struct span name;
	void *b;

	while (map_next(&h->buckets, &at, &name, &b))
		mem_free(b);
	map_release(&h->buckets);
	h->buckets = (struct map){ 0 };
}

static void forget_entry(struct hot *h, struct spot *p)
{
	if (!p->entry)
		return;
	atomic_fetch_sub(&h->bytes, p->entry->bytes);
	mem_free(p->entry);
	p->entry = NULL;
}

void hot_free(struct hot *h)
{
	if (!h)
		return;
	db_off_commit(h->db, h);
	for (size_t i = 0; i < SPOTS; i++) {
		forget_entry(h, &h->spots[i]);
		pthread_mutex_destroy(&h->spots[i].lock);
	}
	forget_buckets(h);
	pthread_mutex_destroy(&h->lock);
	mem_free(h);
}

// ---- buckets -------------------------------------------------------------------------------------------

bool hot_bucket(struct hot *h, struct span name, struct store_bucket *out)
{
	auto_lock held = lock_hold(&h->lock);
	const struct store_bucket *b = map_get(&h->buckets, name);

	if (b)
		*out = *b;
	return b;
}

void hot_bucket_keep(struct hot *h, uint64_t moment, const struct store_bucket *b)
{
	auto_lock held = lock_hold(&h->lock);
	struct store_bucket *copy;

	if (moment < h->buckets_changed || !atomic_load(&h->watching))
		return;
	if (h->buckets.count >= BUCKETS_MAX)
		forget_buckets(h);
	copy = mem_zalloc(sizeof(*copy));
	*copy = *b;
	copy->objects = copy->bytes = 0;
	mem_free(map_put(&h->buckets, span_of(b->name), copy));
}

void hot_buckets_change_in(struct hot *h)
{
	auto_lock held = lock_hold(&h->lock);

	forget_buckets(h);
	h->buckets_changed = changing;
	h->buckets_touched = true;
}

// ---- objects -------------------------------------------------------------------------------------------

static size_t spot_of(int64_t bucket, struct span key)
{
	return (map_hash(key) + (uint64_t)bucket * UINT64_C(0x9e3779b97f4a7c15)) % SPOTS;
}

void hot_object_changes_in(struct hot *h, int64_t bucket, struct span key)
{
	size_t i = spot_of(bucket, key);
	struct spot *p = &h->spots[i];
	auto_lock held = lock_hold(&p->lock);

	forget_entry(h, p);
	p->changed = changing;
	h->touched[i / WORD] |= UINT64_C(1) << (i % WORD);
}

bool hot_object(struct hot *h, const struct store_bucket *b, struct span key, struct arena *mem,
		struct store_object *o, struct content *at, struct arena *body_mem,
		struct span *body)
{
	struct spot *p = &h->spots[spot_of(b->id, key)];
	auto_lock held = lock_hold(&p->lock);
	const struct entry *n = p->entry;

	if (!n || n->o.bucket_id != b->id || !span_eq(n->o.key, key) ||
	    (body && n->at.storage == STORE_INLINE && !n->body.p))
		return false;
	p->used = true;
	*at = n->at;
	object_copy(mem, o, &n->o);
	o->bucket = arena_span(mem, span_of(b->name));
	if (body)
		*body = n->body.p ? arena_span(body_mem, n->body) : n->body;
	return true;
}

static struct span move_in(char **to, struct span s)
{
	char *at = *to;

	if (s.n) // else it may be NULL
		memcpy(at, s.p, s.n);
	*to += s.n;
	return span_make(at, s.n);
}

static struct entry *entry_new(const struct store_object *o, struct content at, struct span body)
{
	struct store_object copy = *o;
	struct span *s[OBJECT_SPANS];
	size_t bytes = sizeof(struct entry) + body.n;
	struct entry *n;
	char *to;

	copy.bucket = SPAN(""); // who asks names it
	object_spans(&copy, s);
	for (size_t i = 0; i < OBJECT_SPANS; i++)
		bytes += s[i]->n;
	n = mem_alloc(bytes);
	to = n->text;
	for (size_t i = 0; i < OBJECT_SPANS; i++)
		*s[i] = move_in(&to, *s[i]);
	n->o = copy;
	n->at = at;
	n->body = body.p ? move_in(&to, body) : body;
	n->bytes = bytes;
	return n;
}

// The hand goes round: what was not used since it passed last goes.
static void make_room(struct hot *h)
{
	for (size_t i = 0; atomic_load(&h->bytes) > h->bytes_max && i < 2 * (size_t)SPOTS; i++) {
		struct spot *p = &h->spots[atomic_fetch_add(&h->hand, 1) % SPOTS];
		auto_lock held = lock_hold(&p->lock);

		if (!p->used)
			forget_entry(h, p);
		p->used = false;
	}
}

static bool put_in(struct hot *h, uint64_t moment, struct spot *p, struct entry *n)
{
	auto_lock held = lock_hold(&p->lock);

	if (moment < p->changed)
		return false;
	forget_entry(h, p);
	p->entry = n;
	p->used = false;
	atomic_fetch_add(&h->bytes, n->bytes);
	return true;
}

void hot_object_keep(struct hot *h, uint64_t moment, const struct store_object *o,
		     struct content at, struct span body)
{
	struct spot *p = &h->spots[spot_of(o->bucket_id, o->key)];
	struct entry *n;

	// A sixteenth at most: one object must not throw all others away. A file of a directory may change at any time.
	if (sizeof(*n) + body.n > h->bytes_max / 16 || at.storage == STORE_EXTERNAL ||
	    !atomic_load(&h->watching))
		return;
	n = entry_new(o, at, body);
	if (!put_in(h, moment, p, n)) {
		mem_free(n);
		return;
	}
	make_room(h);
}
