// SPDX-License-Identifier: Apache-2.0
// upload: blobs on their way in: in one request, in pieces, or mounted from another repository.
#include "base/mem.h"
#include "registry/private.h"

static void say_where(struct reg_req *q)
{
	uint64_t n = upload_size(q->upload);

	http_reply_headerf(q->http, "Location", "/v2/" SPAN_FMT "/blobs/uploads/%s",
			   SPAN_ARG(q->repo), upload_id(q->upload));
	http_reply_headerf(q->http, "Range", "0-%llu", (unsigned long long)(n ? n - 1 : 0));
	http_reply_header(q->http, "Docker-Upload-UUID", span_of(upload_id(q->upload)));
}

static bool query_digest(struct reg_req *q, struct span *out)
{
	if (!http_query(q->http, "digest", out) || !reference_digest_ok(*out))
		return reg_fail(q, 400, "DIGEST_INVALID",
				"digest: sha256: and 64 digits are wanted");
	return true;
}

static void created(struct reg_req *q, struct span digest)
{
	http_reply_headerf(q->http, "Location", "/v2/" SPAN_FMT "/blobs/" SPAN_FMT,
			   SPAN_ARG(q->repo), SPAN_ARG(digest));
	http_reply_header(q->http, "Docker-Content-Digest", digest);
	http_reply(q->http, 201, NULL, SPAN(""));
}

// ---- beginning -----------------------------------------------------------------------------------------

// With a digest the blob comes along.
bool reg_upload_post(struct reg_req *q)
{
	struct err e = { 0 };
	struct span digest;

	if (!http_query(q->http, "digest", &digest))
		return true;
	if (!query_digest(q, &digest))
		return false;
	if (upload_begin(q->images, q->repo, q->user.id, &q->upload, &e) < 0)
		return reg_fail_err(q, &e, "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID");
	q->takes_body = true;
	return true;
}

static void finish_with(struct reg_req *q, struct span digest)
{
	struct err e = { 0 };

	if (upload_finish(q->images, mem_take(&q->upload), digest, &e) < 0)
		reg_fail_err(q, &e, "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID");
	else
		created(q, digest);
}

// True when it was mounted; what cannot be mounted is uploaded.
static bool mounted(struct reg_req *q)
{
	struct err none = { 0 };
	struct span digest, from;

	if (!http_query(q->http, "mount", &digest) || !http_query(q->http, "from", &from) ||
	    !reference_digest_ok(digest) || catalog_repo_check(from, &none) < 0 ||
	    !registry_may(q->server->o.auth, &q->user, from, false) ||
	    catalog_mount(q->images, from, q->repo, digest, &none) < 0)
		return false;
	created(q, digest);
	return true;
}

void reg_upload_start(struct reg_req *q)
{
	struct err e = { 0 };
	struct span digest;

	if (q->takes_body) {
		http_query(q->http, "digest", &digest);
		finish_with(q, digest);
		return;
	}
	if (mounted(q))
		return;
	if (upload_begin(q->images, q->repo, q->user.id, &q->upload, &e) < 0) {
		reg_fail_err(q, &e, "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID");
		return;
	}
	// Before the answer: the client may go on as soon as it has it.
	say_where(q);
	upload_give(q->images, mem_take(&q->upload));
	http_reply(q->http, 202, NULL, SPAN(""));
}

// ---- going on ------------------------------------------------------------------------------------------

static bool take(struct reg_req *q)
{
	struct err e = { 0 };

	return upload_take(q->images, q->repo, q->ref, &q->upload, &e) == 0 ||
	       reg_fail_err(q, &e, "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID");
}

// "FROM-TO": pieces follow each other.
static bool check_place(struct reg_req *q)
{
	struct span field = http_header(q->http, "Content-Range"), first;
	uint64_t from;

	if (!field.p)
		return true;
	if (span_starts_nocase(field, SPAN("bytes ")))
		field = span_from(field, 6);
	first = span_trim(span_cut(&field, '-'));
	if (span_to_u64(first, &from) && from == upload_size(q->upload))
		return true;
	say_where(q);
	return reg_fail(q, 416, "BLOB_UPLOAD_INVALID", "the next piece begins at byte %llu",
			(unsigned long long)upload_size(q->upload));
}

bool reg_upload_begin(struct reg_req *q)
{
	struct span digest;

	if (http_method(q->http) == HTTP_PUT && !query_digest(q, &digest))
		return false;
	q->takes_body = take(q) && check_place(q);
	return q->takes_body;
}

void reg_upload_patch(struct reg_req *q)
{
	say_where(q);
	upload_give(q->images, mem_take(&q->upload));
	http_reply(q->http, 202, NULL, SPAN(""));
}

void reg_upload_put(struct reg_req *q)
{
	struct span digest;

	http_query(q->http, "digest", &digest);
	finish_with(q, digest);
}

void reg_upload_get(struct reg_req *q)
{
	if (!take(q))
		return;
	say_where(q);
	upload_give(q->images, mem_take(&q->upload));
	http_reply(q->http, 204, NULL, SPAN(""));
}

void reg_upload_delete(struct reg_req *q)
{
	if (!take(q))
		return;
	upload_cancel(q->images, mem_take(&q->upload));
	http_reply(q->http, 204, NULL, SPAN(""));
}
