// SPDX-License-Identifier: Apache-2.0
// listed: content files as the database lists them.
#include "store/listed.h"

#include "db/db.h"

int listed_files(struct db *db, int64_t after, int max, struct arena *mem, struct listed_file *out,
		 int *n, struct err *e)
{
	struct db_conn *c = db_reader(db, e);
	auto_query struct db_stmt *q =
		db_query(c, "SELECT id,size,crcs,bad FROM files WHERE id>?1 ORDER BY id LIMIT ?2",
			 DB_ARGS(db_int(after), db_int(max)), e);
	int got = -1;

	*n = 0;
	while (q && (got = db_step(q, e)) > 0)
		out[(*n)++] = (struct listed_file){ db_col_int(q, 0), (uint64_t)db_col_int(q, 1),
						    arena_span(mem, db_col_span(q, 2)),
						    db_col_int(q, 3) };
	return got;
}
