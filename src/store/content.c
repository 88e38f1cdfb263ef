// SPDX-License-Identifier: Apache-2.0
// content: files of the content directory, and the rows that say which content they make up.
#include "base/file.h"
#include "base/mem.h"
#include "codec/crc.h"
#include "store/engine.h"
#include "store/put.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { ID_BLOCK = 256 };

char *file_name(int64_t id, char out[static FILE_NAME_MAX])
{
	snprintf(out, FILE_NAME_MAX, "%02x/%llx", (unsigned)(id & 0xff),
		 (unsigned long long)dirs_number(id));
	return out;
}

struct reservation {
	struct db_request
		request; // first: `done` gets its address; only of a reservation made ahead
	struct store *store;
	int64_t start, clean;
};

static int reserve(struct db_conn *c, void *arg, struct err *e)
{
	struct reservation *r = arg;

	if (db_get_int(c, "SELECT reserved FROM sequences WHERE name='file'", DB_NO_ARGS, 1,
		       &r->start, e) < 0)
		return -1;
	if (!r->clean)
		r->clean = r->start;
	return db_exec(c,
		       "INSERT INTO sequences(name,reserved) VALUES('file',?1),('file-clean',?2) "
		       "ON CONFLICT(name) DO UPDATE SET reserved=excluded.reserved",
		       DB_ARGS(db_int(r->start + ID_BLOCK), db_int(r->clean)), e) < 0
		       ? -1
		       : 0;
}

static void lower(int64_t *low, int64_t number)
{
	if (!*low || number < *low)
		*low = number;
}

// The smallest number that a put still holds, or that is reserved and not handed out: everything below is settled.
// 0 when there is none. With the lock held.
static int64_t smallest_open(const struct store *s)
{
	int64_t low = s->file_next < s->file_end ? s->file_next : 0;

	if (s->unsure)
		lower(&low, s->unsure);
	for (const struct store_put *p = s->live; p; p = p->next)
		lower(&low, dirs_number(p->file));
	return low;
}

static void reserved_ahead(struct db_request *request, int result, const struct err *e unused_arg)
{
	struct reservation *r = (struct reservation *)request;

	pthread_mutex_lock(&r->store->lock);
	r->store->reserving = false;
	if (result >= 0) {
		r->store->spare = r->start;
		r->store->spare_end = r->start + ID_BLOCK;
	}
	pthread_cond_broadcast(&r->store->reserved);
	pthread_mutex_unlock(&r->store->lock);
	mem_free(r);
}

// With the lock held: asks for the next block before this one is used up, so that a put, which may run on a loop
// of the server, need not wait for a commit.
static struct reservation *plan_ahead(struct store *s)
{
	struct reservation *r;

	if (s->reserving || s->spare < s->spare_end || s->file_end - s->file_next > ID_BLOCK / 2)
		return NULL;
	s->reserving = true;
	r = mem_zalloc(sizeof(*r));
	*r = (struct reservation){ .request = { .fn = reserve, .arg = r, .done = reserved_ahead },
				   .store = s,
				   .clean = smallest_open(s) };
	return r;
}

// With the lock held. The put is known to hold its id from the same moment on.
static bool take_id(struct store *s, struct store_put *p, unsigned dir)
{
	if (s->file_next == s->file_end && s->spare < s->spare_end) {
		s->file_next = s->spare;
		s->file_end = s->spare_end;
		s->spare = s->spare_end;
	}
	if (s->file_next == s->file_end)
		return false;
	p->file = dirs_id(dir, s->file_next++);
	p->next = s->live;
	s->live = p;
	return true;
}

// With the lock held, which is given up for the commit. One at a time: a second reservation would say that the
// first one's ids are settled before any of them was handed out, and a crash would leave their files for ever.
static int reserve_now(struct store *s, struct err *e)
{
	struct reservation now = { .clean = smallest_open(s) };
	int bad;

	s->reserving = true;
	pthread_mutex_unlock(&s->lock);
	bad = db_write(s->db, reserve, &now, e);
	pthread_mutex_lock(&s->lock);
	s->reserving = false;
	pthread_cond_broadcast(&s->reserved);
	if (bad < 0)
		return err_wrap(e, "reserve content ids");
	s->file_next = now.start;
	s->file_end = now.start + ID_BLOCK;
	return 0;
}

int file_id_new(struct store *s, struct store_put *p, dev_t wish, struct err *e)
{
	unsigned dir = dirs_choose(&s->dirs, wish);
	struct reservation *ahead = NULL;
	int bad = 0;

	pthread_mutex_lock(&s->lock);
	while (!bad && !take_id(s, p, dir)) {
		if (s->reserving)
			lock_wait(&s->reserved, &s->lock, 0);
		else
			bad = reserve_now(s, e);
	}
	if (!bad)
		ahead = plan_ahead(s);
	pthread_mutex_unlock(&s->lock);
	if (ahead)
		db_submit(s->db, &ahead->request);
	return bad;
}

int file_create(struct store *s, int64_t id, struct err *e)
{
	char name[FILE_NAME_MAX];

	return file_open(dirs_fd(&s->dirs, id), file_name(id, name), O_RDWR | O_CREAT | O_EXCL,
			 0600, e);
}

int file_open_read(const struct store *s, int64_t id, struct err *e)
{
	char name[FILE_NAME_MAX];

	return file_open(dirs_fd(&s->dirs, id), file_name(id, name), O_RDONLY, 0, e);
}

int file_unlink(const struct store *s, int64_t id, struct err *e)
{
	char name[FILE_NAME_MAX];

	if (unlinkat(dirs_fd(&s->dirs, id), file_name(id, name), 0) == 0 || errno == ENOENT)
		return 0;
	return err_sys(e, ERR_IO, errno, "remove content %s", name);
}

int file_dir_sync(struct store *s, int64_t id, struct err *e)
{
	char name[FILE_NAME_MAX];
	auto_fd int fd = -1;

	file_name(id, name);
	name[2] = '\0';
	fd = file_open(dirs_fd(&s->dirs, id), name, O_RDONLY | O_DIRECTORY, 0, e);
	return fd < 0 ? -1 : file_sync(fd, e);
}

// ---- rows ----------------------------------------------------------------------------------------------

int content_new_in(struct db_conn *c, const struct segment *segments, size_t n, uint64_t size,
		   int64_t *id, struct err *e)
{
	if (db_next(c, "content", id, e) < 0 ||
	    db_exec(c, "INSERT INTO contents(id,refs,size) VALUES(?1,1,?2)",
		    DB_ARGS(db_int(*id), db_int((int64_t)size)), e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (db_exec(c, "UPDATE files SET refs=refs+1 WHERE id=?1",
			    DB_ARGS(db_int(segments[i].file)), e) < 0 ||
		    db_exec(c, "INSERT INTO segments VALUES(?1,?2,?3,?4,?5)",
			    DB_ARGS(db_int(*id), db_int((int64_t)i), db_int(segments[i].file),
				    db_int((int64_t)segments[i].offset),
				    db_int((int64_t)segments[i].length)),
			    e) < 0)
			return -1;
	return 0;
}

int content_share_in(struct db_conn *c, struct content from, struct content *to, struct err *e)
{
	*to = from;
	if (from.storage == STORE_SEGMENTS)
		return db_exec(c, "UPDATE contents SET refs=refs+1 WHERE id=?1",
			       DB_ARGS(db_int(from.id)), e) < 0
			       ? -1
			       : 0;
	if (db_next(c, "content", &to->id, e) < 0)
		return -1;
	return db_exec(c,
		       "INSERT INTO bodies(content,crc,data) "
		       "SELECT ?1,crc,data FROM bodies WHERE content=?2",
		       DB_ARGS(db_int(to->id), db_int(from.id)), e) < 0
		       ? -1
		       : 0;
}

// Deletes the row of a file whose last reference went, and queues the file itself.
static int file_unref(struct db_conn *c, int64_t file, struct err *e)
{
	int64_t refs;

	if (db_exec(c, "UPDATE files SET refs=refs-1 WHERE id=?1", DB_ARGS(db_int(file)), e) < 0 ||
	    db_get_int(c, "SELECT refs FROM files WHERE id=?1", DB_ARGS(db_int(file)), 1, &refs,
		       e) < 0)
		return -1;
	if (refs > 0)
		return 0;
	if (db_exec(c, "DELETE FROM files WHERE id=?1", DB_ARGS(db_int(file)), e) < 0)
		return -1;
	return db_exec(c, "INSERT INTO garbage(file) VALUES(?1)", DB_ARGS(db_int(file)), e) < 0 ? -1
												: 0;
}

int content_release_in(struct store *s, struct db_conn *c, struct content at, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct segment *segments;
	int64_t refs;
	size_t n;

	if (at.storage == STORE_EXTERNAL || !at.id)
		return 0;
	if (at.storage == STORE_INLINE)
		return db_exec(c, "DELETE FROM bodies WHERE content=?1", DB_ARGS(db_int(at.id)),
			       e) < 0
			       ? -1
			       : 0;
	if (db_exec(c, "UPDATE contents SET refs=refs-1 WHERE id=?1", DB_ARGS(db_int(at.id)), e) <
		    0 ||
	    db_get_int(c, "SELECT refs FROM contents WHERE id=?1", DB_ARGS(db_int(at.id)), 1, &refs,
		       e) < 0)
		return -1;
	if (refs > 0)
		return 0;
	if (content_segments(c, at.id, &mem, &segments, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (file_unref(c, segments[i].file, e) < 0)
			return -1;
	if (db_exec(c, "DELETE FROM segments WHERE content=?1", DB_ARGS(db_int(at.id)), e) < 0 ||
	    db_exec(c, "DELETE FROM content_parts WHERE content=?1", DB_ARGS(db_int(at.id)), e) <
		    0 ||
	    db_exec(c, "DELETE FROM contents WHERE id=?1", DB_ARGS(db_int(at.id)), e) < 0)
		return -1;
	s->freed = true;
	return 0;
}

int content_segments(struct db_conn *c, int64_t id, struct arena *mem, struct segment **out,
		     size_t *n, struct err *e)
{
	auto_query struct db_stmt *s = NULL;
	int64_t count;
	int got;

	*n = 0;
	if (db_get_int(c, "SELECT count(*) FROM segments WHERE content=?1", DB_ARGS(db_int(id)), 0,
		       &count, e) < 0)
		return -1;
	*out = arena_alloc(mem, (size_t)count * sizeof(**out));
	s = db_query(c, "SELECT file,offset,length FROM segments WHERE content=?1 ORDER BY seq",
		     DB_ARGS(db_int(id)), e);
	while ((got = db_step(s, e)) > 0 && *n < (size_t)count)
		(*out)[(*n)++] = (struct segment){ db_col_int(s, 0), (uint64_t)db_col_int(s, 1),
						   (uint64_t)db_col_int(s, 2) };
	return got < 0 ? -1 : 0;
}

uint32_t content_crc(struct span bytes)
{
	return (uint32_t)crc_update(CRC_32C, 0, bytes);
}
