// SPDX-License-Identifier: Apache-2.0
// pull: an image from a registry.
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/docker_auth.h"
#include "db/db.h"
#include "image/blob.h"
#include "image/manifest.h"
#include "image/private.h"
#include "image/progress.h"
#include "image/registry.h"

#include <fcntl.h>
#include <stdio.h>

enum { WORKS_MAX = 4, NAME_DIGITS = 12 };

struct pull {
	struct image_work *w;
	struct registry *registry;
	struct image *out;
};

static int fetch_blob(struct pull *p, const struct descriptor *d, struct err *e)
{
	if (blob_have(p->w->m->blobs, d))
		return 0;
	if (registry_blob(p->registry, d, p->w->m->blobs, e) < 0)
		return -1;
	p->out->transferred += d->size;
	return 0;
}

static int check_sizes(const struct pull *p, const struct manifest *m, struct err *e)
{
	uint64_t left = p->w->m->limits.size_max;

	if (m->config.size > MANIFEST_BYTES_MAX)
		return err_set(e, ERR_LIMIT, "the image's configuration is over %d bytes",
			       MANIFEST_BYTES_MAX);
	for (size_t i = 0; i < m->count; i++) {
		if (m->list[i].size > left)
			return err_set(e, ERR_LIMIT,
				       "the image's layers are over %llu bytes (oscar "
				       "serve --max-image-size)",
				       (unsigned long long)p->w->m->limits.size_max);
		left -= m->list[i].size;
	}
	return 0;
}

static int fetch_image(struct pull *p, struct span manifest, const struct manifest *m,
		       struct err *e)
{
	if (check_sizes(p, m, e) < 0)
		return -1;
	// The configuration first: it may say that the image is for another machine.
	if (fetch_blob(p, &m->config, e) < 0 || assemble_check(p->w->m, m, e) < 0)
		return err_wrap(e, "configuration");
	for (size_t i = 0; i < m->count; i++) {
		progress_step(p->w->progress, "layer", i + 1, m->count, m->list[i].size);
		if (fetch_blob(p, &m->list[i], e) < 0)
			return err_wrap(e, "layer %zu of %zu", i + 1, m->count);
	}
	return assemble(p->w, manifest, p->out, e);
}

// Down from a tag or digest to the manifest for this machine, by an index where there is one.
static int find_manifest(struct registry *r, const struct reference *ref, struct arena *mem,
			 struct buf *text, struct manifest *out, struct err *e)
{
	const char *which = ref->digest[0] ? ref->digest : ref->tag;

	for (unsigned depth = 0; depth <= NESTED_MAX; depth++) {
		const struct descriptor *child;

		buf_clear(text);
		if (registry_manifest(r, which, text, e) < 0 ||
		    manifest_parse(buf_span(text), mem, out, e) < 0)
			return -1;
		if (!out->is_index)
			return 0;
		if (manifest_select(out, NULL, &child, e) < 0)
			return -1;
		which = child->digest;
	}
	return err_set(e, ERR_PROTOCOL, "an index within an index, too often");
}

// ---- what is asked for ---------------------------------------------------------------------------------

// The name as it was written, so that a service may say the same; a digest becomes a tag.
static int local_name(const struct image_pull *p, const struct reference *ref,
		      char out[static IMAGE_NAME_MAX], struct err *e)
{
	struct span text = span_of(p->reference);
	ptrdiff_t at = span_find(text, '@');
	auto_free char *name = NULL;

	if (p->name && *p->name)
		return image_name_check(span_of(p->name), out, e);
	if (span_starts(text, SPAN("docker://"))) {
		text = span_from(text, 9);
		at -= at < 0 ? 0 : 9;
	}
	if (at >= 0 && !ref->tag[0])
		name = mem_printf(SPAN_FMT ":sha256-%.*s", (int)at, text.p, NAME_DIGITS,
				  ref->digest + 7);
	else
		name = mem_strndup(text.p, at < 0 ? text.n : (size_t)at);
	return image_name_check(span_of(name), out, e);
}

bool image_registry_plain(const struct images *m, const struct reference *ref)
{
	for (size_t i = 0; m->insecure && m->insecure[i]; i++)
		if (strcmp(m->insecure[i], ref->registry) == 0)
			return true;
	return ref->loopback;
}

int image_registry_login(const struct images *m, const struct reference *ref, struct arena *mem,
			 const char **user, const char **password, struct err *e)
{
	auto_buf struct buf text;
	struct err missing = { 0 };
	int got;

	buf_init(&text, DOCKER_AUTH_FILE_MAX);
	if (!m->docker_config)
		return 0;
	if (file_read_path(AT_FDCWD, m->docker_config, &text, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		*e = missing;
		return err_wrap(e, "the daemon's Docker configuration");
	}
	got = docker_auth_find(buf_span(&text), ref->registry, mem, user, password, e);
	mem_wipe(text.p, text.n);
	return got < 0 ? err_wrap(e, "the daemon's Docker configuration") : 0;
}

struct asker {
	const struct images *m;
	const struct image_pull *p;
	struct arena secrets; // what the registry's client borrows
};

static void asker_release(struct asker *a)
{
	arena_release(&a->secrets);
}
#define auto_asker at_scope_exit(asker_release)

static bool is_over(void *owner)
{
	const struct asker *a = owner;

	return a->m->leaving || (a->p->cancelled && a->p->cancelled(a->p->owner));
}

static int connect_to(struct asker *a, const struct reference *ref, struct progress *progress,
		      struct registry **out, struct err *e)
{
	struct registry_options o = { .ref = ref,
				      .plain = image_registry_plain(a->m, ref),
				      .user = a->p->user,
				      .password = a->p->password,
				      .idle_ms = a->p->idle_ms,
				      .cancelled = is_over,
				      .owner = a,
				      .moved = progress_add,
				      .moved_owner = progress };

	if (!o.user && image_registry_login(a->m, ref, &a->secrets, &o.user, &o.password, e) < 0)
		return -1;
	return registry_open(out, &o, e);
}

static int pull_into(struct image_work *w, const struct image_pull *p, const struct reference *ref,
		     struct image *out, struct err *e)
{
	auto_asker struct asker asker = { w->m, p, { 0 } };
	auto_registry struct registry *registry = NULL;
	auto_arena struct arena mem = { 0 };
	struct pull pull = { .w = w, .out = out };
	struct manifest m;
	auto_buf struct buf text;

	buf_init(&text, MANIFEST_BYTES_MAX);
	if (connect_to(&asker, ref, w->progress, &registry, e) < 0)
		return -1;
	pull.registry = registry;
	if (find_manifest(registry, ref, &mem, &text, &m, e) < 0 ||
	    fetch_image(&pull, buf_span(&text), &m, e) < 0)
		return -1;
	return work_publish(w, out, e);
}

int image_pull(struct images *m, const struct image_pull *p, struct image *out, struct err *e)
{
	auto_progress struct progress progress;
	struct reference ref;
	struct image_work w;

	progress_begin(&progress, m, p->progress);
	progress_step(&progress, "manifest", 0, 0, 0);
	*out = (struct image){ .owner = p->user_id, .created_ns = clock_wall_ns() };
	if (reference_parse(span_of(p->reference), &ref, e) < 0 ||
	    local_name(p, &ref, out->name, e) < 0)
		return -1;
	out->source = arena_strdup(&out->mem, p->reference);
	if (m->leaving)
		return err_set(e, ERR_CANCELLED, "the daemon is leaving");
	if (work_count(m) >= WORKS_MAX)
		return err_set(e, ERR_BUSY, "%d images are on their way already: try again later",
			       WORKS_MAX);
	if (work_begin(m, &w, e) < 0)
		return -1;
	w.progress = &progress;
	return work_end(&w, pull_into(&w, p, &ref, out, e), e) < 0
		       ? err_wrap(e, "%.120s", p->reference)
		       : 0;
}

// ---- news ----------------------------------------------------------------------------------------------

// What the registry has for this machine under that tag now.
static int ask_digest(struct asker *a, const struct reference *ref, char out[static 80],
		      struct err *e)
{
	auto_progress struct progress progress;
	auto_registry struct registry *registry = NULL;
	auto_arena struct arena mem = { 0 };
	struct manifest m;
	auto_buf struct buf text;

	buf_init(&text, MANIFEST_BYTES_MAX);
	progress_begin(&progress, (struct images *)a->m, NULL);
	if (connect_to(a, ref, &progress, &registry, e) < 0 ||
	    find_manifest(registry, ref, &mem, &text, &m, e) < 0)
		return -1;
	blob_digest(buf_span(&text), out);
	return 0;
}

// Where an image here came from; "" = by a file or a push. 1 = it is here.
static int find_source(struct images *m, const char *name, struct arena *mem, const char **source,
		       struct span *digest, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	auto_query struct db_stmt *q = db_query(c, "SELECT source,digest FROM images WHERE name=?1",
						DB_ARGS(db_str(name)), e);
	int got = db_step(q, e);

	if (got > 0) {
		*source = arena_span(mem, db_col_span(q, 0)).p;
		*digest = arena_span(mem, db_col_span(q, 1));
	}
	return got;
}

int image_refresh(struct images *m, const struct image_pull *p, struct err *e)
{
	auto_asker struct asker asker = { m, p, { 0 } };
	auto_arena struct arena mem = { 0 };
	char full[IMAGE_NAME_MAX], now[80];
	auto_image struct image made = { 0 };
	struct image_pull pull = *p;
	struct reference ref;
	struct span digest;
	int got;

	if (image_local_name(m, p->reference, full, e) < 0)
		return -1;
	got = find_source(m, full, &mem, &pull.reference, &digest, e);
	if (got < 0)
		return -1;
	pull.name = full;
	if (!got) {
		if (image_is_own(m, p->reference))
			return 0; // image_resolve() says what is missing
		return image_pull(m, p, &made, e);
	}
	if (!*pull.reference)
		return 0;
	if (reference_parse(span_of(pull.reference), &ref, e) < 0)
		return err_wrap(e, "%.120s", full);
	if (ref.digest[0])
		return 0;
	if (ask_digest(&asker, &ref, now, e) < 0)
		return err_wrap(e, "%.120s", pull.reference);
	return span_is(digest, now) ? 0 : image_pull(m, &pull, &made, e);
}
