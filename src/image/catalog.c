// SPDX-License-Identifier: Apache-2.0
#include "image/catalog.h"

#include "db/db.h"
#include "image/catalog_private.h"
#include "image/private.h"

#include <stdio.h>

// ---- names --------------------------------------------------------------------------------------------

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// [a-z0-9]+ with one of . _ __ or any number of - between.
static bool part_ok(struct span part)
{
	for (size_t i = 0; i < part.n; i++) {
		char c = part.p[i], before = i ? part.p[i - 1] : '/';

		if (is_alnum(c))
			continue;
		if (!strchr("._-", c) || before == '/' || i + 1 == part.n)
			return false;
		if (!is_alnum(before) && !(c == '-' && before == '-') &&
		    !(c == '_' && before == '_' && i >= 2 && is_alnum(part.p[i - 2])))
			return false;
	}
	return part.n > 0;
}

int catalog_repo_check(struct span repo, struct err *e)
{
	struct span rest = repo;
	bool ok = repo.n > 0 && repo.n < REFERENCE_PATH_MAX - REFERENCE_TAG_MAX &&
		  repo.p[repo.n - 1] != '/';

	while (ok && rest.n)
		ok = part_ok(span_cut(&rest, '/'));
	return ok ? 0
		  : err_set(e, ERR_INVALID,
			    "a repository is named in lower case, like user/name, with at most "
			    "%d characters",
			    REFERENCE_PATH_MAX - REFERENCE_TAG_MAX - 1);
}

bool catalog_tag_ok(struct span tag)
{
	for (size_t i = 0; i < tag.n; i++)
		if (!is_alnum(tag.p[i]) && !(tag.p[i] >= 'A' && tag.p[i] <= 'Z') &&
		    tag.p[i] != '_' && (i == 0 || !strchr(".-", tag.p[i])))
			return false;
	return tag.n > 0 && tag.n < REFERENCE_TAG_MAX;
}

struct span catalog_repo_of(struct span name)
{
	ptrdiff_t colon = span_rfind(name, ':');

	return colon < 0 ? name : span_head(name, (size_t)colon);
}

struct db_val catalog_tag_name(char out[static IMAGE_NAME_MAX], struct span repo, struct span tag)
{
	snprintf(out, IMAGE_NAME_MAX, SPAN_FMT ":" SPAN_FMT, SPAN_ARG(repo), SPAN_ARG(tag));
	return db_str(out);
}

// ---- manifests ----------------------------------------------------------------------------------------

void catalog_text(struct span s, char *out, size_t size)
{
	snprintf(out, size, SPAN_FMT, SPAN_ARG(s));
}

static void take_row(struct db_stmt *q, struct catalog_manifest *out)
{
	catalog_text(db_col_span(q, 0), out->digest, sizeof(out->digest));
	catalog_text(db_col_span(q, 1), out->media, sizeof(out->media));
	catalog_text(db_col_span(q, 2), out->artifact, sizeof(out->artifact));
	out->size = (uint64_t)db_col_int(q, 3);
}

int catalog_find_in(struct db_conn *c, struct span repo, struct span which,
		    struct catalog_manifest *out, struct err *e)
{
	char name[IMAGE_NAME_MAX];
	bool pinned = span_find(which, ':') >= 0;
	auto_query struct db_stmt *q =
		pinned ? db_query(c,
				  "SELECT digest,media,artifact,size FROM manifests "
				  "WHERE repo=?1 AND digest=?2",
				  DB_ARGS(db_text(repo), db_text(which)), e)
		       : db_query(c,
				  "SELECT m.digest,m.media,m.artifact,m.size FROM images i JOIN "
				  "manifests m ON m.repo=?1 AND m.digest=i.digest WHERE i.name=?2",
				  DB_ARGS(db_text(repo), catalog_tag_name(name, repo, which)), e);
	int got = db_step(q, e);

	if (got > 0)
		take_row(q, out);
	else if (got == 0)
		return err_set(e, ERR_NOT_FOUND, "no manifest " SPAN_FMT " in " SPAN_FMT,
			       SPAN_ARG(which), SPAN_ARG(repo));
	return got < 0 ? -1 : 0;
}

int catalog_find(struct images *m, struct span repo, struct span which,
		 struct catalog_manifest *out, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);

	return c ? catalog_find_in(c, repo, which, out, e) : -1;
}

// ---- lists --------------------------------------------------------------------------------------------

static int collect(struct db_stmt *q, struct arena *mem, size_t skip, size_t max, const char ***out,
		   size_t *n, struct err *e)
{
	int got;

	*n = 0;
	*out = arena_alloc(mem, (max + 1) * sizeof(**out));
	while ((got = db_step(q, e)) > 0 && *n < max)
		(*out)[(*n)++] = arena_span(mem, span_from(db_col_span(q, 0), skip)).p;
	db_done(q);
	return got < 0 ? -1 : 0;
}

int catalog_tags(struct images *m, struct arena *mem, struct span repo, struct span after,
		 size_t max, const char ***out, size_t *n, struct err *e)
{
	const char *from =
		arena_printf(mem, SPAN_FMT ":" SPAN_FMT, SPAN_ARG(repo), SPAN_ARG(after));
	const char *to = arena_printf(mem, SPAN_FMT ";", SPAN_ARG(repo));
	struct db_conn *c = db_reader(m->db, e);
	int64_t known;

	if (!c || db_get_int(c, "SELECT EXISTS(SELECT 1 FROM manifests WHERE repo=?1)",
			     DB_ARGS(db_text(repo)), 0, &known, e) < 0)
		return -1;
	if (!known)
		return err_set(e, ERR_NOT_FOUND, "no repository " SPAN_FMT, SPAN_ARG(repo));
	return collect(
		db_query(c,
			 "SELECT name FROM images WHERE name>?1 AND name<?2 AND EXISTS("
			 "SELECT 1 FROM manifests m WHERE m.repo=?3 AND "
			 "m.digest=images.digest) ORDER BY name LIMIT ?4",
			 DB_ARGS(db_str(from), db_str(to), db_text(repo), db_int((int64_t)max)), e),
		mem, repo.n + 1, max, out, n, e);
}

int catalog_repos(struct images *m, struct arena *mem, struct span after, size_t max,
		  const char ***out, size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);

	// A colon makes a name (of a registry with a port) that nobody can ask for.
	return c ? collect(db_query(c,
				    "SELECT DISTINCT repo FROM manifests WHERE repo>?1 AND "
				    "instr(repo,':')=0 ORDER BY repo LIMIT ?2",
				    DB_ARGS(db_text(after), db_int((int64_t)max)), e),
			   mem, 0, max, out, n, e)
		 : -1;
}

int catalog_referrers(struct images *m, struct arena *mem, struct span repo, struct span digest,
		      size_t max, struct catalog_manifest **out, size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	auto_query struct db_stmt *q = NULL;
	int got;

	*n = 0;
	if (!c)
		return -1;
	*out = arena_alloc(mem, max * sizeof(**out));
	q = db_query(c,
		     "SELECT digest,media,artifact,size FROM manifests WHERE repo=?1 AND "
		     "subject=?2 ORDER BY digest",
		     DB_ARGS(db_text(repo), db_text(digest)), e);
	while ((got = db_step(q, e)) > 0 && *n < max)
		take_row(q, &(*out)[(*n)++]);
	return got < 0 ? -1 : 0;
}

// ---- usage --------------------------------------------------------------------------------------------

// Of an index, the children's blobs count as well: manifest_refs one level down.
int catalog_usage(struct images *m, struct span name, struct catalog_usage *out, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	struct span repo = catalog_repo_of(name);
	auto_query struct db_stmt *q =
		db_query(c,
			 "WITH mine(digest) AS (SELECT digest FROM images WHERE name=?1 UNION "
			 "SELECT r.digest FROM manifest_refs r JOIN images i ON "
			 "r.manifest=i.digest WHERE i.name=?1 AND r.repo=?2 AND r.child), "
			 "blobs AS (SELECT DISTINCT r.digest, b.size FROM manifest_refs r JOIN "
			 "mine ON r.manifest=mine.digest JOIN repo_blobs b ON b.repo=?2 AND "
			 "b.digest=r.digest WHERE r.repo=?2) "
			 "SELECT size, EXISTS(SELECT 1 FROM manifest_refs o WHERE "
			 "o.digest=blobs.digest AND o.manifest NOT IN (SELECT digest FROM "
			 "mine)) FROM blobs",
			 DB_ARGS(db_text(name), db_text(repo)), e);
	int got;

	*out = (struct catalog_usage){ 0 };
	while ((got = db_step(q, e)) > 0)
		*(db_col_int(q, 1) ? &out->shared : &out->own) += (uint64_t)db_col_int(q, 0);
	return got < 0 ? -1 : 0;
}
