// SPDX-License-Identifier: Apache-2.0
// rootfs: a tar of a root file system becomes an image of one layer, so that it is kept, shared, counted and pushed as all
// others are. The layer is the tar itself, without its compression; its documents are the same each time.
#include "base/mem.h"
#include "codec/json.h"
#include "image/archive_read.h"
#include "image/blob.h"
#include "image/private.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <unistd.h>

enum { CHUNK = 256 << 10 };

// The bytes of the archive as they are below its compression.
static struct archive *open_raw(int fd, struct err *e)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;

	archive_read_support_filter_gzip(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_format_raw(a);
	if (lseek(fd, 0, SEEK_SET) < 0)
		err_sys(e, ERR_IO, errno, "archive");
	else if (archive_read_open_fd(a, fd, CHUNK) != ARCHIVE_OK ||
		 archive_read_next_header(a, &entry) != ARCHIVE_OK)
		archive_fail(a, e);
	else
		return a;
	archive_read_free(a);
	return NULL;
}

static int copy(struct image_work *w, struct archive *a, struct blob_writer *b, struct err *e)
{
	const void *block;
	la_int64_t at;
	size_t n;
	int rc;

	while ((rc = archive_read_data_block(a, &block, &n, &at)) == ARCHIVE_OK) {
		if (w->m->leaving)
			return err_set(e, ERR_CANCELLED, "the daemon is leaving");
		if (blob_write(b, span_make(block, n)))
			continue;
		if (b->err.code == ERR_PROTOCOL) // the bound is ours, nothing was announced
			return archive_too_large(w, e);
		*e = b->err;
		return -1;
	}
	return rc == ARCHIVE_EOF ? 0 : archive_fail(a, e);
}

static int store_layer(struct image_work *w, int fd, struct descriptor *out, struct err *e)
{
	at_scope_exit(archive_drop) struct archive *a = open_raw(fd, e);
	auto_blob struct blob_writer b = { .fd = -1 };

	if (!a || blob_begin(&b, w->m->blobs, w->m->limits.size_max, e) < 0 ||
	    copy(w, a, &b, e) < 0 || blob_finish(&b, NULL, out->digest, e) < 0)
		return -1;
	out->size = b.size;
	return 0;
}

static int store_config(struct image_work *w, const struct descriptor *layer,
			struct descriptor *out, struct err *e)
{
	auto_json json_t *v =
		json_pack("{s:s,s:s,s:{},s:{s:s,s:[s]},s:[{s:s}]}", "architecture",
			  manifest_machine, "os", "linux", "config", "rootfs", "type", "layers",
			  "diff_ids", layer->digest, "history", "created_by", "oscar image import");
	auto_free char *text = codec_json_text(v, CODEC_JSON_PLAIN);

	out->size = strlen(text);
	return blob_put(w->m->blobs, span_of(text), out->digest, e);
}

int rootfs_take(struct image_work *w, int fd, struct image *out, struct err *e)
{
	struct descriptor layer = { .media = "" }, config = { .media = "" };

	return store_layer(w, fd, &layer, e) < 0 || store_config(w, &layer, &config, e) < 0
		       ? -1
		       : assemble_new(w, &config,
				      json_pack("[o]",
						blob_descriptor_json(MEDIA_OCI_LAYER, &layer)),
				      out, e);
}
