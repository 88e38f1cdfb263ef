// SPDX-License-Identifier: Apache-2.0
// quota: bounds on what a bucket, and all buckets of a user, may hold: checked where objects are inserted.
#include "store/hot.h"

static int over(struct err *e, const char *whose)
{
	err_set(e, ERR_LIMIT, "the quota of the %s would be exceeded", whose);
	e->sys = STORE_OVER_QUOTA;
	return -1;
}

// Rows of (bytes, objects); false in *have when there is none.
static int read_pair(struct db_conn *c, const char *sql, int64_t id, struct store_quota *out,
		     bool *have, struct err *e)
{
	auto_query struct db_stmt *q = db_query(c, sql, DB_ARGS(db_int(id)), e);
	int got = db_step(q, e);

	*have = got > 0;
	*out = (struct store_quota){ 0 };
	if (got > 0)
		*out = (struct store_quota){ (uint64_t)db_col_int(q, 0),
					     (uint64_t)db_col_int(q, 1) };
	return got < 0 ? -1 : 0;
}

static bool exceeds(const struct store_quota *quota, const struct store_quota *used, uint64_t bytes,
		    unsigned objects)
{
	return (quota->bytes && (bytes > quota->bytes || used->bytes > quota->bytes - bytes)) ||
	       (quota->objects && used->objects + objects > quota->objects);
}

int quota_check_in(struct db_conn *c, const struct store_bucket *b, uint64_t bytes,
		   unsigned objects, struct err *e)
{
	struct store_quota used, of_user;
	bool have;

	if (b->quota.bytes || b->quota.objects) {
		if (read_pair(c, "SELECT bytes,objects FROM buckets WHERE id=?1", b->id, &used,
			      &have, e) < 0)
			return -1;
		if (exceeds(&b->quota, &used, bytes, objects))
			return over(e, "bucket");
	}
	if (read_pair(c, "SELECT bytes,objects FROM user_quotas WHERE user=?1", b->owner, &of_user,
		      &have, e) < 0)
		return -1;
	if (!have)
		return 0;
	if (read_pair(c, "SELECT sum(bytes),sum(objects) FROM buckets WHERE owner=?1", b->owner,
		      &used, &have, e) < 0)
		return -1;
	return exceeds(&of_user, &used, bytes, objects) ? over(e, "bucket's owner") : 0;
}

// ---- setting them --------------------------------------------------------------------------------------

struct quota_write {
	struct store *store;
	struct span bucket; // empty: the user's
	int64_t user;
	const struct store_quota *quota;
};

static int set_quota(struct db_conn *c, void *arg, struct err *e)
{
	struct quota_write *w = arg;
	const struct store_quota *q = w->quota;
	struct store_bucket b;

	if (w->bucket.n) {
		if (bucket_find(c, w->bucket, &b, e) < 0)
			return -1;
		hot_buckets_change_in(w->store->hot);
		return db_exec(c, "UPDATE buckets SET quota_bytes=?2, quota_objects=?3 WHERE id=?1",
			       DB_ARGS(db_int(b.id), db_int((int64_t)q->bytes),
				       db_int((int64_t)q->objects)),
			       e) < 0
			       ? -1
			       : 0;
	}
	if (!q->bytes && !q->objects)
		return db_exec(c, "DELETE FROM user_quotas WHERE user=?1", DB_ARGS(db_int(w->user)),
			       e) < 0
			       ? -1
			       : 0;
	return db_exec(c, "INSERT OR REPLACE INTO user_quotas(user,bytes,objects) VALUES(?1,?2,?3)",
		       DB_ARGS(db_int(w->user), db_int((int64_t)q->bytes),
			       db_int((int64_t)q->objects)),
		       e) < 0
		       ? -1
		       : 0;
}

static int check_bounds(const struct store_quota *q, struct err *e)
{
	if (q->bytes > INT64_MAX || q->objects > INT64_MAX)
		return err_set(e, ERR_INVALID, "a quota is below 2^63");
	return 0;
}

int store_bucket_set_quota(struct store *s, struct span name, const struct store_quota *quota,
			   struct err *e)
{
	struct quota_write w = { .store = s, .bucket = name, .quota = quota };

	return check_bounds(quota, e) < 0 ? -1 : db_write(s->db, set_quota, &w, e);
}

int store_user_set_quota(struct store *s, int64_t user, const struct store_quota *quota,
			 struct err *e)
{
	struct quota_write w = { .bucket = SPAN(""), .user = user, .quota = quota };

	return check_bounds(quota, e) < 0 ? -1 : db_write(s->db, set_quota, &w, e);
}

int store_user_quota(struct store *s, int64_t user, struct store_quota *quota,
		     struct store_quota *used, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	bool have;

	if (!c || read_pair(c, "SELECT bytes,objects FROM user_quotas WHERE user=?1", user, quota,
			    &have, e) < 0)
		return -1;
	return read_pair(c, "SELECT sum(bytes),sum(objects) FROM buckets WHERE owner=?1", user,
			 used, &have, e);
}
