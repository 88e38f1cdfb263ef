// SPDX-License-Identifier: Apache-2.0
// object: rows of objects.
#include "base/buf.h"
#include "base/clock.h"
#include "store/hot.h"

int object_missing(struct err *e, enum store_missing what, const char *text)
{
	err_set(e, ERR_NOT_FOUND, "%s", text);
	e->sys = what;
	return -1;
}

// ---- rows ----------------------------------------------------------------------------------------------

void object_from_row(struct db_stmt *s, struct arena *mem, struct store_object *o,
		     struct content *at)
{
	struct span etag = db_col_span(s, 6);

	*o = (struct store_object){
		.key = arena_span(mem, db_col_span(s, 0)),
		.version = db_col_int(s, 1),
		.null_version = db_col_int(s, 2),
		.delete_marker = db_col_int(s, 3),
		.owner = db_col_int(s, 4),
		.size = (uint64_t)db_col_int(s, 5),
		.mtime_ns = db_col_int(s, 7),
		.parts = (unsigned)db_col_int(s, 10),
		.meta = { arena_span(mem, db_col_span(s, 11)) },
		.tags = arena_span(mem, db_col_span(s, 12)),
		.checksum = arena_span(mem, db_col_span(s, 13)),
		.job = db_col_int(s, 14),
		.run = db_col_int(s, 15),
		.depth = (unsigned)db_col_int(s, 16),
		.lock = lock_parse(db_col_span(s, 17)),
		.storage_class = arena_span(mem, db_col_span(s, 18)),
		.acl = arena_span(mem, db_col_span(s, 19)),
	};
	etag = span_head(etag, sizeof(o->etag) - 1);
	if (etag.n)
		memcpy(o->etag, etag.p, etag.n);
	*at = (struct content){ (enum store_storage)db_col_int(s, 8), db_col_int(s, 9) };
	o->content = at->id;
}

void object_spans(struct store_object *o, struct span *out[static OBJECT_SPANS])
{
	out[0] = &o->bucket;
	out[1] = &o->key;
	out[2] = &o->meta.packed;
	out[3] = &o->tags;
	out[4] = &o->acl;
	out[5] = &o->checksum;
	out[6] = &o->storage_class;
}

void object_copy(struct arena *mem, struct store_object *out, const struct store_object *o)
{
	struct span *s[OBJECT_SPANS];

	*out = *o;
	object_spans(out, s);
	for (size_t i = 0; i < OBJECT_SPANS; i++)
		*s[i] = arena_span(mem, *s[i]);
}

int bucket_find(struct db_conn *c, struct span name, struct store_bucket *out, struct err *e)
{
	auto_query struct db_stmt *s = db_query(
		c,
		"SELECT id,name,owner,created_ns,service,visibility,objects,bytes,versioning,"
		"directory IS NOT NULL,lock,quota_bytes,quota_objects,lifecycle FROM buckets WHERE "
		"name=?1",
		DB_ARGS(db_text(name)), e);
	int got = db_step(s, e);

	if (got < 0)
		return -1;
	if (!got) {
		err_set(e, ERR_NOT_FOUND, "no bucket named " SPAN_FMT,
			SPAN_ARG(span_head(name, STORE_BUCKET_MAX)));
		e->sys = STORE_NO_BUCKET;
		return -1;
	}
	*out = (struct store_bucket){
		.id = db_col_int(s, 0),
		.owner = db_col_int(s, 2),
		.created_ns = db_col_int(s, 3),
		.service = db_col_int(s, 4),
		.visibility = (int)db_col_int(s, 5),
		.objects = (uint64_t)db_col_int(s, 6),
		.bytes = (uint64_t)db_col_int(s, 7),
		.directory = db_col_int(s, 9),
		.versioning = (enum store_versioning)db_col_int(s, 8),
		.lockable = !db_col_null(s, 10),
		.retention = retention_parse(db_col_span(s, 10)),
		.quota = { (uint64_t)db_col_int(s, 11), (uint64_t)db_col_int(s, 12) },
		.lifecycle = db_col_int(s, 13),
	};
	snprintf(out->name, sizeof(out->name), SPAN_FMT, SPAN_ARG(db_col_span(s, 1)));
	return 0;
}

static int one_object(struct db_stmt *s, struct arena *mem, struct store_object *o,
		      struct content *at, struct err *e)
{
	int got = db_step(s, e);

	if (got > 0)
		object_from_row(s, mem, o, at);
	return got;
}

int object_latest(struct db_conn *c, int64_t bucket, struct span key, struct arena *mem,
		  struct store_object *o, struct content *at, struct err *e)
{
	auto_query struct db_stmt *s =
		db_query(c,
			 "SELECT " OBJECT_COLUMNS " FROM objects WHERE bucket=?1 AND key=?2 "
			 "ORDER BY version DESC LIMIT 1",
			 DB_ARGS(db_int(bucket), db_text(key)), e);
	int got = one_object(s, mem, o, at, e);

	if (got > 0) {
		o->latest = true;
		o->bucket_id = bucket;
	}
	return got;
}

static int object_version(struct db_conn *c, int64_t bucket, struct span key, int64_t version,
			  struct arena *mem, struct store_object *o, struct content *at,
			  struct err *e)
{
	auto_query struct db_stmt *s =
		version == STORE_VERSION_NULL
			? db_query(c,
				   "SELECT " OBJECT_COLUMNS
				   " FROM objects WHERE bucket=?1 AND key=?2 AND null_version=1",
				   DB_ARGS(db_int(bucket), db_text(key)), e)
			: db_query(c,
				   "SELECT " OBJECT_COLUMNS
				   " FROM objects WHERE bucket=?1 AND key=?2 AND version=?3",
				   DB_ARGS(db_int(bucket), db_text(key), db_int(version)), e);

	return one_object(s, mem, o, at, e);
}

int object_find(struct db_conn *c, const struct store_bucket *b, struct span key, int64_t version,
		struct arena *mem, struct store_object *o, struct content *at, struct err *e)
{
	int got = version ? object_version(c, b->id, key, version, mem, o, at, e)
			  : object_latest(c, b->id, key, mem, o, at, e);

	if (got < 0)
		return -1;
	if (!got)
		return object_missing(e, version ? STORE_NO_VERSION : STORE_NO_KEY,
				      "no such object");
	o->bucket_id = b->id;
	o->bucket = arena_span(mem, span_of(b->name));
	if (o->delete_marker && !version)
		return object_missing(e, STORE_NO_KEY, "the object was deleted");
	return 0;
}

int object_not_marker(const struct store_object *o, struct err *e)
{
	return o->delete_marker
		       ? object_missing(e, STORE_DELETE_MARKER, "the version is a delete marker")
		       : 0;
}

static int count_in(struct db_conn *c, int64_t bucket, int64_t objects, int64_t bytes,
		    struct err *e)
{
	return db_exec(c, "UPDATE buckets SET objects=objects+?2, bytes=bytes+?3 WHERE id=?1",
		       DB_ARGS(db_int(bucket), db_int(objects), db_int(bytes)), e) < 0
		       ? -1
		       : 0;
}

int object_remove_row_in(struct store *s, struct db_conn *c, int64_t bucket,
			 const struct store_object *o, struct content at, struct err *e)
{
	hot_object_changes_in(s->hot, bucket, o->key);
	if (db_exec(c, "DELETE FROM objects WHERE bucket=?1 AND key=?2 AND version=?3",
		    DB_ARGS(db_int(bucket), db_text(o->key), db_int(o->version)), e) < 0 ||
	    content_release_in(s, c, at, e) < 0)
		return -1;
	return count_in(c, bucket, o->delete_marker ? 0 : -1, -(int64_t)o->size, e);
}

// Where no versions are kept, the new version takes the place of the null version.
static int drop_null_version(struct store *s, struct db_conn *c, int64_t bucket, struct span key,
			     struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct store_object old;
	struct content at;
	int got = object_version(c, bucket, key, STORE_VERSION_NULL, &mem, &old, &at, e);

	return got > 0 ? object_remove_row_in(s, c, bucket, &old, at, e) : got;
}

static int insert_row(struct db_conn *c, const struct store_bucket *b, const struct store_object *o,
		      struct content at, struct err *e)
{
	char lock[LOCK_TEXT_MAX];

	return db_exec(c,
		       "INSERT INTO objects(bucket," OBJECT_COLUMNS ") VALUES(?1,?2,?3,?4,?5,?6,?7,"
		       "?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21)",
		       DB_ARGS(db_int(b->id), db_text(o->key), db_int(o->version),
			       db_int(o->null_version), db_int(o->delete_marker), db_int(o->owner),
			       db_int((int64_t)o->size), db_str(o->etag), db_int(o->mtime_ns),
			       db_int(at.storage), db_int(at.id), db_int(o->parts),
			       o->meta.packed.n ? db_blob(o->meta.packed) : db_null(),
			       o->tags.n ? db_text(o->tags) : db_null(),
			       o->checksum.n ? db_text(o->checksum) : db_null(), db_int(o->job),
			       db_int(o->run), db_int(o->depth), db_str(lock_text(&o->lock, lock)),
			       o->storage_class.n ? db_text(o->storage_class) : db_null(),
			       o->acl.n ? db_text(o->acl) : db_null()),
		       e) < 0
		       ? -1
		       : 0;
}

struct store_event store_event_about(int64_t bucket_id, struct span bucket,
				     const struct store_object *o)
{
	return (struct store_event){ .bucket_id = bucket_id,
				     .bucket = bucket,
				     .key = o->key,
				     .version = o->version,
				     .null_version = o->null_version,
				     .size = o->size,
				     .etag = span_of(o->etag),
				     .meta = o->meta };
}

int object_insert_in(struct store *s, struct db_conn *c, const struct store_bucket *b,
		     struct store_object *o, struct content at, const struct store_cause *cause,
		     struct err *e)
{
	struct store_event ev;

	if (at.storage != STORE_EXTERNAL && place_refuse(b, e) < 0)
		return -1;
	o->bucket_id = b->id;
	o->content = at.id;
	o->null_version = b->versioning != STORE_VERSIONED;
	o->latest = true;
	if (!o->mtime_ns)
		o->mtime_ns = clock_wall_ns();
	if (o->null_version && drop_null_version(s, c, b->id, o->key, e) < 0)
		return -1;
	if (!o->delete_marker) {
		lock_default(b, &o->lock, o->mtime_ns);
		if (at.storage != STORE_EXTERNAL && quota_check_in(c, b, o->size, 1, e) < 0)
			return -1;
	}
	if (db_next(c, "version", &o->version, e) < 0)
		return -1;
	o->job = cause->job;
	o->run = cause->run ? cause->run : o->version;
	o->depth = cause->depth;
	hot_object_changes_in(s->hot, b->id, o->key);
	if (insert_row(c, b, o, at, e) < 0 ||
	    count_in(c, b->id, o->delete_marker ? 0 : 1, (int64_t)o->size, e) < 0)
		return -1;
	if (!s->sink.changed)
		return 0;
	ev = store_event_about(b->id, span_of(b->name), o);
	ev.name = cause->event	     ? cause->event
		  : o->delete_marker ? "s3:ObjectRemoved:DeleteMarkerCreated"
				     : "s3:ObjectCreated:Put";
	ev.time_ns = o->mtime_ns;
	// The sink sees the chain's root also when this object starts one.
	struct store_cause rooted = *cause;

	rooted.run = o->run;
	ev.cause = &rooted;
	return s->sink.changed(s->sink.owner, c, &ev, e);
}

int object_tell_in(struct store *s, struct db_conn *c, const struct store_bucket *b,
		   const struct store_object *o, const char *name, const struct store_cause *cause,
		   struct err *e)
{
	static const struct store_cause nobody;
	struct store_event ev = store_event_about(b->id, span_of(b->name), o);

	ev.name = name;
	ev.time_ns = clock_wall_ns();
	ev.cause = cause ? cause : &nobody;
	return s->sink.changed ? s->sink.changed(s->sink.owner, c, &ev, e) : 0;
}

int conditions_check(const struct store_conditions *c, const struct store_object *o, struct err *e)
{
	if (o && c->if_none_match.n &&
	    (span_is(c->if_none_match, "*") || span_is(c->if_none_match, o->etag)))
		return err_set(e, ERR_CONFLICT, "the object exists already");
	if (!o)
		return c->if_match.n ? object_missing(e, STORE_NO_KEY, "no such object") : 0;
	if (c->if_match.n && !span_is(c->if_match, "*") && !span_is(c->if_match, o->etag))
		return err_set(e, ERR_CONFLICT, "the object has another etag");
	if (c->check_size && c->size != o->size)
		return err_set(e, ERR_CONFLICT, "the object has another size");
	if (c->mtime_s && c->mtime_s != o->mtime_ns / NS_PER_S)
		return err_set(e, ERR_CONFLICT, "the object was changed at another time");
	return 0;
}

int object_conditions_in(struct db_conn *c, int64_t bucket, const struct store_put_options *o,
			 struct err *e)
{
	const struct store_conditions *w = &o->only_if;
	auto_arena struct arena mem = { 0 };
	struct store_object old;
	struct content at;
	int got;

	if (!w->if_none_match.n && !w->if_match.n && !w->check_size && !w->mtime_s)
		return 0;
	got = object_latest(c, bucket, o->key, &mem, &old, &at, e);
	if (got < 0)
		return -1;
	return conditions_check(w, got && !old.delete_marker ? &old : NULL, e);
}

char *store_version_text(int64_t version, bool null_version, char out[static STORE_VERSION_TEXT])
{
	if (null_version)
		snprintf(out, STORE_VERSION_TEXT, "null");
	else
		snprintf(out, STORE_VERSION_TEXT, "%016llx", (unsigned long long)version);
	return out;
}

// ---- metadata ------------------------------------------------------------------------------------------

void store_meta_add(struct buf *b, struct span name, struct span value)
{
	buf_add_span(b, name);
	buf_add_char(b, '\0');
	buf_add_span(b, value);
	buf_add_char(b, '\0');
}

bool store_meta_next(struct span *rest, struct span *name, struct span *value)
{
	if (!rest->n)
		return false;
	*name = span_cut(rest, '\0');
	*value = span_cut(rest, '\0');
	return true;
}

struct span store_meta_get(struct store_meta m, const char *wanted)
{
	struct span name, value;

	while (store_meta_next(&m.packed, &name, &value))
		if (span_is(name, wanted))
			return value;
	return span_make("", 0);
}

int store_bucket_look(struct store *s, struct span name, struct store_bucket *out, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	uint64_t moment;

	if (!c)
		return -1;
	if (hot_bucket(s->hot, name, out))
		return 0;
	moment = db_moment(c);
	if (bucket_find(c, name, out, e) < 0)
		return -1;
	hot_bucket_keep(s->hot, moment, out);
	return 0;
}

int store_object_get(struct store *s, struct span bucket, struct span key, int64_t version,
		     struct arena *mem, struct store_object *out, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	struct store_bucket b;
	struct content at;
	uint64_t moment;

	*out = (struct store_object){ 0 };
	if (!c || store_bucket_look(s, bucket, &b, e) < 0)
		return -1;
	if (!version && hot_object(s->hot, &b, key, mem, out, &at, NULL, NULL))
		return 0;
	moment = db_moment(c);
	if (object_find(c, &b, key, version, mem, out, &at, e) < 0 || object_not_marker(out, e) < 0)
		return -1;
	if (!version)
		hot_object_keep(s->hot, moment, out, at, span_make(NULL, 0));
	return 0;
}
