// SPDX-License-Identifier: Apache-2.0
// list: pages of keys in byte order. A common prefix is skipped by seeking past it, never by reading what
// lies below it.
#include "base/buf.h"
#include "store/engine.h"

// The smallest key that does not begin with `prefix` and comes after all that do; empty when there is none.
static struct span past_prefix(struct arena *mem, struct span prefix)
{
	struct span s = arena_span(mem, prefix);

	while (s.n && (unsigned char)s.p[s.n - 1] == 0xff)
		s.n--;
	if (s.n)
		((char *)s.p)[s.n - 1]++; // the arena's copy is ours
	return s;
}

// The smallest key after `key`: keys hold no NUL.
static struct span past_key(struct arena *mem, struct span key)
{
	return span_make(arena_strndup(mem, key.p, key.n), key.n + 1);
}

// The common prefix of a key under these options; empty when it has none.
static struct span common_prefix(const struct store_list_options *o, struct span key)
{
	struct span rest = span_from(key, o->prefix.n);

	if (!o->delimiter.n || rest.n < o->delimiter.n)
		return span_make(key.p, 0);
	for (size_t i = 0; i + o->delimiter.n <= rest.n; i++)
		if (memcmp(rest.p + i, o->delimiter.p, o->delimiter.n) == 0)
			return span_head(key, o->prefix.n + i + o->delimiter.n);
	return span_make(key.p, 0);
}

struct walk {
	const struct store_list_options *o;
	struct db_conn *c;
	int64_t bucket;
	struct arena *mem;
	struct store_list *out;
	struct span seek;     // first key to look at
	struct span last_key; // newest version of it was seen
	unsigned older;	      // versions of last_key passed over
	bool end;
};

enum { OLDER_MAX = 16 }; // then it is quicker to seek past the key

static void add(struct walk *w, struct store_list_entry entry)
{
	w->out->entries[w->out->n++] = entry;
}

// True when the page is full: one more entry would not fit.
static bool full(struct walk *w)
{
	if (w->out->n < w->o->limit)
		return false;
	w->out->truncated = true;
	w->end = true;
	return true;
}

// Handles one row. Returns true when the walk must seek again (to w->seek) or end.
static bool take_row(struct walk *w, struct db_stmt *s)
{
	struct span key = db_col_span(s, 0), prefix;
	struct store_list_entry entry = { 0 };
	struct content at;
	bool first = !w->last_key.p || !span_eq(key, w->last_key);

	if (!span_starts(key, w->o->prefix))
		return w->end = true;
	if (!w->o->versions && (!first || db_col_int(s, 3))) {
		if (first) {
			w->last_key = arena_span(w->mem, key);
			w->older = 0;
		}
		if (++w->older < OLDER_MAX)
			return false; // an older version, or a deleted key
		w->seek = past_key(w->mem, key);
		return true;
	}
	if (w->o->versions && w->o->after_version && span_eq(key, w->o->after) &&
	    db_col_int(s, 1) >= w->o->after_version) {
		w->last_key = arena_span(w->mem, key);
		return false; // on the page before
	}
	if (full(w))
		return true;
	prefix = common_prefix(w->o, key);
	if (prefix.n) {
		entry.is_prefix = true;
		entry.object.key = arena_span(w->mem, prefix);
		add(w, entry);
		w->out->next = entry.object.key;
		w->out->next_version = 0;
		w->seek = past_prefix(w->mem, prefix);
		w->end = !w->seek.n;
		return true;
	}
	object_from_row(s, w->mem, &entry.object, &at);
	entry.object.latest = first;
	entry.object.bucket_id = w->bucket;
	w->last_key = entry.object.key;
	w->older = 0;
	add(w, entry);
	w->out->next = w->last_key;
	w->out->next_version = w->o->versions ? entry.object.version : 0;
	return false;
}

static int walk_from_seek(struct walk *w, struct err *e)
{
	auto_query struct db_stmt *s = db_query(
		w->c,
		"SELECT key,version,null_version,delete_marker,owner,size,etag,mtime_ns,storage,"
		"content,parts,NULL,NULL,checksum,job,run,depth,NULL,class,NULL FROM objects "
		"WHERE bucket=?1 AND key>=?2 ORDER BY key, version DESC",
		DB_ARGS(db_int(w->bucket), db_text(w->seek)), e);
	int got;

	while ((got = db_step(s, e)) > 0)
		if (take_row(w, s))
			return 0;
	w->end = true;
	return got;
}

// The number of the null version of the key where the page starts: nothing of that key when there is none.
static int resolve_null(struct walk *w, struct store_list_options *o, struct err *e)
{
	return db_get_int(w->c,
			  "SELECT version FROM objects WHERE bucket=?1 AND key=?2 AND "
			  "null_version=1",
			  DB_ARGS(db_int(w->bucket), db_text(o->after)), 0, &o->after_version, e);
}

static struct span first_key(const struct store_list_options *o, struct arena *mem)
{
	struct span start = o->prefix;

	if (o->after.n) {
		// A common prefix as continuation stands for all keys below it.
		struct span group = o->versions && o->after_version    ? span_make("", 0)
				    : span_starts(o->after, o->prefix) ? common_prefix(o, o->after)
								       : span_make("", 0);
		struct span past = group.n == o->after.n && group.n ? past_prefix(mem, group)
				   : o->after_version		    ? o->after
								    : past_key(mem, o->after);

		if (span_cmp(past, start) > 0)
			start = past;
	}
	return start;
}

int store_list(struct store *s, const struct store_list_options *o, struct arena *mem,
	       struct store_list *out, struct err *e)
{
	struct walk w = { .o = o, .mem = mem, .out = out, .c = db_reader(s->db, e) };
	struct store_list_options resolved = *o;
	struct store_bucket b;

	*out = (struct store_list){ 0 };
	if (!w.c || bucket_find(w.c, o->bucket, &b, e) < 0)
		return -1;
	if (o->limit > STORE_PAGE_MAX)
		return err_set(e, ERR_LIMIT, "a page has at most %d entries", STORE_PAGE_MAX);
	if (!o->limit)
		return 0;
	out->entries = arena_alloc(mem, o->limit * sizeof(*out->entries));
	w.bucket = b.id;
	if (o->after_version == STORE_VERSION_NULL) {
		if (resolve_null(&w, &resolved, e) < 0)
			return -1;
		o = w.o = &resolved;
	}
	w.seek = first_key(o, mem);
	while (!w.end)
		if (walk_from_seek(&w, e) < 0)
			return -1;
	if (!out->truncated)
		out->next = span_make(NULL, 0);
	for (size_t i = 0; i < out->n; i++)
		out->entries[i].object.bucket = o->bucket;
	return 0;
}

int store_made_by(struct store *s, int64_t job, size_t limit, struct arena *mem,
		  struct store_made **out, size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	auto_query struct db_stmt *q = NULL;
	int got;

	*n = 0;
	*out = arena_alloc(mem, limit * sizeof(**out));
	if (!c)
		return -1;
	q = db_query(c,
		     "SELECT b.name,o.key,o.version,o.size FROM objects o JOIN buckets b ON "
		     "b.id=o.bucket "
		     "WHERE o.job=?1 AND o.job<>0 ORDER BY b.name,o.key LIMIT ?2",
		     DB_ARGS(db_int(job), db_int((int64_t)limit)), e);
	while ((got = db_step(q, e)) > 0) {
		struct store_made *m = &(*out)[(*n)++];

		*m = (struct store_made){ .key = arena_span(mem, db_col_span(q, 1)),
					  .version = db_col_int(q, 2),
					  .size = (uint64_t)db_col_int(q, 3) };
		snprintf(m->bucket, sizeof(m->bucket), SPAN_FMT, SPAN_ARG(db_col_span(q, 0)));
	}
	return got;
}
