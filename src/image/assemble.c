// SPDX-License-Identifier: Apache-2.0
// assemble: from a manifest and its blobs to a root file system.
#include "base/file.h"
#include "base/mem.h"
#include "codec/json.h"
#include "image/blob.h"
#include "image/private.h"
#include "image/progress.h"
#include "image/settle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int assemble_root(struct images *m, const struct manifest *man, int root, struct progress *p,
		  uint64_t *size, struct err *e)
{
	struct unpack_total total = { 0 };

	for (size_t i = 0; i < man->count; i++) {
		const char *want = man->list[i].digest;
		auto_fd int fd = blob_open(m->blobs, want, e);
		char digest[65];

		if (p)
			progress_step(p, "unpack", i + 1, man->count, 0);
		if (fd < 0 || unpack_layer(fd, root, i == 0, &m->limits, &total, digest, e) < 0)
			return err_wrap(e, "layer %zu of %zu", i + 1, man->count);
		if (strcmp(digest, want + 7) != 0)
			return err_set(e, ERR_CORRUPT, "layer %zu of %zu changed on disk", i + 1,
				       man->count);
	}
	*size = total.size;
	return unpack_mount_points(root, e);
}

static json_t *strings(const char **list, size_t n)
{
	json_t *v = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(v, json_string(list[i]));
	return v;
}

// What we keep of the configuration, in a form of our own: jobs read it, the catalogue shows it.
static const char *config_text(const struct image_config *c, uint64_t size, struct arena *mem)
{
	auto_json json_t *v =
		json_pack("{s:I,s:o,s:s,s:s,s:O?,s:O?}", "size", (json_int_t)size, "env",
			  strings(c->env, c->env_count), "workdir", c->workdir, "user", c->user,
			  "cmd", c->cmd, "entrypoint", c->entrypoint);
	auto_free char *text = v ? codec_json_text(v, CODEC_JSON_PLAIN) : NULL;

	return text && strlen(text) < IMAGE_CONFIG_MAX ? arena_strdup(mem, text) : NULL;
}

static int read_config(struct images *m, const struct manifest *man, struct arena *mem,
		       json_t **tree, struct image_config *out, struct err *e)
{
	auto_buf struct buf text;

	buf_init(&text, MANIFEST_BYTES_MAX);
	if (blob_read(m->blobs, man->config.digest, &text, e) < 0 ||
	    codec_json_parse(buf_span(&text), MANIFEST_BYTES_MAX, tree, e) < 0)
		return err_wrap(e, "the image's configuration");
	return manifest_config(*tree, mem, out, e);
}

int assemble_check(struct images *m, const struct manifest *man, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_json json_t *tree = NULL;
	struct image_config c;

	return read_config(m, man, &mem, &tree, &c, e);
}

// The image was unpacked before, perhaps under another name: then only the name is new.
static int look_up(struct image_work *w, struct image *out, struct err *e)
{
	auto_free char *path = mem_printf("%s/config.json", out->id);
	struct err missing = { 0 };
	auto_json json_t *v = NULL;
	auto_buf struct buf text;

	buf_init(&text, IMAGE_CONFIG_MAX);
	if (file_read_path(w->m->dir, path, &text, &missing) < 0)
		return 0;
	if (codec_json_parse(buf_span(&text), IMAGE_CONFIG_MAX, &v, e) < 0)
		return err_wrap(e, "images/%s", path);
	out->size = (uint64_t)json_integer_value(json_object_get(v, "size"));
	out->config = arena_strndup(&out->mem, text.p, text.n);
	w->known = true;
	return 0;
}

static int unpack(struct image_work *w, struct span manifest, const struct manifest *m,
		  const struct image_config *c, struct image *out, struct err *e)
{
	auto_fd int root = file_open(w->dir, "rootfs", O_RDONLY | O_DIRECTORY, 0, e);

	if (root < 0 || assemble_root(w->m, m, root, w->progress, &out->size, e) < 0)
		return -1;
	out->config = config_text(c, out->size, &out->mem);
	if (!out->config)
		return err_set(e, ERR_INVALID, "the image's configuration cannot be kept");
	if (work_digest(w, out, e) < 0 ||
	    file_replace(w->dir, "manifest.json", 0600, manifest.p, manifest.n, e) < 0 ||
	    file_replace(w->dir, "config.json", 0600, out->config, strlen(out->config), e) < 0)
		return -1;
	return settle_mark(w->dir, e);
}

int assemble(struct image_work *w, struct span manifest, struct image *out, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_json json_t *tree = NULL;
	struct image_config c;
	struct manifest m, *kept = arena_alloc(&out->mem, sizeof(*kept));

	if (blob_put(w->m->blobs, manifest, out->digest, e) < 0)
		return -1;
	snprintf(out->id, sizeof(out->id), "%.*s", IMAGE_ID_DIGITS, out->digest + 7);
	if (manifest_parse(manifest, &out->mem, &m, e) < 0)
		return -1;
	check(!m.is_index);
	*kept = m;
	w->manifest = kept;
	w->manifest_size = manifest.n;
	out->layers = (unsigned)m.count;
	if (read_config(w->m, &m, &mem, &tree, &c, e) < 0 || look_up(w, out, e) < 0)
		return -1;
	return w->known ? 0 : unpack(w, manifest, &m, &c, out, e);
}

int assemble_new(struct image_work *w, const struct descriptor *config, json_t *layers,
		 struct image *out, struct err *e)
{
	auto_json json_t *v =
		json_pack("{s:i,s:s,s:o,s:o}", "schemaVersion", 2, "mediaType", MEDIA_OCI_MANIFEST,
			  "config", blob_descriptor_json(MEDIA_OCI_CONFIG, config), "layers",
			  layers);
	auto_free char *manifest = codec_json_text(v, CODEC_JSON_PLAIN);

	return assemble(w, span_of(manifest), out, e);
}
