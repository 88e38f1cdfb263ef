// SPDX-License-Identifier: Apache-2.0
// complete: an upload becomes an object: the segments of its parts joined, metadata only. What the parts were is
// kept with the content; how the upload ended is kept for a while, for those who ask again.
#include "base/buf.h"
#include "base/clock.h"
#include "codec/digest.h"
#include "codec/text.h"
#include "store/engine.h"

enum {
	SEGMENTS_MAX = 100000, // of one object: all of them are written in one transaction
	LIST_MAX = 2 << 20,    // 10,000 parts with their checksums
};

struct complete_write {
	struct store *store;
	const struct store_put_options *o;
	struct span upload, checksum;
	const struct store_complete_part *parts;
	size_t n;
	struct arena *mem;
	struct store_object *out;
};

static int part_fault(struct err *e, enum store_part_fault fault, unsigned number, const char *text)
{
	err_set(e, ERR_INVALID, "part %u: %s", number, text);
	e->sys = fault;
	return -1;
}

// Finds the rows of the wanted parts, in order, and the etag over them.
static int choose(const struct complete_write *w, const struct part_row *rows, size_t count,
		  const struct part_row **chosen, char etag[static STORE_ETAG_MAX], struct err *e)
{
	struct digest md5;
	uint8_t sum[DIGEST_MAX];
	size_t at = 0;
	int bad = 0;

	digest_init(&md5, DIGEST_MD5);
	for (size_t i = 0; i < w->n && !bad; i++) {
		const struct store_complete_part *p = &w->parts[i];

		if (i && p->number <= w->parts[i - 1].number) {
			bad = part_fault(e, STORE_PART_ORDER, p->number, "not in ascending order");
			break;
		}
		while (at < count && rows[at].pub.number < p->number)
			at++;
		if (at == count || rows[at].pub.number != p->number ||
		    !span_is(p->etag, rows[at].pub.etag)) {
			bad = part_fault(e, STORE_PART_UNKNOWN, p->number,
					 "not uploaded with this etag");
			break;
		}
		if (i + 1 < w->n && rows[at].pub.size < w->store->o.part_min) {
			bad = part_fault(e, STORE_PART_SMALL, p->number, "too small");
			break;
		}
		chosen[i] = &rows[at];
		check(text_unhex(sum, 16, span_of(rows[at].pub.etag)));
		digest_update(&md5, span_make(sum, 16));
	}
	digest_final(&md5, sum);
	text_hex(etag, sum, 16);
	snprintf(etag + 32, STORE_ETAG_MAX - 32, "-%zu", w->n);
	return bad;
}

// One content of all segments of the chosen parts; the parts' own contents are released by the caller.
static int join(struct db_conn *c, const struct part_row **chosen, size_t n, struct arena *mem,
		struct content *at, uint64_t *size, struct err *e)
{
	struct span *pieces = arena_alloc(mem, n * sizeof(*pieces)); // of segments, as bytes
	struct segment *all;
	size_t count = 0, used = 0;

	*size = 0;
	for (size_t i = 0; i < n; i++) {
		struct segment *some;
		size_t k;

		if (content_segments(c, chosen[i]->at.id, mem, &some, &k, e) < 0)
			return -1;
		pieces[i] = span_make(some, k * sizeof(*some));
		count += k;
		*size += chosen[i]->pub.size;
	}
	if (count > SEGMENTS_MAX)
		return err_set(e, ERR_LIMIT, "the parts consist of %zu pieces, %d are allowed",
			       count, SEGMENTS_MAX);
	all = arena_alloc(mem, count * sizeof(*all));
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < pieces[i].n / sizeof(*all); k++) {
			memcpy(&all[used], pieces[i].p + k * sizeof(*all), sizeof(*all));
			used += all[used].length > 0;
		}
	at->storage = STORE_SEGMENTS;
	return content_new_in(c, all, used, *size, &at->id, e);
}

// ---- what is remembered --------------------------------------------------------------------------------

static int keep_parts(struct db_conn *c, int64_t content, const struct part_row **chosen, size_t n,
		      struct err *e)
{
	auto_buf struct buf b = { 0 };

	buf_init(&b, LIST_MAX);
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%u:%llu:" SPAN_FMT "\n", chosen[i]->pub.number,
			   (unsigned long long)chosen[i]->pub.size,
			   SPAN_ARG(chosen[i]->pub.checksum));
	if (b.over)
		return err_set(e, ERR_LIMIT, "the list of parts is too long");
	return db_exec(c, "INSERT INTO content_parts(content,list) VALUES(?1,?2)",
		       DB_ARGS(db_int(content), db_text(buf_span(&b))), e) < 0
		       ? -1
		       : 0;
}

static int keep_answer(struct db_conn *c, const struct complete_write *w, struct err *e)
{
	return db_exec(c,
		       "INSERT INTO completed(upload,bucket,key,version,etag,time_ns) "
		       "VALUES(?1,?2,?3,?4,?5,?6)",
		       DB_ARGS(db_text(w->upload), db_int(w->out->bucket_id), db_text(w->o->key),
			       db_int(w->out->version), db_str(w->out->etag),
			       db_int(clock_wall_ns())),
		       e) < 0
		       ? -1
		       : 0;
}

// The etag that these parts would have, by the etags that the client says; false when they are none.
static bool claimed_etag(const struct complete_write *w, char etag[static STORE_ETAG_MAX])
{
	struct digest md5;
	uint8_t sum[DIGEST_MAX];

	digest_init(&md5, DIGEST_MD5);
	for (size_t i = 0; i < w->n; i++) {
		if (!text_unhex(sum, 16, w->parts[i].etag))
			return false;
		digest_update(&md5, span_make(sum, 16));
	}
	digest_final(&md5, sum);
	text_hex(etag, sum, 16);
	snprintf(etag + 32, STORE_ETAG_MAX - 32, "-%zu", w->n);
	return true;
}

// 1 when this upload was completed from the same parts and its version is still there, else 0.
static int completed_before(struct db_conn *c, const struct store_bucket *b,
			    struct complete_write *w, struct err *e)
{
	char etag[STORE_ETAG_MAX];
	struct content at;
	struct err gone = { 0 };
	int64_t version;

	if (!claimed_etag(w, etag))
		return 0;
	if (db_get_int(c,
		       "SELECT version FROM completed WHERE upload=?1 AND bucket=?2 AND key=?3 AND "
		       "etag=?4",
		       DB_ARGS(db_text(w->upload), db_int(b->id), db_text(w->o->key), db_str(etag)),
		       0, &version, e) < 0)
		return -1;
	if (!version)
		return 0;
	if (object_find(c, b, w->o->key, version, w->mem, w->out, &at, &gone) == 0)
		return 1;
	if (gone.code == ERR_NOT_FOUND)
		return 0;
	*e = gone;
	return -1;
}

// ---- completing ----------------------------------------------------------------------------------------

static int make_object(struct db_conn *c, struct complete_write *w, const struct store_bucket *b,
		       const struct store_upload *up, struct err *e)
{
	const struct part_row **chosen = arena_alloc(w->mem, w->n * sizeof(*chosen));
	struct part_row *rows;
	struct content at;
	size_t count;

	if (parts_load(c, w->upload, 0, STORE_PART_MAX, w->mem, &rows, &count, e) < 0 ||
	    choose(w, rows, count, chosen, w->out->etag, e) < 0 ||
	    object_conditions_in(c, b->id, w->o, e) < 0 ||
	    join(c, chosen, w->n, w->mem, &at, &w->out->size, e) < 0 ||
	    keep_parts(c, at.id, chosen, w->n, e) < 0)
		return -1;
	if (w->out->size > w->store->o.object_max)
		return err_set(e, ERR_LIMIT, "the object is over the limit of %llu bytes",
			       (unsigned long long)w->store->o.object_max);
	for (size_t i = 0; i < count; i++)
		if (content_release_in(w->store, c, rows[i].at, e) < 0)
			return -1;
	w->out->bucket = arena_span(w->mem, w->o->bucket);
	w->out->key = arena_span(w->mem, w->o->key);
	w->out->owner = up->owner;
	w->out->meta = up->meta;
	w->out->tags = up->tags;
	w->out->acl = up->acl;
	w->out->lock = up->lock;
	w->out->storage_class = up->storage_class;
	w->out->checksum = arena_span(w->mem, w->checksum);
	w->out->parts = (unsigned)w->n;
	if (upload_forget_in(c, w->upload, e) < 0 ||
	    object_insert_in(w->store, c, b, w->out, at, &w->o->cause, e) < 0)
		return -1;
	return keep_answer(c, w, e);
}

static int complete_in(struct db_conn *c, void *arg, struct err *e)
{
	struct complete_write *w = arg;
	struct store_bucket b;
	struct store_upload up;
	int before;

	*w->out = (struct store_object){ 0 };
	if (bucket_find(c, w->o->bucket, &b, e) < 0)
		return -1;
	if (upload_find(c, w->o->bucket, w->o->key, w->upload, w->mem, &up, e) == 0)
		return make_object(c, w, &b, &up, e);
	if (e->code != ERR_NOT_FOUND)
		return -1;
	before = completed_before(c, &b, w, e);
	return before > 0 ? 0 : -1;
}

int store_upload_complete(struct store *s, const struct store_put_options *o, struct span upload,
			  const struct store_complete_part *parts, size_t n, struct span checksum,
			  struct arena *mem, struct store_object *out, struct err *e)
{
	struct complete_write w = { s, o, upload, checksum, parts, n, mem, out };

	if (!n || n > STORE_PART_MAX)
		return err_set(e, ERR_INVALID, "an upload is completed from 1 to %d parts",
			       STORE_PART_MAX);
	return db_write(s->db, complete_in, &w, e);
}

// ---- the parts of an object ----------------------------------------------------------------------------

// Objects of version 0.1 have no list: there each segment was a part.
static int parts_of_segments(struct db_conn *c, int64_t content, struct arena *mem,
			     struct store_part **out, size_t *n, struct err *e)
{
	struct segment *s;

	if (content_segments(c, content, mem, &s, n, e) < 0)
		return -1;
	*out = arena_alloc(mem, *n * sizeof(**out));
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = (struct store_part){ .number = (unsigned)i + 1,
						 .size = s[i].length,
						 .checksum = SPAN("") };
	return 0;
}

int store_object_parts(struct store *s, const struct store_object *o, struct arena *mem,
		       struct store_part **out, size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	struct span list;
	int got;

	*n = 0;
	if (!c)
		return -1;
	if (!o->parts)
		return 0;
	{
		auto_query struct db_stmt *q =
			db_query(c, "SELECT list FROM content_parts WHERE content=?1",
				 DB_ARGS(db_int(o->content)), e);

		got = db_step(q, e);
		list = got > 0 ? arena_span(mem, db_col_span(q, 0)) : SPAN("");
	}
	if (got <= 0)
		return got ? -1 : parts_of_segments(c, o->content, mem, out, n, e);
	*out = arena_alloc(mem, o->parts * sizeof(**out));
	while (list.n && *n < o->parts) {
		struct span line = span_cut(&list, '\n');
		uint64_t number, size;

		if (!span_to_u64(span_cut(&line, ':'), &number) ||
		    !span_to_u64(span_cut(&line, ':'), &size))
			return err_set(e, ERR_CORRUPT, "the list of parts cannot be read");
		(*out)[(*n)++] = (struct store_part){ .number = (unsigned)number,
						      .size = size,
						      .checksum = line };
	}
	return 0;
}
