// SPDX-License-Identifier: Apache-2.0
// rootfs: a tar of a root file system becomes an image of one layer, so that it is kept, shared, counted and pushed as all
// others are. The layer is the tar itself, packed anew; its documents are the same each time.
#include "base/mem.h"
#include "codec/json.h"
#include "image/archive_read.h"
#include "image/packer.h"
#include "image/private.h"

#include <archive.h>

static int copy(struct image_work *w, struct archive *a, struct packer *p, struct err *e)
{
	const void *block;
	la_int64_t at;
	size_t n;
	int rc;

	while ((rc = archive_read_data_block(a, &block, &n, &at)) == ARCHIVE_OK) {
		if (w->m->leaving)
			return err_set(e, ERR_CANCELLED, "the daemon is leaving");
		if (packer_write(p, span_make(block, n)))
			continue;
		if (p->err.code == ERR_LIMIT)
			return archive_too_large(w, e);
		*e = p->err;
		return -1;
	}
	return rc == ARCHIVE_EOF ? 0 : archive_fail(a, e);
}

static int store_layer(struct image_work *w, int fd, struct descriptor *out,
		       char diff_id[static REFERENCE_DIGEST_MAX], struct err *e)
{
	at_scope_exit(archive_drop) struct archive *a = archive_open_raw(fd, e);
	auto_packer struct packer p = PACKER_NONE;

	return !a || packer_begin(&p, w->m->blobs, w->m->limits.size_max, e) < 0 ||
			       copy(w, a, &p, e) < 0 || packer_finish(&p, out, diff_id, e) < 0
		       ? -1
		       : 0;
}

static int store_config(struct image_work *w, const char *diff_id, struct descriptor *out,
			struct err *e)
{
	auto_json json_t *v =
		json_pack("{s:s,s:s,s:{},s:{s:s,s:[s]},s:[{s:s}]}", "architecture",
			  manifest_machine, "os", "linux", "config", "rootfs", "type", "layers",
			  "diff_ids", diff_id, "history", "created_by", "oscar image import");
	auto_free char *text = codec_json_text(v, CODEC_JSON_PLAIN);

	out->size = strlen(text);
	return blob_put(w->m->blobs, span_of(text), out->digest, e);
}

int rootfs_take(struct image_work *w, int fd, struct image *out, struct err *e)
{
	struct descriptor layer = { .media = "" }, config = { .media = "" };
	char diff_id[REFERENCE_DIGEST_MAX];

	return store_layer(w, fd, &layer, diff_id, e) < 0 ||
			       store_config(w, diff_id, &config, e) < 0
		       ? -1
		       : assemble_new(w, &config,
				      json_pack("[o]", blob_descriptor_json(MEDIA_OCI_LAYER "+gzip",
									    &layer)),
				      out, e);
}
