// SPDX-License-Identifier: Apache-2.0
// The signature of a browser's upload: over the text of its policy, in form fields.
#include "authn/claim.h"
#include "base/mem.h"

enum { V2_SIGNATURE = 28 };

static int incomplete(struct err *e)
{
	return claim_refuse(e, ERR_INVALID, AUTHN_FORM_INCOMPLETE,
			    "the form needs a policy, an access key and a signature");
}

static int version_4(struct authn *a, struct http_req *r, const struct authn_form *f,
		     struct authn_s3 *out, struct err *e)
{
	struct claim c = { 0 };
	uint8_t signing[32];
	struct auth_key key;
	char wanted[SIGV4_HEX];
	bool good;

	if (!f->credential.n || !f->date.n || !f->signature.n)
		return incomplete(e);
	if (!span_is(f->algorithm, "AWS4-HMAC-SHA256"))
		return claim_refuse(e, ERR_INVALID, AUTHN_FORM_INCOMPLETE,
				    "x-amz-algorithm only supports AWS4-HMAC-SHA256");
	if (!claim_credential(&c, f->credential) || !span_starts(f->date, c.scope.date))
		return claim_refuse(e, ERR_INVALID, AUTHN_FORM_INCOMPLETE,
				    "x-amz-credential is not ACCESS/DATE/REGION/s3/aws4_request");
	if (claim_check_region(a, &c, e) < 0 || claim_find_key(a, r, c.access, out, &key, e) < 0)
		return -1;
	keys_derive(a, span_of(key.secret), &c.scope, signing);
	mem_wipe(&key, sizeof(key));
	sigv4_sign(signing, f->policy, wanted);
	mem_wipe(signing, sizeof(signing));
	good = f->signature.n == SIGV4_HEX - 1 &&
	       mem_equal_secret(wanted, f->signature.p, SIGV4_HEX - 1);
	out->time = f->date;
	out->scope = c.scope;
	return good ? 0 : claim_wrong_signature(e);
}

static int version_2(struct authn *a, struct http_req *r, const struct authn_form *f,
		     struct authn_s3 *out, struct err *e)
{
	struct auth_key key;
	char wanted[32];

	if (!f->access.n || !f->old_signature.n)
		return incomplete(e);
	if (claim_find_key(a, r, f->access, out, &key, e) < 0)
		return -1;
	sigv2_sign(span_of(key.secret), f->policy, wanted);
	mem_wipe(&key, sizeof(key));
	return f->old_signature.n == V2_SIGNATURE &&
			       mem_equal_secret(wanted, f->old_signature.p, V2_SIGNATURE)
		       ? 0
		       : claim_wrong_signature(e);
}

int authn_s3_form(struct authn *a, struct http_req *r, const struct authn_form *f,
		  struct authn_s3 *out, struct err *e)
{
	bool new = f->algorithm.n || f->credential.n || f->date.n || f->signature.n;
	bool old = f->access.n || f->old_signature.n;

	if (!new && !old && !f->policy.n) {
		*out = (struct authn_s3){ .anonymous = true, .access = "" };
		out->user.id = AUTH_ANONYMOUS_ID;
		out->user.enabled = true;
		return 0;
	}
	*out = (struct authn_s3){ .access = "" };
	if (!f->policy.n)
		return incomplete(e);
	return new ? version_4(a, r, f, out, e) : version_2(a, r, f, out, e);
}
