// SPDX-License-Identifier: Apache-2.0
#include "image/append.h"

#include "base/mem.h"
#include "base/rand.h"
#include "codec/json.h"
#include "image/edit.h"
#include "image/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NESTED_MAX = 3 };

struct append {
	const struct image_append *a;
	struct image_appended *out;
	struct arena mem;
	struct reference base, to;
	struct registry *from, *into; // the same registry's when it is one repository
	bool one_repository, one_registry;
	json_t *manifest, *config; // as the base has them, then changed
	struct manifest man;	   // the base's
	const char *media;
};

static void tell(struct append *x, const char *what, const char *digest, uint64_t bytes,
		 size_t number)
{
	struct image_append_step s = { what, digest, bytes, number, x->man.count };

	if (x->a->step)
		x->a->step(x->a->owner, &s);
}

// ---- registries ----------------------------------------------------------------------------------------

static bool is_plain(const struct image_append *a, const struct reference *ref)
{
	for (size_t i = 0; a->insecure && a->insecure[i]; i++)
		if (strcmp(a->insecure[i], ref->registry) == 0)
			return true;
	return ref->loopback;
}

static int open_one(struct append *x, const struct reference *ref, bool push, struct registry **out,
		    struct err *e)
{
	const struct image_append *a = x->a;
	struct registry_options o = { .ref = ref,
				      .plain = is_plain(a, ref),
				      .idle_ms = a->idle_ms,
				      .cancelled = a->cancelled,
				      .owner = a->owner,
				      .push = push };

	if (push && x->one_registry && !x->one_repository)
		o.from = x->base.path;
	if (a->login && a->login(a->owner, ref->registry, &x->mem, &o.user, &o.password, e) < 0)
		return -1;
	return registry_open(out, &o, e);
}

static int open_both(struct append *x, struct err *e)
{
	if (reference_parse(span_of(x->a->base), &x->base, e) < 0 ||
	    reference_parse(span_of(x->a->to), &x->to, e) < 0)
		return -1;
	if (!x->to.tag[0])
		return err_set(e, ERR_INVALID, "%s: the new image needs a tag", x->a->to);
	x->one_registry = strcmp(x->base.registry, x->to.registry) == 0;
	x->one_repository = x->one_registry && strcmp(x->base.path, x->to.path) == 0;
	if (open_one(x, &x->to, true, &x->into, e) < 0)
		return -1;
	if (x->one_repository)
		x->from = x->into;
	else if (open_one(x, &x->base, false, &x->from, e) < 0)
		return -1;
	return 0;
}

// ---- the base ------------------------------------------------------------------------------------------

static int read_config(struct append *x, struct err *e)
{
	auto_free char *folder = mem_printf("%s/oscar-XXXXXX", x->a->tmp ? x->a->tmp : "/tmp");
	auto_buf struct buf text;
	auto_fd int dir = -1;
	int bad;

	buf_init(&text, MANIFEST_BYTES_MAX);
	if (x->man.config.size > MANIFEST_BYTES_MAX)
		return err_set(e, ERR_LIMIT, "the image's configuration is over %d bytes",
			       MANIFEST_BYTES_MAX);
	if (!mkdtemp(folder))
		return err_sys(e, ERR_IO, errno, "%s", folder);
	dir = file_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0, e);
	bad = dir < 0 ? -1 : registry_blob(x->from, &x->man.config, dir, e);
	if (!bad)
		bad = blob_read(dir, x->man.config.digest, &text, e);
	if (dir >= 0)
		unlinkat(dir, x->man.config.digest + 7, 0);
	rmdir(folder);
	if (bad || codec_json_parse(buf_span(&text), MANIFEST_BYTES_MAX, &x->config, e) < 0)
		return err_wrap(e, "the image's configuration");
	return json_is_object(x->config)
		       ? 0
		       : err_set(e, ERR_INVALID, "the configuration is no object");
}

static int read_base(struct append *x, struct err *e)
{
	const char *which = x->base.digest[0] ? x->base.digest : x->base.tag;

	for (unsigned depth = 0; depth <= NESTED_MAX; depth++) {
		const struct descriptor *child;
		auto_buf struct buf text;

		buf_init(&text, MANIFEST_BYTES_MAX);
		if (registry_manifest(x->from, which, &text, e) < 0 ||
		    manifest_parse(buf_span(&text), &x->mem, &x->man, e) < 0)
			return -1;
		if (!x->man.is_index) {
			x->media = manifest_media(&x->man);
			return codec_json_parse(buf_span(&text), MANIFEST_BYTES_MAX, &x->manifest,
						e) < 0
				       ? -1
				       : read_config(x, e);
		}
		if (manifest_select(&x->man, NULL, &child, e) < 0)
			return -1;
		which = child->digest;
	}
	return err_set(e, ERR_PROTOCOL, "an index within an index, too often");
}

// ---- the new documents ---------------------------------------------------------------------------------

static int change_config(struct append *x, const struct layer *layer, struct err *e)
{
	json_t *config = edit_object(x->config, "config");
	const char *by = x->a->created_by ? x->a->created_by : "oscar image append";

	if (edit_add_layer(x->config, x->man.count, layer->diff_id, by, e) < 0)
		return -1;
	if (x->a->entrypoint) {
		json_t *list = json_array();

		for (size_t i = 0; x->a->entrypoint[i]; i++)
			json_array_append_new(list, json_string(x->a->entrypoint[i]));
		json_object_set_new(config, "Entrypoint", list);
		json_object_del(config, "Cmd");
	}
	return 0;
}

static int send_bytes(struct append *x, struct span bytes, struct descriptor *d, struct err *e)
{
	auto_fd int fd =
		file_open(AT_FDCWD, x->a->tmp ? x->a->tmp : "/tmp", O_RDWR | O_TMPFILE, 0600, e);

	blob_digest(bytes, d->digest);
	d->size = bytes.n;
	x->out->sent_bytes += bytes.n;
	if (fd < 0 || file_write_all(fd, bytes.p, bytes.n, e) < 0)
		return -1;
	return registry_blob_push(x->into, d, fd, e);
}

// The family of the base: some clients refuse a mixture.
static const char *layer_media(const struct append *x)
{
	return strcmp(x->media, MEDIA_DOCKER_MANIFEST) == 0 ? MEDIA_DOCKER_LAYER
							    : MEDIA_OCI_LAYER "+gzip";
}

static int send_documents(struct append *x, const struct layer *layer, struct err *e)
{
	auto_free char *config = codec_json_text(x->config, CODEC_JSON_PLAIN), *manifest = NULL;
	json_t *slot = edit_object(x->manifest, "config");
	struct descriptor d = { .media = "" };

	tell(x, "send", "", strlen(config), 0);
	if (send_bytes(x, span_of(config), &d, e) < 0)
		return -1;
	json_object_set_new(slot, "digest", json_string(d.digest));
	json_object_set_new(slot, "size", json_integer((json_int_t)d.size));
	json_array_append_new(json_object_get(x->manifest, "layers"),
			      blob_descriptor_json(layer_media(x), &layer->blob));
	manifest = codec_json_text(x->manifest, CODEC_JSON_PLAIN);
	blob_digest(span_of(manifest), x->out->digest);
	tell(x, "manifest", x->out->digest, strlen(manifest), 0);
	x->out->sent_bytes += strlen(manifest);
	return registry_manifest_push(x->into, x->to.tag, x->media, span_of(manifest), e);
}

// ---- blobs ---------------------------------------------------------------------------------------------

static int copy_blob(struct append *x, const struct descriptor *d, struct err *e)
{
	auto_free char *folder = mem_printf("%s/oscar-XXXXXX", x->a->tmp ? x->a->tmp : "/tmp");
	auto_fd int dir = -1, fd = -1;
	int bad;

	if (!mkdtemp(folder))
		return err_sys(e, ERR_IO, errno, "%s", folder);
	dir = file_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0, e);
	bad = dir < 0 ? -1 : registry_blob(x->from, d, dir, e);
	if (!bad) {
		fd = blob_open(dir, d->digest, e);
		unlinkat(dir, d->digest + 7, 0);
		bad = fd < 0 ? -1 : registry_blob_push(x->into, d, fd, e);
	}
	rmdir(folder);
	x->out->copied++;
	x->out->copied_bytes += d->size;
	return bad;
}

static int carry_blob(struct append *x, size_t i, struct err *e)
{
	const struct descriptor *d = &x->man.list[i];
	bool there = false;

	if (d->elsewhere)
		return 0;
	if (x->one_registry) {
		tell(x, "mount", d->digest, d->size, i + 1);
		if (registry_blob_mount(x->into, d->digest, &there, e) < 0)
			return -1;
		x->out->mounted += there;
	} else if (registry_blob_have(x->into, d->digest, &there, e) < 0) {
		return -1;
	}
	if (there)
		return 0;
	tell(x, "copy", d->digest, d->size, i + 1);
	return copy_blob(x, d, e);
}

static int send_layer(struct append *x, const struct layer *layer, struct err *e)
{
	bool there;

	memcpy(x->out->layer, layer->blob.digest, sizeof(x->out->layer));
	if (registry_blob_have(x->into, layer->blob.digest, &there, e) < 0)
		return -1;
	if (there)
		return 0;
	tell(x, "send", layer->blob.digest, layer->blob.size, 0);
	x->out->sent_bytes += layer->blob.size;
	return registry_blob_push(x->into, &layer->blob, layer->fd, e);
}

static int append(struct append *x, struct err *e)
{
	auto_layer struct layer layer = { .fd = -1 };

	if (open_both(x, e) < 0)
		return -1;
	tell(x, "base", "", 0, 0);
	if (read_base(x, e) < 0)
		return err_wrap(e, "%.100s", x->a->base);
	tell(x, "layer", "", 0, 0);
	if (layer_make(x->a->files, x->a->count, x->a->tmp, &layer, e) < 0 ||
	    change_config(x, &layer, e) < 0)
		return -1;
	for (size_t i = 0; i < x->man.count && !x->one_repository; i++)
		if (carry_blob(x, i, e) < 0)
			return err_wrap(e, "layer %zu of %zu of the base", i + 1, x->man.count);
	if (send_layer(x, &layer, e) < 0 || send_documents(x, &layer, e) < 0)
		return err_wrap(e, "%.100s", x->a->to);
	tell(x, "done", x->out->digest, 0, 0);
	return 0;
}

int image_append(const struct image_append *a, struct image_appended *out, struct err *e)
{
	struct append x = { .a = a, .out = out };
	int bad;

	*out = (struct image_appended){ .digest = "" };
	bad = append(&x, e);
	if (x.from != x.into)
		registry_close(x.from);
	registry_close(x.into);
	json_decref(x.manifest);
	json_decref(x.config);
	arena_release(&x.mem);
	return bad;
}

int image_inject(const struct image_inject *i, struct image_append a, struct image_appended *out,
		 struct err *e)
{
	static const char *const entry[] = { "/oscar/bin/supervisor", NULL };
	struct layer_file files[] = {
		{ .to = "/oscar/bin/supervisor", .from = i->supervisor },
		{ .to = "/oscar/config/script.sh", .bytes = i->script },
		{ .to = "/oscar/config/function_config.yaml", .bytes = i->config },
	};

	a.files = files;
	a.count = ARRAY_LEN(files);
	a.created_by = a.created_by ? a.created_by : "oscar: supervisor and script";
	if (i->entry)
		a.entrypoint = entry;
	return image_append(&a, out, e);
}
