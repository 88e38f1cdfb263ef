// SPDX-License-Identifier: Apache-2.0
// push: an image of this machine to a registry. What is there already is not sent.
#include "base/file.h"
#include "base/mem.h"
#include "image/blob.h"
#include "image/catalog.h"
#include "image/private.h"
#include "image/progress.h"
#include "image/registry.h"

struct push {
	struct images *m;
	struct registry *registry;
	struct image_pushed *out;
	struct progress progress;
};

static int send_blob(struct push *p, const struct descriptor *d, struct err *e)
{
	auto_fd int fd = -1;
	bool there;

	if (d->elsewhere)
		return 0;
	p->out->blobs++;
	if (registry_blob_have(p->registry, d->digest, &there, e) < 0)
		return -1;
	if (there)
		return 0;
	fd = blob_open(p->m->blobs, d->digest, e);
	if (fd < 0 || registry_blob_push(p->registry, d, fd, e) < 0)
		return -1;
	p->out->transferred += d->size;
	return 0;
}

// An index after its children, a manifest after its blobs.
static int send_manifest(struct push *p, const char *digest, const char *which, unsigned depth,
			 struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_buf struct buf text;
	struct manifest man;

	buf_init(&text, MANIFEST_BYTES_MAX);
	if (depth > NESTED_MAX)
		return err_set(e, ERR_INVALID, "an index within an index, too often");
	if (blob_read(p->m->blobs, digest, &text, e) < 0 ||
	    manifest_read(buf_span(&text), &mem, &man, e) < 0)
		return -1;
	if (!man.is_index && send_blob(p, &man.config, e) < 0)
		return err_wrap(e, "configuration");
	for (size_t i = 0; i < man.count; i++) {
		const struct descriptor *d = &man.list[i];

		progress_step(&p->progress, "send", i + 1, man.count, d->size);
		if ((man.is_index ? send_manifest(p, d->digest, d->digest, depth + 1, e)
				  : send_blob(p, d, e)) < 0)
			return err_wrap(e, "%zu of %zu", i + 1, man.count);
	}
	return registry_manifest_push(p->registry, which, manifest_media(&man), buf_span(&text), e);
}

static int find(struct images *m, const char *name, struct catalog_manifest *out, struct err *e)
{
	char full[IMAGE_NAME_MAX];
	struct span all, repo;

	if (image_local_name(m, name, full, e) < 0)
		return -1;
	all = span_of(full);
	repo = catalog_repo_of(all);
	if (catalog_find(m, repo, span_from(all, repo.n + 1), out, e) == 0)
		return 0;
	return e->code == ERR_NOT_FOUND
		       ? err_set(e, ERR_NOT_FOUND,
				 "no image %s that a registry could take: it is not here, or was "
				 "imported as a root file system by an earlier version (import it "
				 "again)",
				 full)
		       : -1;
}

int image_push(struct images *m, const struct image_push *p, struct image_pushed *out,
	       struct err *e)
{
	auto_arena struct arena secrets = { 0 };
	auto_registry struct registry *registry = NULL;
	struct push push = { .m = m, .out = out };
	struct catalog_manifest found;
	struct reference ref;
	struct registry_options o = { .ref = &ref,
				      .user = p->user,
				      .password = p->password,
				      .idle_ms = p->idle_ms,
				      .cancelled = p->cancelled,
				      .owner = p->owner,
				      .push = true,
				      .moved = progress_add,
				      .moved_owner = &push.progress };
	int bad;

	*out = (struct image_pushed){ .blobs = 0 };
	if (find(m, p->name, &found, e) < 0 || reference_parse(span_of(p->reference), &ref, e) < 0)
		return -1;
	if (!ref.tag[0])
		return err_set(e, ERR_INVALID, "%.120s: a tag is wanted", p->reference);
	o.plain = image_registry_plain(m, &ref);
	if ((!o.user && image_registry_login(m, &ref, &secrets, &o.user, &o.password, e) < 0) ||
	    registry_open(&registry, &o, e) < 0)
		return -1;
	push.registry = registry;
	memcpy(out->digest, found.digest, sizeof(found.digest));
	progress_begin(&push.progress, m, p->progress);
	bad = send_manifest(&push, found.digest, ref.tag, 0, e);
	progress_end(&push.progress);
	return bad < 0 ? err_wrap(e, "%.120s", p->reference) : 0;
}
