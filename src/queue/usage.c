// SPDX-License-Identifier: Apache-2.0
// usage: what the last jobs of a service really took.
#include "base/clock.h"
#include "base/mem.h"
#include "queue/row.h"

enum { SAMPLE_MAX = 1000 }; // jobs of each kind of end

struct sample {
	uint64_t values[3][3 * SAMPLE_MAX]; // memory, cores, run time
	size_t n[3];
};

static void note(struct sample *s, unsigned what, uint64_t value)
{
	if (value && s->n[what] < ARRAY_LEN(s->values[what]))
		s->values[what][s->n[what]++] = value;
}

static int read_state(struct db_conn *c, int64_t service, enum queue_state state, struct sample *s,
		      struct queue_usage *u, struct err *e)
{
	auto_query struct db_stmt *q = db_query(
		c,
		"SELECT a.memory_peak,a.cpu_us,a.started_ns,max(a.uploading_ns,a.started_ns),"
		"a.outcome FROM (SELECT id,attempt FROM jobs WHERE service=?1 AND state=?2 "
		"ORDER BY id DESC LIMIT ?3) j JOIN attempts a ON a.job=j.id AND a.number=j.attempt "
		"WHERE a.started_ns>0",
		DB_ARGS(db_int(service), db_int(state), db_int(SAMPLE_MAX)), e);
	int got;

	while ((got = db_step(q, e)) > 0) {
		uint64_t cpu_us = (uint64_t)db_col_int(q, 1);
		int64_t ran_us = (db_col_int(q, 3) - db_col_int(q, 2)) / 1000;

		u->jobs++;
		u->oom += span_is(db_col_span(q, 4), "oom");
		note(s, 0, (uint64_t)db_col_int(q, 0));
		note(s, 1, ran_us > 0 ? cpu_us * 1000 / (uint64_t)ran_us : 0);
		note(s, 2, ran_us > 0 ? (uint64_t)ran_us / 1000 : 0);
	}
	return got;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static struct queue_spread spread(uint64_t *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_value);
	return n ? (struct queue_spread){ values[n / 2], values[n - 1 - n / 20], values[n - 1] }
		 : (struct queue_spread){ 0 };
}

int queue_usage(struct queue *q, int64_t service, struct queue_usage *out, struct err *e)
{
	static const enum queue_state ended[] = { QUEUE_SUCCEEDED, QUEUE_FAILED, QUEUE_DEAD };
	auto_free struct sample *s = mem_zalloc(sizeof(*s));
	struct db_conn *c = db_reader(q->db, e);

	*out = (struct queue_usage){ 0 };
	if (!c)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(ended); i++)
		if (read_state(c, service, ended[i], s, out, e) < 0)
			return -1;
	out->memory_bytes = spread(s->values[0], s->n[0]);
	out->cpu_millis = spread(s->values[1], s->n[1]);
	out->run_ms = spread(s->values[2], s->n[2]);
	return 0;
}
