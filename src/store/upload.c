// SPDX-License-Identifier: Apache-2.0
// upload: multipart uploads and their parts, which are contents of their own.
#include "base/clock.h"
#include "base/rand.h"
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

	if (bucket_find(c, w->o->bucket, &b, e) < 0 || place_refuse(&b, e) < 0)
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

int upload_find(struct db_conn *c, struct span bucket, struct span key, struct span upload,
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
	got = db_step(q, e);
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

// All parts of an upload in order.
int parts_load(struct db_conn *c, struct span upload, unsigned after, size_t limit,
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
	while ((got = db_step(q, e)) > 0) {
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

int part_insert_in(struct store *s, struct db_conn *c, struct span bucket, struct span key,
		   struct span upload, struct store_part *p, struct content at, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct part_row *old;
	struct store_upload up;
	size_t n;

	if (upload_find(c, bucket, key, upload, &mem, &up, e) < 0 ||
	    parts_load(c, upload, p->number - 1, 1, &mem, &old, &n, e) < 0)
		return -1;
	if (n && old->pub.number == p->number && content_release_in(s, c, old->at, e) < 0)
		return -1;
	p->mtime_ns = clock_wall_ns();
	return db_exec(c,
		       "INSERT OR REPLACE INTO upload_parts(upload,number,etag,size,mtime_ns,"
		       "storage,content,checksum) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
		       DB_ARGS(db_text(upload), db_int(p->number), db_str(p->etag),
			       db_int((int64_t)p->size), db_int(p->mtime_ns), db_int(at.storage),
			       db_int(at.id), db_text(p->checksum)),
		       e) < 0
		       ? -1
		       : 0;
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

int upload_forget_in(struct db_conn *c, struct span upload, struct err *e)
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
	return upload_forget_in(c, upload, e);
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
	while ((got = db_step(q, e)) > 0) {
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
