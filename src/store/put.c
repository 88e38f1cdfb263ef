// SPDX-License-Identifier: Apache-2.0
#include "store/put.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/text.h"
#include "store/placing.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLLOW_BYTES = 1 << 20 };

// ---- options -------------------------------------------------------------------------------------------

static const char *copy_str(struct arena *mem, const char *s)
{
	return s ? arena_strdup(mem, s) : NULL;
}

void put_options_copy(struct arena *mem, struct store_put_options *to,
		      const struct store_put_options *o)
{
	*to = *o;
	to->bucket = arena_span(mem, o->bucket);
	to->key = arena_span(mem, o->key);
	to->meta.packed = arena_span(mem, o->meta.packed);
	to->tags = arena_span(mem, o->tags);
	to->acl = arena_span(mem, o->acl);
	to->storage_class = arena_span(mem, o->storage_class);
	to->only_if.if_match = arena_span(mem, o->only_if.if_match);
	to->only_if.if_none_match = arena_span(mem, o->only_if.if_none_match);
	to->cause.event = copy_str(mem, o->cause.event);
	to->cause.principal = copy_str(mem, o->cause.principal);
	to->cause.source_ip = copy_str(mem, o->cause.source_ip);
	to->cause.user_agent = copy_str(mem, o->cause.user_agent);
	to->cause.request_id = copy_str(mem, o->cause.request_id);
}

int put_options_check(const struct store_put_options *o, struct err *e)
{
	if (!o->key.n)
		return err_set(e, ERR_INVALID, "an object key cannot be empty");
	if (o->key.n > STORE_KEY_MAX)
		return err_set(e, ERR_LIMIT, "the key is %zu bytes long, %d are allowed", o->key.n,
			       STORE_KEY_MAX);
	if (!span_is_utf8(o->key) || memchr(o->key.p, '\0', o->key.n))
		return err_set(e, ERR_INVALID, "an object key is UTF-8 text without NUL");
	if (o->meta.packed.n > STORE_META_MAX)
		return err_set(e, ERR_LIMIT, "the metadata is over %d bytes", STORE_META_MAX);
	return 0;
}

static int room_check(const struct store *s, struct err *e)
{
	if (store_room(s) == STORE_ROOM_NONE)
		return err_set(e, ERR_FULL, "less than %u %% of the disk is free",
			       s->dirs.stop_percent);
	return 0;
}

// ---- starting ------------------------------------------------------------------------------------------

static struct store_put *put_new(struct store *s, const struct store_put_options *o)
{
	struct store_put *p = mem_zalloc(sizeof(*p));

	p->store = s;
	put_options_copy(&p->mem, &p->o, o);
	buf_init(&p->small, s->o.inline_max);
	digest_init(&p->md5, DIGEST_MD5);
	writing_init(&p->content, s->hasher, s->o.object_max);
	return p;
}

static int size_check(struct store *s, uint64_t size, struct err *e)
{
	if (size != UINT64_MAX && size > s->o.object_max)
		return err_set(e, ERR_LIMIT, "the object is over the limit of %llu bytes",
			       (unsigned long long)s->o.object_max);
	return 0;
}

int store_put_begin(struct store *s, const struct store_put_options *o, struct store_put **out,
		    struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	struct placing *placing = NULL;
	struct store_bucket b;

	if (!c || put_options_check(o, e) < 0 || size_check(s, o->size, e) < 0 ||
	    bucket_find(c, o->bucket, &b, e) < 0 ||
	    (!o->by_link && (place_refuse(&b, e) < 0 || room_check(s, e) < 0)))
		return -1;
	if (b.directory && placing_begin(s, &b, o->key, &placing, e) < 0)
		return -1;
	*out = put_new(s, o);
	(*out)->placing = placing;
	return 0;
}

int store_put_begin_part(struct store *s, struct span bucket, struct span key, struct span upload,
			 unsigned number, uint64_t size, struct store_put **out, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct store_put_options o = { .bucket = bucket, .key = key, .size = size };
	struct store_upload up;

	if (number < 1 || number > STORE_PART_MAX)
		return err_set(e, ERR_INVALID, "a part number is 1 to %d", STORE_PART_MAX);
	if (size_check(s, size, e) < 0 || room_check(s, e) < 0 ||
	    store_upload_get(s, bucket, key, upload, &mem, &up, e) < 0)
		return -1;
	*out = put_new(s, &o);
	(*out)->upload = arena_span(&(*out)->mem, upload);
	(*out)->number = number;
	(*out)->small.max = 0; // parts are always files, so that joining them is metadata only
	return 0;
}

// ---- bytes ---------------------------------------------------------------------------------------------

static void live_remove(struct store_put *p)
{
	auto_lock held = lock_hold(&p->store->lock);

	for (struct store_put **at = &p->store->live; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			return;
		}
}

static int spill(struct store_put *p, struct err *e)
{
	bool large = p->o.size != UINT64_MAX && p->o.size > FOLLOW_BYTES;
	int fd;

	if (file_id_new(p->store, p, 0, e) < 0)
		return -1;
	fd = file_create(p->store, p->file, e);
	if (fd < 0)
		return -1;
	writing_begin(&p->content, fd, large);
	if (writing_add(&p->content, buf_span(&p->small), e) < 0)
		return -1;
	buf_release(&p->small);
	return 0;
}

int store_put_write(struct store_put *p, struct span bytes, struct err *e)
{
	uint64_t begun = p->content.begun;

	if (bytes.n > p->store->o.object_max - p->size)
		return err_set(e, ERR_LIMIT, "the object is over the limit of %llu bytes",
			       (unsigned long long)p->store->o.object_max);
	if (!p->content.followed)
		digest_update(&p->md5, bytes);
	p->size += bytes.n;
	if (p->content.fd < 0) {
		if (buf_add_span(&p->small, bytes))
			return 0;
		if (spill(p, e) < 0)
			return -1;
	}
	if (writing_add(&p->content, bytes, e) < 0)
		return -1;
	return p->content.begun > begun ? room_check(p->store, e) : 0;
}

static int digest_file(struct store_put *p, int fd, bool copy, struct err *e)
{
	auto_free char *chunk = mem_alloc(128 << 10);
	ssize_t k;

	while ((k = file_read_full(fd, chunk, 128 << 10, e)) > 0) {
		if (copy) {
			if (store_put_write(p, span_make(chunk, (size_t)k), e) < 0)
				return -1;
			continue;
		}
		digest_update(&p->md5, span_make(chunk, (size_t)k));
		blocks_add(&p->content.blocks, span_make(chunk, (size_t)k));
		p->size += (uint64_t)k;
	}
	return k < 0 ? -1 : 0;
}

int store_put_take_file(struct store_put *p, int dir, const char *name, struct err *e)
{
	char to[FILE_NAME_MAX];
	auto_fd int fd = -1;
	struct stat st;
	int copy;

	if (p->placing)
		return placing_take(p->placing, dir, name, p->store->o.object_max, e);
	check(!p->size && p->content.fd < 0);
	fd = file_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, e);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_sys(e, ERR_IO, errno, "stat %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is not a regular file", name);
	if (size_check(p->store, (uint64_t)st.st_size, e) < 0)
		return -1;
	if ((uint64_t)st.st_size <= p->small.max || st.st_nlink != 1)
		return digest_file(p, fd, true, e);
	if (file_id_new(p->store, p, st.st_dev, e) < 0)
		return -1;
	if (linkat(dir, name, dirs_fd(&p->store->dirs, p->file), file_name(p->file, to), 0) == 0) {
		writing_begin(&p->content, file_take(&fd), false);
		if (fchmod(p->content.fd, 0600) < 0)
			return err_sys(e, ERR_IO, errno, "chmod %s", to);
		return digest_file(p, p->content.fd, false, e);
	}
	if (errno != EXDEV && errno != EPERM && errno != EMLINK)
		return err_sys(e, ERR_IO, errno, "link %s", name);
	copy = file_create(p->store, p->file, e);
	if (copy < 0)
		return -1;
	writing_begin(&p->content, copy, false);
	return digest_file(p, fd, true, e);
}

static int compare_md5(const uint8_t *md5, const uint8_t *expected, struct err *e)
{
	if (memcmp(md5, expected, 16) == 0)
		return 0;
	err_set(e, ERR_INVALID, "the bytes have another MD5 than was said");
	e->sys = STORE_BAD_MD5;
	return -1;
}

int store_put_expect_md5(struct store_put *p, const uint8_t md5[static 16], struct err *e)
{
	struct digest copy = p->md5;
	uint8_t sum[DIGEST_MAX];

	if (!p->content.followed) {
		digest_final(&copy, sum);
		return compare_md5(sum, md5, e);
	}
	memcpy(p->expected_md5, md5, 16);
	p->expects_md5 = true;
	return 0;
}

void store_put_set_checksum(struct store_put *p, struct span checksum)
{
	p->checksum = arena_span(&p->mem, checksum);
}

// ---- making it visible ---------------------------------------------------------------------------------

static int take_md5(struct store_put *p, struct err *e)
{
	uint8_t md5[DIGEST_MAX];

	if (!p->content.followed)
		digest_final(&p->md5, md5);
	else if (hasher_end(p->store->hasher, &p->content.hash, md5, e) < 0)
		return -1;
	text_hex(p->etag, md5, 16);
	return p->expects_md5 ? compare_md5(md5, p->expected_md5, e) : 0;
}

static int make_durable(struct store_put *p, struct err *e)
{
	if (writing_flush(&p->content, e) < 0 || file_sync(p->content.fd, e) < 0)
		return -1;
	return file_dir_sync(p->store, p->file, e);
}

int store_put_stage(struct store_put *p, struct err *e)
{
	if (p->placing) {
		p->staged = placing_stage(p->placing, e) == 0;
		return p->staged ? 0 : err_wrap(e, "store " SPAN_FMT, SPAN_ARG(p->o.key));
	}
	if (p->content.fd < 0 && !p->small.max && spill(p, e) < 0) // an empty part
		return -1;
	// The disk works while the hasher catches up.
	if ((p->file && make_durable(p, e) < 0) || take_md5(p, e) < 0)
		return err_wrap(e, "store " SPAN_FMT, SPAN_ARG(p->o.key));
	p->staged = true;
	return 0;
}

static int content_in(struct store_put *p, struct db_conn *c, struct content *at, struct err *e)
{
	struct segment whole = { p->file, 0, p->size };

	if (!p->file) {
		at->storage = STORE_INLINE;
		if (db_next(c, "content", &at->id, e) < 0)
			return -1;
		return db_exec(c, "INSERT INTO bodies(content,crc,data) VALUES(?1,?2,?3)",
			       DB_ARGS(db_int(at->id), db_int(content_crc(buf_span(&p->small))),
				       db_blob(buf_span(&p->small))),
			       e) < 0
			       ? -1
			       : 0;
	}
	at->storage = STORE_SEGMENTS;
	if (db_exec(c, "INSERT INTO files(id,refs,size,crcs) VALUES(?1,0,?2,?3)",
		    DB_ARGS(db_int(p->file), db_int((int64_t)p->size),
			    db_blob(blocks_end(&p->content.blocks))),
		    e) < 0)
		return -1;
	return content_new_in(c, &whole, 1, p->size, &at->id, e);
}

static int part_in(struct store_put *p, struct db_conn *c, struct content at, struct err *e)
{
	struct store_part part = { .number = p->number, .size = p->size, .checksum = p->checksum };

	memcpy(part.etag, p->etag, sizeof(part.etag));
	if (part_insert_in(p->store, c, p->o.bucket, p->o.key, p->upload, &part, at, e) < 0)
		return -1;
	p->object.mtime_ns = part.mtime_ns;
	return 0;
}

int store_put_apply(struct store_put *p, struct db_conn *c, struct err *e)
{
	struct store_bucket b;
	struct content at;

	check(p->staged);
	p->object = (struct store_object){ .bucket = p->o.bucket,
					   .key = p->o.key,
					   .owner = p->o.owner,
					   .size = p->size,
					   .meta = p->o.meta,
					   .tags = p->o.tags,
					   .acl = p->o.acl,
					   .lock = p->o.lock,
					   .storage_class = p->o.storage_class,
					   .checksum = p->checksum };
	memcpy(p->object.etag, p->etag, sizeof(p->etag));
	if (bucket_find(c, p->o.bucket, &b, e) < 0)
		return -1;
	if (p->placing)
		return object_conditions_in(c, b.id, &p->o, e) < 0
			       ? -1
			       : placing_apply_in(p->placing, c, &b, &p->object, &p->o.cause, e);
	if (content_in(p, c, &at, e) < 0)
		return -1;
	if (p->upload.n)
		return part_in(p, c, at, e);
	if (object_conditions_in(c, b.id, &p->o, e) < 0)
		return -1;
	return object_insert_in(p->store, c, &b, &p->object, at, &p->o.cause, e);
}

static int apply_one(struct db_conn *c, void *arg, struct err *e)
{
	return store_put_apply(arg, c, e);
}

bool store_put_made_there(const struct store_put *p, size_t i, int *folder, const char **name,
			  const char **later)
{
	return p->placing && placing_made(p->placing, i, folder, name, later);
}

void store_put_committed(struct store_put *p)
{
	p->committed = true;
	if (p->placing)
		placing_committed(p->placing);
	if (p->file)
		seen_add(p->store->seen, p->file);
}

int store_put_finish(struct store_put *p, struct arena *mem, struct store_object *out,
		     struct err *e)
{
	int bad = store_put_stage(p, e) < 0;

	if (!bad) {
		bad = db_write(p->store->db, apply_one, p, e) < 0;
		if (!bad) {
			store_put_committed(p);
			object_copy(mem, out, &p->object);
		} else if (e->code == ERR_IO) {
			store_put_unsure(p);
		}
	}
	store_put_abort(p);
	return bad ? -1 : 0;
}

bool store_put_is_quick(const struct store_put *p)
{
	return !p->file && p->small.max;
}

void store_put_made(const struct store_put *p, struct arena *mem, struct store_object *out)
{
	object_copy(mem, out, &p->object);
}

static void put_done(struct db_request *r, int result, const struct err *e)
{
	struct store_put *p = r->arg;

	p->committed = result >= 0;
	p->done(p->owner, result, e);
}

void store_put_submit(struct store_put *p, store_done_fn *done, void *owner)
{
	struct err e = { 0 };

	p->done = done;
	p->owner = owner;
	p->request = (struct db_request){ .fn = apply_one, .arg = p, .done = put_done };
	check(store_put_is_quick(p));
	if (store_put_stage(p, &e) < 0) // cannot be, without a file
		done(owner, -1, &e);
	else
		db_submit(p->store->db, &p->request);
}

void store_put_unsure(struct store_put *p)
{
	struct store *s = p->store;

	if (p->placing)
		placing_unsure(p->placing);
	if (!p->file)
		return;
	p->committed = true;
	auto_lock held = lock_hold(&s->lock);
	if (!s->unsure || dirs_number(p->file) < s->unsure)
		s->unsure = dirs_number(p->file);
}

void store_put_abort(struct store_put *p)
{
	struct err ignored;

	if (!p)
		return;
	if (p->file && !p->committed && file_unlink(p->store, p->file, &ignored) < 0)
		log_warn("store", "%s", ignored.msg);
	placing_free(p->placing);
	if (p->file)
		live_remove(p);
	writing_release(&p->content);
	buf_release(&p->small);
	arena_release(&p->mem);
	mem_free(p);
}
