// SPDX-License-Identifier: Apache-2.0
// copy: objects and parts that share the content of an object. Bytes are read only where a digest of them is
// needed that nobody has yet; they are never written again, unless they are few.
#include "base/clock.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/text.h"
#include "store/engine.h"

enum { CHUNK = 128 << 10, SEGMENTS_MAX = 256 }; // of a part: more are written anew

// Reads a range in pieces: its MD5, and whatever `hearer` makes of it.
static int hear_range(struct store_reader *r, uint64_t at, uint64_t n,
		      const struct store_hearer *hearer, char etag[static STORE_ETAG_MAX],
		      struct err *e)
{
	auto_free char *chunk = mem_alloc(CHUNK);
	uint8_t sum[DIGEST_MAX];
	struct digest md5;
	ssize_t got = 0;

	digest_init(&md5, DIGEST_MD5);
	while (n) {
		struct span piece;

		got = store_reader_pread(r, at, chunk, n < CHUNK ? (size_t)n : CHUNK, e);
		if (got <= 0)
			break;
		piece = span_make(chunk, (size_t)got);
		digest_update(&md5, piece);
		if (hearer && hearer->bytes)
			hearer->bytes(hearer->owner, piece);
		at += (uint64_t)got;
		n -= (uint64_t)got;
	}
	digest_final(&md5, sum);
	text_hex(etag, sum, 16);
	if (n && got == 0)
		return err_set(e, ERR_CORRUPT, "the content is shorter than its record");
	return got < 0 ? -1 : 0;
}

// ---- an object -----------------------------------------------------------------------------------------

struct copy_write {
	struct store *store;
	const struct store_source *from;
	int64_t version; // the very one that was looked at before
	const struct store_put_options *o;
	bool replace_meta, replace_tags;
	const char *etag; // of the bytes, when the source's is a multipart one
	struct span checksum;
	struct arena *mem;
	struct store_object *out;
};

static int copy_in(struct db_conn *c, void *arg, struct err *e)
{
	struct copy_write *w = arg;
	struct store_bucket from, to;
	struct store_object src;
	struct content at, shared;

	if (bucket_find(c, w->from->bucket, &from, e) < 0 ||
	    bucket_find(c, w->o->bucket, &to, e) < 0 ||
	    object_find(c, &from, w->from->key, w->version, w->mem, &src, &at, e) < 0 ||
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
		.checksum = w->checksum.n ? w->checksum
			    : src.parts	  ? span_make("", 0)
					  : src.checksum,
		.lock = w->o->lock,
		.storage_class = arena_span(w->mem, w->o->storage_class),
	};
	memcpy(w->out->etag, w->etag ? w->etag : src.etag, sizeof(src.etag));
	return object_insert_in(w->store, c, &to, w->out, shared, &w->o->cause, e);
}

// A file of a directory belongs to others: its bytes are copied.
static int copy_bytes(struct store *s, struct store_reader *r, const struct store_object *src,
		      const struct copy_write *w, const struct store_hearer *hearer,
		      struct store_object *out, struct err *e)
{
	auto_free char *chunk = mem_alloc(CHUNK);
	struct store_put_options o = *w->o;
	struct store_put *p;

	o.meta = w->replace_meta ? o.meta : src->meta;
	o.tags = w->replace_tags ? o.tags : src->tags;
	o.size = src->size;
	if (store_put_begin(s, &o, &p, e) < 0)
		return -1;
	for (uint64_t at = 0; at < src->size;) {
		ssize_t n = store_reader_pread(r, at, chunk, CHUNK, e);
		struct span piece = span_make(chunk, n > 0 ? (size_t)n : 0);

		if (n <= 0 || store_put_write(p, piece, e) < 0) {
			store_put_abort(p);
			return n ? -1 : err_set(e, ERR_CORRUPT, "the file became shorter");
		}
		if (hearer && hearer->bytes)
			hearer->bytes(hearer->owner, piece);
		at += piece.n;
	}
	if (hearer && hearer->checksum)
		store_put_set_checksum(p, hearer->checksum(hearer->owner));
	return store_put_finish(p, w->mem, out, e);
}

int store_copy(struct store *s, const struct store_source *from, const struct store_put_options *o,
	       bool replace_meta, bool replace_tags, const struct store_hearer *hearer,
	       struct arena *mem, struct store_object *out, struct err *e)
{
	struct copy_write w = { .store = s,
				.from = from,
				.o = o,
				.replace_meta = replace_meta,
				.replace_tags = replace_tags,
				.mem = mem,
				.out = out };
	char etag[STORE_ETAG_MAX];
	struct store_object src;

	if (put_options_check(o, e) < 0)
		return -1;
	{
		auto_reader struct store_reader *r = NULL;

		if (store_reader_open(s, from->bucket, from->key, from->version, mem, &src, &r, e) <
		    0)
			return -1;
		if (reader_is_external(r))
			return copy_bytes(s, r, &src, &w, hearer, out, e);
		if (src.parts || (hearer && hearer->bytes)) {
			if (hear_range(r, 0, src.size, hearer, etag, e) < 0)
				return -1;
			w.etag = etag;
		}
		w.version = src.version;
	}
	if (hearer && hearer->checksum)
		w.checksum = arena_span(mem, hearer->checksum(hearer->owner));
	return db_write(s->db, copy_in, &w, e);
}

// ---- a part from an object -----------------------------------------------------------------------------

struct part_write {
	struct store *store;
	struct span bucket, key, upload, checksum;
	const struct store_source *from;
	int64_t version;
	uint64_t offset, size;
	struct store_part *out;
};

// The segments of a range of a content.
static int slice(struct db_conn *c, int64_t content, uint64_t at, uint64_t n, struct arena *mem,
		 struct segment **out, size_t *count, struct err *e)
{
	struct segment *all;
	size_t have;

	*count = 0;
	if (content_segments(c, content, mem, &all, &have, e) < 0)
		return -1;
	*out = arena_alloc(mem, have * sizeof(**out));
	for (size_t i = 0; i < have && n; i++) {
		struct segment s = all[i];

		if (at >= s.length) {
			at -= s.length;
			continue;
		}
		s.offset += at;
		s.length = s.length - at < n ? s.length - at : n;
		at = 0;
		n -= s.length;
		(*out)[(*count)++] = s;
	}
	if (*count > SEGMENTS_MAX)
		return err_set(e, ERR_UNSUPPORTED, "the range has too many pieces to share");
	return n ? err_set(e, ERR_CORRUPT, "the content is shorter than its record") : 0;
}

static int part_in(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct part_write *w = arg;
	struct store_bucket from;
	struct store_object src;
	struct segment *some;
	struct content at, made = { .storage = STORE_SEGMENTS };
	size_t n;

	if (bucket_find(c, w->from->bucket, &from, e) < 0 ||
	    object_find(c, &from, w->from->key, w->version, &mem, &src, &at, e) < 0 ||
	    object_not_marker(&src, e) < 0)
		return -1;
	check(at.storage == STORE_SEGMENTS); // of this version for good
	if (slice(c, at.id, w->offset, w->size, &mem, &some, &n, e) < 0 ||
	    content_new_in(c, some, n, w->size, &made.id, e) < 0)
		return -1;
	w->out->checksum = w->checksum;
	return part_insert_in(w->store, c, w->bucket, w->key, w->upload, w->out, made, e);
}

// Few bytes are written anew, and so are those that lie in the database.
static int part_of_bytes(struct store *s, struct span bucket, struct span key, struct span upload,
			 struct store_reader *r, uint64_t at, const struct store_hearer *hearer,
			 struct store_part *out, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_free char *chunk = mem_alloc(CHUNK);
	struct store_put *p = NULL;
	struct store_object made;
	uint64_t left = out->size;

	if (store_put_begin_part(s, bucket, key, upload, out->number, left, &p, e) < 0)
		return -1;
	while (left) {
		ssize_t got =
			store_reader_pread(r, at, chunk, left < CHUNK ? (size_t)left : CHUNK, e);

		if (got <= 0 || store_put_write(p, span_make(chunk, (size_t)got), e) < 0) {
			store_put_abort(p);
			return got ? -1 : err_set(e, ERR_CORRUPT, "the content is too short");
		}
		if (hearer && hearer->bytes)
			hearer->bytes(hearer->owner, span_make(chunk, (size_t)got));
		at += (uint64_t)got;
		left -= (uint64_t)got;
	}
	if (hearer && hearer->checksum)
		store_put_set_checksum(p, hearer->checksum(hearer->owner));
	if (store_put_finish(p, &mem, &made, e) < 0)
		return -1;
	out->mtime_ns = made.mtime_ns;
	memcpy(out->etag, made.etag, sizeof(out->etag));
	return 0;
}

int store_part_copy(struct store *s, struct span bucket, struct span key, struct span upload,
		    unsigned number, const struct store_source *from, uint64_t offset,
		    uint64_t size, const struct store_hearer *hearer, struct store_part *out,
		    struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_reader struct store_reader *r = NULL;
	struct part_write w = { s, bucket, key, upload, SPAN(""), from, 0, offset, size, out };
	struct store_object src;
	struct span ignored;
	int shared;

	if (number < 1 || number > STORE_PART_MAX)
		return err_set(e, ERR_INVALID, "a part number is 1 to %d", STORE_PART_MAX);
	if (store_reader_open(s, from->bucket, from->key, from->version, &mem, &src, &r, e) < 0)
		return -1;
	if (offset > src.size || (size != UINT64_MAX && size > src.size - offset))
		return err_set(e, ERR_INVALID, "the range lies outside the object of %llu bytes",
			       (unsigned long long)src.size);
	w.size = size == UINT64_MAX ? src.size - offset : size;
	w.version = src.version;
	*out = (struct store_part){ .number = number, .size = w.size, .checksum = SPAN("") };
	if (store_reader_inline(r, &ignored) || reader_is_external(r) || w.size < CHUNK)
		return part_of_bytes(s, bucket, key, upload, r, offset, hearer, out, e);
	if (w.size == src.size && !src.parts && !(hearer && hearer->bytes))
		memcpy(out->etag, src.etag, sizeof(out->etag)); // is the MD5 of the bytes
	else if (hear_range(r, offset, w.size, hearer, out->etag, e) < 0)
		return -1;
	if (hearer && hearer->checksum)
		w.checksum = hearer->checksum(hearer->owner);
	shared = db_write(s->db, part_in, &w, e);
	if (shared < 0 && e->code == ERR_UNSUPPORTED) {
		static const struct store_hearer nobody;
		struct store_hearer known = hearer ? *hearer : nobody;

		known.bytes = NULL; // it has heard them
		return part_of_bytes(s, bucket, key, upload, r, offset, &known, out, e);
	}
	return shared;
}
