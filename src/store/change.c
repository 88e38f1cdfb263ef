// SPDX-License-Identifier: Apache-2.0
// change: deleting, copying, tags, access lists.
#include "base/clock.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/text.h"
#include "store/engine.h"

// ---- deleting ------------------------------------------------------------------------------------------

static int tell_removed(struct store *s, struct db_conn *c, const struct store_bucket *b,
			const struct store_object *o, const char *name,
			const struct store_cause *cause, struct err *e)
{
	struct store_event ev = {
		.name = name,
		.bucket_id = b->id,
		.bucket = span_of(b->name),
		.key = o->key,
		.version = o->version,
		.null_version = o->null_version,
		.time_ns = clock_wall_ns(),
		.cause = cause,
	};

	return s->sink.changed ? s->sink.changed(s->sink.owner, c, &ev, e) : 0;
}

static int remove_version(struct store *s, struct db_conn *c, const struct store_bucket *b,
			  const struct store_object *o, struct content at,
			  const struct store_cause *cause, struct store_deleted *out, struct err *e)
{
	*out = (struct store_deleted){ .existed = true,
				       .delete_marker = o->delete_marker,
				       .version = o->version,
				       .null_version = o->null_version };
	if (object_remove_row_in(s, c, b->id, o, at, e) < 0)
		return -1;
	return tell_removed(s, c, b, o, cause->event ? cause->event : "s3:ObjectRemoved:Delete",
			    cause, e);
}

static int add_marker(struct store *s, struct db_conn *c, const struct store_bucket *b,
		      struct span key, bool existed, const struct store_cause *cause,
		      struct store_deleted *out, struct err *e)
{
	struct store_object marker = { .key = key, .delete_marker = true, .owner = cause->user };

	if (object_insert_in(s, c, b, &marker, (struct content){ 0 }, cause, e) < 0)
		return -1;
	*out = (struct store_deleted){ .existed = existed,
				       .delete_marker = true,
				       .version = marker.version,
				       .null_version = marker.null_version };
	return 0;
}

static int refuse(struct store_delete_item *it)
{
	it->result = -1;
	return 0;
}

int delete_in(struct store *s, struct db_conn *c, const struct store_bucket *b,
	      struct store_delete_item *it, const struct store_cause *cause, struct err *e)
{
	bool marks = !it->version && b->versioning != STORE_UNVERSIONED, found;
	auto_arena struct arena mem = { 0 };
	struct store_object o = { 0 };
	struct content at;

	it->result = 0;
	it->done = (struct store_deleted){ 0 };
	found = object_find(c, b, it->key, it->version, &mem, &o, &at, &it->err) == 0;
	if (!found && it->err.code != ERR_NOT_FOUND) {
		*e = it->err;
		return -1;
	}
	if (found && conditions_check(&it->only_if, &o, &it->err) < 0)
		return refuse(it);
	if (marks)
		return add_marker(s, c, b, it->key, found, cause, &it->done, e);
	if (!found) {
		o = (struct store_object){ .key = it->key };
		return tell_removed(s, c, b, &o, "s3:ObjectRemoved:NoOP", cause, e);
	}
	if (lock_check_delete(&o, it->bypass, &it->err) < 0)
		return refuse(it);
	return remove_version(s, c, b, &o, at, cause, &it->done, e);
}

struct delete_write {
	struct store *store;
	struct span bucket;
	struct store_delete_item *items;
	size_t n;
	const struct store_cause *cause;
};

static int delete_items(struct db_conn *c, void *arg, struct err *e)
{
	static const struct store_cause nobody;
	struct delete_write *w = arg;
	struct store_bucket b;

	if (bucket_find(c, w->bucket, &b, e) < 0)
		return -1;
	for (size_t i = 0; i < w->n;
	     i++) // a failure is the database's: nothing of the request stands
		if (delete_in(w->store, c, &b, &w->items[i], w->cause ? w->cause : &nobody, e) < 0)
			return -1;
	return 0;
}

int store_delete_many(struct store *s, struct span bucket, struct store_delete_item *items,
		      size_t n, const struct store_cause *cause, struct err *e)
{
	struct delete_write w = { s, bucket, items, n, cause };

	if (n > STORE_PAGE_MAX)
		return err_set(e, ERR_LIMIT, "at most %d keys in one request", STORE_PAGE_MAX);
	return db_write(s->db, delete_items, &w, e);
}

int store_delete(struct store *s, struct span bucket, struct store_delete_item *item,
		 const struct store_cause *cause, struct err *e)
{
	if (store_delete_many(s, bucket, item, 1, cause, e) < 0)
		return -1;
	if (item->result < 0)
		*e = item->err;
	return item->result;
}

// ---- copying -------------------------------------------------------------------------------------------

struct copy_write {
	struct store *store;
	struct span from_bucket, from_key;
	int64_t from_version; // the very one that was looked at before
	const struct store_put_options *o;
	bool replace_meta, replace_tags;
	const char *etag; // of the bytes, when the source's is a multipart one
	struct arena *mem;
	struct store_object *out;
};

static int copy_in(struct db_conn *c, void *arg, struct err *e)
{
	struct copy_write *w = arg;
	struct store_bucket from, to;
	struct store_object src;
	struct content at, shared;

	if (bucket_find(c, w->from_bucket, &from, e) < 0 ||
	    bucket_find(c, w->o->bucket, &to, e) < 0 ||
	    object_find(c, &from, w->from_key, w->from_version, w->mem, &src, &at, e) < 0 ||
	    object_not_marker(&src, e) < 0 || object_conditions_in(c, to.id, w->o, e) < 0 ||
	    content_share_in(c, at, &shared, e) < 0)
		return -1;
	*w->out = (struct store_object){
		.bucket = arena_span(w->mem, w->o->bucket),
		.key = arena_span(w->mem, w->o->key),
		.owner = w->o->owner,
		.size = src.size,
		.meta = w->replace_meta ? w->o->meta : src.meta,
		.tags = w->replace_tags ? w->o->tags : src.tags,
		.acl = w->o->acl,
		.checksum = w->etag ? span_make("", 0) : src.checksum,
		.lock = w->o->lock,
		.storage_class = arena_span(w->mem, w->o->storage_class),
	};
	memcpy(w->out->etag, w->etag ? w->etag : src.etag, sizeof(src.etag));
	return object_insert_in(w->store, c, &to, w->out, shared, &w->o->cause, e);
}

// MD5 of a range of an object, in pieces.
static int digest_range(struct store_reader *r, uint64_t at, uint64_t n,
			char etag[static STORE_ETAG_MAX], struct err *e)
{
	auto_free char *chunk = mem_alloc(128 << 10);
	uint8_t sum[DIGEST_MAX];
	struct digest md5;
	ssize_t got = 0;

	digest_init(&md5, DIGEST_MD5);
	while (n) {
		got = store_reader_pread(r, at, chunk, n < (128 << 10) ? (size_t)n : 128 << 10, e);
		if (got <= 0)
			break;
		digest_update(&md5, span_make(chunk, (size_t)got));
		at += (uint64_t)got;
		n -= (uint64_t)got;
	}
	digest_final(&md5, sum);
	text_hex(etag, sum, 16);
	if (n && got == 0)
		return err_set(e, ERR_CORRUPT, "the content is shorter than its record");
	return got < 0 ? -1 : 0;
}

int store_copy(struct store *s, struct span from_bucket, struct span from_key, int64_t from_version,
	       const struct store_put_options *o, bool replace_meta, bool replace_tags,
	       struct arena *mem, struct store_object *out, struct err *e)
{
	struct copy_write w = { s,   from_bucket,  from_key,	 from_version,
				o,   replace_meta, replace_tags, NULL,
				mem, out };
	char etag[STORE_ETAG_MAX];
	struct store_object src;

	if (put_options_check(o, e) < 0)
		return -1;
	{
		auto_reader struct store_reader *r = NULL;

		if (store_reader_open(s, from_bucket, from_key, from_version, mem, &src, &r, e) < 0)
			return -1;
		if (src.parts) {
			if (digest_range(r, 0, src.size, etag, e) < 0)
				return -1;
			w.etag = etag;
		}
		w.from_version = src.version;
	}
	return db_write(s->db, copy_in, &w, e);
}

// ---- a part from an object -----------------------------------------------------------------------------

int store_part_copy(struct store *s, struct span bucket, struct span key, struct span upload,
		    unsigned number, struct span from_bucket, struct span from_key,
		    int64_t from_version, uint64_t offset, uint64_t size, struct store_part *out,
		    struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_reader struct store_reader *r = NULL;
	auto_free char *chunk = mem_alloc(128 << 10);
	struct store_put *p = NULL;
	struct store_object src, made;
	ssize_t got = 0;

	if (store_reader_open(s, from_bucket, from_key, from_version, &mem, &src, &r, e) < 0)
		return -1;
	if (offset > src.size || (size != UINT64_MAX && size > src.size - offset))
		return err_set(e, ERR_INVALID, "the range lies outside the object of %llu bytes",
			       (unsigned long long)src.size);
	if (size == UINT64_MAX)
		size = src.size - offset;
	if (store_put_begin_part(s, bucket, key, upload, number, size, &p, e) < 0)
		return -1;
	for (uint64_t left = size; left; left -= (uint64_t)got, offset += (uint64_t)got) {
		got = store_reader_pread(r, offset, chunk,
					 left < (128 << 10) ? (size_t)left : 128 << 10, e);
		if (got <= 0 || store_put_write(p, span_make(chunk, (size_t)got), e) < 0) {
			store_put_abort(p);
			return got ? -1 : err_set(e, ERR_CORRUPT, "the content is too short");
		}
	}
	if (store_put_finish(p, &mem, &made, e) < 0)
		return -1;
	*out = (struct store_part){ .number = number, .size = size, .mtime_ns = made.mtime_ns };
	memcpy(out->etag, made.etag, sizeof(out->etag));
	return 0;
}

// ---- tags and access lists -----------------------------------------------------------------------------

struct text_write {
	struct span bucket, key, text;
	int64_t version;
	bool acl;
	struct store_object *changed;
};

static int set_text(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct text_write *w = arg;
	struct store_bucket b;
	struct store_object o;
	struct content at;

	if (bucket_find(c, w->bucket, &b, e) < 0 ||
	    object_find(c, &b, w->key, w->version, &mem, &o, &at, e) < 0 ||
	    object_not_marker(&o, e) < 0)
		return -1;
	*w->changed = (struct store_object){ .version = o.version, .null_version = o.null_version };
	return db_exec(c,
		       w->acl ? "UPDATE objects SET acl=?4 WHERE bucket=?1 AND key=?2 AND "
				"version=?3"
			      : "UPDATE objects SET tags=?4 WHERE bucket=?1 AND key=?2 AND "
				"version=?3",
		       DB_ARGS(db_int(b.id), db_text(w->key), db_int(o.version),
			       w->text.n ? db_text(w->text) : db_null()),
		       e) < 0
		       ? -1
		       : 0;
}

int store_tags_set(struct store *s, struct span bucket, struct span key, int64_t version,
		   struct span tags, struct store_object *changed, struct err *e)
{
	struct text_write w = { bucket, key, tags, version, false, changed };

	return db_write(s->db, set_text, &w, e);
}

int store_acl_set(struct store *s, struct span bucket, struct span key, int64_t version,
		  struct span acl, struct err *e)
{
	struct store_object ignored;
	struct text_write w = { bucket, key, acl, version, true, &ignored };

	return db_write(s->db, set_text, &w, e);
}
