// SPDX-License-Identifier: Apache-2.0
// What the signer of a presigned address has put into the query instead of into headers.
#include "authn/claim.h"
#include "codec/url.h"

// The signature's own members, and those about the body: Amazon S3 does not look at them either, since SDKs
// put the checksum of no body there, made when the address was.
static const char *const left_alone[] = {
	"x-amz-algorithm",
	"x-amz-content-sha256",
	"x-amz-credential",
	"x-amz-date",
	"x-amz-decoded-content-length",
	"x-amz-expires",
	"x-amz-sdk-checksum-algorithm",
	"x-amz-security-token",
	"x-amz-signature",
	"x-amz-signedheaders",
	"x-amz-trailer",
};

static bool is_header(struct span name, bool version_2)
{
	if (version_2 && (span_eq_nocase(name, SPAN("content-type")) ||
			  span_eq_nocase(name, SPAN("content-md5"))))
		return true;
	if (!span_starts_nocase(name, SPAN("x-amz-")) ||
	    span_starts_nocase(name, SPAN("x-amz-checksum-")))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(left_alone); i++)
		if (span_eq_nocase(name, span_of(left_alone[i])))
			return false;
	return true;
}

static bool has_control_bytes(struct span value)
{
	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] < ' ' || value.p[i] == 0x7f)
			return true;
	return false;
}

int claim_hoist(struct http_req *r, bool version_2, struct err *e)
{
	struct span rest = http_query_raw(r), name, value;
	struct arena *mem = http_arena(r);

	while (url_query_next(&rest, &name, &value)) {
		name = url_decode(mem, name, URL_PLUS_BLANK);
		if (!is_header(name, version_2) ||
		    http_header(r, arena_strndup(mem, name.p, name.n)).p)
			continue;
		value = span_trim(url_decode(mem, value, URL_PLUS_BLANK));
		if (has_control_bytes(name) || has_control_bytes(value))
			return claim_refuse(e, ERR_INVALID, AUTHN_MALFORMED_QUERY,
					    "a member of the query is no value of a header");
		http_header_add(r, name, value);
	}
	return 0;
}
