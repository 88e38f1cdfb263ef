// SPDX-License-Identifier: Apache-2.0
// catalog_blob: which repository has which blob. The bytes are in blob.h's store, once for all repositories.
#include "base/clock.h"
#include "db/db.h"
#include "image/blob.h"
#include "image/catalog_private.h"
#include "image/private.h"

struct blob_row {
	struct span repo, digest;
	int64_t size, seen_ns;
};

static int touch_in(struct db_conn *c, void *arg, struct err *e)
{
	const struct blob_row *r = arg;

	return db_exec(c, "UPDATE repo_blobs SET seen_ns=?3 WHERE repo=?1 AND digest=?2",
		       DB_ARGS(db_text(r->repo), db_text(r->digest), db_int(r->seen_ns)), e) < 0
		       ? -1
		       : 0;
}

static int find_blob(struct images *m, struct span repo, struct span digest, struct blob_row *out,
		     struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	auto_query struct db_stmt *q =
		db_query(c, "SELECT size,seen_ns FROM repo_blobs WHERE repo=?1 AND digest=?2",
			 DB_ARGS(db_text(repo), db_text(digest)), e);
	int got = db_step(q, e);
	struct descriptor d = { .digest = "" };

	if (got < 0)
		return -1;
	*out = (struct blob_row){ .repo = repo, .digest = digest };
	if (got) {
		out->size = db_col_int(q, 0);
		out->seen_ns = db_col_int(q, 1);
		d.size = (uint64_t)out->size;
		catalog_text(digest, d.digest, sizeof(d.digest));
	}
	return got && blob_have(m->blobs, &d)
		       ? 0
		       : err_set(e, ERR_NOT_FOUND, "no blob " SPAN_FMT " in " SPAN_FMT,
				 SPAN_ARG(digest), SPAN_ARG(repo));
}

int catalog_blob(struct images *m, struct span repo, struct span digest, uint64_t *size,
		 struct err *e)
{
	int64_t now = clock_wall_ns();
	struct blob_row row;

	if (find_blob(m, repo, digest, &row, e) < 0)
		return -1;
	*size = (uint64_t)row.size;
	// Whoever asks will count on it: a push leaves away what is here already.
	if (row.seen_ns && row.seen_ns < now - m->keep_ns / 4) {
		row.seen_ns = now;
		if (db_write_lazy(m->db, touch_in, &row, e) < 0)
			return -1;
	}
	return 0;
}

int catalog_open(struct images *m, const char *digest, struct err *e)
{
	return blob_open(m->blobs, digest, e);
}

static int mount_in(struct db_conn *c, void *arg, struct err *e)
{
	const struct blob_row *r = arg;

	return db_exec(c,
		       "INSERT INTO repo_blobs(repo,digest,size,seen_ns) VALUES(?1,?2,?3,?4) "
		       "ON CONFLICT DO UPDATE SET seen_ns=excluded.seen_ns",
		       DB_ARGS(db_text(r->repo), db_text(r->digest), db_int(r->size),
			       db_int(r->seen_ns)),
		       e) < 0
		       ? -1
		       : 0;
}

int catalog_mount(struct images *m, struct span from, struct span to, struct span digest,
		  struct err *e)
{
	auto_lock held = lock_hold(&m->lock);
	struct blob_row row;

	if (find_blob(m, from, digest, &row, e) < 0)
		return -1;
	row.repo = to;
	row.seen_ns = clock_wall_ns();
	return db_write(m->db, mount_in, &row, e);
}

static int blob_remove_in(struct db_conn *c, void *arg, struct err *e)
{
	const struct blob_row *r = arg;
	int64_t used;
	int n;

	if (db_get_int(c, "SELECT EXISTS(SELECT 1 FROM manifest_refs WHERE digest=?2 AND repo=?1)",
		       DB_ARGS(db_text(r->repo), db_text(r->digest)), 0, &used, e) < 0)
		return -1;
	if (used)
		return err_set(e, ERR_CONFLICT, "a manifest of the repository needs this blob");
	n = db_exec(c, "DELETE FROM repo_blobs WHERE repo=?1 AND digest=?2",
		    DB_ARGS(db_text(r->repo), db_text(r->digest)), e);
	return n ? (n < 0 ? -1 : 0) : err_set(e, ERR_NOT_FOUND, "no such blob");
}

int catalog_blob_remove(struct images *m, struct span repo, struct span digest, struct err *e)
{
	struct blob_row row = { .repo = repo, .digest = digest };

	return db_write(m->db, blob_remove_in, &row, e);
}
