// SPDX-License-Identifier: Apache-2.0
// catalog_change: manifests and tags that come and go; what they name is kept in step with them.
#include "base/clock.h"
#include "base/mem.h"
#include "db/db.h"
#include "image/blob.h"
#include "image/catalog_private.h"
#include "image/private.h"

#include <stdio.h>

// ---- recording ----------------------------------------------------------------------------------------

static int ref_in(struct db_conn *c, struct span repo, const char *manifest,
		  const struct descriptor *d, bool child, int64_t seen_ns, struct err *e)
{
	if (db_exec(c,
		    "INSERT OR IGNORE INTO manifest_refs(repo,manifest,digest,child) "
		    "VALUES(?1,?2,?3,?4)",
		    DB_ARGS(db_text(repo), db_str(manifest), db_str(d->digest), db_int(child)),
		    e) < 0)
		return -1;
	if (child || seen_ns < 0)
		return 0;
	return db_exec(c,
		       "INSERT OR IGNORE INTO repo_blobs(repo,digest,size,seen_ns) "
		       "VALUES(?1,?2,?3,?4)",
		       DB_ARGS(db_text(repo), db_str(d->digest), db_int((int64_t)d->size),
			       db_int(seen_ns)),
		       e) < 0
		       ? -1
		       : 0;
}

int catalog_record_in(struct db_conn *c, struct span repo, const char *digest, uint64_t size,
		      const struct manifest *man, int64_t owner, int64_t seen_ns, struct err *e)
{
	if (db_exec(c,
		    "INSERT OR IGNORE INTO manifests(repo,digest,media,size,subject,artifact,owner,"
		    "created_ns) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
		    DB_ARGS(db_text(repo), db_str(digest), db_str(manifest_media(man)),
			    db_int((int64_t)size),
			    db_str(man->subject.digest[0] ? man->subject.digest : NULL),
			    db_str(man->artifact), db_int(owner), db_int(clock_wall_ns())),
		    e) < 0)
		return -1;
	if (!man->is_index && ref_in(c, repo, digest, &man->config, false, seen_ns, e) < 0)
		return -1;
	for (size_t i = 0; i < man->count; i++)
		if (ref_in(c, repo, digest, &man->list[i], man->is_index, seen_ns, e) < 0)
			return -1;
	return 0;
}

static int is_needed(struct db_conn *c, struct span repo, const char *digest, int64_t *needed,
		     struct err *e)
{
	auto_free char *from = mem_printf(SPAN_FMT ":", SPAN_ARG(repo));
	auto_free char *to = mem_printf(SPAN_FMT ";", SPAN_ARG(repo));

	return db_get_int(c,
			  "SELECT EXISTS(SELECT 1 FROM images WHERE name>?1 AND name<?2 AND "
			  "digest=?3) OR EXISTS(SELECT 1 FROM manifest_refs WHERE digest=?3 AND "
			  "repo=?4 AND child)",
			  DB_ARGS(db_str(from), db_str(to), db_str(digest), db_text(repo)), 0,
			  needed, e);
}

static int children_of(struct db_conn *c, struct span repo, const char *digest, struct arena *mem,
		       const char ***out, size_t *n, struct err *e)
{
	auto_query struct db_stmt *q =
		db_query(c,
			 "SELECT digest FROM manifest_refs WHERE repo=?1 AND manifest=?2 AND child",
			 DB_ARGS(db_text(repo), db_str(digest)), e);
	int got;

	*n = 0;
	*out = arena_alloc(mem, MANIFEST_CHILDREN_MAX * sizeof(**out));
	while ((got = db_step(q, e)) > 0 && *n < MANIFEST_CHILDREN_MAX)
		(*out)[(*n)++] = arena_span(mem, db_col_span(q, 0)).p;
	return got < 0 ? -1 : 0;
}

static int drop_in(struct db_conn *c, struct span repo, const char *digest, unsigned depth,
		   struct err *e)
{
	auto_arena struct arena mem = { 0 };
	const char **children;
	int64_t needed;
	size_t n;

	if (is_needed(c, repo, digest, &needed, e) < 0 ||
	    children_of(c, repo, digest, &mem, &children, &n, e) < 0)
		return -1;
	if (needed || depth > NESTED_MAX)
		return 0;
	if (db_exec(c, "DELETE FROM manifest_refs WHERE repo=?1 AND manifest=?2",
		    DB_ARGS(db_text(repo), db_str(digest)), e) < 0 ||
	    db_exec(c, "DELETE FROM manifests WHERE repo=?1 AND digest=?2",
		    DB_ARGS(db_text(repo), db_str(digest)), e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (drop_in(c, repo, children[i], depth + 1, e) < 0)
			return -1;
	return 0;
}

int catalog_drop_in(struct db_conn *c, struct span repo, const char *digest, struct err *e)
{
	return drop_in(c, repo, digest, 0, e);
}

// ---- putting ------------------------------------------------------------------------------------------

struct put {
	struct catalog_put *p;
	struct manifest man;
	struct catalog_manifest *out;
	char old_id[IMAGE_ID_MAX];
};

static int has_ref(struct db_conn *c, const struct put *w, const struct descriptor *d, bool child,
		   struct err *e)
{
	int64_t has;

	if (d->elsewhere)
		return 0;
	if (db_get_int(c,
		       child ? "SELECT EXISTS(SELECT 1 FROM manifests WHERE repo=?1 AND "
			       "digest=?2 AND size=?3)"
			     : "SELECT EXISTS(SELECT 1 FROM repo_blobs WHERE repo=?1 AND "
			       "digest=?2 AND size=?3)",
		       DB_ARGS(db_text(w->p->repo), db_str(d->digest), db_int((int64_t)d->size)), 0,
		       &has, e) < 0)
		return -1;
	return has ? 0
		   : err_set(e, ERR_NOT_FOUND, "the repository has no %s %s of %llu bytes",
			     child ? "manifest" : "blob", d->digest, (unsigned long long)d->size);
}

static int tag_in(struct db_conn *c, struct put *w, struct err *e)
{
	char name[IMAGE_NAME_MAX];
	struct db_val key = catalog_tag_name(name, w->p->repo, w->p->tag);
	auto_query struct db_stmt *q =
		db_query(c, "SELECT id,digest FROM images WHERE name=?1", DB_ARGS(key), e);
	int got = db_step(q, e);

	if (got < 0)
		return -1;
	if (got && span_is(db_col_span(q, 1), w->out->digest))
		return 0;
	if (got)
		catalog_text(db_col_span(q, 0), w->old_id, sizeof(w->old_id));
	db_done(q);
	q = NULL;
	return db_exec(c,
		       "INSERT OR REPLACE INTO images(name,id,digest,size,config,owner,created_ns) "
		       "VALUES(?1,'',?2,0,NULL,?3,?4)",
		       DB_ARGS(key, db_str(w->out->digest), db_int(w->p->owner),
			       db_int(clock_wall_ns())),
		       e) < 0
		       ? -1
		       : 0;
}

static int put_in(struct db_conn *c, void *arg, struct err *e)
{
	struct put *w = arg;
	const struct manifest *man = &w->man;

	if (!man->is_index && has_ref(c, w, &man->config, false, e) < 0)
		return -1;
	for (size_t i = 0; i < man->count; i++)
		if (has_ref(c, w, &man->list[i], man->is_index, e) < 0)
			return -1;
	if (catalog_record_in(c, w->p->repo, w->out->digest, w->p->text.n, man, w->p->owner, -1,
			      e) < 0)
		return -1;
	return w->p->tag.n ? tag_in(c, w, e) : 0;
}

static int check_put(struct put *w, struct arena *mem, struct err *e)
{
	struct catalog_put *p = w->p;

	if (manifest_read(p->text, mem, &w->man, e) < 0)
		return -1;
	if (strlen(w->man.media) >= CATALOG_MEDIA_MAX ||
	    strlen(w->man.artifact) >= CATALOG_MEDIA_MAX)
		return err_set(e, ERR_INVALID, "a media type is over %d characters",
			       CATALOG_MEDIA_MAX - 1);
	if (p->media.n && *w->man.media && !span_is(p->media, w->man.media))
		return err_set(e, ERR_INVALID, "sent as " SPAN_FMT ", but it says it is %s",
			       SPAN_ARG(span_head(p->media, 80)), w->man.media);
	blob_digest(p->text, w->out->digest);
	if (p->digest.n && !span_is(p->digest, w->out->digest))
		return err_set(e, ERR_PROTOCOL, "the manifest has the digest %s", w->out->digest);
	memcpy(p->subject, w->man.subject.digest, sizeof(p->subject));
	catalog_text(span_of(manifest_media(&w->man)), w->out->media, sizeof(w->out->media));
	catalog_text(span_of(w->man.artifact), w->out->artifact, sizeof(w->out->artifact));
	w->out->size = p->text.n;
	return 0;
}

static int put_locked(struct images *m, struct put *w, struct trash *t, struct err *e)
{
	char digest[REFERENCE_DIGEST_MAX];
	auto_lock held = lock_hold(&m->lock);

	if (blob_put(m->blobs, w->p->text, digest, e) < 0 || db_write(m->db, put_in, w, e) < 0)
		return -1; // a text without a row is swept
	return w->old_id[0] ? image_folder_drop(m, t, w->old_id, e) : 0;
}

int catalog_put(struct images *m, struct catalog_put *p, struct catalog_manifest *out,
		struct err *e)
{
	struct put w = { .p = p, .out = out };
	auto_arena struct arena mem = { 0 };
	struct trash t = { 0 };
	int bad;

	if (catalog_repo_check(p->repo, e) < 0 || check_put(&w, &mem, e) < 0)
		return -1;
	bad = put_locked(m, &w, &t, e);
	trash_empty(m, &t);
	return bad;
}

// ---- removing -----------------------------------------------------------------------------------------

struct removal {
	struct span repo, which;
	struct arena mem;
	const char **ids; // of the tags that went
	size_t count;
};

enum { TAGS_OF_ONE_MAX = 10000 };

static int untag_in(struct db_conn *c, struct removal *r, struct err *e)
{
	char from[IMAGE_NAME_MAX], to[IMAGE_NAME_MAX];
	bool pinned = span_find(r->which, ':') >= 0;
	struct db_val low = catalog_tag_name(from, r->repo, pinned ? SPAN("") : r->which);
	auto_query struct db_stmt *q = NULL;
	int got;

	snprintf(to, sizeof(to), SPAN_FMT ";", SPAN_ARG(r->repo));
	q = pinned ? db_query(c, "SELECT id FROM images WHERE name>?1 AND name<?2 AND digest=?3",
			      DB_ARGS(low, db_str(to), db_text(r->which)), e)
		   : db_query(c, "SELECT id FROM images WHERE name=?1", DB_ARGS(low), e);
	r->ids = arena_alloc(&r->mem, TAGS_OF_ONE_MAX * sizeof(*r->ids));
	while ((got = db_step(q, e)) > 0 && r->count < TAGS_OF_ONE_MAX)
		r->ids[r->count++] = arena_span(&r->mem, db_col_span(q, 0)).p;
	db_done(q);
	q = NULL;
	if (got < 0)
		return -1;
	if (!pinned && !r->count)
		return err_set(e, ERR_NOT_FOUND, "no tag " SPAN_FMT " in " SPAN_FMT,
			       SPAN_ARG(r->which), SPAN_ARG(r->repo));
	return (pinned ? db_exec(c, "DELETE FROM images WHERE name>?1 AND name<?2 AND digest=?3",
				 DB_ARGS(low, db_str(to), db_text(r->which)), e)
		       : db_exec(c, "DELETE FROM images WHERE name=?1", DB_ARGS(low), e)) < 0
		       ? -1
		       : 0;
}

static int remove_in(struct db_conn *c, void *arg, struct err *e)
{
	struct removal *r = arg;
	struct catalog_manifest found;

	r->count = 0;
	if (span_find(r->which, ':') < 0)
		return untag_in(c, r, e);
	if (catalog_find_in(c, r->repo, r->which, &found, e) < 0 || untag_in(c, r, e) < 0)
		return -1;
	if (db_exec(c, "DELETE FROM manifest_refs WHERE repo=?1 AND manifest=?2",
		    DB_ARGS(db_text(r->repo), db_text(r->which)), e) < 0)
		return -1;
	return db_exec(c, "DELETE FROM manifests WHERE repo=?1 AND digest=?2",
		       DB_ARGS(db_text(r->repo), db_text(r->which)), e) < 0
		       ? -1
		       : 0;
}

static int drop_locked(struct images *m, struct removal *r, struct trash *t, struct err *e)
{
	auto_lock held = lock_hold(&m->lock);
	int bad = db_write(m->db, remove_in, r, e);

	for (size_t i = 0; i < r->count && !bad; i++)
		bad = image_folder_drop(m, t, r->ids[i], e);
	return bad;
}

int catalog_remove(struct images *m, struct span repo, struct span which, struct err *e)
{
	struct removal r = { .repo = repo, .which = which };
	struct trash t = { 0 };
	int bad = drop_locked(m, &r, &t, e);

	arena_release(&r.mem);
	trash_empty(m, &t);
	return bad;
}
