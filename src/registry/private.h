// private: one request to the registry and what the handlers share.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "authn/authn.h"
#include "base/buf.h"
#include "image/catalog.h"
#include "image/upload.h"
#include "registry/registry.h"

struct registry_server {
	struct registry_server_options o;
};

enum reg_kind {
	REG_BASE,    // /v2/
	REG_TOKEN,   // /v2/token
	REG_CATALOG, // /v2/_catalog
	REG_TAGS,
	REG_MANIFEST,
	REG_REFERRERS,
	REG_BLOB,
	REG_UPLOADS, // begins one
	REG_UPLOAD,  // one of them
	REG_NONE,
};

struct reg_req;
struct reg_op {
	enum reg_kind kind;
	enum http_method method;
	bool write;			  // wants the right to change the repository
	bool waits;			  // run() may block: on a worker
	bool (*begin)(struct reg_req *q); // before the body; false = answered; NULL = drop the body
	void (*run)(struct reg_req *q);
};

struct reg_req {
	struct registry_server *server;
	struct images *images;
	struct http_req *http;
	const struct reg_op *op;
	enum reg_kind kind;
	struct span repo, ref; // ref: tag, digest or upload id
	struct auth_user user;
	struct image_upload *upload; // taken by this request
	bool takes_body;	     // it goes to `upload`
};

// ---- error.c -------------------------------------------------------------------------------------------

// Each returns false, so that a check may `return reg_fail(…)`.
bool reg_fail(struct reg_req *q, unsigned status, const char *code, const char *fmt, ...)
	format_printf(4, 5);
// By its code; `missing` and `invalid` are the words for ERR_NOT_FOUND and ERR_INVALID.
bool reg_fail_err(struct reg_req *q, const struct err *e, const char *missing, const char *invalid);
bool reg_unauthorized(struct reg_req *q, const char *text);

// ---- route.c -------------------------------------------------------------------------------------------

void reg_locate(struct reg_req *q);
const struct reg_op *reg_route(const struct reg_req *q);

// ---- the operations ------------------------------------------------------------------------------------

void reg_base(struct reg_req *q);
void reg_token(struct reg_req *q);
bool reg_token_begin(struct reg_req *q);
void reg_catalog(struct reg_req *q);
void reg_tags(struct reg_req *q);
void reg_referrers(struct reg_req *q);
void reg_manifest_get(struct reg_req *q);
bool reg_manifest_begin(struct reg_req *q);
void reg_manifest_put(struct reg_req *q);
void reg_manifest_delete(struct reg_req *q);
void reg_blob_get(struct reg_req *q);
void reg_blob_delete(struct reg_req *q);
bool reg_upload_post(struct reg_req *q);
void reg_upload_start(struct reg_req *q);
bool reg_upload_begin(struct reg_req *q);
void reg_upload_patch(struct reg_req *q);
void reg_upload_put(struct reg_req *q);
void reg_upload_get(struct reg_req *q);
void reg_upload_delete(struct reg_req *q);
