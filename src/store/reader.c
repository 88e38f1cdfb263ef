// SPDX-License-Identifier: Apache-2.0
// reader: the bytes of an object.
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/blocks.h"
#include "store/hot.h"
#include "store/place.h"
#include "store/scrub.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SAVE_CHUNK = 1 << 20 };

struct store_reader {
	struct store *store;
	struct arena mem;
	struct content at;
	const struct store_object *object; // while it is opened
	int64_t mtime_ns;
	uint64_t size;
	struct span bytes;	  // inline
	struct segment *segments; // else
	size_t count;
	size_t open_at; // segment that fd belongs to
	int fd;

	// Of a file that nobody has looked at since the start.
	int64_t sums_of; // the file that the next four are about
	struct span sums;
	uint64_t file_size;
	uint64_t right;	  // blocks found right so far, from the first on
	uint64_t last_ok; // and the one found right last, plus one
	struct arena sums_mem;
};

static int load_sums(struct store_reader *r, int64_t file, struct err *e)
{
	struct db_conn *c = db_reader(r->store->db, e);
	auto_query struct db_stmt *q =
		db_query(c, "SELECT size,crcs FROM files WHERE id=?1", DB_ARGS(db_int(file)), e);
	int got = db_step(q, e);

	if (got < 0)
		return -1;
	arena_release(&r->sums_mem);
	r->sums_of = file;
	r->right = r->last_ok = 0;
	// Deleted meanwhile: what is open stays readable, and nothing is known about it.
	r->sums = got ? arena_span(&r->sums_mem, db_col_span(q, 1)) : SPAN("");
	r->file_size = got ? (uint64_t)db_col_int(q, 0) : 0;
	return 0;
}

// The block that holds this byte of the open file is what was written. The first reader of a file after a start
// looks; when it has seen the whole file nobody looks again.
static int check_block(struct store_reader *r, int64_t file, uint64_t offset, struct err *e)
{
	uint64_t block = offset / BLOCK_SIZE;

	if (seen_has(r->store->seen, file))
		return 0;
	if (r->sums_of != file && load_sums(r, file, e) < 0)
		return -1;
	if (r->last_ok == block + 1 || offset >= r->file_size)
		return 0;
	if (blocks_verify_one(r->fd, block, r->file_size, r->sums, e) < 0) {
		scrub_suspect(r->store->scrub, file);
		return -1;
	}
	r->last_ok = block + 1;
	if (r->right == block && (++r->right) * BLOCK_SIZE >= r->file_size)
		seen_add(r->store->seen, file);
	return 0;
}

static int open_segment(struct store_reader *r, size_t i, struct err *e)
{
	int fd;

	if (r->fd >= 0 && r->open_at == i)
		return 0;
	fd = file_open_read(r->store, r->segments[i].file, e);
	if (fd < 0)
		return -1;
	file_close(r->fd);
	r->fd = fd;
	r->open_at = i;
	return 0;
}

static int load_inline(struct store_reader *r, struct db_conn *c, struct err *e)
{
	auto_query struct db_stmt *s = db_query(c, "SELECT crc,data FROM bodies WHERE content=?1",
						DB_ARGS(db_int(r->at.id)), e);
	int got = db_step(s, e);

	if (got < 0)
		return -1;
	if (!got)
		return object_missing(e, STORE_NO_KEY, "the content is gone");
	r->bytes = arena_span(&r->mem, db_col_span(s, 1));
	if (content_crc(r->bytes) != (uint32_t)db_col_int(s, 0))
		return err_set(e, ERR_CORRUPT, "stored bytes differ from what was written");
	return 0;
}

// What is known to be damaged is refused, rather than handed out wrong.
static int check_known(struct store_reader *r, struct db_conn *c, struct err *e)
{
	int64_t bad = 0;

	if (!atomic_load(&r->store->bad_files))
		return 0;
	if (db_get_int(c,
		       "SELECT EXISTS(SELECT 1 FROM segments s JOIN files f ON f.id=s.file WHERE "
		       "s.content=?1 AND f.bad=1)",
		       DB_ARGS(db_int(r->at.id)), 0, &bad, e) < 0)
		return -1;
	return bad ? err_set(e, ERR_CORRUPT, "the content is known to be damaged") : 0;
}

static int load(struct store_reader *r, struct db_conn *c, struct err *e)
{
	r->mtime_ns = r->object->mtime_ns;
	r->size = r->object->size;
	if (r->at.storage == STORE_INLINE) // or it came from memory
		return r->bytes.p ? 0 : load_inline(r, c, e);
	if (r->at.storage == STORE_EXTERNAL) {
		r->fd = place_open_file(r->store, r->object, r->at.id, e);
		return r->fd < 0 ? -1 : 0;
	}
	if (content_segments(c, r->at.id, &r->mem, &r->segments, &r->count, e) < 0)
		return -1;
	if (r->size && !r->count)
		return object_missing(e, STORE_NO_KEY, "the content is gone");
	if (check_known(r, c, e) < 0)
		return -1;
	return r->count ? open_segment(r, 0, e) : 0;
}

static struct store_reader *reader_alloc(struct store *s, const struct store_object *o)
{
	struct store_reader *r = mem_zalloc(sizeof(*r));

	r->store = s;
	r->object = o;
	r->fd = -1;
	return r;
}

static int reader_new(struct store *s, struct db_conn *c, struct content at,
		      const struct store_object *o, struct store_reader **out, struct err *e)
{
	struct store_reader *r = reader_alloc(s, o);

	r->at = at;
	if (load(r, c, e) < 0) {
		store_reader_close(r);
		return -1;
	}
	*out = r;
	return 0;
}

// 1 = its content is gone: something replaced the object meanwhile.
static int open_row(struct store *s, struct db_conn *c, const struct store_bucket *b,
		    struct span key, int64_t version, struct arena *mem, struct store_object *out,
		    struct store_reader **reader, struct err *e)
{
	uint64_t moment = db_moment(c);
	struct content at;

	if (object_find(c, b, key, version, mem, out, &at, e) < 0 || object_not_marker(out, e) < 0)
		return -1;
	if (reader_new(s, c, at, out, reader, e) < 0)
		return e->code == ERR_NOT_FOUND ? 1 : -1;
	if (!version)
		hot_object_keep(s->hot, moment, out, at, (*reader)->bytes);
	return 0;
}

enum { OPEN_TRIES = 5 };

// Row and inline body are of one moment; a file may have gone since: then all is looked at anew.
static int open_found(struct store *s, const struct store_bucket *b, struct span key,
		      int64_t version, struct arena *mem, struct store_object *out,
		      struct store_reader **reader, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	int got = c ? 1 : -1;

	db_read_begin(s->db);
	for (int i = 0; got > 0 && i < OPEN_TRIES; i++) {
		if (i)
			db_read_renew(s->db);
		got = open_row(s, c, b, key, version, mem, out, reader, e);
	}
	db_read_end(s->db);
	return got > 0 ? err_set(e, ERR_CORRUPT, "the content of " SPAN_FMT " is missing",
				 SPAN_ARG(key))
		       : got;
}

// By what is in memory. False also when its content is gone, or cannot be read: then who looks again hears why.
static bool open_hot(struct store *s, const struct store_bucket *b, struct span key,
		     struct arena *mem, struct store_object *out, struct store_reader **reader)
{
	struct err ignored = { 0 };
	struct db_conn *c = db_reader(s->db, &ignored);
	struct store_reader *r = reader_alloc(s, out);

	if (c && hot_object(s->hot, b, key, mem, out, &r->at, &r->mem, &r->bytes) &&
	    load(r, c, &ignored) == 0) {
		*reader = r;
		return true;
	}
	store_reader_close(r);
	*out = (struct store_object){ 0 };
	return false;
}

int store_reader_open(struct store *s, struct span bucket, struct span key, int64_t version,
		      struct arena *mem, struct store_object *out, struct store_reader **reader,
		      struct err *e)
{
	struct store_bucket b;

	*out = (struct store_object){ 0 };
	if (store_bucket_look(s, bucket, &b, e) < 0)
		return -1;
	if (!version && open_hot(s, &b, key, mem, out, reader))
		return 0;
	return open_found(s, &b, key, version, mem, out, reader, e);
}

int store_reader_open_version(struct store *s, int64_t bucket_id, struct span key, int64_t version,
			      struct arena *mem, struct store_object *out,
			      struct store_reader **reader, struct err *e)
{
	struct store_bucket b = { .id = bucket_id };

	*out = (struct store_object){ 0 };
	return open_found(s, &b, key, version, mem, out, reader, e);
}

void store_reader_close(struct store_reader *r)
{
	if (!r)
		return;
	file_close(r->fd);
	arena_release(&r->mem);
	arena_release(&r->sums_mem);
	mem_free(r);
}

// Index of the segment that holds `at`; *into = the offset in it.
static size_t segment_at(const struct store_reader *r, uint64_t at, uint64_t *into)
{
	size_t i = 0;

	while (i < r->count && at >= r->segments[i].length)
		at -= r->segments[i++].length;
	*into = at;
	return i;
}

ssize_t store_reader_pread(struct store_reader *r, uint64_t at, void *p, size_t n, struct err *e)
{
	uint64_t into, left, in_file;
	ssize_t got;
	size_t i;

	if (at >= r->size)
		return 0;
	if (n > r->size - at)
		n = (size_t)(r->size - at);
	if (r->at.storage == STORE_INLINE) {
		memcpy(p, r->bytes.p + at, n);
		return (ssize_t)n;
	}
	if (r->at.storage == STORE_EXTERNAL) {
		got = file_pread_full(r->fd, p, n, (off_t)at, e);
		return got >= 0 && (size_t)got < n
			       ? err_set(e, ERR_CORRUPT,
					 "the file became shorter while it was read")
			       : got;
	}
	i = segment_at(r, at, &into);
	if (i == r->count)
		return err_set(e, ERR_CORRUPT, "the content is shorter than its record");
	left = r->segments[i].length - into;
	if (n > left)
		n = (size_t)left;
	in_file = r->segments[i].offset + into;
	if (n > BLOCK_SIZE - in_file % BLOCK_SIZE) // within one block, which is what can be checked
		n = (size_t)(BLOCK_SIZE - in_file % BLOCK_SIZE);
	if (open_segment(r, i, e) < 0 || check_block(r, r->segments[i].file, in_file, e) < 0)
		return -1;
	got = file_pread_full(r->fd, p, n, (off_t)(r->segments[i].offset + into), e);
	if (got >= 0 && (size_t)got < n)
		return err_set(e, ERR_CORRUPT, "a content file is shorter than its record");
	return got;
}

int store_reader_save(struct store_reader *r, int fd, struct err *e)
{
	auto_free char *chunk = mem_alloc(SAVE_CHUNK);

	for (uint64_t at = 0; at < r->size;) {
		ssize_t k = store_reader_pread(r, at, chunk, SAVE_CHUNK, e);

		if (k <= 0)
			return k ? -1
				 : err_set(e, ERR_CORRUPT,
					   "the content is shorter than its record");
		if (file_write_all(fd, chunk, (size_t)k, e) < 0)
			return -1;
		at += (uint64_t)k;
	}
	return 0;
}

int store_reader_verify(struct store_reader *r, struct err *e)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct segment *s = &r->segments[i];
		uint64_t at = s->offset, end = s->offset + s->length;

		if (seen_has(r->store->seen, s->file))
			continue;
		if (open_segment(r, i, e) < 0)
			return -1;
		for (; at < end; at = (at / BLOCK_SIZE + 1) * BLOCK_SIZE)
			if (check_block(r, s->file, at, e) < 0)
				return -1;
	}
	return 0;
}

bool reader_is_external(const struct store_reader *r)
{
	return r->at.storage == STORE_EXTERNAL;
}

bool store_reader_inline(struct store_reader *r, struct span *bytes)
{
	*bytes = r->bytes;
	return r->at.storage == STORE_INLINE;
}

bool store_reader_file(struct store_reader *r, uint64_t at, uint64_t n, int *fd, uint64_t *offset)
{
	struct err ignored;
	uint64_t into;
	size_t i;

	if (r->at.storage == STORE_EXTERNAL && n) {
		*fd = fcntl(r->fd, F_DUPFD_CLOEXEC, 3);
		*offset = at;
		return *fd >= 0;
	}
	if (r->at.storage != STORE_SEGMENTS || !n)
		return false;
	i = segment_at(r, at, &into);
	if (i == r->count || n > r->segments[i].length - into || open_segment(r, i, &ignored) < 0)
		return false;
	// One block is looked at here and now; longer files on their way out.
	if (!seen_has(r->store->seen, r->segments[i].file) &&
	    (check_block(r, r->segments[i].file, 0, &ignored) < 0 ||
	     !seen_has(r->store->seen, r->segments[i].file)))
		return false;
	*fd = fcntl(r->fd, F_DUPFD_CLOEXEC, 3);
	*offset = r->segments[i].offset + into;
	return *fd >= 0;
}

// The whole content is the whole of one file, which is open in r->fd.
static bool one_file(struct store_reader *r)
{
	struct err ignored;
	struct stat st;

	if (r->at.storage == STORE_EXTERNAL)
		return true;
	if (r->at.storage != STORE_SEGMENTS || r->count != 1 || r->segments[0].offset ||
	    r->segments[0].length != r->size)
		return false;
	// A shared content may be the beginning of a longer file.
	return open_segment(r, 0, &ignored) == 0 && fstat(r->fd, &st) == 0 &&
	       (uint64_t)st.st_size == r->size;
}

bool store_reader_path(struct store_reader *r, char *out, size_t size)
{
	const struct dirs *dirs = &r->store->dirs;
	char name[FILE_NAME_MAX];
	const char *rel = NULL;

	if (r->at.storage != STORE_SEGMENTS || !one_file(r))
		return false;
	if (dirs_index(r->segments[0].file) < dirs->n)
		rel = dirs->at[dirs_index(r->segments[0].file)].rel;
	if (!rel)
		return false;
	snprintf(out, size, "%s/%s", rel, file_name(r->segments[0].file, name));
	return true;
}

bool store_reader_whole(struct store_reader *r, int *fd, int64_t *mtime_ns)
{
	struct stat st;

	*fd = one_file(r) ? fcntl(r->fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (*fd < 0 || fstat(*fd, &st) < 0) {
		file_close(*fd);
		return false;
	}
	*mtime_ns = r->at.storage == STORE_EXTERNAL
			    ? r->mtime_ns
			    : st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
	return true;
}
