// SPDX-License-Identifier: Apache-2.0
// content: manifests and blobs by their digest.
#include "base/file.h"
#include "codec/range.h"
#include "image/manifest.h"
#include "registry/private.h"

// ---- handing out ---------------------------------------------------------------------------------------

static bool unchanged(struct reg_req *q, const char *digest)
{
	struct span known = http_header(q->http, "If-None-Match");

	return known.n == strlen(digest) + 2 && known.p[0] == '"' &&
	       span_is(span_make(known.p + 1, known.n - 2), digest);
}

// Both never change under their digest.
static void send_file(struct reg_req *q, const char *digest, const char *type, uint64_t size)
{
	uint64_t from = 0, n = size;
	unsigned status = 200;
	struct err e = { 0 };
	int fd;

	http_reply_header(q->http, "Docker-Content-Digest", span_of(digest));
	http_reply_headerf(q->http, "ETag", "\"%s\"", digest);
	http_reply_header(q->http, "Accept-Ranges", SPAN("bytes"));
	if (unchanged(q, digest)) {
		http_reply(q->http, 304, NULL, SPAN(""));
		return;
	}
	switch (range_parse(http_header(q->http, "Range"), size, &from, &n)) {
	case RANGE_NOT:
		http_reply_headerf(q->http, "Content-Range", "bytes */%llu",
				   (unsigned long long)size);
		reg_fail(q, 416, "RANGE_INVALID", "it has %llu bytes", (unsigned long long)size);
		return;
	case RANGE_PART:
		status = 206;
		http_reply_headerf(q->http, "Content-Range", "bytes %llu-%llu/%llu",
				   (unsigned long long)from, (unsigned long long)(from + n - 1),
				   (unsigned long long)size);
		break;
	case RANGE_WHOLE:
		break;
	}
	if (http_method(q->http) == HTTP_HEAD) {
		http_reply_length(q->http, status, type, n);
		return;
	}
	if (!n) {
		http_reply(q->http, status, type, SPAN(""));
		return;
	}
	fd = catalog_open(q->images, digest, &e);
	if (fd < 0)
		reg_fail_err(q, &e, "BLOB_UNKNOWN", "DIGEST_INVALID");
	else
		http_reply_file(q->http, status, type, fd, from, n);
}

void reg_blob_get(struct reg_req *q)
{
	struct err e = { 0 };
	uint64_t size;
	char *digest = arena_strndup(http_arena(q->http), q->ref.p, q->ref.n);

	if (!reference_digest_ok(q->ref))
		reg_fail(q, 400, "DIGEST_INVALID", "sha256: and 64 digits are wanted");
	else if (catalog_blob(q->images, q->repo, q->ref, &size, &e) < 0)
		reg_fail_err(q, &e, "BLOB_UNKNOWN", "DIGEST_INVALID");
	else
		send_file(q, digest, "application/octet-stream", size);
}

void reg_blob_delete(struct reg_req *q)
{
	struct err e = { 0 };

	if (catalog_blob_remove(q->images, q->repo, q->ref, &e) < 0)
		reg_fail_err(q, &e, "BLOB_UNKNOWN", "DIGEST_INVALID");
	else
		http_reply(q->http, 202, NULL, SPAN(""));
}

// ---- manifests -----------------------------------------------------------------------------------------

static bool check_ref(struct reg_req *q)
{
	if (span_find(q->ref, ':') >= 0)
		return reference_digest_ok(q->ref) ||
		       reg_fail(q, 400, "DIGEST_INVALID", "sha256: and 64 digits are wanted");
	return catalog_tag_ok(q->ref) ||
	       reg_fail(q, 400, "TAG_INVALID", "a tag holds letters, digits, . _ and - only");
}

void reg_manifest_get(struct reg_req *q)
{
	struct catalog_manifest m;
	struct err e = { 0 };

	if (!check_ref(q))
		return;
	if (catalog_find(q->images, q->repo, q->ref, &m, &e) < 0)
		reg_fail_err(q, &e, "MANIFEST_UNKNOWN", "MANIFEST_INVALID");
	else
		send_file(q, m.digest, m.media, m.size);
}

bool reg_manifest_begin(struct reg_req *q)
{
	uint64_t size = 0;

	if (!check_ref(q))
		return false;
	if (http_has_body(q->http, &size) && size != UINT64_MAX && size > MANIFEST_BYTES_MAX)
		return reg_fail(q, 413, "MANIFEST_INVALID", "a manifest has at most %d bytes",
				MANIFEST_BYTES_MAX);
	http_body_collect(q->http, MANIFEST_BYTES_MAX);
	return true;
}

void reg_manifest_put(struct reg_req *q)
{
	bool pinned = span_find(q->ref, ':') >= 0;
	struct span media = http_header(q->http, "Content-Type");
	struct catalog_put put = { .repo = q->repo,
				   .tag = pinned ? SPAN("") : q->ref,
				   .digest = pinned ? q->ref : SPAN(""),
				   .media = span_trim(span_cut(&media, ';')),
				   .text = http_body(q->http),
				   .owner = q->user.id };
	struct catalog_manifest m;
	struct err e = { 0 };

	if (span_is(put.media, "application/json") ||
	    span_is(put.media, "application/octet-stream"))
		put.media = SPAN("");
	if (catalog_put(q->images, &put, &m, &e) < 0) {
		bool lacks = e.code == ERR_NOT_FOUND; // not what the path names

		if (lacks)
			e.code = ERR_INVALID;
		reg_fail_err(q, &e, "NAME_UNKNOWN",
			     lacks ? "MANIFEST_BLOB_UNKNOWN" : "MANIFEST_INVALID");
		return;
	}
	http_reply_headerf(q->http, "Location", "/v2/" SPAN_FMT "/manifests/%s", SPAN_ARG(q->repo),
			   m.digest);
	http_reply_header(q->http, "Docker-Content-Digest", span_of(m.digest));
	if (put.subject[0])
		http_reply_header(q->http, "OCI-Subject", span_of(put.subject));
	http_reply(q->http, 201, NULL, SPAN(""));
}

void reg_manifest_delete(struct reg_req *q)
{
	struct err e = { 0 };

	if (!check_ref(q))
		return;
	if (catalog_remove(q->images, q->repo, q->ref, &e) < 0)
		reg_fail_err(q, &e, "MANIFEST_UNKNOWN", "MANIFEST_INVALID");
	else
		http_reply(q->http, 202, NULL, SPAN(""));
}
