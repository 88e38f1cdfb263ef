// SPDX-License-Identifier: Apache-2.0
// MinIO's administration calls about the store: quotas, and what there is.
#include "s3/minio.h"

// ---- quotas --------------------------------------------------------------------------------------------

void minio_set_quota(struct s3_req *q)
{
	auto_json json_t *v = minio_take(q, false);
	int64_t size = 0, old = 0;
	struct store_quota quota;
	struct store_bucket b;
	struct err e = { 0 };

	if (!v)
		return;
	if (codec_json_get_int(v, "size", 0, INT64_MAX, &size, &e) < 0 ||
	    codec_json_get_int(v, "quota", 0, INT64_MAX, &old, &e) < 0) {
		minio_fail(q, S3_ADMIN_INVALID, &e);
		return;
	}
	if (store_bucket_get(q->s3->o.store, s3_param(q, "bucket"), &b, &e) == 0) {
		quota = (struct store_quota){ (uint64_t)(size ? size : old), b.quota.objects };
		if (store_bucket_set_quota(q->s3->o.store, span_of(b.name), &quota, &e) == 0) {
			s3_empty(q, 200);
			return;
		}
	}
	s3_fail_store(q, &e);
}

void minio_get_quota(struct s3_req *q)
{
	struct store_bucket b;
	struct err e = { 0 };

	if (store_bucket_get(q->s3->o.store, s3_param(q, "bucket"), &b, &e) < 0)
		s3_fail_store(q, &e);
	else
		minio_send(q, json_pack("{s:I,s:I,s:i,s:i,s:s}", "quota", (json_int_t)b.quota.bytes,
					"size", (json_int_t)b.quota.bytes, "rate", 0, "requests", 0,
					"quotatype", b.quota.bytes ? "hard" : ""));
}

// ---- what there is -------------------------------------------------------------------------------------

struct usage {
	uint64_t buckets, objects, bytes;
	json_t *each; // "objects" and "bytes" of each bucket, or NULL when nobody asks
};

// Pages of buckets; their own counters are kept by the store.
static bool count(struct s3_req *q, struct usage *u)
{
	struct span after = SPAN("");
	struct store_bucket *b;
	struct err e = { 0 };
	size_t n;

	do {
		if (store_bucket_list(q->s3->o.store, q->mem, 0, after, STORE_PAGE_MAX, &b, &n,
				      &e) < 0)
			return s3_fail_store(q, &e);
		for (size_t i = 0; i < n; i++) {
			u->buckets++;
			u->objects += b[i].objects;
			u->bytes += b[i].bytes;
			if (u->each)
				json_object_set_new(
					u->each, b[i].name,
					json_pack("{s:I,s:I}", "size", (json_int_t)b[i].bytes,
						  "objectsCount", (json_int_t)b[i].objects));
			after = span_of(b[i].name);
		}
	} while (n == STORE_PAGE_MAX);
	return true;
}

void minio_server_info(struct s3_req *q)
{
	struct span host = s3_header(q, "Host");
	struct usage u = { 0 };

	if (count(q, &u))
		minio_send(
			q,
			json_pack(
				"{s:s,s:s,s:o,s:{s:I},s:{s:I},s:{s:I},s:{s:s},s:[{s:s,s:s#,s:s}]}",
				"mode", "online", "region", authn_region(q->s3->o.authn), "sqsARN",
				minio_arns(q), "buckets", "count", (json_int_t)u.buckets, "objects",
				"count", (json_int_t)u.objects, "usage", "size",
				(json_int_t)u.bytes, "backend", "backendType", "FS", "servers",
				"state", "online", "endpoint", host.p, (int)host.n, "scheme",
				http_is_tls(q->http) ? "https" : "http"));
}

void minio_data_usage(struct s3_req *q)
{
	struct usage u = { .each = json_object() };

	if (count(q, &u))
		minio_send(q, json_pack("{s:o,s:I,s:I,s:I,s:O}", "lastUpdate", minio_time(),
					"objectsCount", (json_int_t)u.objects, "objectsTotalSize",
					(json_int_t)u.bytes, "bucketsCount", (json_int_t)u.buckets,
					"bucketsUsageInfo", u.each));
	json_decref(u.each);
}
