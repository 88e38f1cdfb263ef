// SPDX-License-Identifier: Apache-2.0
// archive: what people have in a file: a root file system, an OCI image layout, the output of `docker save`. Of the
// two latter every file goes to the blob store under its digest; what no image names afterwards is swept.
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/json.h"
#include "image/archive_read.h"
#include "image/blob.h"
#include "image/private.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { CHUNK = 256 << 10, FILES_MAX = 10000, SCAN_MAX = 100000, LINKS_MAX = 8 };

// A file of the archive: its blob, or for a link the name of another.
struct member {
	struct descriptor blob;
	const char *link;
};

struct members {
	struct image_work *w;
	struct arena mem;
	struct map files; // name -> struct member
	uint64_t size;
	size_t count;
};

void archive_drop(struct archive **a)
{
	archive_read_free(*a);
}

int archive_fail(struct archive *a, struct err *e)
{
	const char *text = archive_error_string(a);

	return err_set(e, ERR_INVALID, "the archive cannot be read: %s",
		       text ? text : "unknown form");
}

static struct archive *open_as(int fd, int (*format)(struct archive *), struct err *e)
{
	struct archive *a = archive_read_new();

	archive_read_support_filter_gzip(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_bzip2(a);
	format(a);
	if (lseek(fd, 0, SEEK_SET) < 0)
		err_sys(e, ERR_IO, errno, "archive");
	else if (archive_read_open_fd(a, fd, CHUNK) != ARCHIVE_OK)
		archive_fail(a, e);
	else
		return a;
	archive_read_free(a);
	return NULL;
}

struct archive *archive_open(int fd, struct err *e)
{
	return open_as(fd, archive_read_support_format_tar, e);
}

struct archive *archive_open_raw(int fd, struct err *e)
{
	struct archive *a = open_as(fd, archive_read_support_format_raw, e);
	struct archive_entry *entry;

	if (!a || archive_read_next_header(a, &entry) == ARCHIVE_OK)
		return a;
	archive_fail(a, e);
	archive_read_free(a);
	return NULL;
}

const char *archive_plain_name(struct archive_entry *entry)
{
	const char *name = archive_entry_pathname(entry);

	while (name && (name[0] == '/' || (name[0] == '.' && name[1] == '/')))
		name += name[0] == '/' ? 1 : 2;
	return name;
}

// ---- which form ----------------------------------------------------------------------------------------

static bool is_root_folder(const char *name)
{
	static const char *const folders[] = { "bin",  "boot",	"dev",	 "etc",	 "home",
					       "lib",  "lib64", "media", "mnt",	 "opt",
					       "proc", "root",	"run",	 "sbin", "srv",
					       "sys",  "tmp",	"usr",	 "var" };
	struct span rest = span_of(name), first = span_cut(&rest, '/');

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (span_is(first, folders[i]))
			return true;
	return false;
}

// 1 = an image's archive, 0 = a root file system. The first telling name decides, so that a root file system is
// read once only.
static int is_image(int fd, struct err *e)
{
	at_scope_exit(archive_drop) struct archive *a = archive_open(fd, e);
	struct archive_entry *entry;
	int rc = ARCHIVE_EOF;

	if (!a)
		return -1;
	for (unsigned i = 0; i < SCAN_MAX; i++) {
		const char *name;

		rc = archive_read_next_header(a, &entry);
		if (rc == ARCHIVE_EOF && !i)
			return err_set(e, ERR_INVALID, "the archive is empty");
		if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
			break;
		name = archive_plain_name(entry);
		if (!name || is_root_folder(name))
			return 0;
		if (archive_entry_filetype(entry) == AE_IFREG &&
		    (strcmp(name, "oci-layout") == 0 || strcmp(name, "index.json") == 0 ||
		     strcmp(name, "manifest.json") == 0))
			return 1;
	}
	return rc == ARCHIVE_FATAL ? archive_fail(a, e) : 0;
}

// ---- into the blob store -------------------------------------------------------------------------------

int archive_too_large(const struct image_work *w, struct err *e)
{
	return err_set(e, ERR_LIMIT,
		       "the archive is over %llu bytes (oscar serve --max-image-size)",
		       (unsigned long long)w->m->limits.size_max);
}

static int store_data(struct members *s, struct archive *a, struct blob_writer *b, struct err *e)
{
	static const char zeros[4096];
	const void *block;
	la_int64_t at;
	size_t n;
	int rc;

	while ((rc = archive_read_data_block(a, &block, &n, &at)) == ARCHIVE_OK) {
		s->size += n;
		if (s->w->m->leaving)
			return err_set(e, ERR_CANCELLED, "the daemon is leaving");
		// Sparse files: what is left out counts as well.
		while (b->size < (uint64_t)at)
			if (!blob_write(b, span_make(zeros, (uint64_t)at - b->size < sizeof(zeros)
								    ? (uint64_t)at - b->size
								    : sizeof(zeros))))
				goto full;
		if (!blob_write(b, span_make(block, n)))
			goto full;
	}
	return rc == ARCHIVE_EOF ? 0 : archive_fail(a, e);
full:
	if (b->err.code == ERR_PROTOCOL) // the bound is ours, nothing was announced
		return archive_too_large(s->w, e);
	*e = b->err;
	return -1;
}

static int store_file(struct members *s, struct archive *a, const char *name, struct err *e)
{
	uint64_t max = s->w->m->limits.size_max;
	struct member *m = arena_alloc(&s->mem, sizeof(*m));
	auto_blob struct blob_writer b = { .fd = -1 };

	if (s->size > max)
		return archive_too_large(s->w, e);
	if (blob_begin(&b, s->w->m->blobs, max - s->size, e) < 0 || store_data(s, a, &b, e) < 0 ||
	    blob_finish(&b, NULL, m->blob.digest, e) < 0)
		return err_wrap(e, "%.80s", name);
	m->blob.size = b.size;
	if (strncmp(name, "blobs/sha256/", 13) == 0 && strcmp(name + 13, m->blob.digest + 7) != 0)
		return err_set(e, ERR_PROTOCOL, "%.40s…: its bytes have another digest", name);
	map_put(&s->files, span_of(name), m);
	return 0;
}

// The name that a symbolic link in the archive leads to, as `docker save` makes them ("../ID/layer.tar").
static const char *link_target(struct arena *mem, const char *name, const char *to)
{
	const char *slash = strrchr(name, '/');
	size_t n = slash ? (size_t)(slash - name) : 0;

	while (strncmp(to, "../", 3) == 0) {
		while (n > 0 && name[n - 1] != '/')
			n--;
		n -= n > 0;
		to += 3;
	}
	return n ? arena_printf(mem, "%.*s/%s", (int)n, name, to) : arena_strdup(mem, to);
}

static int store_entry(struct members *s, struct archive *a, struct archive_entry *entry,
		       struct err *e)
{
	const char *name = archive_plain_name(entry), *to = archive_entry_hardlink(entry);
	struct member *m;

	if (!name || !*name)
		return 0;
	if (++s->count > FILES_MAX)
		return err_set(e, ERR_LIMIT, "the archive holds over %d files", FILES_MAX);
	if (to && to[0] == '.' && to[1] == '/')
		to += 2;
	if (!to && archive_entry_filetype(entry) == AE_IFREG)
		return store_file(s, a, name, e);
	if (!to && archive_entry_filetype(entry) == AE_IFLNK && archive_entry_symlink(entry))
		to = link_target(&s->mem, name, archive_entry_symlink(entry));
	if (!to)
		return 0;
	m = arena_alloc(&s->mem, sizeof(*m));
	m->link = arena_strdup(&s->mem, to);
	map_put(&s->files, span_of(name), m);
	return 0;
}

static int store_all(struct members *s, int fd, struct err *e)
{
	at_scope_exit(archive_drop) struct archive *a = archive_open(fd, e);
	struct archive_entry *entry;
	int rc;

	if (!a)
		return -1;
	while ((rc = archive_read_next_header(a, &entry)) == ARCHIVE_OK || rc == ARCHIVE_WARN)
		if (store_entry(s, a, entry, e) < 0)
			return -1;
	return rc == ARCHIVE_EOF ? 0 : archive_fail(a, e);
}

static const struct member *find(const struct members *s, const char *name)
{
	const struct member *m = map_get(&s->files, span_of(name));

	for (int i = 0; m && m->link && i < LINKS_MAX; i++)
		m = map_get(&s->files, span_of(m->link));
	return m && !m->link ? m : NULL;
}

// ---- layout --------------------------------------------------------------------------------------------

static int take_manifest(struct image_work *w, struct span text, const struct manifest *m,
			 struct image *out, struct err *e)
{
	if (!blob_have(w->m->blobs, &m->config))
		return err_set(e, ERR_INVALID, "the archive lacks the image's configuration");
	for (size_t i = 0; i < m->count; i++)
		if (!blob_have(w->m->blobs, &m->list[i]))
			return err_set(e, ERR_INVALID,
				       "the archive lacks layer %zu of %zu (%.19s…)", i + 1,
				       m->count, m->list[i].digest);
	return assemble(w, text, out, e);
}

// From index.json down to the manifest for this machine, by an index within the index where there is one.
static int take_layout(struct members *s, const struct member *index, struct image *out,
		       struct err *e)
{
	auto_arena struct arena mem = { 0 };
	char digest[REFERENCE_DIGEST_MAX];

	memcpy(digest, index->blob.digest, sizeof(digest));
	for (unsigned depth = 0; depth <= NESTED_MAX; depth++) {
		const struct descriptor *child;
		struct manifest m;
		auto_buf struct buf text;

		buf_init(&text, MANIFEST_BYTES_MAX);
		if (blob_read(s->w->m->blobs, digest, &text, e) < 0 ||
		    manifest_parse(buf_span(&text), &mem, &m, e) < 0)
			return err_wrap(e, depth ? "the archive's manifest" : "index.json");
		if (!m.is_index)
			return take_manifest(s->w, buf_span(&text), &m, out, e);
		if (manifest_select(&m, depth ? NULL : out->name, &child, e) < 0)
			return -1;
		if (!blob_have(s->w->m->blobs, child))
			return err_set(e, ERR_INVALID, "the archive lacks the manifest %.19s…",
				       child->digest);
		memcpy(digest, child->digest, sizeof(digest));
	}
	return err_set(e, ERR_INVALID, "an index within an index, too often");
}

// ---- docker save ---------------------------------------------------------------------------------------

// The configuration names the layers by the digest of their tar; such archives hold them uncompressed as a rule.
static int check_layers(struct members *s, const struct saved_image *saved,
			const struct descriptor *config, json_t *layers, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_json json_t *tree = NULL;
	struct image_config c;
	auto_buf struct buf text;

	buf_init(&text, MANIFEST_BYTES_MAX);
	if (blob_read(s->w->m->blobs, config->digest, &text, e) < 0 ||
	    codec_json_parse(buf_span(&text), MANIFEST_BYTES_MAX, &tree, e) < 0 ||
	    manifest_config(tree, &mem, &c, e) < 0)
		return -1;
	if (c.diff_count != saved->layer_count)
		return err_set(e, ERR_INVALID, "%zu layers, but its configuration tells of %zu",
			       saved->layer_count, c.diff_count);
	for (size_t i = 0; i < saved->layer_count; i++) {
		const struct member *m = find(s, saved->layers[i]);
		auto_fd int fd = -1;
		unsigned char magic[4] = { 0 };

		if (!m)
			return err_set(e, ERR_INVALID, "the archive lacks layer %zu of %zu", i + 1,
				       saved->layer_count);
		fd = blob_open(s->w->m->blobs, m->blob.digest, e);
		if (fd < 0 || file_read_full(fd, magic, sizeof(magic), e) < 0)
			return -1;
		bool packed = (magic[0] == 0x1f && magic[1] == 0x8b) ||
			      memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0;

		if (!packed && strcmp(m->blob.digest, c.diff_ids[i]) != 0)
			return err_set(e, ERR_PROTOCOL,
				       "layer %zu of %zu has another digest than its configuration "
				       "says",
				       i + 1, saved->layer_count);
		json_array_append_new(layers, blob_descriptor_json(packed ? MEDIA_OCI_LAYER "+gzip"
									  : MEDIA_OCI_LAYER,
								   &m->blob));
	}
	return 0;
}

// Such an archive has no manifest in our sense: one is made of it, the same each time.
static int take_saved(struct members *s, const struct member *list, struct image *out,
		      struct err *e)
{
	const struct member *config;
	auto_json json_t *layers = json_array();
	auto_arena struct arena mem = { 0 };
	struct saved_image saved;
	auto_buf struct buf text;

	buf_init(&text, MANIFEST_BYTES_MAX);
	if (blob_read(s->w->m->blobs, list->blob.digest, &text, e) < 0 ||
	    manifest_saved(buf_span(&text), out->name, &mem, &saved, e) < 0)
		return -1;
	config = find(s, saved.config);
	if (!config)
		return err_set(e, ERR_INVALID, "the archive lacks the image's configuration");
	if (check_layers(s, &saved, &config->blob, layers, e) < 0)
		return -1;
	return assemble_new(s->w, &config->blob, json_incref(layers), out, e);
}

static int take_image(struct image_work *w, int fd, struct image *out, struct err *e)
{
	struct members s = { .w = w };
	int bad = store_all(&s, fd, e);
	const struct member *index = find(&s, "index.json"), *list = find(&s, "manifest.json");

	if (!bad && index)
		bad = take_layout(&s, index, out, e);
	else if (!bad && list)
		bad = take_saved(&s, list, out, e);
	else if (!bad)
		bad = err_set(e, ERR_INVALID,
			      "an image archive without index.json and manifest.json");
	map_release(&s.files);
	arena_release(&s.mem);
	return bad;
}

int archive_take(struct image_work *w, int fd, struct image *out, struct err *e)
{
	int image = is_image(fd, e);

	if (image < 0)
		return -1;
	return image ? take_image(w, fd, out, e) : rootfs_take(w, fd, out, e);
}
