// SPDX-License-Identifier: Apache-2.0
#include "db/feed.h"

#include "base/clock.h"

int feed_append(struct db_conn *c, const char *kind, int64_t owner, struct span doc, struct err *e)
{
	return db_exec(c, "INSERT INTO feed(time_ns,kind,owner,doc) VALUES(?1,?2,?3,?4)",
		       DB_ARGS(db_int(clock_wall_ns()), db_str(kind), db_int(owner), db_text(doc)),
		       e) < 0
		       ? -1
		       : 0;
}

int feed_read(struct db *d, int64_t after, size_t limit, struct arena *mem, struct feed_entry **out,
	      size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(d, e);
	auto_query struct db_stmt *s = NULL;
	int got;

	*n = 0;
	if (!c)
		return -1;
	s = db_query(
		c, "SELECT seq,time_ns,kind,owner,doc FROM feed WHERE seq>?1 ORDER BY seq LIMIT ?2",
		DB_ARGS(db_int(after), db_int((int64_t)limit)), e);
	if (!s)
		return -1;
	*out = arena_alloc(mem, limit * sizeof(**out));
	while ((got = db_step(s, e)) > 0)
		(*out)[(*n)++] = (struct feed_entry){
			.seq = db_col_int(s, 0),
			.time_ns = db_col_int(s, 1),
			.kind = arena_span(mem, db_col_span(s, 2)),
			.owner = db_col_int(s, 3),
			.doc = arena_span(mem, db_col_span(s, 4)),
		};
	return got;
}

int feed_last(struct db *d, int64_t *out, struct err *e)
{
	struct db_conn *c = db_reader(d, e);

	return c ? db_get_int(c, "SELECT max(seq) FROM feed", DB_NO_ARGS, 0, out, e) : -1;
}

int feed_trim(struct db_conn *c, int64_t keep, int64_t limit, struct err *e)
{
	return db_exec(c,
		       "DELETE FROM feed WHERE seq IN (SELECT seq FROM feed WHERE "
		       "seq<=(SELECT max(seq) FROM feed)-?1 ORDER BY seq LIMIT ?2)",
		       DB_ARGS(db_int(keep), db_int(limit)), e) < 0
		       ? -1
		       : 0;
}
