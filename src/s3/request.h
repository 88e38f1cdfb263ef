// request: one S3 request on its way, and what its operations share. Private to s3.
// Owner: lives in the HTTP request's arena; what it opened is closed when the request is gone.
// Threads: those of the HTTP request: one at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "auth/auth.h"
#include "authn/authn.h"
#include "base/buf.h"
#include "codec/aws_chunked.h"
#include "codec/trace.h"
#include "codec/xml.h"
#include "http/http.h"
#include "s3/access.h"
#include "s3/checksum.h"
#include "s3/error.h"
#include "s3/s3.h"
#include "store/store.h"

struct s3 {
	struct s3_options o;
	struct s3_access_cache *access;
};

enum s3_level { S3_SERVICE, S3_BUCKET, S3_OBJECT };
enum s3_body_kind {
	S3_BODY_NONE,	// a body is read and dropped
	S3_BODY_SMALL,	// collected and checked
	S3_BODY_OBJECT, // streamed into q->put and checked
	S3_BODY_FORM,	// of a browser: fields, then a file streamed into q->put
};

struct s3_req;
struct s3_form;

// One line of the table in route.c: the first line that fits a request decides.
struct s3_op {
	const char *name;
	enum http_method method;
	enum s3_level level;
	const char *sub;    // a query member that must be there, or NULL
	const char *header; // a header that must be there, or NULL
	unsigned rights;    // on the bucket; 0 = the operation looks itself
	enum s3_body_kind body;
	bool waits;			 // for the disk: runs on a worker
	void (*begin)(struct s3_req *q); // before the body; NULL = nothing
	void (*run)(struct s3_req *q);	 // when the body is complete: answers
};

struct s3_body {
	struct aws_chunked chunked;
	bool framed; // aws-chunked
	bool check_sha256, check_md5;
	struct digest sha256;
	uint8_t md5[16];
	struct s3_sum sum;
	struct span sum_wanted; // base64 from a header; empty = from the trailer, or none
	bool sum_in_trailer;
	char sum_text[S3_SUM_TEXT]; // what was computed, after the end
	struct buf small;
	uint64_t size; // of the bytes proper
};

struct s3_req {
	struct s3 *s3;
	struct http_req *http;
	struct arena *mem;
	const struct s3_op *op;
	struct authn_s3 who;
	bool virtual_host;
	struct span bucket_name, key;
	struct store_bucket bucket; // for operations on a bucket or object
	struct s3_access *access;   // of that bucket
	unsigned object_right;	    // still to be had from the object's list, 0 = none
	struct span request_tags;   // of the body, when it was read; p == NULL otherwise
	struct store_lock lock;	    // of the body, when it was read
	struct s3_form *form;	    // of a browser's upload, NULL otherwise
	struct s3_body body;
	struct store_put *put;
	struct store_reader *reader;
	uint64_t read_at, read_end; // of a streamed answer
	struct store_cause cause;
	struct trace_context trace; // of the request, or none
	struct store_upload upload; // of a part
	unsigned part;
	// Of what was submitted.
	void (*then)(struct s3_req *q);
	int result;
	struct err result_err;
	struct store_put *submitted;
	struct store_delete_item deleted;
	bool failed; // answered with an error: what still comes is dropped
};

// ---- answering (answer.c) ------------------------------------------------------------------------------

// Each answers the request and returns false, so that a check may `return s3_fail(…)`.
bool s3_fail(struct s3_req *q, enum s3_code code);
bool s3_failf(struct s3_req *q, enum s3_code code, const char *fmt, ...) format_printf(3, 4);
bool s3_fail_store(struct s3_req *q, const struct err *e);

// An XML document: begin with its root element, send when it is complete.
void s3_xml_begin(struct buf *b, const char *root);
void s3_xml_send(struct s3_req *q, struct buf *b, const char *root);
void s3_empty(struct s3_req *q, unsigned status);

// Time as listings write it.
void s3_xml_time(struct buf *b, const char *name, int64_t ns);
void s3_xml_etag(struct buf *b, const char *etag);
// <ChecksumCRC32>…; nothing for S3_SUM_NONE.
void s3_xml_checksum(struct buf *b, enum s3_sum_kind kind, struct span value);
void s3_xml_owner(struct s3_req *q, struct buf *b, const char *name, int64_t user);

// ---- reading a request (param.c) -----------------------------------------------------------------------

// The query member, or the empty span.
struct span s3_param(struct s3_req *q, const char *name);
// A number of the query from 0 on; `missing` without it. Answers InvalidArgument otherwise.
bool s3_param_number(struct s3_req *q, const char *name, uint64_t missing, uint64_t max,
		     uint64_t *out);
bool s3_param_encoding(struct s3_req *q, bool *url);
struct span s3_header(struct s3_req *q, const char *name); // "" when absent
// The header, or in a browser's upload the form field, of that name; p == NULL when absent.
struct span s3_field(struct s3_req *q, const char *name);
// Visits all of them: start with *at = 0.
bool s3_field_next(struct s3_req *q, size_t *at, struct span *name, struct span *value);

// ---- who may (admit.c, context.c) ----------------------------------------------------------------------

// The rights that auth knows of this user on the bucket: as its owner, by visibility, by grants of the API.
bool s3_may(struct s3_req *q, const struct store_bucket *b, unsigned rights);
// Before the body: the bucket exists and the sender may do q->op there. What the object's own list decides is
// left in q->object_right for s3_object_admit(). False when answered.
bool s3_admit(struct s3_req *q);
void s3_needs_check(void); // stops the process when the table of operations is out of order
// For operations that know only after the body what they ask for.
bool s3_admit_late(struct s3_req *q);
bool s3_object_admit(struct s3_req *q, const struct store_object *o);
// Answers that the object could not be read: a missing one is named only to those who may list.
bool s3_object_missing(struct s3_req *q, const struct err *e);
bool s3_is_admin(const struct s3_req *q);
// Of a bucket as a whole, by the policies that the user or his groups were given.
bool s3_own_policies_allow(struct s3_req *q, const struct store_bucket *b, const char *action);
// Whether an action is allowed on a key of the request's bucket, apart from what the operation needs.
bool s3_allowed(struct s3_req *q, const char *action, struct span key, int64_t version);
// For what a request does besides, like setting the list of what it writes: the operation's own right is enough, unless
// a policy denies this. False when answered.
bool s3_not_denied(struct s3_req *q, const char *action);
// The source of a copy, which may lie in another bucket.
bool s3_source_missing(struct s3_req *q, const struct store_bucket *b, const struct err *e);
bool s3_source_admit(struct s3_req *q, const struct store_bucket *b, const struct store_object *o,
		     bool by_version);

// What condition keys of a policy are read from.
struct s3_context {
	struct s3_req *q;
	struct span bucket, key;
	int64_t version;
	bool looked;
	struct store_object object; // for tags of what is there; read when first asked for
};
bool s3_context_known(struct span key); // false for a key s3:… that is never answered
size_t s3_context_values(void *owner, struct span key, struct span *out, size_t max);

// ---- access lists (acl.c) ------------------------------------------------------------------------------

// Owner and list of an object to be written, from the headers. False when answered.
bool s3_acl_of_write(struct s3_req *q, struct store_put_options *o);
void s3_bucket_acl_get(struct s3_req *q);
void s3_bucket_acl_put(struct s3_req *q);
void s3_object_acl_get(struct s3_req *q);
void s3_object_acl_put(struct s3_req *q);
// Of a bucket to be made: *text is empty when it is the default. False when answered.
bool s3_acl_of_bucket(struct s3_req *q, struct span *text);
bool s3_canonical_user(struct s3_req *q, struct span id, int64_t *user);

// ---- policy, ownership, public access (policy.c, block.c) ----------------------------------------------

void s3_policy_get(struct s3_req *q);
void s3_policy_put(struct s3_req *q);
void s3_policy_delete(struct s3_req *q);
void s3_policy_status(struct s3_req *q);
void s3_ownership_get(struct s3_req *q);
void s3_ownership_put(struct s3_req *q);
void s3_ownership_delete(struct s3_req *q);
void s3_block_get(struct s3_req *q);
void s3_block_put(struct s3_req *q);
void s3_block_delete(struct s3_req *q);
void s3_bucket_cors_get(struct s3_req *q);
void s3_bucket_cors_put(struct s3_req *q);
void s3_bucket_cors_delete(struct s3_req *q);
// The headers that a page of another origin needs, on answers of every kind; and OPTIONS.
void s3_cors_headers(struct s3_req *q);
void s3_cors_preflight(struct s3_req *q);
// Stores or (doc.p == NULL) removes a document of the bucket and answers.
void s3_doc_set(struct s3_req *q, const char *kind, struct span doc, unsigned status);

// ---- versions (versioning.c) ---------------------------------------------------------------------------

void s3_version_text(const struct store_object *o, char out[static 32]);
bool s3_version_parse(struct span text, int64_t *out); // false when it is no version id
// An id or nothing, which is the latest.
bool s3_param_version(struct s3_req *q, struct span text, int64_t *out);
// The version's id under this header, when its bucket knows versions.
void s3_version_send(struct s3_req *q, const char *header, const struct store_bucket *b,
		     const struct store_object *o);
void s3_version_made(struct s3_req *q, const struct store_object *o); // of a write

// ---- object lock (lock.c) ------------------------------------------------------------------------------

bool s3_lock_take(struct s3_req *q, struct store_lock *out); // the headers of a write
// The value of the condition key s3:object-lock-KEY: what the request asks for, by headers or body.
size_t s3_lock_value(struct s3_req *q, struct span key, struct span *out);
void s3_lock_send(struct s3_req *q, const struct store_object *o);
// Asks to overrule governance of that key, and may.
bool s3_lock_bypass(struct s3_req *q, struct span key);

// x-amz-abort-date and the rule, when the bucket's rules will abort an upload of q->key that began then (lifecycle.c).
void s3_abort_date_send(struct s3_req *q, int64_t begun_ns);
// x-amz-expiration, when the bucket's rules will remove the object.
void s3_expiration_send(struct s3_req *q, const struct store_object *o);

// ---- bodies (body.c) -----------------------------------------------------------------------------------

bool s3_body_begin(struct s3_req *q);
void s3_body_piece(struct s3_req *q, struct span piece);
bool s3_body_end(struct s3_req *q); // complete and right
void s3_body_release(struct s3_req *q);
// The sums that headers or form fields announce. False when answered.
bool s3_body_sums(struct s3_req *q);
// Takes bytes proper: counts, sums, stores.
must_check int s3_body_sink(struct s3_req *q, struct span bytes, struct err *e);
bool s3_body_xml(struct s3_req *q, const char *root, struct xml_node **out);

// ---- browsers' uploads (form.c, post.c) ----------------------------------------------------------------

bool s3_form_begin(struct s3_req *q);
void s3_form_piece(struct s3_req *q, struct span piece);
bool s3_form_end(struct s3_req *q);
void s3_form_release(struct s3_req *q);
void s3_post_object(struct s3_req *q);
// Commits q->put and adds the headers that tell what was made. False when answered.
bool s3_put_finish(struct s3_req *q, struct store_object *o);
// For operations that wait only sometimes: goes on with `fn` on a worker.
void s3_defer(struct s3_req *q, void (*fn)(struct s3_req *q));
// Parks the request; s3_resume, given as store_done_fn with the request as owner, lets it go on with `then`.
void s3_suspend(struct s3_req *q, void (*then)(struct s3_req *q));
void s3_resume(void *request, int result, const struct err *e);

// ---- metadata (meta.c) ---------------------------------------------------------------------------------

bool s3_meta_take(struct s3_req *q, struct store_meta *out);
void s3_meta_send(struct s3_req *q, const struct store_object *o);
const char *s3_content_type(struct s3_req *q, const struct store_object *o);
// Headers that ask for what we do not offer.
bool s3_headers_supported(struct s3_req *q);
bool s3_storage_class_take(struct s3_req *q, struct span *out);
struct span s3_storage_class(const struct store_object *o);
// Tags as a query string, checked; from the header x-amz-tagging or from XML.
bool s3_tags_take(struct s3_req *q, struct span text, struct span *out);
bool s3_tags_parse(struct s3_req *q, size_t max, struct span *out);
// Those of the element <Tags> with which a bucket is made.
bool s3_tags_of_bucket(struct s3_req *q, const struct xml_node *set, struct span *out);
void s3_tags_send(struct s3_req *q, struct span tags);
unsigned s3_tags_count(struct span tags);

// ---- conditions (condition.c) --------------------------------------------------------------------------

// prefix: "" or "x-amz-copy-source-". S3_OK, S3_NOT_MODIFIED or S3_PRECONDITION_FAILED.
enum s3_code s3_conditions(struct s3_req *q, const char *prefix, const struct store_object *o);
// A condition that S3 has for reads only must not be overlooked by a write. False when answered.
bool s3_condition_absent(struct s3_req *q, const char *name);
// If-Match and If-None-Match of a write.
bool s3_write_conditions(struct s3_req *q, struct store_conditions *out);
struct span s3_etag_bare(struct span etag); // without W/, quotes and blanks

// ---- operations ----------------------------------------------------------------------------------------

const struct s3_op *s3_route(const struct s3_req *q);
// One of MinIO's administration calls, or NULL when the path is not theirs (minio_route.c).
const struct s3_op *s3_admin_route(const struct s3_req *q);

void s3_service_list(struct s3_req *q);

void s3_bucket_create(struct s3_req *q);
void s3_bucket_head(struct s3_req *q);
void s3_bucket_delete(struct s3_req *q);
void s3_bucket_location(struct s3_req *q);
void s3_bucket_unset(struct s3_req *q); // documents that are not set, by q->op->sub
void s3_bucket_unset_delete(struct s3_req *q);
void s3_versioning_get(struct s3_req *q);
void s3_versioning_put(struct s3_req *q);
void s3_lifecycle_get(struct s3_req *q);
void s3_lifecycle_put(struct s3_req *q);
void s3_lifecycle_delete(struct s3_req *q);
void s3_lock_config_get(struct s3_req *q);
void s3_lock_config_put(struct s3_req *q);
void s3_retention_get(struct s3_req *q);
void s3_retention_put(struct s3_req *q);
void s3_hold_get(struct s3_req *q);
void s3_hold_put(struct s3_req *q);
void s3_notification_get(struct s3_req *q);
void s3_notification_put(struct s3_req *q);
// Tells those who want to know that the object was read.
void s3_accessed(struct s3_req *q, const struct store_object *o, bool head);
// Events as they happen, as long as the connection holds (listen.c).
void s3_listen(struct s3_req *q);
void s3_listen_bucket(struct s3_req *q);
void s3_logging_put(struct s3_req *q);
void s3_payment_get(struct s3_req *q);
void s3_payment_put(struct s3_req *q);
void s3_bucket_tags_get(struct s3_req *q);
void s3_bucket_tags_put(struct s3_req *q);
void s3_bucket_tags_delete(struct s3_req *q);
void s3_not_implemented(struct s3_req *q);
void s3_not_allowed(struct s3_req *q);

void s3_list_v1(struct s3_req *q);
void s3_list_v2(struct s3_req *q);
void s3_list_versions(struct s3_req *q);

void s3_object_get(struct s3_req *q);
void s3_object_head(struct s3_req *q);
void s3_object_attributes(struct s3_req *q);
void s3_object_put_begin(struct s3_req *q);
void s3_object_put(struct s3_req *q);
void s3_object_delete(struct s3_req *q);
void s3_object_delete_many(struct s3_req *q);
void s3_object_copy(struct s3_req *q);
void s3_object_tags_get(struct s3_req *q);
void s3_object_tags_put(struct s3_req *q);
void s3_object_tags_delete(struct s3_req *q);

void s3_upload_create(struct s3_req *q);
void s3_upload_part_begin(struct s3_req *q);
void s3_upload_part(struct s3_req *q);
void s3_upload_part_copy(struct s3_req *q);
void s3_upload_complete(struct s3_req *q);
void s3_upload_abort(struct s3_req *q);
void s3_upload_parts(struct s3_req *q);
void s3_upload_list(struct s3_req *q);

// The object that the request names, its content open in q->reader when `open` says so.
bool s3_object_find(struct s3_req *q, struct store_object *o, bool open);
// The options that every write shares; event names are those of the store's sink.
void s3_put_options(struct s3_req *q, const char *event, struct store_put_options *o);
// Computes a checksum of what is copied, or takes over one that is known.
struct s3_copy_sum {
	struct arena *mem;
	struct s3_sum sum;
	struct span kept; // known already
	bool part;
};
// kind: what the copy shall have; whole: all of the source is copied. The hearer borrows *c.
struct store_hearer s3_copy_hearer(struct s3_req *q, struct s3_copy_sum *c, enum s3_sum_kind kind,
				   const struct store_object *source, bool whole, bool part);
// The source of a copy, checked for rights and conditions.
struct s3_source {
	struct span bucket, key;
	int64_t version;
	struct store_bucket of; // the bucket
	struct store_object object;
};
bool s3_copy_source(struct s3_req *q, struct s3_source *out);
