// SPDX-License-Identifier: Apache-2.0
// provenance: what an output says of its making, as metadata that S3 clients see (docs/user/services.md has the names).
#include "base/buf.h"
#include "codec/url.h"
#include "dispatch/inputs.h"
#include "dispatch/job.h"
#include "fdl/event.h"
#include "image/image.h"
#include "store/store.h"

enum {
	INPUT_MAX = 1024, // encoded; the version alone says which it was
	GROUP_MAX = 4096, // all of a group; else the job's event says
};

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

// Another of them: "bucket/key:version", percent-encoded, with blanks between.
static void add_member(struct buf *names, const char *bucket, const char *key, int64_t version)
{
	char text[STORE_VERSION_TEXT];

	buf_printf(names, "%s%s/", names->n ? " " : "", bucket);
	url_encode(names, span_of(key), "/");
	buf_printf(names, ":%s", store_version_text(version, false, text));
}

// How many files made the job together, and which.
static void add_group(struct dispatch *d, struct buf *b, const struct job *j,
		      const struct fdl_io *io)
{
	struct fdl_record records[FDL_GROUP_MAX];
	auto_arena struct arena mem = { 0 };
	struct err none = { 0 };
	auto_buf struct buf names = { .max = GROUP_MAX };
	struct fdl_group run = { .n = 0 };
	struct span payload;
	size_t n = 0;

	if (job_payload(d, j, &mem, &payload, &none) < 0 ||
	    (io->group_run
		     ? fdl_event_group(payload, &mem, &run, &none)
		     : fdl_event_records(payload, &mem, FDL_GROUP_MAX, records, &n, &none)) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		add_member(&names, records[i].bucket, records[i].key, records[i].version);
	for (size_t i = 0; i < run.n && !names.over; i++)
		add_member(&names, io->bucket, run.members[i].key, run.members[i].version);
	add_number(b, DISPATCH_META "input-count", (int64_t)(n + run.n));
	if (!names.over)
		store_meta_add(b, SPAN(DISPATCH_META "inputs"), buf_span(&names));
}

// "bucket/key", percent-encoded, and which version of it.
static void add_input(struct dispatch *d, struct buf *b, const struct job *j)
{
	const struct fdl_io *io = inputs_io(j);
	char version[STORE_VERSION_TEXT];
	auto_buf struct buf path = { .max = INPUT_MAX };

	if (!j->row.version)
		return;
	if (io) {
		buf_printf(&path, "%s/", io->bucket);
		url_encode(&path, j->row.key, "/");
		if (!path.over)
			store_meta_add(b, SPAN(DISPATCH_META "input"), buf_span(&path));
	}
	if (io && (io->group_count || io->group_run)) // a manifest is itself the input
		add_group(d, b, j, io);
	add_text(b, DISPATCH_META "input-version",
		 store_version_text(j->row.version, false, version));
}

void provenance_add(struct dispatch *d, const struct job *j, struct buf *b)
{
	struct err none = { 0 };
	char digest[80] = "", id[TRACE_ID_TEXT];
	struct trace_context trace;

	if (d->o.images && image_digest(d->o.images, j->def->image_id, digest, &none) < 0)
		digest[0] = '\0';
	add_number(b, DISPATCH_META "run", j->row.run);
	if (job_trace(d, j, &trace, &none) == 0)
		add_text(b, DISPATCH_META "trace", trace_id_text(&trace, id));
	add_text(b, DISPATCH_META "job", j->row.name);
	add_text(b, DISPATCH_META "service", j->def->fdl->name);
	add_number(b, DISPATCH_META "revision", j->row.revision);
	add_text(b, DISPATCH_META "image", digest[0] ? digest : j->def->image_id);
	add_text(b, DISPATCH_META "script-sha256", j->def->script_hash);
	add_input(d, b, j);
}
