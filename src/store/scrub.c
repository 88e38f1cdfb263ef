// SPDX-License-Identifier: Apache-2.0
#include "store/scrub.h"

#include "base/chore.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/blocks.h"

enum { PAGE = 16, SAVE_S = 60, SUSPECTS = 64 };
#define DONE INT64_MAX // as the last file read: the round is complete

// ---- files ---------------------------------------------------------------------------------------------

struct listed {
	int64_t id;
	uint64_t size;
	struct span sums;
};

static int read_page(struct db_conn *c, int64_t after, struct arena *mem,
		     struct listed out[static PAGE], int *n, struct err *e)
{
	auto_query struct db_stmt *q = db_query(
		c, "SELECT id,size,crcs FROM files WHERE id>?1 AND bad=0 ORDER BY id LIMIT 16",
		DB_ARGS(db_int(after)), e);
	int got;

	*n = 0;
	while ((got = db_step(q, e)) > 0)
		out[(*n)++] = (struct listed){ db_col_int(q, 0), (uint64_t)db_col_int(q, 1),
					       arena_span(mem, db_col_span(q, 2)) };
	return got;
}

// The file may have been deleted while it was read: then its row is gone, and marking changes nothing.
static int found_bad(struct store *s, const struct listed *f, const struct err *why, struct err *e)
{
	int marked = blocks_mark(s, f->id, true, e);

	if (marked > 0)
		log_error("store", "content file %llx is damaged: %s", (unsigned long long)f->id,
			  why->msg);
	return marked;
}

// Up to `max` files after *at; the number of those looked at, or -1. *bad counts.
static int scrub_page(struct store *s, int64_t *at, int max, bool (*pace)(void *owner), void *owner,
		      int64_t *bad, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	auto_arena struct arena mem = { 0 };
	struct listed page[PAGE];
	int n;

	if (!c || read_page(c, *at, &mem, page, &n, e) < 0)
		return -1;
	if (n > max)
		n = max;
	for (int i = 0; i < n; i++) {
		struct err why = { 0 };
		int right =
			blocks_verify(s, page[i].id, page[i].size, page[i].sums, pace, owner, &why);
		int marked = right == 0 ? found_bad(s, &page[i], &why, e) : 0;

		if (right < 0)
			return 0; // stopped within this file
		if (marked < 0)
			return -1;
		if (right)
			seen_add(s->seen, page[i].id);
		*bad += marked;
		*at = page[i].id;
	}
	return n;
}

int64_t scrub_files(struct store *s, int64_t *at, bool (*pace)(void *owner), void *owner,
		    struct err *e)
{
	int64_t bad = 0;
	int n;

	while ((n = scrub_page(s, at, PAGE, pace, owner, &bad, e)) == PAGE)
		;
	return n < 0 ? -1 : bad;
}

// ---- the thread ----------------------------------------------------------------------------------------

struct scrub {
	struct store *store;
	struct chore chore;
	int64_t suspects[SUSPECTS];
	int suspect_count;
	int64_t begun_ns, at; // of the round: when it began (0 = none runs), the last file read
	int64_t saved_mono_ns;
};

static int save_in(struct db_conn *c, void *arg, struct err *e)
{
	const struct scrub *k = arg;
	char text[64];

	snprintf(text, sizeof(text), "%lld %lld", (long long)k->begun_ns, (long long)k->at);
	return db_exec(c, "INSERT OR REPLACE INTO settings(name,value) VALUES('scrub',?1)",
		       DB_ARGS(db_str(text)), e) < 0
		       ? -1
		       : 0;
}

static void save(struct scrub *k)
{
	struct err e = { 0 };

	k->saved_mono_ns = clock_mono_ns();
	if (db_write_lazy(k->store->db, save_in, k, &e) < 0)
		log_warn("store", "scrubbing: %s", e.msg);
}

static void load(struct scrub *k)
{
	struct err e = { 0 };
	struct db_conn *c = db_reader(k->store->db, &e);
	auto_query struct db_stmt *q =
		db_query(c, "SELECT value FROM settings WHERE name='scrub'", DB_NO_ARGS, &e);
	struct span text;
	uint64_t begun, at;

	if (!q || db_step(q, &e) <= 0)
		return;
	text = db_col_span(q, 0);
	if (span_to_u64(span_cut(&text, ' '), &begun) && span_to_u64(text, &at)) {
		k->begun_ns = (int64_t)begun;
		k->at = (int64_t)at;
	}
}

// Waits; false when it is time to leave.
static bool rest(struct scrub *k, int64_t ns)
{
	int64_t until = clock_mono_ns() + ns;
	auto_lock held = lock_hold(&k->chore.lock);

	while (!k->chore.stop && !k->suspect_count &&
	       lock_wait(&k->chore.wake, &k->chore.lock, until))
		;
	return !k->chore.stop;
}

void scrub_suspect(struct scrub *k, int64_t file)
{
	auto_lock held = lock_hold(&k->chore.lock);

	if (k->suspect_count == SUSPECTS)
		return;
	k->suspects[k->suspect_count++] = file;
	pthread_cond_signal(&k->chore.wake);
}

static int64_t next_suspect(struct scrub *k)
{
	auto_lock held = lock_hold(&k->chore.lock);

	return k->suspect_count ? k->suspects[--k->suspect_count] : 0;
}

static void look_at_suspects(struct scrub *k)
{
	int64_t file;

	while ((file = next_suspect(k))) {
		struct err e = { 0 };
		int64_t before = file - 1,
			bad = 0; // the next file is the suspect, unless that is gone

		if (scrub_page(k->store, &before, 1, NULL, NULL, &bad, &e) < 0)
			log_warn("store", "scrubbing: %s", e.msg);
	}
}

static bool pace(void *owner)
{
	struct scrub *k = owner;

	if (clock_mono_ns() - k->saved_mono_ns > SAVE_S * NS_PER_S)
		save(k);
	look_at_suspects(k);
	return rest(k, NS_PER_S / k->store->o.scrub_mib_s);
}

static void *scrub_main(void *arg)
{
	struct scrub *k = arg;
	int64_t period = k->store->o.scrub_days * (INT64_C(86400) * NS_PER_S);

	load(k);
	while (rest(k, 60 * NS_PER_S)) {
		struct err e = { 0 };
		int64_t bad;

		look_at_suspects(k);
		if (k->at == DONE && clock_wall_ns() - k->begun_ns < period)
			continue; // the last round was not long ago
		if (k->at == DONE || !k->begun_ns) {
			k->at = 0;
			k->begun_ns = clock_wall_ns();
		}
		bad = scrub_files(k->store, &k->at, pace, k, &e);
		if (bad < 0)
			log_warn("store", "scrubbing: %s", e.msg);
		else if (bad)
			log_error("store", "scrubbing found %lld damaged files", (long long)bad);
		pthread_mutex_lock(&k->chore.lock);
		if (!k->chore.stop && bad >= 0)
			k->at = DONE;
		pthread_mutex_unlock(&k->chore.lock);
		save(k);
	}
	return NULL;
}

void scrub_start(struct scrub **out, struct store *s)
{
	struct scrub *k = mem_zalloc(sizeof(*k));

	k->store = s;
	chore_start(&k->chore, "store-scrub", scrub_main, k);
	*out = k;
}

void scrub_stop(struct scrub *k)
{
	if (!k)
		return;
	chore_stop(&k->chore);
	mem_free(k);
}
