// SPDX-License-Identifier: Apache-2.0
// Version 2 signatures, in the query (boto3's presigned addresses for custom endpoints) and in the header (clients
// of old).
#include "authn/claim.h"
#include "base/mem.h"

enum { V2_SIGNATURE = 28 };

// `date` is what is signed in its place: Expires of a query, or the Date header.
static int compare(struct http_req *r, struct auth_key *key, struct span bucket, struct span date,
		   struct span signature, struct authn_s3 *out, struct err *e)
{
	struct sigv4_request request;
	bool good = false;

	claim_request(r, &request);
	for (int slash = 0; slash < 2 && !good; slash++) {
		struct span text;
		char wanted[32];

		// A bucket is signed as "/bucket/" by some, whatever the request says.
		if (slash && span_rfind(request.path, '/') > 0)
			break;
		if (slash)
			request.path = span_of(
				arena_printf(http_arena(r), SPAN_FMT "/", SPAN_ARG(request.path)));
		text = sigv2_string_to_sign(http_arena(r), &request, bucket, date);
		sigv2_sign(span_of(key->secret), text, wanted);
		good = mem_equal_secret(wanted, signature.p, V2_SIGNATURE);
	}
	mem_wipe(key, sizeof(*key));
	out->payload = AUTHN_PAYLOAD_UNSIGNED;
	return good ? 0 : claim_wrong_signature(e);
}

int version_2_query(struct authn *a, struct http_req *r, struct span bucket, struct authn_s3 *out,
		    struct err *e)
{
	struct span access = { 0 }, expires = { 0 }, signature = { 0 };
	struct auth_key key;
	uint64_t until_s;

	http_query(r, "AWSAccessKeyId", &access);
	if (!http_query(r, "Signature", &signature) || !http_query(r, "Expires", &expires) ||
	    !span_to_u64(expires, &until_s) || signature.n != V2_SIGNATURE)
		return claim_refuse(
			e, ERR_DENIED, AUTHN_MALFORMED_QUERY,
			"presigned requests need AWSAccessKeyId, Expires and Signature");
	if ((uint64_t)(clock_wall_ns() / NS_PER_S) > until_s)
		return claim_refuse(e, ERR_DENIED, AUTHN_EXPIRED, "the request has expired");
	if (claim_hoist(r, true, e) < 0 || claim_find_key(a, r, access, out, &key, e) < 0)
		return -1;
	out->presigned = true;
	return compare(r, &key, bucket, expires, signature, out, e);
}

static int check_date(struct authn *a, struct http_req *r, struct span text, struct err *e)
{
	const char *s = arena_strndup(http_arena(r), text.p, text.n);
	int64_t now = clock_wall_ns(), then = clock_parse_http(s);

	if (then < 0)
		then = clock_parse_basic(s);
	if (then < 0)
		then = clock_parse_iso(s);
	if (then < 0)
		return claim_refuse(e, ERR_DENIED, AUTHN_NO_DATE,
				    "a valid Date or x-amz-date header is needed");
	if (then > now + a->skew_ns || then < now - a->skew_ns)
		return claim_refuse(
			e, ERR_DENIED, AUTHN_SKEW,
			"the difference between the request time and the server's time is "
			"too large");
	return 0;
}

// "AWS ACCESS:SIGNATURE". When there is x-amz-date, it is signed as a header and Date as nothing.
int version_2_header(struct authn *a, struct http_req *r, struct span bucket, struct authn_s3 *out,
		     struct err *e)
{
	struct span signature = span_from(http_header(r, "Authorization"), 4), access;
	struct span own = http_header(r, "x-amz-date"), date = http_header(r, "Date");
	struct auth_key key;

	access = span_trim(span_cut(&signature, ':'));
	signature = span_trim(signature);
	if (!access.n || access.n >= AUTH_KEY_MAX || signature.n != V2_SIGNATURE)
		return claim_refuse(e, ERR_INVALID, AUTHN_OLD_HEADER,
				    "the authorization header is not AWS ACCESS:SIGNATURE");
	if (claim_find_key(a, r, access, out, &key, e) < 0)
		return -1;
	if (check_date(a, r, own.p ? own : date.p ? date : SPAN(""), e) < 0) {
		mem_wipe(&key, sizeof(key));
		return -1;
	}
	return compare(r, &key, bucket, own.p ? SPAN("") : date, signature, out, e);
}
