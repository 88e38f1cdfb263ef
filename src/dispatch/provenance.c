// SPDX-License-Identifier: Apache-2.0
// provenance: what an output says of its making, as metadata that S3 clients see (docs/user/services.md has the names).
#include "base/buf.h"
#include "codec/url.h"
#include "dispatch/job.h"
#include "fdl/fdl.h"
#include "image/image.h"
#include "store/store.h"

enum { INPUT_MAX = 1024 }; // encoded; the version alone says which it was

static void add_text(struct buf *b, const char *name, const char *value)
{
	if (*value)
		store_meta_add(b, span_of(name), span_of(value));
}

static void add_number(struct buf *b, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	add_text(b, name, text);
}

// "bucket/key", percent-encoded, and which version of it.
static void add_input(struct buf *b, const struct job *j)
{
	char version[STORE_VERSION_TEXT];
	struct span name;

	if (!j->row.version)
		return;
	for (size_t i = 0; i < j->def->fdl->input_count; i++) {
		const struct fdl_io *io = &j->def->fdl->inputs[i];
		auto_buf struct buf path;

		if (!fdl_io_takes(io, span_of(io->bucket), j->row.key, &name))
			continue;
		buf_init(&path, INPUT_MAX);
		buf_printf(&path, "%s/", io->bucket);
		url_encode(&path, j->row.key, "/");
		if (!path.over)
			store_meta_add(b, SPAN(DISPATCH_META "input"), buf_span(&path));
		break;
	}
	add_text(b, DISPATCH_META "input-version",
		 store_version_text(j->row.version, false, version));
}

void provenance_add(struct dispatch *d, const struct job *j, struct buf *b)
{
	struct err none = { 0 };
	char digest[80] = "";

	if (d->o.images && image_digest(d->o.images, j->def->image_id, digest, &none) < 0)
		digest[0] = '\0';
	add_number(b, DISPATCH_META "run", j->row.run);
	add_text(b, DISPATCH_META "job", j->row.name);
	add_text(b, DISPATCH_META "service", j->def->fdl->name);
	add_number(b, DISPATCH_META "revision", j->row.revision);
	add_text(b, DISPATCH_META "image", digest[0] ? digest : j->def->image_id);
	add_text(b, DISPATCH_META "script-sha256", j->def->script_hash);
	add_input(b, j);
}
