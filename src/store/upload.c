// SPDX-License-Identifier: Apache-2.0
// upload: multipart uploads. Parts are contents of their own; completing joins their segments.
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/digest.h"
#include "codec/text.h"
#include "store/engine.h"

static int no_upload(struct err *e)
{
	err_set(e, ERR_NOT_FOUND, "no such upload: it was completed, aborted or never made");
	e->sys = STORE_NO_UPLOAD;
	return -1;
}

struct upload_write {
	struct store *store;
	const struct store_put_options *o;
	struct span bucket, key, upload, checksum;
	char *id;
};

static int create(struct db_conn *c, void *arg, struct err *e)
{
	struct upload_write *w = arg;
	char lock[LOCK_TEXT_MAX];
	struct store_bucket b;

	if (bucket_find(c, w->o->bucket, &b, e) < 0)
		return -1;
	return db_exec(c,
		       "INSERT INTO uploads(bucket,key,id,owner,created_ns,meta,tags,checksum,"
		       "class,lock,acl) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
		       DB_ARGS(db_int(b.id), db_text(w->o->key), db_str(w->id), db_int(w->o->owner),
			       db_int(clock_wall_ns()), db_blob(w->o->meta.packed),
			       db_text(w->o->tags), db_text(w->checksum),
			       db_text(w->o->storage_class), db_str(lock_text(&w->o->lock, lock)),
			       w->o->acl.n ? db_text(w->o->acl) : db_null()),
		       e) < 0
		       ? -1
		       : 0;
}

// Begins with the time, so that uploads of one key are listed in the order they were begun.
static void upload_id(char id[static STORE_UPLOAD_ID_MAX])
{
	uint8_t uuid[16];

	rand_uuid(uuid);
	text_hex(id, uuid, sizeof(uuid));
}

int store_upload_create(struct store *s, const struct store_put_options *o, struct span checksum,
			char id[static STORE_UPLOAD_ID_MAX], struct err *e)
{
	struct upload_write w = { .store = s, .o = o, .checksum = checksum, .id = id };

	if (put_options_check(o, e) < 0)
		return -1;
	upload_id(id);
	return db_write(s->db, create, &w, e);
}

#define UPLOAD_COLUMNS "id,key,owner,created_ns,meta,checksum,tags,class,lock,acl"

static void upload_from_row(struct db_stmt *q, struct arena *mem, struct store_upload *out)
{
	*out = (struct store_upload){
		.key = arena_span(mem, db_col_span(q, 1)),
		.owner = db_col_int(q, 2),
		.created_ns = db_col_int(q, 3),
		.meta = { arena_span(mem, db_col_span(q, 4)) },
		.checksum = arena_span(mem, db_col_span(q, 5)),
		.tags = arena_span(mem, db_col_span(q, 6)),
		.storage_class = arena_span(mem, db_col_span(q, 7)),
		.lock = lock_parse(db_col_span(q, 8)),
		.acl = arena_span(mem, db_col_span(q, 9)),
	};
	snprintf(out->id, sizeof(out->id), SPAN_FMT, SPAN_ARG(db_col_span(q, 0)));
}

static int upload_find(struct db_conn *c, struct span bucket, struct span key, struct span upload,
		       struct arena *mem, struct store_upload *out, struct err *e)
{
	auto_query struct db_stmt *q = NULL;
	struct store_bucket b;
	int got;

	if (bucket_find(c, bucket, &b, e) < 0)
		return -1;
	q = db_query(c,
		     "SELECT " UPLOAD_COLUMNS " FROM uploads "
		     "WHERE bucket=?1 AND key=?2 AND id=?3",
		     DB_ARGS(db_int(b.id), db_text(key), db_text(upload)), e);
	got = q ? db_step(q, e) : -1;
	if (got <= 0)
		return got ? -1 : no_upload(e);
	upload_from_row(q, mem, out);
	return 0;
}

int store_upload_get(struct store *s, struct span bucket, struct span key, struct span upload,
		     struct arena *mem, struct store_upload *out, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);

	return c ? upload_find(c, bucket, key, upload, mem, out, e) : -1;
}

// ---- parts ---------------------------------------------------------------------------------------------

struct part_row {
	struct store_part pub;
	struct content at;
};

// All parts of an upload in order.
static int parts_load(struct db_conn *c, struct span upload, unsigned after, size_t limit,
		      struct arena *mem, struct part_row **out, size_t *n, struct err *e)
{
	auto_query struct db_stmt *q = db_query(
		c,
		"SELECT number,etag,size,mtime_ns,storage,content,checksum FROM upload_parts "
		"WHERE upload=?1 AND number>?2 ORDER BY number LIMIT ?3",
		DB_ARGS(db_text(upload), db_int(after), db_int((int64_t)limit)), e);
	int got;

	*n = 0;
	*out = arena_alloc(mem, limit * sizeof(**out));
	while ((got = q ? db_step(q, e) : -1) > 0) {
		struct part_row *p = &(*out)[(*n)++];

		*p = (struct part_row){
			.pub = { .number = (unsigned)db_col_int(q, 0),
				 .size = (uint64_t)db_col_int(q, 2),
				 .mtime_ns = db_col_int(q, 3),
				 .checksum = arena_span(mem, db_col_span(q, 6)) },
			.at = { (enum store_storage)db_col_int(q, 4), db_col_int(q, 5) },
		};
		snprintf(p->pub.etag, sizeof(p->pub.etag), SPAN_FMT, SPAN_ARG(db_col_span(q, 1)));
	}
	return got;
}

int store_part_list(struct store *s, struct span bucket, struct span key, struct span upload,
		    unsigned after, size_t limit, struct arena *mem, struct store_part **out,
		    size_t *n, bool *truncated, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	struct store_upload up;
	struct part_row *rows;

	if (!c || upload_find(c, bucket, key, upload, mem, &up, e) < 0 ||
	    parts_load(c, upload, after, limit + 1, mem, &rows, n, e) < 0)
		return -1;
	*truncated = *n > limit;
	*n = *truncated ? limit : *n;
	*out = arena_alloc(mem, *n * sizeof(**out));
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = rows[i].pub;
	return 0;
}

static int forget_rows(struct db_conn *c, struct span upload, struct err *e)
{
	if (db_exec(c, "DELETE FROM upload_parts WHERE upload=?1", DB_ARGS(db_text(upload)), e) < 0)
		return -1;
	return db_exec(c, "DELETE FROM uploads WHERE id=?1", DB_ARGS(db_text(upload)), e) < 0 ? -1
											      : 0;
}

int upload_abort_in(struct store *s, struct db_conn *c, struct span bucket, struct span key,
		    struct span upload, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct store_upload up;
	struct part_row *rows;
	size_t n;

	if (upload_find(c, bucket, key, upload, &mem, &up, e) < 0 ||
	    parts_load(c, upload, 0, STORE_PART_MAX, &mem, &rows, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (content_release_in(s, c, rows[i].at, e) < 0)
			return -1;
	return forget_rows(c, upload, e);
}

static int abort_in(struct db_conn *c, void *arg, struct err *e)
{
	struct upload_write *w = arg;

	return upload_abort_in(w->store, c, w->bucket, w->key, w->upload, e);
}

int store_upload_abort(struct store *s, struct span bucket, struct span key, struct span upload,
		       struct err *e)
{
	struct upload_write w = { .store = s, .bucket = bucket, .key = key, .upload = upload };

	return db_write(s->db, abort_in, &w, e);
}

int store_upload_list(struct store *s, struct span bucket, struct span prefix,
		      struct span after_key, struct span after_id, size_t limit, struct arena *mem,
		      struct store_upload **out, size_t *n, bool *truncated, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	auto_query struct db_stmt *q = NULL;
	struct store_bucket b;
	int got;

	*n = 0;
	*truncated = false;
	*out = arena_alloc(mem, limit * sizeof(**out));
	if (!c || bucket_find(c, bucket, &b, e) < 0)
		return -1;
	q = db_query(c,
		     "SELECT " UPLOAD_COLUMNS " FROM uploads "
		     "WHERE bucket=?1 AND key>=?2 AND (key>?3 OR (key=?3 AND ?4<>'' AND id>?4)) "
		     "ORDER BY key,id",
		     DB_ARGS(db_int(b.id), db_text(prefix), db_text(after_key), db_text(after_id)),
		     e);
	while ((got = q ? db_step(q, e) : -1) > 0) {
		if (!span_starts(db_col_span(q, 1), prefix))
			return 0;
		if (*n == limit) {
			*truncated = true;
			return 0;
		}
		upload_from_row(q, mem, &(*out)[(*n)++]);
	}
	return got;
}

// ---- completing ----------------------------------------------------------------------------------------

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
	struct segment *all = NULL;
	size_t count = 0;

	*size = 0;
	all = arena_alloc(mem, n * sizeof(*all)); // a part is one segment
	for (size_t i = 0; i < n; i++) {
		struct segment *some;
		size_t k;

		if (content_segments(c, chosen[i]->at.id, mem, &some, &k, e) < 0)
			return -1;
		if (k != 1)
			return err_set(e, ERR_BUG, "a part has %zu segments", k);
		if (some[0].length)
			all[count++] = some[0];
		*size += some[0].length;
	}
	at->storage = STORE_SEGMENTS;
	return content_new_in(c, all, count, *size, &at->id, e);
}

static int complete_in(struct db_conn *c, void *arg, struct err *e)
{
	struct complete_write *w = arg;
	const struct part_row **chosen = arena_alloc(w->mem, w->n * sizeof(*chosen));
	struct store_bucket b;
	struct store_upload up;
	struct part_row *rows;
	struct content at;
	size_t count;

	*w->out = (struct store_object){ 0 };
	if (bucket_find(c, w->o->bucket, &b, e) < 0 ||
	    upload_find(c, w->o->bucket, w->o->key, w->upload, w->mem, &up, e) < 0 ||
	    parts_load(c, w->upload, 0, STORE_PART_MAX, w->mem, &rows, &count, e) < 0 ||
	    choose(w, rows, count, chosen, w->out->etag, e) < 0 ||
	    object_conditions_in(c, b.id, w->o, e) < 0 ||
	    join(c, chosen, w->n, w->mem, &at, &w->out->size, e) < 0)
		return -1;
	if (w->out->size > w->store->o.object_max)
		return err_set(e, ERR_LIMIT, "the object is over the limit of %llu bytes",
			       (unsigned long long)w->store->o.object_max);
	for (size_t i = 0; i < count; i++)
		if (content_release_in(w->store, c, rows[i].at, e) < 0)
			return -1;
	w->out->bucket = arena_span(w->mem, w->o->bucket);
	w->out->key = arena_span(w->mem, w->o->key);
	w->out->owner = up.owner;
	w->out->meta = up.meta;
	w->out->tags = up.tags;
	w->out->acl = up.acl;
	w->out->lock = up.lock;
	w->out->storage_class = up.storage_class;
	w->out->checksum = arena_span(w->mem, w->checksum);
	w->out->parts = (unsigned)w->n;
	if (forget_rows(c, w->upload, e) < 0)
		return -1;
	return object_insert_in(w->store, c, &b, w->out, at, &w->o->cause, e);
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
