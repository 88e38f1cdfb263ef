// SPDX-License-Identifier: Apache-2.0
// conda: an environment that conda-pack made becomes one more layer of an image. Nothing of it is run on the way.
#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/json.h"
#include "image/archive_read.h"
#include "image/edit.h"
#include "image/packer.h"
#include "image/prefix.h"
#include "image/private.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
	UNPACK_MAX = 32 << 20, // bin/conda-unpack
	FIXED_MAX = 256 << 20, // a file with a prefix in it
	TAR_BLOCK = 10240,
};
#define UNPACK "bin/conda-unpack"

struct conda {
	struct image_work *w;
	const struct image_conda *c;
	struct arena mem;
	struct map records; // path -> struct prefix_record
	bool is_env;	    // it has what every environment has
	uint64_t size, entries;
	struct packer layer;
};

static int read_entry(struct archive *a, struct buf *out, struct err *e)
{
	const void *block;
	la_int64_t at;
	size_t n;
	int rc;

	while ((rc = archive_read_data_block(a, &block, &n, &at)) == ARCHIVE_OK) {
		if (at < 0 || (uint64_t)at < out->n || (uint64_t)at > out->max)
			return err_set(e, ERR_LIMIT, "a file with a prefix is too large");
		while (out->n < (size_t)at) // a hole
			if (!buf_add_char(out, '\0'))
				return err_set(e, ERR_LIMIT, "a file with a prefix is too large");
		if (!buf_add(out, block, n))
			return err_set(e, ERR_LIMIT, "a file with a prefix is over %zu bytes",
				       out->max);
	}
	return rc == ARCHIVE_EOF ? 0 : archive_fail(a, e);
}

static int take_records(struct conda *x, struct archive *a, struct err *e)
{
	struct prefix_record *list;
	auto_buf struct buf text;
	size_t n;

	buf_init(&text, UNPACK_MAX);
	if (read_entry(a, &text, e) < 0 ||
	    prefix_records(buf_span(&text), &x->mem, &list, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		map_put(&x->records, list[i].path, &list[i]);
	return 0;
}

// The list stands at the end of the archive, so it is read twice.
static int scan(struct conda *x, struct err *e)
{
	at_scope_exit(archive_drop) struct archive *a = archive_open(x->c->fd, e);
	struct archive_entry *entry;
	int rc = ARCHIVE_EOF;

	while (a &&
	       ((rc = archive_read_next_header(a, &entry)) == ARCHIVE_OK || rc == ARCHIVE_WARN)) {
		const char *name = archive_plain_name(entry);

		if (x->w->m->leaving)
			return err_set(e, ERR_CANCELLED, "the daemon is leaving");
		if (++x->entries > x->w->m->limits.entries_max)
			return err_set(e, ERR_LIMIT,
				       "the archive has over %llu entries (oscar serve "
				       "--max-image-files)",
				       (unsigned long long)x->w->m->limits.entries_max);
		x->is_env |= name && strncmp(name, "conda-meta/", 11) == 0;
		if (name && strcmp(name, UNPACK) == 0 && take_records(x, a, e) < 0)
			return -1;
	}
	if (!a)
		return -1;
	if (rc != ARCHIVE_EOF)
		return archive_fail(a, e);
	return x->is_env ? 0
			 : err_set(e, ERR_INVALID,
				   "not what conda-pack makes: there is no conda-meta in it");
}

// ---- the layer -----------------------------------------------------------------------------------------

static la_ssize_t keep(struct archive *a unused_arg, void *owner, const void *p, size_t n)
{
	struct conda *x = owner;

	return packer_write(&x->layer, span_make(p, n)) ? (la_ssize_t)n : -1;
}

static int write_fail(struct conda *x, struct archive *to, struct err *e)
{
	if (x->layer.err.code) {
		*e = x->layer.err;
		return -1;
	}
	return err_set(e, ERR_INVALID, "the archive cannot be made a layer: %s",
		       archive_error_string(to));
}

static int copy_data(struct conda *x, struct archive *from, struct archive *to, struct err *e)
{
	static const char zeros[4096];
	la_int64_t done = 0, at;
	const void *block;
	size_t n;
	int rc;

	while ((rc = archive_read_data_block(from, &block, &n, &at)) == ARCHIVE_OK) {
		for (; done < at; done += (la_int64_t)sizeof(zeros) < at - done
						  ? (la_int64_t)sizeof(zeros)
						  : at - done)
			if (archive_write_data(to, zeros,
					       (la_int64_t)sizeof(zeros) < at - done
						       ? sizeof(zeros)
						       : (size_t)(at - done)) < 0)
				return write_fail(x, to, e);
		if (archive_write_data(to, block, n) < 0)
			return write_fail(x, to, e);
		done = at + (la_int64_t)n;
	}
	return rc == ARCHIVE_EOF ? 0 : archive_fail(from, e);
}

// With the prefix in the place of what stood for it: only now the size is known.
static int write_fixed(struct conda *x, const struct prefix_record *r, struct archive *from,
		       struct archive *to, struct archive_entry *entry, struct err *e)
{
	auto_buf struct buf was, now;

	buf_init(&was, FIXED_MAX);
	buf_init(&now, FIXED_MAX);
	if (read_entry(from, &was, e) < 0 ||
	    prefix_fix(r, buf_span(&was), span_of(x->c->prefix), &now, e) < 0)
		return -1;
	archive_entry_set_size(entry, (la_int64_t)now.n);
	if (archive_write_header(to, entry) != ARCHIVE_OK ||
	    (now.n && archive_write_data(to, now.p, now.n) < 0))
		return write_fail(x, to, e);
	return 0;
}

// Everything goes below the prefix and is root's. Names that climb out fail when the layer is unpacked.
static void move_entry(struct conda *x, struct archive_entry *entry, const char *name)
{
	const char *below = x->c->prefix + 1, *link = archive_entry_hardlink(entry);
	auto_free char *path = mem_printf("%s/%s", below, name);

	if (link) {
		auto_free char *target = mem_printf("%s/%s", below, link);

		archive_entry_set_hardlink(entry, target);
	}
	archive_entry_set_pathname(entry, path);
	archive_entry_set_uid(entry, 0);
	archive_entry_set_gid(entry, 0);
	archive_entry_set_uname(entry, NULL);
	archive_entry_set_gname(entry, NULL);
}

static int copy_entry(struct conda *x, struct archive *from, struct archive *to,
		      struct archive_entry *entry, struct err *e)
{
	const char *name = archive_plain_name(entry);
	const struct prefix_record *r = NULL;
	bool file = archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry);

	if (!name || !*name || strncmp(name, UNPACK, strlen(UNPACK)) == 0)
		return 0;
	if (file)
		r = map_get(&x->records, span_of(name));
	move_entry(x, entry, name);
	if (r)
		return write_fixed(x, r, from, to, entry, e);
	if (archive_write_header(to, entry) != ARCHIVE_OK)
		return write_fail(x, to, e);
	return file ? copy_data(x, from, to, e) : 0;
}

static int copy_all(struct conda *x, struct archive *from, struct archive *to, struct err *e)
{
	struct archive_entry *entry;
	int rc;

	archive_write_set_format_pax_restricted(to);
	archive_write_set_bytes_per_block(to, TAR_BLOCK);
	if (archive_write_open(to, x, NULL, keep, NULL) != ARCHIVE_OK)
		return write_fail(x, to, e);
	while ((rc = archive_read_next_header(from, &entry)) == ARCHIVE_OK || rc == ARCHIVE_WARN)
		if (copy_entry(x, from, to, entry, e) < 0)
			return -1;
	if (rc != ARCHIVE_EOF)
		return archive_fail(from, e);
	return archive_write_close(to) == ARCHIVE_OK ? 0 : write_fail(x, to, e);
}

static int make_layer(struct conda *x, struct descriptor *out,
		      char diff_id[static REFERENCE_DIGEST_MAX], struct err *e)
{
	at_scope_exit(archive_drop) struct archive *from = archive_open(x->c->fd, e);
	struct archive *to;
	int bad;

	if (!from || packer_begin(&x->layer, x->w->m->blobs, x->w->m->limits.size_max, e) < 0)
		return -1;
	to = archive_write_new();
	bad = copy_all(x, from, to, e);
	if (bad)
		archive_write_fail(to); // else it would write its end
	archive_write_free(to);
	if (bad)
		return -1;
	return packer_finish(&x->layer, out, diff_id, e);
}

// ---- the image -----------------------------------------------------------------------------------------

// PATH begins with the environment's programs; the rest is as the base has it.
static void set_env(struct conda *x, json_t *config)
{
	static const char usual[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	json_t *old = json_object_get(config, "Env"), *env = json_array(), *v;
	const char *path = usual;
	size_t i;

	json_array_foreach(old, i, v)
	{
		const char *text = json_string_value(v);

		if (text && strncmp(text, "PATH=", 5) == 0)
			path = arena_strdup(&x->mem, text + 5);
		else if (text && strncmp(text, "CONDA_", 6) != 0)
			json_array_append(env, v);
	}
	json_array_append_new(
		env, json_string(arena_printf(&x->mem, "PATH=%s/bin:%s", x->c->prefix, path)));
	json_array_append_new(env,
			      json_string(arena_printf(&x->mem, "CONDA_PREFIX=%s", x->c->prefix)));
	json_array_append_new(env, json_string(arena_printf(&x->mem, "CONDA_DEFAULT_ENV=%s",
							    strrchr(x->c->prefix, '/') + 1)));
	json_object_set_new(config, "Env", env);
}

static int read_json(const struct buf *text, json_t **out, struct err *e)
{
	if (codec_json_parse(buf_span(text), MANIFEST_BYTES_MAX, out, e) < 0)
		return -1;
	return json_is_object(*out) ? 0 : err_set(e, ERR_INVALID, "no object");
}

static const char *layer_media(const char *media)
{
	if (strncmp(media, "application/vnd.oci.", 20) == 0)
		return media;
	return strstr(media, "gzip") ? MEDIA_OCI_LAYER "+gzip" : MEDIA_OCI_LAYER;
}

static json_t *layers_of(const struct manifest *m, const struct descriptor *last)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->count; i++)
		json_array_append_new(list, blob_descriptor_json(layer_media(m->list[i].media),
								 &m->list[i]));
	json_array_append_new(list, blob_descriptor_json(MEDIA_OCI_LAYER "+gzip", last));
	return list;
}

// The base's documents with one more layer.
static int put_image(struct conda *x, const struct buf *base, const struct descriptor *layer,
		     const char *diff_id, struct image *out, struct err *e)
{
	auto_json json_t *config = NULL;
	auto_free char *text = NULL;
	struct descriptor d = { .media = "" };
	struct manifest m;
	auto_buf struct buf old;

	buf_init(&old, MANIFEST_BYTES_MAX);
	if (manifest_parse(buf_span(base), &x->mem, &m, e) < 0 ||
	    blob_read(x->w->m->blobs, m.config.digest, &old, e) < 0 ||
	    read_json(&old, &config, e) < 0 ||
	    edit_add_layer(config, m.count, diff_id, "oscar image import --conda", e) < 0)
		return err_wrap(e, "the base image");
	set_env(x, edit_object(config, "config"));
	text = codec_json_text(config, CODEC_JSON_PLAIN);
	d.size = strlen(text);
	if (blob_put(x->w->m->blobs, span_of(text), d.digest, e) < 0)
		return -1;
	return assemble_new(x->w, &d, layers_of(&m, layer), out, e);
}

static int read_base(struct images *m, const char *name, struct buf *out, struct err *e)
{
	char id[IMAGE_ID_MAX];
	auto_free char *path = NULL;
	struct err why = { 0 };

	if (image_resolve(m, name, NULL, id, sizeof(id), e) < 0)
		return err_wrap(e, "base");
	path = mem_printf("%s/manifest.json", id);
	if (file_read_path(m->dir, path, out, &why) < 0)
		return err_set(e, ERR_INVALID,
			       "base: %.100s has no layers to add one to: it is no container image",
			       name);
	return 0;
}

static bool prefix_ok(const char *p)
{
	size_t n = p ? strlen(p) : 0;

	if (n < 2 || n > PREFIX_NAME_MAX || p[0] != '/' || p[n - 1] == '/' || strstr(p, "//"))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-",
			    p[i]))
			return false;
	return true;
}

static int take(struct conda *x, const struct buf *base, struct image *out, struct err *e)
{
	struct descriptor layer = { .media = "" };
	char diff_id[REFERENCE_DIGEST_MAX];

	return scan(x, e) < 0 || make_layer(x, &layer, diff_id, e) < 0 ||
			       put_image(x, base, &layer, diff_id, out, e) < 0
		       ? -1
		       : work_publish(x->w, out, e);
}

int image_import_conda(struct images *m, const struct image_conda *c, struct image *out,
		       struct err *e)
{
	struct image_work w;
	struct conda x = { .w = &w, .c = c, .layer = PACKER_NONE };
	auto_buf struct buf base;
	int bad;

	*out = (struct image){ .owner = c->owner, .created_ns = clock_wall_ns() };
	snprintf(out->name, sizeof(out->name), "%s", c->name);
	buf_init(&base, MANIFEST_BYTES_MAX);
	if (!prefix_ok(c->prefix))
		return err_set(
			e, ERR_INVALID,
			"the environment's folder is an absolute path of at most %d letters, "
			"digits, / _ and -",
			PREFIX_NAME_MAX);
	if (read_base(m, c->base, &base, e) < 0 || work_begin(m, &w, e) < 0)
		return -1;
	bad = take(&x, &base, out, e);
	packer_drop(&x.layer);
	map_release(&x.records);
	arena_release(&x.mem);
	return work_end(&w, bad, e) < 0 ? err_wrap(e, "image %s", c->name) : 0;
}
