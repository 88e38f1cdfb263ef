// SPDX-License-Identifier: Apache-2.0
// MinIO's administration calls about groups.
#include "auth/iam.h"
#include "s3/minio.h"

enum { MEMBERS_MAX = 1000 };

void minio_group_change(struct s3_req *q)
{
	auto_json json_t *v = minio_take(q, false);
	const char *group = NULL, *status = NULL;
	struct span members[MEMBERS_MAX];
	json_t *list = NULL, *one;
	bool remove = false;
	struct err e = { 0 };
	size_t i, n = 0;

	if (!v)
		return;
	if (codec_json_get_string(v, "group", &group, &e) < 0 ||
	    codec_json_get_string(v, "groupStatus", &status, &e) < 0 ||
	    codec_json_get_array(v, "members", &list, &e) < 0 ||
	    codec_json_get_bool(v, "isRemove", &remove, &e) < 0) {
		minio_fail(q, S3_ADMIN_INVALID, &e);
		return;
	}
	json_array_foreach(list, i, one)
	{
		if (n < MEMBERS_MAX)
			members[n++] =
				span_of(json_string_value(one) ? json_string_value(one) : "");
	}
	if (json_array_size(list) > MEMBERS_MAX)
		s3_failf(q, S3_ADMIN_INVALID, "at most %d members in one call", MEMBERS_MAX);
	else if (iam_group_change(minio_auth(q), group ? group : "", members, n, remove, &e) < 0 ||
		 (status && *status && !remove &&
		  iam_group_enable(minio_auth(q), group, strcmp(status, "disabled") != 0, &e) < 0))
		minio_fail(q, n ? S3_ADMIN_NO_USER : S3_ADMIN_NO_GROUP, &e);
	else
		s3_empty(q, 200);
}

void minio_group_info(struct s3_req *q)
{
	struct iam_holder who = { true, s3_param(q, "group") };
	struct span policies = SPAN("");
	struct iam_group g;
	struct err e = { 0 };
	json_t *members;

	if (iam_group_get(minio_auth(q), who.name, q->mem, &g, &e) < 0 ||
	    iam_policies_held(minio_auth(q), &who, q->mem, &policies, &e) < 0) {
		minio_fail(q, S3_ADMIN_NO_GROUP, &e);
		return;
	}
	members = json_array();
	for (size_t i = 0; i < g.n; i++)
		json_array_append_new(members, json_string(g.members[i]));
	minio_send(q, json_pack("{s:s,s:s,s:o,s:s#,s:o}", "name", g.name, "status",
				g.enabled ? "enabled" : "disabled", "members", members, "policy",
				policies.p, (int)policies.n, "updatedAt", minio_time()));
}

void minio_group_list(struct s3_req *q)
{
	json_t *v = json_array();
	const char **names;
	struct err e = { 0 };
	size_t n;

	if (iam_group_list(minio_auth(q), q->mem, &names, &n, &e) < 0) {
		json_decref(v);
		s3_fail_store(q, &e);
		return;
	}
	for (size_t i = 0; i < n; i++)
		json_array_append_new(v, json_string(names[i]));
	minio_send(q, v);
}

void minio_group_set_status(struct s3_req *q)
{
	bool enabled = span_is(s3_param(q, "status"), "enabled");
	struct err e = { 0 };
	int bad = iam_group_enable(minio_auth(q), minio_text(q, "group"), enabled, &e);

	minio_done(q, bad, S3_ADMIN_NO_GROUP, &e);
}
