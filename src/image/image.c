// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/mem.h"
#include "db/db.h"
#include "image/blob.h"
#include "image/manifest.h"
#include "image/private.h"
#include "image/progress.h"

#include <stdio.h>

// ---- names --------------------------------------------------------------------------------------------

// A reference as in the OCI distribution specification, narrowed: lower-case path parts, one tag.
int image_name_check(struct span name, char out[static IMAGE_NAME_MAX], struct err *e)
{
	ptrdiff_t colon = span_rfind(name, ':'), slash = span_rfind(name, '/');
	bool tagged = colon > slash;
	struct span repository = tagged ? span_head(name, (size_t)colon) : name;
	struct span tag = tagged ? span_from(name, (size_t)colon + 1) : SPAN("latest");

	if (!repository.n || !tag.n || repository.n + tag.n + 2 > IMAGE_NAME_MAX)
		return err_set(e, ERR_INVALID, "an image is named NAME:TAG, at most %d characters",
			       IMAGE_NAME_MAX - 2);
	for (size_t i = 0; i < repository.n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789._-/:", repository.p[i]) ||
		    (strchr("._-/:", repository.p[i]) && (i == 0 || i == repository.n - 1)))
			return err_set(
				e, ERR_INVALID,
				"an image's name holds lower-case letters, digits and . _ - / "
				"between them");
	for (size_t i = 0; i < tag.n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
			    tag.p[i]) ||
		    (i == 0 && strchr(".-", tag.p[i])))
			return err_set(e, ERR_INVALID,
				       "an image's tag holds letters, digits, . _ and - only");
	if (span_is(repository, "host"))
		return err_set(e, ERR_INVALID, "host is the name of the machine's own programs");
	snprintf(out, IMAGE_NAME_MAX, SPAN_FMT ":" SPAN_FMT, SPAN_ARG(repository), SPAN_ARG(tag));
	return 0;
}

int image_find_in(struct db_conn *c, struct span name, struct image *out, struct err *e)
{
	auto_query struct db_stmt *q =
		db_query(c, "SELECT name,id,digest,size,owner,created_ns FROM images WHERE name=?1",
			 DB_ARGS(db_text(name)), e);
	int got = db_step(q, e);

	if (got <= 0)
		return got;
	*out = (struct image){ .size = (uint64_t)db_col_int(q, 3),
			       .owner = db_col_int(q, 4),
			       .created_ns = db_col_int(q, 5) };
	snprintf(out->name, sizeof(out->name), SPAN_FMT, SPAN_ARG(db_col_span(q, 0)));
	snprintf(out->id, sizeof(out->id), SPAN_FMT, SPAN_ARG(db_col_span(q, 1)));
	snprintf(out->digest, sizeof(out->digest), SPAN_FMT, SPAN_ARG(db_col_span(q, 2)));
	return 1;
}

// What follows one of our registry's own names, or all of it.
static struct span after_host(const struct images *m, struct span name)
{
	for (char **h = m->hosts; h && *h; h++)
		if (span_starts(name, span_of(*h)) && name.n > strlen(*h) &&
		    name.p[strlen(*h)] == '/')
			return span_from(name, strlen(*h) + 1);
	return name;
}

bool image_is_own(const struct images *m, const char *name)
{
	return after_host(m, span_of(name)).n < strlen(name);
}

int image_local_name(const struct images *m, const char *name, char out[static IMAGE_NAME_MAX],
		     struct err *e)
{
	return image_name_check(after_host(m, span_of(name)), out, e);
}

// ---- pushed, and used for the first time --------------------------------------------------------------

// From the tag's manifest down to the one for this machine.
static int unpack_named(struct image_work *w, struct image *out, struct err *e)
{
	char digest[REFERENCE_DIGEST_MAX];

	snprintf(digest, sizeof(digest), "%.71s", out->digest);
	for (unsigned depth = 0; depth <= NESTED_MAX; depth++) {
		auto_arena struct arena mem = { 0 };
		const struct descriptor *child;
		struct manifest man;
		auto_buf struct buf text;

		buf_init(&text, MANIFEST_BYTES_MAX);
		if (blob_read(w->m->blobs, digest, &text, e) < 0 ||
		    manifest_parse(buf_span(&text), &mem, &man, e) < 0)
			return -1;
		if (!man.is_index)
			return assemble_check(w->m, &man, e) < 0
				       ? -1
				       : assemble(w, buf_span(&text), out, e);
		if (manifest_select(&man, NULL, &child, e) < 0)
			return -1;
		memcpy(digest, child->digest, sizeof(digest));
	}
	return err_set(e, ERR_INVALID, "an index within an index, too often");
}

// Only the folder is new: the tag goes on naming what was pushed, an index for instance.
struct unpacked {
	const struct image *image;
	const char *tagged; // digest
};

static int unpacked_in(struct db_conn *c, void *arg, struct err *e)
{
	const struct unpacked *u = arg;
	int n = db_exec(c,
			"UPDATE images SET id=?2, size=?3, config=?4 WHERE name=?1 AND digest=?5",
			DB_ARGS(db_str(u->image->name), db_str(u->image->id),
				db_int((int64_t)u->image->size), db_str(u->image->config),
				db_str(u->tagged)),
			e);

	return n == 0 ? err_set(e, ERR_CONFLICT, "the image was changed just now: try again")
		      : (n < 0 ? -1 : 0);
}

static int publish_unpacked(struct image_work *w, const struct image *out, const char *tagged,
			    struct err *e)
{
	struct unpacked u = { out, tagged };
	auto_lock held = lock_hold(&w->m->lock);

	return work_publish_folder(w, out, e) < 0 ? -1 : db_write(w->m->db, unpacked_in, &u, e);
}

static int unpack_pushed(struct images *m, const struct image *found, const char *progress_id,
			 char *id, size_t id_size, struct err *e)
{
	auto_progress struct progress progress;
	auto_image struct image out = *found;
	struct image_work w;
	int bad;

	progress_begin(&progress, m, progress_id);
	if (work_begin(m, &w, e) < 0)
		return -1;
	w.progress = &progress;
	bad = unpack_named(&w, &out, e);
	if (!bad)
		bad = publish_unpacked(&w, &out, found->digest, e);
	if (work_end(&w, bad, e) < 0)
		return err_wrap(e, "image %.120s", found->name);
	snprintf(id, id_size, "%s", out.id);
	return 0;
}

int image_resolve(struct images *m, const char *name, const char *progress, char *id,
		  size_t id_size, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	auto_arena struct arena mem = { 0 };
	char full[IMAGE_NAME_MAX];
	struct image_runtime runs;
	struct image found;
	int got;

	if (strcmp(name, "host") == 0) {
		snprintf(id, id_size, "host");
		return 0;
	}
	if (!c || image_local_name(m, name, full, e) < 0)
		return -1;
	got = image_find_in(c, span_of(full), &found, e);
	if (got < 0)
		return -1;
	if (!got)
		return err_set(e, ERR_NOT_FOUND,
			       "image %s does not exist here: get it first (oscar image pull %s, "
			       "or oscar image import FILE.tar %s), or use host for the machine's "
			       "own programs",
			       full, full, full);
	if (found.id[0])
		snprintf(id, id_size, "%s", found.id);
	else if (unpack_pushed(m, &found, progress, id, id_size, e) < 0)
		return -1;
	// Whoever makes a service hears now that its jobs could never run.
	return image_runtime(m, id, &mem, &runs, e) < 0 ? err_wrap(e, "image %.120s", full) : 0;
}

int image_digest(struct images *m, const char *id, char out[static 80], struct err *e)
{
	auto_free char *path = mem_printf("%s/digest", id);
	struct err missing = { 0 };
	auto_buf struct buf text;

	out[0] = '\0';
	buf_init(&text, 79);
	if (strcmp(id, "host") == 0)
		return 0;
	if (file_read_path(m->dir, path, &text, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		*e = missing;
		return -1;
	}
	snprintf(out, 80, SPAN_FMT, SPAN_ARG(span_trim(buf_span(&text))));
	return 0;
}

int image_get(struct images *m, struct span name, struct arena *mem, struct image *out,
	      struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	auto_query struct db_stmt *q = NULL;
	char full[IMAGE_NAME_MAX];
	int got = c ? image_name_check(name, full, e) : -1;

	if (got < 0 || (got = image_find_in(c, span_of(full), out, e)) < 0)
		return -1;
	if (!got)
		return err_set(e, ERR_NOT_FOUND, "no image named %s", full);
	q = db_query(c, "SELECT config FROM images WHERE name=?1", DB_ARGS(db_str(full)), e);
	if (!q || (got = db_step(q, e)) < 0)
		return -1;
	if (got && !db_col_null(q, 0))
		out->config = arena_span(mem, db_col_span(q, 0)).p;
	return 0;
}

int image_list(struct images *m, struct arena *mem, struct image **out, size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	auto_query struct db_stmt *q = NULL;
	int64_t count;
	int got;

	*n = 0;
	if (!c || db_get_int(c, "SELECT count(*) FROM images", DB_NO_ARGS, 0, &count, e) < 0)
		return -1;
	*out = arena_alloc(mem, ((size_t)count + 1) * sizeof(**out));
	(*out)[(*n)++] = (struct image){ .name = "host", .id = "host" };
	q = db_query(c, "SELECT name FROM images ORDER BY name", DB_NO_ARGS, e);
	while ((got = db_step(q, e)) > 0 && *n <= (size_t)count)
		if (image_find_in(c, db_col_span(q, 0), &(*out)[*n], e) > 0)
			++*n;
	return got < 0 ? -1 : 0;
}
