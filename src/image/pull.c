// SPDX-License-Identifier: Apache-2.0
// pull: an image from a registry.
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/docker_auth.h"
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
			return err_set(e, ERR_LIMIT, "the image's layers are over %llu bytes",
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

static int fetch(struct pull *p, const struct reference *ref, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	const char *which = ref->digest[0] ? ref->digest : ref->tag;

	for (unsigned depth = 0; depth <= NESTED_MAX; depth++) {
		const struct descriptor *child;
		struct manifest m;
		auto_buf struct buf text;

		buf_init(&text, MANIFEST_BYTES_MAX);
		if (registry_manifest(p->registry, which, &text, e) < 0 ||
		    manifest_parse(buf_span(&text), &mem, &m, e) < 0)
			return -1;
		if (!m.is_index)
			return fetch_image(p, buf_span(&text), &m, e);
		if (manifest_select(&m, NULL, &child, e) < 0)
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

static int pull_into(struct image_work *w, const struct image_pull *p, const struct reference *ref,
		     struct image *out, struct err *e)
{
	auto_arena struct arena secrets = { 0 };
	struct registry_options o = { .ref = ref,
				      .plain = image_registry_plain(w->m, ref),
				      .user = p->user,
				      .password = p->password,
				      .idle_ms = p->idle_ms,
				      .cancelled = p->cancelled,
				      .owner = p->owner,
				      .moved = progress_add,
				      .moved_owner = w->progress };
	auto_registry struct registry *registry = NULL;
	struct pull pull = { .w = w, .out = out };

	if ((!o.user && image_registry_login(w->m, ref, &secrets, &o.user, &o.password, e) < 0) ||
	    registry_open(&registry, &o, e) < 0)
		return -1;
	pull.registry = registry;
	if (fetch(&pull, ref, e) < 0)
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
