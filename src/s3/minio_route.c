// SPDX-License-Identifier: Apache-2.0
// Which of MinIO's administration calls (/minio/admin/v3/…) that `mc admin` and OSCAR's manager use is which, and who
// may make it: administrators.
#include "s3/minio.h"

static const char root[] = "/minio/admin/v3/";

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
	CALL(HTTP_PUT, "add-user", minio_user_add),
	CALL(HTTP_DELETE, "remove-user", minio_user_remove),
	CALL(HTTP_GET, "list-users", minio_user_list),
	CALL(HTTP_GET, "user-info", minio_user_info),
	CALL(HTTP_PUT, "set-user-status", minio_user_set_status),
	CALL(HTTP_PUT, "add-canned-policy", minio_policy_add),
	CALL(HTTP_DELETE, "remove-canned-policy", minio_policy_remove),
	CALL(HTTP_GET, "info-canned-policy", minio_policy_info),
	CALL(HTTP_GET, "list-canned-policies", minio_policy_list),
	CALL(HTTP_PUT, "set-user-or-group-policy", minio_policy_set),
	CALL(HTTP_POST, "idp/builtin/policy/attach", minio_policy_attach),
	CALL(HTTP_POST, "idp/builtin/policy/detach", minio_policy_detach),
	CALL(HTTP_PUT, "update-group-members", minio_group_change),
	CALL(HTTP_GET, "group", minio_group_info),
	CALL(HTTP_GET, "groups", minio_group_list),
	CALL(HTTP_PUT, "set-group-status", minio_group_set_status),
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
