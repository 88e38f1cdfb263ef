// SPDX-License-Identifier: Apache-2.0
// The administration calls of MinIO (/minio/admin/v3/…) that `mc admin` and OSCAR's manager use: users, policies and
// groups here, what concerns the store in minio_store.c. For administrators; bodies with secrets are sealed with the
// caller's secret key.
#include "s3/minio.h"
#include "auth/iam.h"
#include "base/clock.h"
#include "base/mem.h"
#include "s3/sealed.h"

enum { BODY_MAX = 1 << 20, MEMBERS_MAX = 1000 };

static const char root[] = "/minio/admin/v3/";

// ---- what the calls share ------------------------------------------------------------------------------

bool minio_fail(struct s3_req *q, enum s3_code missing, const struct err *e)
{
	if (e->code == ERR_NOT_FOUND)
		return s3_failf(q, missing, "%s", e->msg);
	if (e->code == ERR_INVALID)
		return s3_failf(q, S3_ADMIN_INVALID, "%s", e->msg);
	if (e->code == ERR_CONFLICT || e->code == ERR_EXISTS)
		return s3_failf(q, S3_ADMIN_IN_USE, "%s", e->msg);
	if (e->code == ERR_UNAUTH)
		return s3_failf(q, S3_ADMIN_BAD_BODY, "%s", e->msg);
	if (e->code == ERR_DENIED)
		return s3_failf(q, S3_ACCESS_DENIED, "%s", e->msg);
	return s3_fail_store(q, e);
}

static struct auth *users(struct s3_req *q)
{
	return q->s3->o.auth;
}

static const char *text_param(struct s3_req *q, const char *name)
{
	struct span v = s3_param(q, name);

	return arena_strndup(q->mem, v.p, v.n);
}

void minio_send(struct s3_req *q, json_t *v)
{
	char *text = codec_json_text(v, CODEC_JSON_PLAIN);

	http_reply(q->http, 200, "application/json", span_of(text));
	mem_free(text);
	json_decref(v);
}

static bool caller_key(struct s3_req *q, struct auth_key *key)
{
	struct err e = { 0 };

	return auth_key_find(users(q), span_of(q->who.access), key, &e) == 0 ||
	       s3_fail_store(q, &e);
}

void minio_send_sealed(struct s3_req *q, struct span text)
{
	auto_buf struct buf out = { 0 };
	struct auth_key key;
	struct err e = { 0 };

	buf_init(&out, 64 << 20);
	if (caller_key(q, &key)) {
		if (sealed_make(span_of(key.secret), SEALED_ARGON_AES, text, &out, &e) == 0)
			http_reply_buf(q->http, 200, "application/octet-stream", &out);
		else
			s3_fail_store(q, &e);
	}
	mem_wipe(&key, sizeof(key));
}

static void send_sealed(struct s3_req *q, json_t *v)
{
	auto_free char *text = codec_json_text(v, CODEC_JSON_PLAIN);

	json_decref(v);
	minio_send_sealed(q, span_of(text));
}

bool minio_take_text(struct s3_req *q, struct span *out)
{
	auto_buf struct buf plain = { 0 };
	struct auth_key key;
	struct err e = { 0 };
	bool good;

	buf_init(&plain, BODY_MAX);
	if (!caller_key(q, &key))
		return false;
	good = sealed_open(span_of(key.secret), buf_span(&q->body.small), &plain, &e) == 0;
	mem_wipe(&key, sizeof(key));
	if (good)
		*out = arena_span(q->mem, buf_span(&plain));
	if (plain.p)
		mem_wipe(plain.p, plain.n);
	return good || minio_fail(q, S3_ADMIN_INVALID, &e);
}

// The body as JSON, opened first when it is sealed. NULL when answered.
json_t *minio_take(struct s3_req *q, bool sealed)
{
	struct span body = buf_span(&q->body.small);
	auto_buf struct buf plain = { 0 };
	struct auth_key key = { .access = "" };
	json_t *v = NULL;
	struct err e = { 0 };

	buf_init(&plain, BODY_MAX);
	if (sealed && !caller_key(q, &key))
		return NULL;
	if ((sealed && sealed_open(span_of(key.secret), body, &plain, &e) < 0) ||
	    codec_json_parse(sealed ? buf_span(&plain) : body, BODY_MAX, &v, &e) < 0)
		minio_fail(q, S3_ADMIN_INVALID, &e);
	mem_wipe(&key, sizeof(key));
	if (plain.p)
		mem_wipe(plain.p, plain.n);
	return v;
}

json_t *minio_time(void)
{
	char text[CLOCK_TEXT_MAX];

	return json_string(clock_iso_ms(clock_wall_ns(), text));
}

// "a,b" as a list.
static json_t *list_json(struct span names)
{
	json_t *v = json_array();

	while (names.n) {
		struct span one = span_cut(&names, ',');

		json_array_append_new(v, json_stringn(one.p, one.n));
	}
	return v;
}

// ---- users ---------------------------------------------------------------------------------------------

static json_t *user_json(struct s3_req *q, const struct auth_user *u)
{
	struct iam_holder who = { false, span_of(u->name) };
	struct span policies = SPAN(""), groups = SPAN("");
	struct err ignored = { 0 };
	json_t *v = json_pack("{s:s,s:o}", "status", u->enabled ? "enabled" : "disabled",
			      "updatedAt", minio_time());

	if (iam_policies_held(users(q), &who, q->mem, &policies, &ignored) == 0 && policies.n)
		json_object_set_new(v, "policyName", json_stringn(policies.p, policies.n));
	if (iam_groups_of(users(q), u->id, q->mem, &groups, &ignored) == 0 && groups.n)
		json_object_set_new(v, "memberOf", list_json(groups));
	return v;
}

static bool find_user(struct s3_req *q, struct auth_user *u)
{
	struct err e = { 0 };

	return auth_user_find(users(q), s3_param(q, "accessKey"), u, &e) == 0 ||
	       minio_fail(q, S3_ADMIN_NO_USER, &e);
}

// A user is named like his key; a second call gives the key another secret.
static void add_user(struct s3_req *q)
{
	const char *name = text_param(q, "accessKey"), *secret = NULL, *status = NULL;
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
	if (auth_user_find(users(q), span_of(name), &u, &unknown) < 0)
		bad = auth_user_add(users(q), name, NULL, name, secret, &u, &e);
	else
		bad = secret ? iam_key_put(users(q), u.id, name, secret, &e) : 0;
	if (!bad && status)
		bad = iam_user_enable(users(q), u.id, strcmp(status, "disabled") != 0, &e);
	if (!bad && policy && *policy)
		bad = iam_policies_change(users(q), &(struct iam_holder){ false, span_of(name) },
					  IAM_SET, span_of(policy), &e);
	if (bad)
		minio_fail(q, S3_ADMIN_NO_POLICY, &e);
	else
		s3_empty(q, 200);
}

static void remove_user(struct s3_req *q)
{
	struct err e = { 0 };

	if (auth_user_remove(users(q), s3_param(q, "accessKey"), &e) < 0)
		minio_fail(q, S3_ADMIN_NO_USER, &e);
	else
		s3_empty(q, 200);
}

static void list_users(struct s3_req *q)
{
	json_t *v = json_object();
	struct auth_user *all;
	struct err e = { 0 };
	size_t n;

	if (auth_user_list(users(q), q->mem, &all, &n, &e) < 0) {
		json_decref(v);
		s3_fail_store(q, &e);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (all[i].id != AUTH_ANONYMOUS_ID && all[i].id != AUTH_ADMIN_ID)
			json_object_set_new(v, all[i].name, user_json(q, &all[i]));
	send_sealed(q, v);
}

static void user_info(struct s3_req *q)
{
	struct auth_user u;

	if (find_user(q, &u))
		minio_send(q, user_json(q, &u));
}

static void set_user_status(struct s3_req *q)
{
	struct span status = s3_param(q, "status");
	struct auth_user u;
	struct err e = { 0 };

	if (!find_user(q, &u))
		return;
	if (!span_is(status, "enabled") && !span_is(status, "disabled"))
		s3_failf(q, S3_ADMIN_INVALID, "status is enabled or disabled");
	else if (iam_user_enable(users(q), u.id, span_is(status, "enabled"), &e) < 0)
		minio_fail(q, S3_ADMIN_NO_USER, &e);
	else
		s3_empty(q, 200);
}

// ---- policies ------------------------------------------------------------------------------------------

static void add_policy(struct s3_req *q)
{
	struct err e = { 0 };

	if (iam_policy_put(users(q), text_param(q, "name"), buf_span(&q->body.small), &e) < 0)
		minio_fail(q, S3_ADMIN_INVALID, &e);
	else
		s3_empty(q, 200);
}

static void remove_policy(struct s3_req *q)
{
	struct err e = { 0 };

	if (iam_policy_remove(users(q), text_param(q, "name"), &e) < 0)
		minio_fail(q, S3_ADMIN_NO_POLICY, &e);
	else
		s3_empty(q, 200);
}

static json_t *policy_json(struct span text)
{
	struct err e = { 0 };
	json_t *v;

	return codec_json_parse(text, BODY_MAX, &v, &e) == 0 ? v : json_null();
}

static void policy_info(struct s3_req *q)
{
	const char *name = text_param(q, "name");
	struct span text = { 0 };
	struct err e = { 0 };

	if (iam_policy_get(users(q), span_of(name), q->mem, &text, &e) < 0)
		minio_fail(q, S3_ADMIN_NO_POLICY, &e);
	else if (span_is(s3_param(q, "v"), "2"))
		minio_send(q,
			   json_pack("{s:s,s:o}", "PolicyName", name, "Policy", policy_json(text)));
	else
		http_reply_kept(q->http, 200, "application/json", text);
}

static void list_policies(struct s3_req *q)
{
	json_t *v = json_object();
	struct iam_policy *all;
	struct err e = { 0 };
	size_t n;

	if (iam_policy_list(users(q), q->mem, &all, &n, &e) < 0) {
		json_decref(v);
		s3_fail_store(q, &e);
		return;
	}
	for (size_t i = 0; i < n; i++)
		json_object_set_new(v, all[i].name, policy_json(all[i].text));
	minio_send(q, v);
}

static void set_policy(struct s3_req *q)
{
	struct iam_holder who = { span_is(s3_param(q, "isGroup"), "true"),
				  s3_param(q, "userOrGroup") };
	struct err e = { 0 };

	if (iam_policies_change(users(q), &who, IAM_SET, s3_param(q, "policyName"), &e) < 0)
		minio_fail(q, S3_ADMIN_NO_POLICY, &e);
	else
		s3_empty(q, 200);
}

static bool take_association(struct s3_req *q, json_t *v, struct iam_holder *who,
			     struct span *policies)
{
	const char *user = NULL, *group = NULL;
	auto_buf struct buf names = { 0 };
	json_t *list = NULL, *one;
	struct err e = { 0 };
	size_t i;

	buf_init(&names, BODY_MAX);
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
	if (iam_policies_change(users(q), &who, what, policies, &e) < 0) {
		minio_fail(q, S3_ADMIN_NO_POLICY, &e);
		return;
	}
	if (policies.n)
		policies.n--; // the last comma
	send_sealed(q, json_pack("{s:o,s:o}",
				 what == IAM_ATTACH ? "policiesAttached" : "policiesDetached",
				 list_json(policies), "updatedAt", minio_time()));
}

static void attach_policy(struct s3_req *q)
{
	associate(q, IAM_ATTACH);
}

static void detach_policy(struct s3_req *q)
{
	associate(q, IAM_DETACH);
}

// ---- groups --------------------------------------------------------------------------------------------

static void change_group(struct s3_req *q)
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
	json_array_foreach(list, i, one) if (n < MEMBERS_MAX) members[n++] =
		span_of(json_string_value(one) ? json_string_value(one) : "");
	if (json_array_size(list) > MEMBERS_MAX)
		s3_failf(q, S3_ADMIN_INVALID, "at most %d members in one call", MEMBERS_MAX);
	else if (iam_group_change(users(q), group ? group : "", members, n, remove, &e) < 0 ||
		 (status && *status && !remove &&
		  iam_group_enable(users(q), group, strcmp(status, "disabled") != 0, &e) < 0))
		minio_fail(q, n ? S3_ADMIN_NO_USER : S3_ADMIN_NO_GROUP, &e);
	else
		s3_empty(q, 200);
}

static void group_info(struct s3_req *q)
{
	struct iam_holder who = { true, s3_param(q, "group") };
	struct span policies = SPAN("");
	struct iam_group g;
	struct err e = { 0 };
	json_t *members;

	if (iam_group_get(users(q), who.name, q->mem, &g, &e) < 0 ||
	    iam_policies_held(users(q), &who, q->mem, &policies, &e) < 0) {
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

static void list_groups(struct s3_req *q)
{
	json_t *v = json_array();
	const char **names;
	struct err e = { 0 };
	size_t n;

	if (iam_group_list(users(q), q->mem, &names, &n, &e) < 0) {
		json_decref(v);
		s3_fail_store(q, &e);
		return;
	}
	for (size_t i = 0; i < n; i++)
		json_array_append_new(v, json_string(names[i]));
	minio_send(q, v);
}

static void set_group_status(struct s3_req *q)
{
	struct err e = { 0 };

	if (iam_group_enable(users(q), text_param(q, "group"),
			     span_is(s3_param(q, "status"), "enabled"), &e) < 0)
		minio_fail(q, S3_ADMIN_NO_GROUP, &e);
	else
		s3_empty(q, 200);
}

// ---- which call ----------------------------------------------------------------------------------------

static void admins_only(struct s3_req *q)
{
	if (!s3_is_admin(q))
		s3_fail(q, S3_ACCESS_DENIED);
}

static void signed_only(struct s3_req *q)
{
	if (q->who.anonymous)
		s3_fail(q, S3_ACCESS_DENIED);
}

#define CALL(method_, name_, fn_)                                                                  \
	{                                                                                          \
		name_, method_, S3_SERVICE, NULL, NULL, 0, S3_BODY_SMALL, true, admins_only, fn_   \
	}

static const struct s3_op calls[] = {
	CALL(HTTP_PUT, "add-user", add_user),
	CALL(HTTP_DELETE, "remove-user", remove_user),
	CALL(HTTP_GET, "list-users", list_users),
	CALL(HTTP_GET, "user-info", user_info),
	CALL(HTTP_PUT, "set-user-status", set_user_status),
	CALL(HTTP_PUT, "add-canned-policy", add_policy),
	CALL(HTTP_DELETE, "remove-canned-policy", remove_policy),
	CALL(HTTP_GET, "info-canned-policy", policy_info),
	CALL(HTTP_GET, "list-canned-policies", list_policies),
	CALL(HTTP_PUT, "set-user-or-group-policy", set_policy),
	CALL(HTTP_POST, "idp/builtin/policy/attach", attach_policy),
	CALL(HTTP_POST, "idp/builtin/policy/detach", detach_policy),
	CALL(HTTP_PUT, "update-group-members", change_group),
	CALL(HTTP_GET, "group", group_info),
	CALL(HTTP_GET, "groups", list_groups),
	CALL(HTTP_PUT, "set-group-status", set_group_status),
	CALL(HTTP_GET, "info", minio_server_info),
	CALL(HTTP_GET, "datausageinfo", minio_data_usage),
	CALL(HTTP_PUT, "set-config-kv", minio_config_set),
	CALL(HTTP_GET, "get-config-kv", minio_config_get),
	CALL(HTTP_DELETE, "del-config-kv", minio_config_delete),
	CALL(HTTP_GET, "help-config-kv", minio_config_help),
	CALL(HTTP_POST, "service", minio_service),
	{ "accountinfo", HTTP_GET, S3_SERVICE, NULL, NULL, 0, S3_BODY_SMALL, true, signed_only,
	  minio_account },
	CALL(HTTP_PUT, "set-bucket-quota", minio_set_quota),
	CALL(HTTP_GET, "get-bucket-quota", minio_get_quota),
};

static const struct s3_op other = CALL(HTTP_OTHER, "other", s3_not_implemented);

const struct s3_op *s3_admin_route(const struct s3_req *q)
{
	struct span path = http_path_raw(q->http);

	if (q->virtual_host || !span_starts(path, SPAN("/minio/admin/")))
		return NULL;
	if (!span_starts(path, span_of(root)))
		return &other;
	path = span_from(path, sizeof(root) - 1);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (calls[i].method == http_method(q->http) && span_is(path, calls[i].name))
			return &calls[i];
	return &other;
}
