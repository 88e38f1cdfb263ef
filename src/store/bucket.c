// SPDX-License-Identifier: Apache-2.0
// bucket: buckets and the documents kept with them.
#include "base/clock.h"
#include "store/hot.h"
#include "store/place.h"

// Amazon S3 User Guide, "General purpose bucket naming rules".
int store_bucket_name_check(struct span name, struct err *e)
{
	static const char *const heads[] = { "xn--", "sthree-", "amzn-s3-demo-" };
	static const char *const tails[] = { "-s3alias", "--ol-s3", ".mrap", "--x-s3",
					     "--table-s3" };
	bool digits_only = true, reserved = false;
	size_t dots = 0;

	if (name.n < 3 || name.n > 63)
		return err_set(e, ERR_INVALID, "a bucket name has 3 to 63 characters");
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'z';

		if (!digit && !letter && c != '-' && c != '.')
			return err_set(
				e, ERR_INVALID,
				"a bucket name holds lower-case letters, digits, - and . only");
		if (!digit && !letter && (i == 0 || i == name.n - 1))
			return err_set(e, ERR_INVALID,
				       "a bucket name begins and ends with a letter or digit");
		if (c == '.' &&
		    (name.p[i - 1] == '.' || name.p[i - 1] == '-' || name.p[i + 1] == '-'))
			return err_set(e, ERR_INVALID, "a bucket name has no .. and no . beside -");
		digits_only &= digit || c == '.';
		dots += c == '.';
	}
	if (digits_only && dots == 3)
		return err_set(e, ERR_INVALID, "a bucket name must not look like an IP address");
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		reserved |= span_starts(name, span_of(heads[i]));
	for (size_t i = 0; i < ARRAY_LEN(tails); i++)
		reserved |= span_ends(name, span_of(tails[i]));
	return reserved ? err_set(e, ERR_INVALID, "this bucket name is reserved") : 0;
}

int store_bucket_create_in(struct store *s unused_arg, struct db_conn *c, struct span name,
			   int64_t owner, int64_t service, struct store_bucket *out, struct err *e)
{

	if (store_bucket_name_check(name, e) < 0)
		return -1;
	if (db_exec(c, "INSERT INTO buckets(name,owner,created_ns,service) VALUES(?1,?2,?3,?4)",
		    DB_ARGS(db_text(name), db_int(owner), db_int(clock_wall_ns()), db_int(service)),
		    e) < 0)
		return e->code == ERR_EXISTS
			       ? err_set(e, ERR_EXISTS, "a bucket named " SPAN_FMT " exists",
					 SPAN_ARG(name))
			       : -1;
	return bucket_find(c, name, out, e);
}

uint64_t store_config_seq(struct store *s)
{
	return atomic_load(&s->config_seq);
}

struct bucket_write {
	struct store *store;
	struct span name;
	int64_t owner, service;
	int visibility;
	enum store_versioning versioning;
	bool again; // there was more to do than one transaction should
	const char *kind;
	struct span doc;
	struct store_bucket *out;
};

static int create(struct db_conn *c, void *arg, struct err *e)
{
	struct bucket_write *w = arg;

	return store_bucket_create_in(w->store, c, w->name, w->owner, w->service, w->out, e);
}

int store_bucket_create(struct store *s, struct span name, int64_t owner, int64_t service,
			struct store_bucket *out, struct err *e)
{
	struct bucket_write w = {
		.store = s, .name = name, .owner = owner, .service = service, .out = out
	};

	return db_write(s->db, create, &w, e);
}

static int create_lockable(struct db_conn *c, void *arg, struct err *e)
{
	struct bucket_write *w = arg;

	if (create(c, arg, e) < 0 ||
	    db_exec(c, "UPDATE buckets SET versioning=1, lock='' WHERE id=?1",
		    DB_ARGS(db_int(w->out->id)), e) < 0)
		return -1;
	return bucket_find(c, w->name, w->out, e);
}

int store_bucket_create_lockable(struct store *s, struct span name, int64_t owner,
				 struct store_bucket *out, struct err *e)
{
	struct bucket_write w = { .store = s, .name = name, .owner = owner, .out = out };

	return db_write(s->db, create_lockable, &w, e);
}

int store_bucket_get(struct store *s, struct span name, struct store_bucket *out, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);

	return c ? bucket_find(c, name, out, e) : -1;
}

// Aborts some of the bucket's uploads; the number, so 0 when there are none left.
static int abort_some(struct store *s, struct db_conn *c, const struct store_bucket *b,
		      struct err *e)
{
	enum { SOME = 10 }; // each may have 10,000 parts
	auto_arena struct arena mem = { 0 };
	struct span keys[SOME], ids[SOME];
	int got, n = 0;

	{
		auto_query struct db_stmt *q = db_query(
			c, "SELECT key,id FROM uploads WHERE bucket=?1 ORDER BY key,id LIMIT 10",
			DB_ARGS(db_int(b->id)), e);

		while ((got = db_step(q, e)) > 0) {
			keys[n] = arena_span(&mem, db_col_span(q, 0));
			ids[n++] = arena_span(&mem, db_col_span(q, 1));
		}
	}
	for (int i = 0; i < n && got >= 0; i++)
		got = upload_abort_in(s, c, span_of(b->name), keys[i], ids[i], e);
	return got < 0 ? -1 : n;
}

static int delete (struct db_conn *c, void *arg, struct err *e)
{
	struct bucket_write *w = arg;
	struct store_bucket b;
	int64_t used;
	int aborted;

	if (bucket_find(c, w->name, &b, e) < 0 ||
	    db_get_int(c, "SELECT EXISTS(SELECT 1 FROM objects WHERE bucket=?1)",
		       DB_ARGS(db_int(b.id)), 0, &used, e) < 0)
		return -1;
	if (used && b.directory) { // the files stay; a part of the index at a time
		w->again = true;
		return db_exec(c,
			       "DELETE FROM objects WHERE bucket=?1 AND key IN (SELECT key FROM "
			       "objects WHERE bucket=?1 LIMIT 1000)",
			       DB_ARGS(db_int(b.id)), e) < 0
			       ? -1
			       : 0;
	}
	if (used)
		return err_set(e, ERR_CONFLICT, "bucket %s is not empty", b.name);
	aborted = abort_some(w->store, c, &b, e);
	w->again = aborted > 0;
	if (aborted)
		return aborted < 0 ? -1 : 0;
	if (db_exec(c, "DELETE FROM bucket_configs WHERE bucket=?1", DB_ARGS(db_int(b.id)), e) <
		    0 ||
	    db_exec(c, "DELETE FROM placings WHERE bucket=?1", DB_ARGS(db_int(b.id)), e) < 0 ||
	    db_exec(c, "DELETE FROM grants WHERE bucket=?1", DB_ARGS(db_int(b.id)), e) < 0)
		return -1;
	hot_buckets_change_in(w->store->hot);
	return db_exec(c, "DELETE FROM buckets WHERE id=?1", DB_ARGS(db_int(b.id)), e) < 0 ? -1 : 0;
}

int store_bucket_delete(struct store *s, struct span name, struct err *e)
{
	struct bucket_write w = { .store = s, .name = name };
	struct store_bucket b;

	if (store_bucket_get(s, name, &b, e) < 0 || (b.directory && place_leave(s, b.id, e) < 0))
		return -1;
	do {
		if (db_write(s->db, delete, &w, e) < 0)
			return -1;
	} while (w.again);
	return 0;
}

int store_bucket_list(struct store *s, struct arena *mem, int64_t owner, struct span after,
		      size_t limit, struct store_bucket **out, size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	auto_query struct db_stmt *q = NULL;
	int got;

	*n = 0;
	*out = arena_alloc(mem, limit * sizeof(**out));
	if (!c)
		return -1;
	q = db_query(c,
		     "SELECT name FROM buckets WHERE name>?1 AND (?2=0 OR owner=?2) "
		     "ORDER BY name LIMIT ?3",
		     DB_ARGS(db_text(after), db_int(owner), db_int((int64_t)limit)), e);
	while ((got = db_step(q, e)) > 0) {
		struct err gone = { 0 };

		if (bucket_find(c, db_col_span(q, 0), &(*out)[*n], &gone) == 0)
			++*n;
	}
	return got;
}

static int set_visibility(struct db_conn *c, void *arg, struct err *e)
{
	struct bucket_write *w = arg;
	struct store_bucket b;

	if (bucket_find(c, w->name, &b, e) < 0)
		return -1;
	hot_buckets_change_in(w->store->hot);
	return db_exec(c, "UPDATE buckets SET visibility=?2 WHERE id=?1",
		       DB_ARGS(db_int(b.id), db_int(w->visibility)), e) < 0
		       ? -1
		       : 0;
}

int store_bucket_set_visibility(struct store *s, struct span name, int visibility, struct err *e)
{
	struct bucket_write w = { .store = s, .name = name, .visibility = visibility };

	return db_write(s->db, set_visibility, &w, e);
}

static int set_versioning(struct db_conn *c, void *arg, struct err *e)
{
	struct bucket_write *w = arg;
	struct store_bucket b;

	if (bucket_find(c, w->name, &b, e) < 0)
		return -1;
	if (place_refuse(&b, e) < 0)
		return -1;
	if (b.lockable && w->versioning != STORE_VERSIONED)
		return err_set(e, ERR_CONFLICT, "bucket %s has object lock", b.name);
	hot_buckets_change_in(w->store->hot);
	return db_exec(c, "UPDATE buckets SET versioning=?2 WHERE id=?1",
		       DB_ARGS(db_int(b.id), db_int(w->versioning)), e) < 0
		       ? -1
		       : 0;
}

int store_bucket_set_versioning(struct store *s, struct span name, enum store_versioning versioning,
				struct err *e)
{
	struct bucket_write w = { .store = s, .name = name, .versioning = versioning };

	check(versioning != STORE_UNVERSIONED);
	return db_write(s->db, set_versioning, &w, e);
}

// ---- documents -----------------------------------------------------------------------------------------

int store_config_get(struct store *s, struct span bucket, const char *kind, struct arena *mem,
		     struct span *doc, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	auto_query struct db_stmt *q = NULL;
	struct store_bucket b;
	int got;

	if (!c || bucket_find(c, bucket, &b, e) < 0)
		return -1;
	q = db_query(c, "SELECT doc FROM bucket_configs WHERE bucket=?1 AND kind=?2",
		     DB_ARGS(db_int(b.id), db_str(kind)), e);
	got = db_step(q, e);
	if (got < 0)
		return -1;
	if (!got) {
		err_set(e, ERR_NOT_FOUND, "bucket %s has no %s", b.name, kind);
		e->sys = STORE_NO_CONFIG;
		return -1;
	}
	*doc = arena_span(mem, db_col_span(q, 0));
	return 0;
}

int store_config_all(struct store *s, int64_t bucket_id, struct arena *mem,
		     struct store_config **out, size_t *n, struct err *e)
{
	enum { KINDS_MAX = 64 }; // far more than there are
	struct db_conn *c = db_reader(s->db, e);
	auto_query struct db_stmt *q = NULL;
	int got;

	*n = 0;
	if (!c)
		return -1;
	*out = arena_alloc(mem, KINDS_MAX * sizeof(**out));
	q = db_query(c,
		     "SELECT kind,doc FROM bucket_configs WHERE bucket=?1 ORDER BY kind LIMIT ?2",
		     DB_ARGS(db_int(bucket_id), db_int(KINDS_MAX)), e);
	while ((got = db_step(q, e)) > 0)
		(*out)[(*n)++] = (struct store_config){ arena_span(mem, db_col_span(q, 0)),
							arena_span(mem, db_col_span(q, 1)) };
	return got;
}

int config_set_in(struct db_conn *c, int64_t bucket, const char *kind, struct span doc,
		  struct err *e)
{
	if (doc.p)
		return db_exec(c, "INSERT OR REPLACE INTO bucket_configs VALUES(?1,?2,?3)",
			       DB_ARGS(db_int(bucket), db_str(kind), db_text(doc)), e) < 0
			       ? -1
			       : 0;
	return db_exec(c, "DELETE FROM bucket_configs WHERE bucket=?1 AND kind=?2",
		       DB_ARGS(db_int(bucket), db_str(kind)), e) < 0
		       ? -1
		       : 0;
}

static int set_config(struct db_conn *c, void *arg, struct err *e)
{
	struct bucket_write *w = arg;
	struct store_bucket b;

	return bucket_find(c, w->name, &b, e) < 0 ? -1 : config_set_in(c, b.id, w->kind, w->doc, e);
}

static int changed(struct store *s, int result)
{
	atomic_fetch_add(&s->config_seq, 1);
	return result;
}

int store_config_set(struct store *s, struct span bucket, const char *kind, struct span doc,
		     struct err *e)
{
	struct bucket_write w = { .store = s, .name = bucket, .kind = kind, .doc = doc };

	if (!w.doc.p)
		w.doc = SPAN("");
	return changed(s, db_write(s->db, set_config, &w, e));
}

int store_config_remove(struct store *s, struct span bucket, const char *kind, struct err *e)
{
	struct bucket_write w = { .store = s, .name = bucket, .kind = kind };

	return changed(s, db_write(s->db, set_config, &w, e));
}
