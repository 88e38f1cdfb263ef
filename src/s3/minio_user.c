// SPDX-License-Identifier: Apache-2.0
// MinIO's administration calls about users.
#include "auth/iam.h"
#include "s3/minio.h"

static json_t *user_json(struct s3_req *q, const struct auth_user *u)
{
	struct iam_holder who = { false, span_of(u->name) };
	struct span policies = SPAN(""), groups = SPAN("");
	struct err ignored = { 0 };
	json_t *v = json_pack("{s:s,s:o}", "status", u->enabled ? "enabled" : "disabled",
			      "updatedAt", minio_time());

	if (iam_policies_held(minio_auth(q), &who, q->mem, &policies, &ignored) == 0 && policies.n)
		json_object_set_new(v, "policyName", json_stringn(policies.p, policies.n));
	if (iam_groups_of(minio_auth(q), u->id, q->mem, &groups, &ignored) == 0 && groups.n)
		json_object_set_new(v, "memberOf", minio_list(groups));
	return v;
}

static bool find_user(struct s3_req *q, struct auth_user *u)
{
	struct err e = { 0 };

	return auth_user_find(minio_auth(q), s3_param(q, "accessKey"), u, &e) == 0 ||
	       minio_fail(q, S3_ADMIN_NO_USER, &e);
}

// A user is named like his key; a second call gives the key another secret.
void minio_user_add(struct s3_req *q)
{
	const char *name = minio_text(q, "accessKey"), *secret = NULL, *status = NULL;
	const char *policy = NULL;
	auto_json json_t *v = minio_take(q, true);
	struct auth_user u;
	struct err e = { 0 }, unknown = { 0 };
	int bad;

	if (!v)
		return;
	if (codec_json_get_string(v, "secretKey", &secret, &e) < 0 ||
	    codec_json_get_string(v, "status", &status, &e) < 0 ||
	    codec_json_get_string(v, "policy", &policy, &e) < 0) {
		minio_fail(q, S3_ADMIN_INVALID, &e);
		return;
	}
	if (auth_user_find(minio_auth(q), span_of(name), &u, &unknown) < 0)
		bad = auth_user_add(minio_auth(q), name, NULL, name, secret, &u, &e);
	else
		bad = secret ? iam_key_put(minio_auth(q), u.id, name, secret, &e) : 0;
	if (!bad && status)
		bad = iam_user_enable(minio_auth(q), u.id, strcmp(status, "disabled") != 0, &e);
	if (!bad && policy && *policy)
		bad = iam_policies_change(minio_auth(q),
					  &(struct iam_holder){ false, span_of(name) }, IAM_SET,
					  span_of(policy), &e);
	minio_done(q, bad, S3_ADMIN_NO_POLICY, &e);
}

void minio_user_remove(struct s3_req *q)
{
	struct err e = { 0 };
	int bad = auth_user_remove(minio_auth(q), s3_param(q, "accessKey"), &e);

	minio_done(q, bad, S3_ADMIN_NO_USER, &e);
}

void minio_user_list(struct s3_req *q)
{
	json_t *v = json_object();
	struct auth_user *all;
	struct err e = { 0 };
	size_t n;

	if (auth_user_list(minio_auth(q), q->mem, &all, &n, &e) < 0) {
		json_decref(v);
		s3_fail_store(q, &e);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (all[i].id != AUTH_ANONYMOUS_ID && all[i].id != AUTH_ADMIN_ID)
			json_object_set_new(v, all[i].name, user_json(q, &all[i]));
	minio_send_sealed(q, v);
}

void minio_user_info(struct s3_req *q)
{
	struct auth_user u;

	if (find_user(q, &u))
		minio_send(q, user_json(q, &u));
}

void minio_user_set_status(struct s3_req *q)
{
	struct span status = s3_param(q, "status");
	bool enabled = span_is(status, "enabled");
	struct auth_user u;
	struct err e = { 0 };

	if (!find_user(q, &u))
		return;
	if (!enabled && !span_is(status, "disabled"))
		s3_failf(q, S3_ADMIN_INVALID, "status is enabled or disabled");
	else
		minio_done(q, iam_user_enable(minio_auth(q), u.id, enabled, &e), S3_ADMIN_NO_USER,
			   &e);
}
