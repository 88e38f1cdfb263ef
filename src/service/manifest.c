// SPDX-License-Identifier: Apache-2.0
// manifest: a file that names others makes a job with them when all are there (`group: {manifest: .list}`).
// The thread of group.c looks for the first file that is missing, and goes on from it; so waiting costs one look-up a
// round. Who lays out the job reads the manifest again: whatever is wrong with it, or is still missing when it has
// waited for long enough, is a failed job with that reason, which can be sent again.
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db.h"
#include "fdl/event.h"
#include "fdl/fdl.h"
#include "queue/queue.h"
#include "service/group.h"
#include "service/registry.h"
#include "store/store.h"

#include <stdio.h>

enum { LOOK_MAX = 1024 };

// ---- files ---------------------------------------------------------------------------------------------

static int read_text(struct store *st, int64_t bucket, struct span key, int64_t version,
		     struct arena *mem, struct span *out, struct err *e)
{
	auto_reader struct store_reader *r = NULL;
	struct store_object o;
	uint64_t at = 0;
	char *text;

	if (store_reader_open_version(st, bucket, key, version, mem, &o, &r, e) < 0)
		return -1;
	if (o.size > FDL_MANIFEST_MAX)
		return err_set(e, ERR_LIMIT, "a manifest of %llu bytes, allowed are %d",
			       (unsigned long long)o.size, FDL_MANIFEST_MAX);
	text = arena_alloc(mem, (size_t)o.size + 1);
	while (at < o.size) {
		ssize_t k = store_reader_pread(r, at, text + at, (size_t)(o.size - at), e);

		if (k <= 0)
			return k ? -1 : err_set(e, ERR_CORRUPT, "it is shorter than its record");
		at += (uint64_t)k;
	}
	*out = span_make(text, (size_t)o.size);
	return 0;
}

static int read_keys(struct store *st, const struct fdl_io *io, int64_t bucket, struct span key,
		     int64_t version, struct arena *mem, const char ***keys, size_t *n,
		     struct err *e)
{
	struct span text;

	return read_text(st, bucket, key, version, mem, &text, e) < 0 ||
			       fdl_manifest_read(io, key, text, mem, keys, n, e) < 0
		       ? err_wrap(e, "the manifest %.200s", arena_strndup(mem, key.p, key.n))
		       : 0;
}

// 1 = it is there, 0, or -1.
static int look_up(struct store *st, const struct fdl_io *io, const char *key, int64_t *version,
		   struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct store_object o;
	struct err why = { 0 };

	if (store_object_get(st, span_of(io->bucket), span_of(key), 0, &mem, &o, &why) == 0) {
		*version = o.version;
		return 1;
	}
	if (why.code == ERR_NOT_FOUND)
		return 0;
	*e = why;
	return -1;
}

int service_manifest_files(struct store *st, const struct fdl_io *io, int64_t bucket,
			   struct span key, int64_t version, struct arena *mem,
			   struct fdl_member **members, size_t *n, struct err *e)
{
	const char **keys, *first = NULL;
	size_t missing = 0;

	if (read_keys(st, io, bucket, key, version, mem, &keys, n, e) < 0)
		return -1;
	*members = arena_alloc(mem, *n * sizeof(**members));
	(*members)[0] = (struct fdl_member){ keys[0], version };
	for (size_t i = 1; i < *n; i++) {
		int there = look_up(st, io, keys[i], &(*members)[i].version, e);

		if (there < 0)
			return -1;
		(*members)[i].key = keys[i];
		first = there || first ? first : keys[i];
		missing += !there;
	}
	return missing ? err_set(e, ERR_NOT_FOUND,
				 "%zu of the %zu files that %.60s names are missing, the first is "
				 "%.100s",
				 missing, *n - 1, keys[0], first)
		       : 0;
}

// ---- waiting -------------------------------------------------------------------------------------------

int manifest_take_in(struct services *s unused_arg, struct db_conn *c, const struct service_def *d,
		     size_t input, const struct queue_new *n, struct err *e)
{
	int64_t now = clock_wall_ns(), same;
	struct group g = { .service = d->id,
			   .input = (int64_t)input,
			   .run = n->run,
			   .kind = SERVICE_GROUP_MANIFEST,
			   .due_ns = now + d->fdl->inputs[input].group_wait_s * NS_PER_S };

	// One that is written anew while it waits takes the place of the one before.
	if (db_get_int(c,
		       "SELECT g.id FROM input_groups g JOIN input_group_members m ON m.grp=g.id "
		       "WHERE g.service=?1 AND g.input=?2 AND g.kind=2 AND m.key=?3",
		       DB_ARGS(db_int(d->id), db_int((int64_t)input), db_text(n->key)), 0, &same,
		       e) < 0 ||
	    (same && group_drop_in(c, same, e) < 0) || group_open_in(c, &g, now, &g.id, e) < 0)
		return -1;
	return group_put_in(c, &g, n, n->payload, e);
}

struct waiting {
	struct services *s;
	struct group group;
	struct group_event ev;
	struct service_def *def;
	const struct fdl_io *io; // NULL: the service takes no manifests there any more
	struct arena mem;
	bool forget; // without a job
};

static int end_in(struct db_conn *c, void *arg, struct err *e)
{
	const struct waiting *w = arg;
	int64_t version;

	// Another one may have come in its place, or the service may be gone.
	if (db_get_int(c, "SELECT version FROM input_group_members WHERE grp=?1",
		       DB_ARGS(db_int(w->group.id)), 0, &version, e) < 0)
		return -1;
	if (version != w->ev.version)
		return 0;
	if (!w->forget && group_make_in(w->s, c, w->def, &w->group, &w->ev, e) < 0)
		return -1;
	return group_drop_in(c, w->group.id, e);
}

static int read_group(struct waiting *w, struct db_conn *c, int64_t id, struct err *e)
{
	auto_query struct db_stmt *m = NULL;
	struct err gone = { 0 };
	int got = group_get(c, id, &w->group, e);

	if (got <= 0)
		return got;
	m = db_query(c, "SELECT key,bucket,version,payload FROM input_group_members WHERE grp=?1",
		     DB_ARGS(db_int(id)), e);
	got = db_step(m, e);
	if (got <= 0)
		return got;
	w->ev = (struct group_event){ .key = arena_span(&w->mem, db_col_span(m, 0)),
				      .bucket = db_col_int(m, 1),
				      .version = db_col_int(m, 2),
				      .payload = arena_span(&w->mem, db_col_span(m, 3)) };
	if (service_by_id(w->s, w->group.service, &w->def, &gone) < 0)
		return 1;
	if ((size_t)w->group.input < w->def->fdl->input_count &&
	    w->def->fdl->inputs[w->group.input].manifest)
		w->io = &w->def->fdl->inputs[w->group.input];
	return 1;
}

// The first file from `after` on (NULL = the first of all) that is not there, in the arena; NULL = all are. What is wrong
// with the manifest is told by the job.
static int find_missing(struct waiting *w, const char *after, const char **out, struct err *e)
{
	struct store *st = w->s->o.store;
	struct err wrong = { 0 };
	const char **keys;
	int64_t version;
	size_t n, i = 0;

	*out = NULL;
	if (read_keys(st, w->io, w->ev.bucket, w->ev.key, w->ev.version, &w->mem, &keys, &n,
		      &wrong) < 0) {
		w->forget = wrong.code == ERR_NOT_FOUND; // it was deleted
		return 0;
	}
	while (after && i < n && strcmp(keys[i], after) != 0)
		i++;
	for (i = i < n ? i : 0; i < n; i++) {
		int there = look_up(st, w->io, keys[i], &version, e);

		if (there < 0)
			return -1;
		if (!there) {
			*out = keys[i];
			return 0;
		}
	}
	// What was there before may have gone meanwhile.
	return after ? find_missing(w, NULL, out, e) : 0;
}

static void remember(struct services *s, int64_t group, const char *missing)
{
	uint64_t key = (uint64_t)group;

	mem_free(missing ? map_put(&s->manifests.missing, map_key_u64(&key), mem_strdup(missing))
			 : map_remove(&s->manifests.missing, map_key_u64(&key)));
}

// True when the file that it waited for last is still missing.
static int waits_as_before(struct waiting *w, const char *before, bool *out, struct err *e)
{
	int64_t version;
	int there = before ? look_up(w->s->o.store, w->io, before, &version, e) : 1;

	*out = !there;
	return there < 0 ? -1 : 0;
}

static int look_at(struct waiting *w, struct err *e)
{
	uint64_t key = (uint64_t)w->group.id;
	const char *before = map_get(&w->s->manifests.missing, map_key_u64(&key)), *missing = NULL;
	bool due = w->group.due_ns <= clock_wall_ns(), same = false;

	if (!w->io) {
		w->forget = true;
	} else if (!due) {
		if (waits_as_before(w, before, &same, e) < 0 ||
		    (!same && find_missing(w, before, &missing, e) < 0))
			return -1;
		if (missing)
			remember(w->s, w->group.id, missing);
		if (same || missing)
			return 0;
	}
	remember(w->s, w->group.id, NULL);
	return db_write(w->s->o.db, end_in, w, e);
}

// ---- the thread ----------------------------------------------------------------------------------------

static int find_some(struct services *s, struct db_conn *c, int64_t ids[static LOOK_MAX], size_t *n,
		     struct err *e)
{
	auto_query struct db_stmt *q = db_query(
		c, "SELECT id FROM input_groups WHERE kind=2 AND id>?1 ORDER BY id LIMIT 1024",
		DB_ARGS(db_int(s->manifests.last)), e);
	int got;

	*n = 0;
	while ((got = db_step(q, e)) > 0)
		ids[(*n)++] = db_col_int(q, 0);
	s->manifests.last = *n == LOOK_MAX ? ids[*n - 1] : 0; // the others next time
	return got;
}

int manifest_step(struct services *s, struct err *e)
{
	struct db_conn *c = db_reader(s->o.db, e);
	int64_t ids[LOOK_MAX];
	size_t n;
	int bad = 0;

	if (!c || find_some(s, c, ids, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct waiting w = { .s = s };
		struct err why = { 0 };
		int got = read_group(&w, c, ids[i], &why);

		if (got < 0 || (got && look_at(&w, &why) < 0)) {
			*e = why; // others go on
			bad = -1;
		}
		service_def_put(w.def);
		arena_release(&w.mem);
	}
	return bad;
}

void manifest_release(struct services *s)
{
	size_t at = 0;
	void *value;

	while (map_next(&s->manifests.missing, &at, NULL, &value))
		mem_free(value);
	map_release(&s->manifests.missing);
}
