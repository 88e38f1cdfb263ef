// SPDX-License-Identifier: Apache-2.0
// differences: files that differ from their rows, written to the index some at a time.
#include "store/differences.h"

#include "base/clock.h"
#include "codec/digest.h"
#include "codec/text.h"

#include <stdio.h>

int64_t place_mtime(const struct stat *st)
{
	return st->st_mtim.tv_sec * NS_PER_S + st->st_mtim.tv_nsec;
}

// Not an MD5, and of the form that clients do not take for one.
static void make_etag(int64_t inode, uint64_t size, int64_t mtime_ns,
		      char out[static STORE_ETAG_MAX])
{
	uint64_t facts[3] = { (uint64_t)inode, size, (uint64_t)mtime_ns };
	uint8_t sum[DIGEST_MAX];
	char hex[TEXT_HEX_SIZE(16)];

	digest_once(DIGEST_SHA256, span_make(facts, sizeof(facts)), sum);
	snprintf(out, STORE_ETAG_MAX, "%s-1", text_hex(hex, sum, 16));
}

void place_etag(const struct stat *st, char out[static STORE_ETAG_MAX])
{
	make_etag((int64_t)st->st_ino, (uint64_t)st->st_size, place_mtime(st), out);
}

static int apply_one(struct place *p, struct db_conn *c, const struct store_bucket *b,
		     const struct difference *x, struct err *e)
{
	static const struct store_cause cause = { .principal = "" };
	auto_arena struct arena mem = { 0 };
	struct store_object o = { .version = 0 };
	struct content at;
	int got = 0;

	if (p->set.outputs || x->gone)
		got = object_latest(c, b->id, x->key, &mem, &o, &at, e);
	if (got < 0)
		return -1;
	// A job's output was committed since it was compared: the row says how the file is now.
	if (p->set.outputs && (got ? o.version : 0) != x->version)
		return 0;
	if (!x->gone) {
		o = (struct store_object){
			.key = x->key, .owner = b->owner, .size = x->size, .mtime_ns = x->mtime_ns
		};
		make_etag(x->inode, x->size, x->mtime_ns, o.etag);
		at = (struct content){ STORE_EXTERNAL, x->inode };
		return object_insert_in(p->store, c, b, &o, at, &cause, e);
	}
	if (!got)
		return 0;
	if (object_remove_row_in(p->store, c, b->id, &o, at, e) < 0)
		return -1;
	o = (struct store_object){ .key = x->key,
				   .version = o.version,
				   .null_version = o.null_version };
	return object_tell_in(p->store, c, b, &o, "s3:ObjectRemoved:Delete", &cause, e);
}

static int apply(struct db_conn *c, void *arg, struct err *e)
{
	struct differences *w = arg;
	struct store_bucket b;

	if (bucket_find(c, span_of(w->place->name), &b, e) < 0)
		return -1;
	for (size_t i = 0; i < w->n; i++)
		if (apply_one(w->place, c, &b, &w->changes[i], e) < 0)
			return -1;
	return 0;
}

int differences_flush(struct differences *w, struct err *e)
{
	int bad = w->n ? db_write(w->place->store->db, apply, w, e) : 0;

	w->n = 0;
	arena_release(&w->mem);
	return bad;
}

int differences_note(struct differences *w, struct span key, int64_t version, const struct stat *st,
		     struct err *e)
{
	struct difference *x = &w->changes[w->n++];

	*x = (struct difference){ .key = arena_span(&w->mem, key),
				  .version = version,
				  .gone = !st };
	if (st) {
		x->inode = (int64_t)st->st_ino;
		x->size = (uint64_t)st->st_size;
		x->mtime_ns = place_mtime(st);
	}
	return w->n == DIFFERENCES_MAX ? differences_flush(w, e) : 0;
}
