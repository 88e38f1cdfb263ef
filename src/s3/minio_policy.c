// SPDX-License-Identifier: Apache-2.0
// MinIO's administration calls about policies, and who has which.
#include "auth/iam.h"
#include "s3/minio.h"

enum { POLICY_MAX = 1 << 20 };

void minio_policy_add(struct s3_req *q)
{
	struct err e = { 0 };
	int bad =
		iam_policy_put(minio_auth(q), minio_text(q, "name"), buf_span(&q->body.small), &e);

	minio_done(q, bad, S3_ADMIN_INVALID, &e);
}

void minio_policy_remove(struct s3_req *q)
{
	struct err e = { 0 };
	int bad = iam_policy_remove(minio_auth(q), minio_text(q, "name"), &e);

	minio_done(q, bad, S3_ADMIN_NO_POLICY, &e);
}

static json_t *policy_json(struct span text)
{
	struct err e = { 0 };
	json_t *v;

	return codec_json_parse(text, POLICY_MAX, &v, &e) == 0 ? v : json_null();
}

void minio_policy_info(struct s3_req *q)
{
	const char *name = minio_text(q, "name");
	struct span text = { 0 };
	struct err e = { 0 };

	if (iam_policy_get(minio_auth(q), span_of(name), q->mem, &text, &e) < 0)
		minio_fail(q, S3_ADMIN_NO_POLICY, &e);
	else if (span_is(s3_param(q, "v"), "2"))
		minio_send(q,
			   json_pack("{s:s,s:o}", "PolicyName", name, "Policy", policy_json(text)));
	else
		http_reply_kept(q->http, 200, "application/json", text);
}

void minio_policy_list(struct s3_req *q)
{
	json_t *v = json_object();
	struct iam_policy *all;
	struct err e = { 0 };
	size_t n;

	if (iam_policy_list(minio_auth(q), q->mem, &all, &n, &e) < 0) {
		json_decref(v);
		s3_fail_store(q, &e);
		return;
	}
	for (size_t i = 0; i < n; i++)
		json_object_set_new(v, all[i].name, policy_json(all[i].text));
	minio_send(q, v);
}

void minio_policy_set(struct s3_req *q)
{
	struct iam_holder who = { span_is(s3_param(q, "isGroup"), "true"),
				  s3_param(q, "userOrGroup") };
	struct err e = { 0 };
	int bad = iam_policies_change(minio_auth(q), &who, IAM_SET, s3_param(q, "policyName"), &e);

	minio_done(q, bad, S3_ADMIN_NO_POLICY, &e);
}

static bool take_association(struct s3_req *q, json_t *v, struct iam_holder *who,
			     struct span *policies)
{
	const char *user = NULL, *group = NULL;
	auto_buf struct buf names = { 0 };
	json_t *list = NULL, *one;
	struct err e = { 0 };
	size_t i;

	buf_init(&names, POLICY_MAX);
	if (codec_json_get_string(v, "user", &user, &e) < 0 ||
	    codec_json_get_string(v, "group", &group, &e) < 0 ||
	    codec_json_get_array(v, "policies", &list, &e) < 0)
		return minio_fail(q, S3_ADMIN_INVALID, &e);
	json_array_foreach(list, i, one)
	{
		buf_add_str(&names, json_string_value(one) ? json_string_value(one) : "");
		buf_add_char(&names, ',');
	}
	who->group = group && *group;
	who->name = arena_span(q->mem, span_of(who->group ? group : user ? user : ""));
	*policies = arena_span(q->mem, buf_span(&names));
	return true;
}

static void associate(struct s3_req *q, enum iam_change what)
{
	auto_json json_t *v = minio_take(q, true);
	struct iam_holder who = { .name = SPAN("") };
	struct span policies = SPAN("");
	struct err e = { 0 };

	if (!v || !take_association(q, v, &who, &policies))
		return;
	if (iam_policies_change(minio_auth(q), &who, what, policies, &e) < 0) {
		minio_fail(q, S3_ADMIN_NO_POLICY, &e);
		return;
	}
	if (policies.n)
		policies.n--; // the last comma
	minio_send_sealed(q, json_pack("{s:o,s:o}",
				       what == IAM_ATTACH ? "policiesAttached" : "policiesDetached",
				       minio_list(policies), "updatedAt", minio_time()));
}

void minio_policy_attach(struct s3_req *q)
{
	associate(q, IAM_ATTACH);
}

void minio_policy_detach(struct s3_req *q)
{
	associate(q, IAM_DETACH);
}
