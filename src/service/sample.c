// SPDX-License-Identifier: Apache-2.0
// sample: what the jobs of a backfill's sample came to.
#include "db/db.h"
#include "queue/queue.h"
#include "service/backfill.h"
#include "service/registry.h"
#include "store/store.h"

enum { OUTPUTS_MAX = 10000 }; // looked at, of a job

static int add_outputs(struct services *s, int64_t job, struct arena *mem,
		       struct backfill_sample *out, struct err *e)
{
	struct store_made *made;
	size_t n;

	if (store_made_by(s->o.store, job, OUTPUTS_MAX, mem, &made, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		out->output_bytes += made[i].size;
	return 0;
}

int backfill_sample(struct services *s, const struct backfill *b, struct arena *mem,
		    struct backfill_sample *out, struct err *e)
{
	struct db_conn *c = db_reader(s->o.db, e);
	auto_query struct db_stmt *q = NULL;
	int got;

	*out = (struct backfill_sample){ 0 };
	if (!c)
		return -1;
	q = db_query(
		c,
		"SELECT j.id,j.state,max(a.uploading_ns,a.started_ns)-a.started_ns FROM events v "
		"JOIN jobs j ON j.id=v.job JOIN attempts a ON a.job=j.id AND "
		"a.number=j.attempt WHERE v.job BETWEEN ?1 AND ?2 AND v.trigger=?3 "
		"AND j.state>=4 ORDER BY v.job LIMIT ?4",
		DB_ARGS(db_int(b->first_job), db_int(b->last_job), db_int(-b->id),
			db_int(BACKFILL_SAMPLE_MAX)),
		e);
	while ((got = db_step(q, e)) > 0) {
		out->ended++;
		if (db_col_int(q, 1) != QUEUE_SUCCEEDED)
			continue;
		out->succeeded++;
		out->run_ns += db_col_int(q, 2);
		if (add_outputs(s, db_col_int(q, 0), mem, out, e) < 0)
			return -1;
	}
	return got;
}
