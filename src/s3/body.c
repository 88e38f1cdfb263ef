// SPDX-License-Identifier: Apache-2.0
// Bodies: the framing comes off, every announced sum is computed on the way and compared at the end, and the
// bytes proper go to the object being written or into a small buffer.
#include "base/mem.h"
#include "codec/text.h"
#include "s3/request.h"

enum { SMALL_MAX = 4 << 20 };

// ---- what the headers announce -------------------------------------------------------------------------

static bool take_md5(struct s3_req *q)
{
	struct span text = s3_field(q, "Content-MD5");

	if (!text.p)
		return true;
	if (text_unbase64(q->body.md5, sizeof(q->body.md5), text) != sizeof(q->body.md5))
		return s3_fail(q, S3_INVALID_DIGEST);
	q->body.check_md5 = true;
	return true;
}

// A sum that we cannot compute must not pass for a checked one.
static bool sums_known(struct s3_req *q)
{
	static const char *const others[] = { "x-amz-checksum-algorithm", "x-amz-checksum-mode",
					      "x-amz-checksum-type" };
	struct span name, value;
	size_t at = 0;

	while (s3_field_next(q, &at, &name, &value)) {
		bool known = !span_starts_nocase(name, SPAN("x-amz-checksum-")) ||
			     s3_sum_of_header(name) != S3_SUM_NONE;

		for (size_t i = 0; i < ARRAY_LEN(others); i++)
			known |= span_eq_nocase(name, span_of(others[i]));
		if (!known)
			return s3_failf(q, S3_NOT_IMPLEMENTED,
					"The header " SPAN_FMT
					" is not supported. Use one of CRC32, CRC32C, CRC64NVME, "
					"SHA1, SHA256.",
					SPAN_ARG(span_head(name, 64)));
	}
	return true;
}

// The algorithm that an SDK says it used must be that of the sum which came.
static bool check_sdk_algorithm(struct s3_req *q, enum s3_sum_kind kind)
{
	struct span name = s3_header(q, "x-amz-sdk-checksum-algorithm");

	return !name.n || kind == S3_SUM_NONE || s3_sum_named(name) == kind ||
	       s3_failf(q, S3_BAD_DIGEST,
			"x-amz-sdk-checksum-algorithm is " SPAN_FMT " and the checksum is a %s",
			SPAN_ARG(span_head(name, 32)), s3_sum_name(kind));
}

// One sum in the head, or one announced for the trailer.
static bool take_sum(struct s3_req *q)
{
	enum s3_sum_kind kind = S3_SUM_NONE, trailer;

	if (!sums_known(q))
		return false;
	for (int k = S3_SUM_CRC32; k < S3_SUM_KINDS; k++) {
		struct span v = s3_field(q, s3_sum_header((enum s3_sum_kind)k));

		if (v.p && q->op->run == s3_upload_complete) { // of the object, perhaps with "-N"
			if (!s3_sum_valid((enum s3_sum_kind)k, span_cut(&v, '-')))
				return s3_failf(q, S3_INVALID_REQUEST,
						"Value for %s header is invalid.",
						s3_sum_header((enum s3_sum_kind)k));
			continue;
		}
		if (!v.p)
			continue;
		if (kind != S3_SUM_NONE)
			return s3_failf(q, S3_INVALID_REQUEST,
					"Expecting a single x-amz-checksum- header");
		kind = (enum s3_sum_kind)k;
		q->body.sum_wanted = v;
		if (!s3_sum_valid(kind, v))
			return s3_failf(q, S3_INVALID_REQUEST, "Value for %s header is invalid.",
					s3_sum_header(kind));
	}
	trailer = s3_sum_of_header(s3_header(q, "x-amz-trailer"));
	if (s3_header(q, "x-amz-trailer").n && trailer == S3_SUM_NONE)
		return s3_failf(q, S3_INVALID_REQUEST,
				"The value specified in the x-amz-trailer header is not supported");
	if (trailer != S3_SUM_NONE && kind != S3_SUM_NONE)
		return s3_failf(q, S3_INVALID_REQUEST, "Expecting a single x-amz-checksum- header");
	if (trailer != S3_SUM_NONE) {
		kind = trailer;
		q->body.sum_in_trailer = true;
	}
	if (!check_sdk_algorithm(q, kind))
		return false;
	if (kind == S3_SUM_NONE)
		kind = s3_sum_named(s3_header(q, "x-amz-sdk-checksum-algorithm"));
	s3_sum_init(&q->body.sum, kind);
	return true;
}

int s3_body_sink(struct s3_req *q, struct span bytes, struct err *e)
{
	struct s3_body *b = &q->body;

	b->size += bytes.n;
	if (b->check_sha256)
		digest_update(&b->sha256, bytes);
	s3_sum_update(&b->sum, bytes);
	if (q->put)
		return store_put_write(q->put, bytes, e);
	return buf_add_span(&b->small, bytes) ? 0 : err_set(e, ERR_LIMIT, "the body is too large");
}

static int sink(void *owner, struct span bytes, struct err *e)
{
	return s3_body_sink(owner, bytes, e);
}

static bool take_framing(struct s3_req *q, enum aws_chunked_form form)
{
	struct aws_chunked_options o = { .form = form,
					 .arena = q->mem,
					 .key = span_make(q->who.key, sizeof(q->who.key)),
					 .time = q->who.time,
					 .scope = q->who.scope,
					 .seed = q->who.seed,
					 .sink = sink,
					 .owner = q };

	if (!span_to_u64(s3_header(q, "x-amz-decoded-content-length"), &o.size))
		return s3_failf(q, S3_MISSING_LENGTH,
				"You must provide the x-amz-decoded-content-length header.");
	aws_chunked_init(&q->body.chunked, &o);
	q->body.framed = true;
	return true;
}

static bool take_payload(struct s3_req *q)
{
	switch (q->who.payload) {
	case AUTHN_PAYLOAD_CHUNKS:
		return take_framing(q, AWS_CHUNKED_SIGNED);
	case AUTHN_PAYLOAD_CHUNKS_TRAILER:
		return take_framing(q, AWS_CHUNKED_SIGNED_TRAILER);
	case AUTHN_PAYLOAD_TRAILER:
		return take_framing(q, AWS_CHUNKED_TRAILER);
	case AUTHN_PAYLOAD_SHA256:
		q->body.check_sha256 = true;
		digest_init(&q->body.sha256, DIGEST_SHA256);
		break;
	case AUTHN_PAYLOAD_UNSIGNED:
		break;
	}
	return true;
}

bool s3_body_sums(struct s3_req *q)
{
	return take_md5(q) && take_sum(q);
}

bool s3_body_begin(struct s3_req *q)
{
	buf_init(&q->body.small, SMALL_MAX);
	q->body.sum_wanted = SPAN("");
	if (q->op->body == S3_BODY_FORM)
		return s3_form_begin(q);
	return s3_body_sums(q) && take_payload(q);
}

// ---- the bytes -----------------------------------------------------------------------------------------

void s3_body_piece(struct s3_req *q, struct span piece)
{
	struct err e = { 0 };
	int done;

	if (q->op->body == S3_BODY_FORM) {
		s3_form_piece(q, piece);
		return;
	}
	if (q->failed)
		return;
	done = q->body.framed ? aws_chunked_feed(&q->body.chunked, piece, &e) : sink(q, piece, &e);
	if (done == 0)
		return;
	if (e.code == ERR_UNAUTH)
		s3_fail(q, S3_SIGNATURE);
	else if (e.code == ERR_PROTOCOL)
		s3_failf(q, S3_INCOMPLETE_BODY, "%s", e.msg);
	else
		s3_fail_store(q, &e);
}

static bool check_sum(struct s3_req *q)
{
	struct s3_body *b = &q->body;

	if (b->sum.kind == S3_SUM_NONE)
		return true;
	s3_sum_final(&b->sum, b->sum_text);
	if (b->sum_in_trailer) {
		b->sum_wanted =
			b->framed ? aws_chunked_trailer(&b->chunked, s3_sum_header(b->sum.kind))
				  : http_header(q->http, s3_sum_header(b->sum.kind));
		if (!b->sum_wanted.p)
			return s3_failf(q, S3_INVALID_REQUEST,
					"The announced trailer %s did not come",
					s3_sum_header(b->sum.kind));
	}
	if (b->sum_wanted.n && !span_is(b->sum_wanted, b->sum_text))
		return s3_failf(q, S3_BAD_DIGEST,
				"The %s you specified did not match the calculated checksum.",
				s3_sum_name(b->sum.kind));
	return true;
}

static bool check_md5(struct s3_req *q)
{
	uint8_t md5[DIGEST_MAX];
	struct err e = { 0 };

	if (!q->body.check_md5)
		return true;
	if (q->put) // the sum of much may be known later
		return store_put_expect_md5(q->put, q->body.md5, &e) == 0 || s3_fail_store(q, &e);
	digest_once(DIGEST_MD5, buf_span(&q->body.small), md5);
	return memcmp(md5, q->body.md5, 16) == 0 || s3_fail(q, S3_BAD_DIGEST);
}

static bool check_sha256(struct s3_req *q)
{
	uint8_t sum[DIGEST_MAX];

	if (!q->body.check_sha256)
		return true;
	digest_final(&q->body.sha256, sum);
	return memcmp(sum, q->who.sha256, 32) == 0 || s3_fail(q, S3_SHA256_MISMATCH);
}

bool s3_body_end(struct s3_req *q)
{
	struct err e = { 0 };

	if (q->failed || (q->form && !s3_form_end(q)))
		return false;
	if (q->body.framed && aws_chunked_end(&q->body.chunked, &e) < 0)
		return s3_failf(q, S3_INCOMPLETE_BODY, "%s", e.msg);
	return check_sha256(q) && check_sum(q) && check_md5(q);
}

void s3_body_release(struct s3_req *q)
{
	aws_chunked_release(&q->body.chunked);
	buf_release(&q->body.small);
	s3_form_release(q);
}

bool s3_body_xml(struct s3_req *q, const char *root, struct xml_node **out)
{
	struct err e = { 0 };

	if (xml_parse(q->mem, buf_span(&q->body.small), NULL, out, &e) < 0 ||
	    !span_is((*out)->name, root))
		return s3_fail(q, S3_MALFORMED_XML);
	return true;
}
