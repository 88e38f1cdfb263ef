// SPDX-License-Identifier: Apache-2.0
#include "authn/claim.h"
#include "base/mem.h"
#include "codec/text.h"
#include "codec/url.h"

enum { EXPIRES_MAX_S = 604800 };

int claim_refuse(struct err *e, enum err_code code, enum authn_fault fault, const char *text)
{
	err_set(e, code, "%s", text);
	e->sys = fault;
	return -1;
}

void claim_request(struct http_req *r, struct sigv4_request *out)
{
	struct span name, value;
	struct sigv4_header *h;
	size_t at = 0, n = 0;

	while (http_header_next(r, &at, &name, &value))
		n++;
	h = arena_alloc(http_arena(r), (n + 1) * sizeof(*h));
	for (at = n = 0; http_header_next(r, &at, &h[n].name, &h[n].value); n++)
		;
	*out = (struct sigv4_request){ .method = http_method_name(r),
				       .path = http_path_raw(r),
				       .query = http_query_raw(r),
				       .headers = h,
				       .header_count = n };
}

// "ACCESS/yyyymmdd/region/s3/aws4_request"; the access key itself may hold slashes.
bool claim_credential(struct claim *c, struct span text)
{
	struct span *parts[] = { NULL, &c->scope.service, &c->scope.region, &c->scope.date };
	struct span last;

	for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
		ptrdiff_t at = span_rfind(text, '/');

		if (at < 0)
			return false;
		last = span_from(text, (size_t)at + 1);
		text = span_head(text, (size_t)at);
		if (parts[i])
			*parts[i] = last;
		else if (!span_is(last, "aws4_request"))
			return false;
	}
	c->access = text;
	return text.n && text.n < AUTH_KEY_MAX && c->scope.date.n == 8 && c->scope.region.n < 64 &&
	       span_is(c->scope.service, "s3");
}

static bool is_signed(const struct claim *c, struct span header)
{
	struct span names = c->request.signed_headers;

	while (names.n)
		if (span_eq_nocase(span_cut(&names, ';'), header))
			return true;
	return false;
}

// Headers that change what a request does must be signed; otherwise whoever has a presigned address could
// add them. The payload's hash is no such header.
static int check_signed_headers(const struct claim *c, struct err *e)
{
	const struct sigv4_header *h = c->request.headers;

	if (!is_signed(c, SPAN("host")))
		return claim_refuse(e, ERR_INVALID, AUTHN_MALFORMED,
				    "the host header is not signed");
	for (size_t i = 0; i < c->request.header_count; i++)
		if (span_starts_nocase(h[i].name, SPAN("x-amz-")) &&
		    !span_eq_nocase(h[i].name, SPAN("x-amz-content-sha256")) &&
		    !is_signed(c, h[i].name))
			return claim_refuse(e, ERR_DENIED, AUTHN_UNSIGNED_HEADERS,
					    "there are x-amz- headers that are not signed");
	return 0;
}

static int take_header(struct http_req *r, struct claim *c, struct err *e)
{
	struct span rest = http_header(r, "Authorization"), credential = { 0 }, date;
	char text[CLOCK_TEXT_MAX];
	int64_t when;

	if (!span_starts(rest, SPAN("AWS4-HMAC-SHA256")))
		return claim_refuse(
			e, ERR_INVALID,
			span_starts(rest, SPAN("AWS4-ECDSA")) ? AUTHN_UNSUPPORTED : AUTHN_MALFORMED,
			"this authorization mechanism is not supported, use AWS4-HMAC-SHA256");
	rest = span_from(rest, sizeof("AWS4-HMAC-SHA256") - 1);
	while (rest.n) {
		struct span value = span_trim(span_cut(&rest, ','));
		struct span name = span_cut(&value, '=');

		if (span_is(name, "Credential"))
			credential = value;
		else if (span_is(name, "SignedHeaders"))
			c->request.signed_headers = value;
		else if (span_is(name, "Signature"))
			c->signature = value;
	}
	if (!credential.n || !c->request.signed_headers.n || c->signature.n != SIGV4_HEX - 1)
		return claim_refuse(
			e, ERR_INVALID, AUTHN_MALFORMED,
			"the authorization header needs Credential, SignedHeaders, Signature");
	if (!claim_credential(c, credential))
		return claim_refuse(e, ERR_INVALID, AUTHN_MALFORMED,
				    "the credential is not ACCESS/DATE/REGION/s3/aws4_request");
	c->time = http_header(r, "x-amz-date");
	date = http_header(r, "Date");
	if (!c->time.p && date.p) {
		when = clock_parse_http(arena_strndup(http_arena(r), date.p, date.n));
		if (when >= 0)
			c->time = arena_span(http_arena(r), span_of(clock_basic(when, text)));
	}
	if (!c->time.p)
		return claim_refuse(e, ERR_DENIED, AUTHN_NO_DATE,
				    "a valid Date or x-amz-date header is needed");
	return 0;
}

static int take_query(struct http_req *r, struct claim *c, struct err *e)
{
	struct span algorithm = { 0 }, credential = { 0 };

	c->presigned = true;
	c->request.skip_query = "X-Amz-Signature";
	http_query(r, "X-Amz-Algorithm", &algorithm);
	if (!span_is(algorithm, "AWS4-HMAC-SHA256"))
		return claim_refuse(e, ERR_INVALID, AUTHN_MALFORMED_QUERY,
				    "X-Amz-Algorithm only supports AWS4-HMAC-SHA256");
	if (!http_query(r, "X-Amz-Credential", &credential) ||
	    !http_query(r, "X-Amz-SignedHeaders", &c->request.signed_headers) ||
	    !http_query(r, "X-Amz-Signature", &c->signature) || c->signature.n != SIGV4_HEX - 1 ||
	    !http_query(r, "X-Amz-Date", &c->time))
		return claim_refuse(
			e, ERR_INVALID, AUTHN_MALFORMED_QUERY,
			"presigned requests need X-Amz-Algorithm, X-Amz-Credential, "
			"X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders and X-Amz-Expires");
	if (!claim_credential(c, credential))
		return claim_refuse(e, ERR_INVALID, AUTHN_MALFORMED_QUERY,
				    "X-Amz-Credential is not ACCESS/DATE/REGION/s3/aws4_request");
	return 0;
}

static int check_time(struct authn *a, struct http_req *r, const struct claim *c, struct err *e)
{
	int64_t now = clock_wall_ns();
	int64_t then = clock_parse_basic(arena_strndup(http_arena(r), c->time.p, c->time.n));
	struct span text = { 0 };
	uint64_t expires_s;

	if (then < 0 || !span_starts(c->time, c->scope.date))
		return claim_refuse(e, ERR_INVALID,
				    c->presigned ? AUTHN_MALFORMED_QUERY : AUTHN_MALFORMED,
				    "the date of the signature is not that of its credential");
	if (!c->presigned) {
		if (then > now + a->skew_ns || then < now - a->skew_ns)
			return claim_refuse(
				e, ERR_DENIED, AUTHN_SKEW,
				"the difference between the request time and the server's "
				"time is too large");
		return 0;
	}
	if (!http_query(r, "X-Amz-Expires", &text) || !span_to_u64(text, &expires_s) ||
	    !expires_s || expires_s > EXPIRES_MAX_S)
		return claim_refuse(e, ERR_INVALID, AUTHN_EXPIRES_RANGE,
				    "X-Amz-Expires must be between 1 and 604800 seconds");
	if (then > now + a->skew_ns)
		return claim_refuse(e, ERR_DENIED, AUTHN_EXPIRED, "the request is not valid yet");
	if (then + (int64_t)expires_s * NS_PER_S < now)
		return claim_refuse(e, ERR_DENIED, AUTHN_EXPIRED, "the request has expired");
	return 0;
}

// An empty region is what administration clients sign.
int claim_check_region(struct authn *a, const struct claim *c, struct err *e)
{
	if (!c->scope.region.n || span_is(c->scope.region, a->region))
		return 0;
	err_set(e, ERR_INVALID, "the region '" SPAN_FMT "' is wrong; expecting '%s'",
		SPAN_ARG(c->scope.region), a->region);
	e->sys = AUTHN_REGION;
	return -1;
}

// What the text of x-amz-content-sha256 says; false with *e filled when it says nothing we know.
static int parse_payload(struct span text, struct authn_s3 *out, struct err *e)
{
	static const struct {
		const char *text;
		enum authn_payload form;
	} forms[] = {
		{ SIGV4_UNSIGNED, AUTHN_PAYLOAD_UNSIGNED },
		{ "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", AUTHN_PAYLOAD_CHUNKS },
		{ "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", AUTHN_PAYLOAD_CHUNKS_TRAILER },
		{ "STREAMING-UNSIGNED-PAYLOAD-TRAILER", AUTHN_PAYLOAD_TRAILER },
	};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (span_is(text, forms[i].text)) {
			out->payload = forms[i].form;
			return 0;
		}
	out->payload = AUTHN_PAYLOAD_SHA256;
	if (span_starts(text, SPAN("STREAMING-")))
		return claim_refuse(e, ERR_INVALID, AUTHN_UNSUPPORTED,
				    "this form of x-amz-content-sha256 is not supported");
	if (!text_unhex(out->sha256, 32, text))
		return claim_refuse(
			e, ERR_INVALID, AUTHN_BAD_PAYLOAD_HASH,
			"x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING form or a "
			"SHA-256 in hexadecimal digits");
	return 0;
}

static int take_payload(struct http_req *r, struct claim *c, struct authn_s3 *out, struct err *e)
{
	struct span text = http_header(r, "x-amz-content-sha256");

	if (c->presigned && !http_query(r, "X-Amz-Content-Sha256", &text))
		text = text.p && is_signed(c, SPAN("x-amz-content-sha256")) ? text
									    : SPAN(SIGV4_UNSIGNED);
	if (!text.p)
		return claim_refuse(e, ERR_INVALID, AUTHN_NO_PAYLOAD_HASH,
				    "the header x-amz-content-sha256 is missing");
	c->request.payload = text;
	return parse_payload(text, out, e);
}

// Most signers sign the path as S3 would write it; some sign what they send.
static bool signature_matches(struct http_req *r, struct claim *c, const uint8_t key[static 32])
{
	struct arena *mem = http_arena(r);
	char wanted[SIGV4_HEX];

	for (int as_is = 0; as_is < 2; as_is++) {
		struct span text;

		c->request.path_as_is = as_is;
		text = sigv4_string_to_sign(mem, c->time, &c->scope,
					    sigv4_canonical(mem, &c->request));
		sigv4_sign(key, text, wanted);
		if (mem_equal_secret(wanted, c->signature.p, SIGV4_HEX - 1))
			return true;
	}
	return false;
}

int claim_find_key(struct authn *a, struct http_req *r, struct span access, struct authn_s3 *out,
		   struct auth_key *key, struct err *e)
{
	if (auth_key_find(a->auth, access, key, e) < 0)
		return e->code != ERR_NOT_FOUND
			       ? -1
			       : claim_refuse(e, ERR_DENIED, AUTHN_UNKNOWN_KEY,
					      "the access key does not exist in our records");
	out->user = key->user;
	out->access = arena_strdup(http_arena(r), key->access);
	return 0;
}

int claim_wrong_signature(struct err *e)
{
	return claim_refuse(
		e, ERR_DENIED, AUTHN_WRONG_SIGNATURE,
		"the signature we calculated does not match the one you provided; check your "
		"key and signing method");
}

static int version_4(struct authn *a, struct http_req *r, bool presigned, struct authn_s3 *out,
		     struct err *e)
{
	struct claim c = { 0 };
	struct auth_key key;
	bool good;

	claim_request(r, &c.request);
	if ((presigned ? take_query(r, &c, e) : take_header(r, &c, e)) < 0 ||
	    take_payload(r, &c, out, e) < 0 || claim_check_region(a, &c, e) < 0 ||
	    check_time(a, r, &c, e) < 0 || check_signed_headers(&c, e) < 0 ||
	    claim_find_key(a, r, c.access, out, &key, e) < 0)
		return -1;
	keys_derive(a, span_of(key.secret), &c.scope, out->key);
	mem_wipe(&key, sizeof(key));
	good = signature_matches(r, &c, out->key);
	out->presigned = presigned;
	out->time = c.time;
	out->seed = c.signature;
	out->scope = c.scope;
	if (!good)
		return claim_wrong_signature(e);
	return presigned ? claim_hoist(r, false, e) : 0;
}

// Without a signature there is no key to check signed chunks with.
static int nobody(struct http_req *r, struct authn_s3 *out, struct err *e)
{
	struct span text = http_header(r, "x-amz-content-sha256");

	out->anonymous = true;
	out->user.id = AUTH_ANONYMOUS_ID;
	out->user.enabled = true;
	if (!text.p)
		return 0;
	if (parse_payload(text, out, e) < 0)
		return -1;
	if (out->payload == AUTHN_PAYLOAD_CHUNKS || out->payload == AUTHN_PAYLOAD_CHUNKS_TRAILER)
		return claim_refuse(e, ERR_INVALID, AUTHN_UNSUPPORTED,
				    "chunks can only be signed when the request is");
	return 0;
}

int authn_s3_request(struct authn *a, struct http_req *r, struct span bucket, struct authn_s3 *out,
		     struct err *e)
{
	struct span ignored, text = http_header(r, "Authorization");
	bool header = text.n > 0;
	bool query4 = http_query(r, "X-Amz-Algorithm", &ignored) ||
		      http_query(r, "X-Amz-Signature", &ignored);
	bool query2 = !query4 && http_query(r, "AWSAccessKeyId", &ignored);

	*out = (struct authn_s3){ .access = "" };
	if (header && (query4 || query2))
		return claim_refuse(e, ERR_INVALID, AUTHN_TWO_WAYS,
				    "only one authorization mechanism is allowed");
	if (header && span_starts(text, SPAN("AWS ")))
		return version_2_header(a, r, bucket, out, e);
	if (header || query4)
		return version_4(a, r, query4, out, e);
	if (query2)
		return version_2_query(a, r, bucket, out, e);
	return nobody(r, out, e);
}
