// claim: what a signed request says about its signature, and what the forms of signing share. Private to authn.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "authn/keys.h"

// What a version 4 request says about its signature, from the header or from the query.
struct claim {
	struct span access, signature, time;
	struct sigv4_request request;
	struct sigv4_scope scope;
	bool presigned;
};

// -1 with a fault of enum authn_fault in e->sys.
int claim_refuse(struct err *e, enum err_code code, enum authn_fault fault, const char *text);
int claim_wrong_signature(struct err *e);
void claim_request(struct http_req *r, struct sigv4_request *out);
// "ACCESS/yyyymmdd/region/s3/aws4_request" into access and scope; false when it is not of that form.
bool claim_credential(struct claim *c, struct span text);
must_check int claim_check_region(struct authn *a, const struct claim *c, struct err *e);
must_check int claim_find_key(struct authn *a, struct http_req *r, struct span access,
			      struct authn_s3 *out, struct auth_key *key, struct err *e);

// Makes headers of the members x-amz-… of a presigned query, and of version 2's content-type and content-md5, as if
// they had been sent; a header that was sent stays. Version 2 signs what this adds, version 4 the query itself.
must_check int claim_hoist(struct http_req *r, bool version_2, struct err *e);

must_check int version_2_header(struct authn *a, struct http_req *r, struct span bucket,
				struct authn_s3 *out, struct err *e);
must_check int version_2_query(struct authn *a, struct http_req *r, struct span bucket,
			       struct authn_s3 *out, struct err *e);
