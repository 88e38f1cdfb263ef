// authn: who sends this request. Reads S3 signatures, basic credentials and bearer tokens from HTTP headers;
// what the sender may do is auth's affair.
// Owner: struct authn keeps a cache of derived day keys; identities live in the request's arena.
// Threads: safe. authn_api() may take 50 ms for a password that was not seen before.
// Errors: ERR_UNAUTH, ERR_DENIED or ERR_INVALID with err.sys one of enum authn_fault (s3); ERR_UNAUTH (api).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "auth/auth.h"
#include "base/err.h"
#include "codec/sigv4.h"
#include "http/http.h"

struct authn;

struct authn_options {
	struct auth *auth;
	const char *region; // NULL = us-east-1
	unsigned skew_s;    // 0 = 900: clocks may differ by this
};
void authn_open(struct authn **out, const struct authn_options *o);
void authn_close(struct authn *a);
const char *authn_region(const struct authn *a);

// Why an S3 request was refused.
enum authn_fault {
	AUTHN_MALFORMED = 1,   // the Authorization header
	AUTHN_MALFORMED_QUERY, // the X-Amz-… or version 2 members
	AUTHN_TWO_WAYS,	       // both of them
	AUTHN_OLD_HEADER,      // version 2 in the header, malformed
	AUTHN_REGION,	       // signed for another region; the text says for which it should be
	AUTHN_NO_DATE,	       // neither x-amz-date nor Date
	AUTHN_SKEW,	       // clocks too far apart
	AUTHN_EXPIRED,	       // presigned, and too late (or too early)
	AUTHN_EXPIRES_RANGE,   // presigned for too long
	AUTHN_UNKNOWN_KEY,
	AUTHN_WRONG_SIGNATURE,
	AUTHN_UNSIGNED_HEADERS, // x-amz-… headers that are not signed
	AUTHN_NO_PAYLOAD_HASH,
	AUTHN_BAD_PAYLOAD_HASH,
	AUTHN_UNSUPPORTED,     // ECDSA
	AUTHN_FORM_INCOMPLETE, // a browser's form lacks fields of its signature
};

// What the client says about the body.
enum authn_payload {
	AUTHN_PAYLOAD_UNSIGNED,
	AUTHN_PAYLOAD_SHA256,	      // it must have `sha256`
	AUTHN_PAYLOAD_CHUNKS,	      // aws-chunked, signed
	AUTHN_PAYLOAD_CHUNKS_TRAILER, // aws-chunked, signed with a trailer
	AUTHN_PAYLOAD_TRAILER,	      // aws-chunked, unsigned with a trailer
};

struct authn_s3 {
	bool anonymous;
	bool presigned;
	struct auth_user user; // id AUTH_ANONYMOUS_ID when anonymous
	const char *access;    // the key, "" when anonymous
	enum authn_payload payload;
	uint8_t sha256[32];
	// What signed chunks are checked with.
	uint8_t key[32];
	struct span time, seed;
	struct sigv4_scope scope;
};

// `bucket` is the one of the host name in virtual-host style, else empty. Of a presigned request the members x-amz-… of
// the query are headers afterwards, as if they had been sent: signers put there what the user need not know.
must_check int authn_s3_request(struct authn *a, struct http_req *r, struct span bucket,
				struct authn_s3 *out, struct err *e);

// The fields of a browser's form; absent ones are empty. Without any of them it is nobody's.
struct authn_form {
	struct span policy;				    // base64, as it came
	struct span algorithm, credential, date, signature; // version 4
	struct span access, old_signature;		    // version 2
};
must_check int authn_s3_form(struct authn *a, struct http_req *r, const struct authn_form *f,
			     struct authn_s3 *out, struct err *e);

enum authn_scheme { AUTHN_NONE, AUTHN_BASIC, AUTHN_BEARER };
struct authn_api {
	enum authn_scheme scheme;
	struct auth_user user; // with AUTHN_BASIC
	struct span
		token; // with AUTHN_BEARER: a service's token, or that of an OIDC issuer; not checked
};
// Success with AUTHN_NONE when there is no Authorization header. ERR_UNAUTH for a wrong name or password.
must_check int authn_api_request(struct authn *a, struct http_req *r, struct authn_api *out,
				 struct err *e);

// Who has this name and password; ERR_UNAUTH otherwise. As for AUTHN_BASIC.
must_check int authn_password(struct authn *a, struct span name, struct span password,
			      struct auth_user *out, struct err *e);

// Tokens of our own for a short while, as registries hand them out: they say who it is, nothing more. They end with
// the process that made them.
enum { AUTHN_TOKEN_MAX = 128 };
char *authn_token_make(struct authn *a, const struct auth_user *user, int64_t seconds,
		       char out[static AUTHN_TOKEN_MAX]);
// ERR_UNAUTH when it is none of ours, too old, or its user is gone.
must_check int authn_token_user(struct authn *a, struct span token, struct auth_user *out,
				struct err *e);
