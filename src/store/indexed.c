// SPDX-License-Identifier: Apache-2.0
// indexed: the rows of a directory's bucket in the order of keys.
#include "store/indexed.h"

#include "db/db.h"

#include <stdio.h>

static int read_rows(struct indexed_rows *r, struct err *e)
{
	struct db_conn *c = db_reader(r->place->store->db, e);
	auto_query struct db_stmt *q = NULL;
	int got = -1;

	arena_release(&r->mem);
	r->n = r->next = 0;
	if (!c)
		return -1;
	q = db_query(
		c,
		"SELECT key,content,mtime_ns,size,version FROM objects WHERE bucket=?1 AND key>?2 "
		"ORDER BY key LIMIT 1000",
		DB_ARGS(db_int(r->place->bucket), db_str(r->last)), e);
	while ((got = db_step(q, e)) > 0)
		r->at[r->n++] = (struct indexed){ .key = arena_span(&r->mem, db_col_span(q, 0)),
						  .inode = db_col_int(q, 1),
						  .mtime_ns = db_col_int(q, 2),
						  .size = (uint64_t)db_col_int(q, 3),
						  .version = db_col_int(q, 4) };
	r->end = r->n < INDEXED_PAGE;
	if (r->n)
		snprintf(r->last, sizeof(r->last), SPAN_FMT, SPAN_ARG(r->at[r->n - 1].key));
	return got;
}

int indexed_peek(struct indexed_rows *r, const struct indexed **out, struct err *e)
{
	if (r->next == r->n && !r->end && read_rows(r, e) < 0)
		return -1;
	*out = r->next < r->n ? &r->at[r->next] : NULL;
	return 0;
}

void indexed_take(struct indexed_rows *r)
{
	r->next++;
}

bool indexed_same(const struct indexed *row, const struct stat *st)
{
	return row->inode == (int64_t)st->st_ino && row->size == (uint64_t)st->st_size &&
	       row->mtime_ns == place_mtime(st);
}
