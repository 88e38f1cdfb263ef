// SPDX-License-Identifier: Apache-2.0
#include "image/upload.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "db/db.h"
#include "image/blob.h"
#include "image/private.h"

struct image_upload {
	struct image_upload *next;
	char id[UPLOAD_ID_MAX];
	char *repo;
	int64_t user;
	int64_t used_ns; // monotonic, when it was given back last
	bool taken;
	struct blob_writer blob;
};

static void drop(struct image_upload *u)
{
	blob_drop(&u->blob);
	mem_free(u->repo);
	mem_free(u);
}

// Both are counted before the file is made, and once more with the lock that puts it into the list.
static int check_room(const struct images *m, int64_t user, struct err *e)
{
	size_t own = 0;

	for (const struct image_upload *u = m->uploads; u; u = u->next)
		own += u->user == user;
	if (m->upload_count >= UPLOADS_MAX || own >= UPLOADS_USER_MAX)
		return err_set(e, ERR_BUSY, "%zu uploads are open already: try again later",
			       own >= UPLOADS_USER_MAX ? own : m->upload_count);
	return 0;
}

int upload_begin(struct images *m, struct span repo, int64_t user, struct image_upload **out,
		 struct err *e)
{
	struct image_upload *u = mem_zalloc(sizeof(*u));

	u->repo = mem_strndup(repo.p, repo.n);
	u->user = user;
	u->taken = true;
	u->blob.fd = -1;
	rand_hex(u->id, UPLOAD_ID_MAX / 2);
	if (blob_begin(&u->blob, m->blobs, m->limits.size_max, e) < 0) {
		drop(u);
		return -1;
	}
	pthread_mutex_lock(&m->uploads_lock);
	int bad = check_room(m, user, e);

	if (!bad) {
		u->next = m->uploads;
		m->uploads = u;
		m->upload_count++;
	}
	pthread_mutex_unlock(&m->uploads_lock);
	if (bad) {
		drop(u);
		return -1;
	}
	*out = u;
	return 0;
}

int upload_take(struct images *m, struct span repo, struct span id, struct image_upload **out,
		struct err *e)
{
	auto_lock held = lock_hold(&m->uploads_lock);

	for (struct image_upload *u = m->uploads; u; u = u->next) {
		if (!span_is(id, u->id) || !span_is(repo, u->repo))
			continue;
		if (u->taken)
			return err_set(e, ERR_BUSY, "another request goes on with this upload");
		u->taken = true;
		*out = u;
		return 0;
	}
	return err_set(e, ERR_NOT_FOUND,
		       "no such upload: it ended, or was left alone for too long");
}

void upload_give(struct images *m, struct image_upload *u)
{
	if (!u)
		return;
	auto_lock held = lock_hold(&m->uploads_lock);

	u->used_ns = clock_mono_ns();
	u->taken = false;
}

static void unlink_upload(struct images *m, const struct image_upload *u)
{
	for (struct image_upload **at = &m->uploads; *at; at = &(*at)->next)
		if (*at == u) {
			*at = u->next;
			m->upload_count--;
			return;
		}
}

const char *upload_id(const struct image_upload *u)
{
	return u->id;
}

uint64_t upload_size(const struct image_upload *u)
{
	return u->blob.size;
}

int upload_write(struct image_upload *u, struct span bytes, struct err *e)
{
	if (blob_write(&u->blob, bytes))
		return 0;
	*e = u->blob.err;
	if (e->code == ERR_PROTOCOL) // the bound is ours, nothing was announced
		return err_set(e, ERR_LIMIT, "the blob is over %llu bytes",
			       (unsigned long long)u->blob.max);
	return -1;
}

void upload_cancel(struct images *m, struct image_upload *u)
{
	if (!u)
		return;
	pthread_mutex_lock(&m->uploads_lock);
	unlink_upload(m, u);
	pthread_mutex_unlock(&m->uploads_lock);
	drop(u);
}

struct row {
	const char *repo, *digest;
	uint64_t size;
};

static int record(struct db_conn *c, void *arg, struct err *e)
{
	const struct row *r = arg;

	return db_exec(c,
		       "INSERT INTO repo_blobs(repo,digest,size,seen_ns) VALUES(?1,?2,?3,?4) "
		       "ON CONFLICT DO UPDATE SET size=excluded.size, seen_ns=excluded.seen_ns",
		       DB_ARGS(db_str(r->repo), db_str(r->digest), db_int((int64_t)r->size),
			       db_int(clock_wall_ns())),
		       e) < 0
		       ? -1
		       : 0;
}

static int finish(struct images *m, struct image_upload *u, struct span digest, struct err *e)
{
	struct descriptor want = { .size = u->blob.size };
	char found[REFERENCE_DIGEST_MAX];
	struct row row = { u->repo, found, u->blob.size };

	snprintf(want.digest, sizeof(want.digest), SPAN_FMT, SPAN_ARG(digest));
	if (blob_seal(&u->blob, &want, found, e) < 0)
		return -1;
	// The row first: what is without one may be swept as soon as it has its name.
	auto_lock held = lock_hold(&m->lock);

	return db_write(m->db, record, &row, e) < 0 ? -1 : blob_show(&u->blob, found, e);
}

int upload_finish(struct images *m, struct image_upload *u, struct span digest, struct err *e)
{
	int bad = finish(m, u, digest, e);

	upload_cancel(m, u);
	return bad;
}

void uploads_expire(struct images *m, int64_t before_mono_ns)
{
	struct image_upload *old = NULL;

	pthread_mutex_lock(&m->uploads_lock);
	for (struct image_upload **at = &m->uploads; *at;) {
		struct image_upload *u = *at;

		if (u->taken || u->used_ns >= before_mono_ns) {
			at = &u->next;
			continue;
		}
		*at = u->next;
		m->upload_count--;
		u->next = old;
		old = u;
	}
	pthread_mutex_unlock(&m->uploads_lock);
	while (old) {
		struct image_upload *u = old;

		old = u->next;
		drop(u);
	}
}

void uploads_release(struct images *m)
{
	while (m->uploads)
		upload_cancel(m, m->uploads);
}
