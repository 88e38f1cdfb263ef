// table: the keys of the service object in the order in which they are printed. Owner: constants only.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/schema.h"

// clang-format off
static const struct fdl_field group_fields[] = {
	{ "count", FDL_INT, FDL_OMIT, NULL },
	{ "wait", FDL_INT, FDL_OMIT, NULL },
	{ "sentinel", FDL_STRING, FDL_OMIT, NULL },
	{ "run", FDL_BOOL, FDL_OMIT, NULL },
	{ "failed", FDL_STRING, FDL_OMIT, NULL },
	{ "manifest", FDL_STRING, FDL_OMIT, NULL },
	{ 0 },
};

static const struct fdl_field io_fields[] = {
	{ "storage_provider", FDL_STRING, FDL_EMPTY, NULL },
	{ "path", FDL_STRING, FDL_EMPTY, NULL },
	{ "suffix", FDL_STRINGS, FDL_OMIT, NULL },
	{ "prefix", FDL_STRINGS, FDL_OMIT, NULL },
	{ "options", FDL_STRING, FDL_OMIT, NULL },
	{ "group", FDL_OBJECT, FDL_OMIT, group_fields },
	{ 0 },
};

static const struct fdl_field scale_fields[] = {
	{ "min_scale", FDL_INT, FDL_EMPTY, NULL },
	{ "max_scale", FDL_INT, FDL_EMPTY, NULL },
	{ 0 },
};

static const struct fdl_field member_fields[] = {
	{ "type", FDL_STRING, FDL_EMPTY, NULL },
	{ "cluster_id", FDL_STRING, FDL_EMPTY, NULL },
	{ "service_name", FDL_STRING, FDL_EMPTY, NULL },
	{ "url", FDL_STRING, FDL_EMPTY, NULL },
	{ "ssl_verify", FDL_BOOL, FDL_EMPTY, NULL },
	{ "priority", FDL_INT, FDL_EMPTY, NULL },
	{ "headers", FDL_WORDS, FDL_EMPTY, NULL },
	{ 0 },
};

static const struct fdl_field federation_fields[] = {
	{ "group_id", FDL_STRING, FDL_EMPTY, NULL },
	{ "topology", FDL_STRING, FDL_EMPTY, NULL },
	{ "delegation", FDL_STRING, FDL_EMPTY, NULL },
	{ "rescheduler_threshold", FDL_INT, FDL_OMIT, NULL },
	{ "members", FDL_OBJECTS, FDL_EMPTY, member_fields },
	{ 0 },
};

static const struct fdl_field expose_fields[] = {
	{ "min_scale", FDL_INT, FDL_EMPTY, NULL },
	{ "max_scale", FDL_INT, FDL_EMPTY, NULL },
	{ "api_port", FDL_PORTS, FDL_OMIT, NULL },
	{ "cpu_threshold", FDL_INT, FDL_EMPTY, NULL },
	{ "rewrite_target", FDL_BOOL, FDL_EMPTY, NULL },
	{ "nodePort", FDL_PORTS, FDL_OMIT, NULL },
	{ "default_command", FDL_BOOL, FDL_EMPTY, NULL },
	{ "set_auth", FDL_BOOL, FDL_EMPTY, NULL },
	{ "auth_type", FDL_STRING, FDL_OMIT, NULL },
	{ "health_path", FDL_STRING, FDL_EMPTY, NULL },
	{ "probe_mode", FDL_STRING, FDL_OMIT, NULL },
	{ "concurrency", FDL_INT, FDL_OMIT, NULL }, // ours
	{ 0 },
};

static const struct fdl_field environment_fields[] = {
	{ "variables", FDL_WORDS, FDL_EMPTY, NULL },
	{ "secrets", FDL_WORDS, FDL_EMPTY, NULL },
	{ 0 },
};

static const struct fdl_field s3_fields[] = {
	{ "access_key", FDL_STRING, FDL_EMPTY, NULL },
	{ "secret_key", FDL_STRING, FDL_EMPTY, NULL },
	{ "region", FDL_STRING, FDL_EMPTY, NULL },
	{ 0 },
};

static const struct fdl_field minio_fields[] = {
	{ "endpoint", FDL_STRING, FDL_EMPTY, NULL },
	{ "verify", FDL_BOOL, FDL_EMPTY, NULL },
	{ "access_key", FDL_STRING, FDL_EMPTY, NULL },
	{ "secret_key", FDL_STRING, FDL_EMPTY, NULL },
	{ "region", FDL_STRING, FDL_EMPTY, NULL },
	{ 0 },
};

static const struct fdl_field onedata_fields[] = {
	{ "oneprovider_host", FDL_STRING, FDL_EMPTY, NULL },
	{ "token", FDL_STRING, FDL_EMPTY, NULL },
	{ "space", FDL_STRING, FDL_EMPTY, NULL },
	{ 0 },
};

static const struct fdl_field webdav_fields[] = {
	{ "hostname", FDL_STRING, FDL_EMPTY, NULL },
	{ "login", FDL_STRING, FDL_EMPTY, NULL },
	{ "password", FDL_STRING, FDL_EMPTY, NULL },
	{ 0 },
};

static const struct fdl_field rucio_fields[] = {
	{ "host", FDL_STRING, FDL_EMPTY, NULL },
	{ "account", FDL_STRING, FDL_EMPTY, NULL },
	{ "rse", FDL_STRING, FDL_EMPTY, NULL },
	{ "refresh_token", FDL_STRING, FDL_EMPTY, NULL },
	{ "auth_host", FDL_STRING, FDL_EMPTY, NULL },
	{ "oidc_audience", FDL_STRING, FDL_EMPTY, NULL },
	{ "token_endpoint", FDL_STRING, FDL_EMPTY, NULL },
	{ 0 },
};

const struct fdl_field fdl_provider_fields[] = {
	{ "s3", FDL_NAMED, FDL_OMIT, s3_fields },
	{ "minio", FDL_NAMED, FDL_OMIT, minio_fields },
	{ "onedata", FDL_NAMED, FDL_OMIT, onedata_fields },
	{ "webdav", FDL_NAMED, FDL_OMIT, webdav_fields },
	{ "rucio", FDL_NAMED, FDL_OMIT, rucio_fields },
	{ 0 },
};

const struct fdl_field fdl_cluster_fields[] = {
	{ "endpoint", FDL_STRING, FDL_EMPTY, NULL },
	{ "auth_user", FDL_STRING, FDL_EMPTY, NULL },
	{ "auth_password", FDL_STRING, FDL_EMPTY, NULL },
	{ "ssl_verify", FDL_BOOL, FDL_EMPTY, NULL },
	{ "oidc_account_name", FDL_STRING, FDL_OMIT, NULL },
	{ "oidc_refresh_token", FDL_STRING, FDL_OMIT, NULL },
	{ "memory", FDL_STRING, FDL_OMIT, NULL },
	{ "log_level", FDL_STRING, FDL_OMIT, NULL },
	{ 0 },
};

static const struct fdl_field host_mount_fields[] = {
	{ "name", FDL_STRING, FDL_EMPTY, NULL },
	{ "path", FDL_STRING, FDL_OMIT, NULL },
	{ 0 },
};

static const struct fdl_field volume_fields[] = {
	{ "name", FDL_STRING, FDL_OMIT, NULL },
	{ "size", FDL_STRING, FDL_OMIT, NULL },
	{ "mount_path", FDL_STRING, FDL_OMIT, NULL },
	{ "lifecycle_policy", FDL_STRING, FDL_OMIT, NULL },
	{ 0 },
};

static const struct fdl_field volume_status_fields[] = {
	{ "enabled", FDL_BOOL, FDL_EMPTY, NULL },
	{ "name", FDL_STRING, FDL_OMIT, NULL },
	{ "phase", FDL_STRING, FDL_OMIT, NULL },
	{ "error", FDL_STRING, FDL_OMIT, NULL },
	{ 0 },
};

static const struct fdl_field device_fields[] = {
	{ "kind", FDL_STRING, FDL_EMPTY, NULL },
	{ "count", FDL_INT, FDL_OMIT, NULL },
	{ 0 },
};

static const struct fdl_field retry_fields[] = {
	{ "attempts", FDL_INT, FDL_OMIT, NULL },
	{ "backoff_seconds", FDL_INT, FDL_OMIT, NULL },
	{ "on", FDL_STRINGS, FDL_OMIT, NULL },
	{ 0 },
};

static const struct fdl_field queue_fields[] = {
	{ "max", FDL_INT, FDL_OMIT, NULL },
	{ "concurrency", FDL_INT, FDL_OMIT, NULL },
	{ "priority", FDL_INT, FDL_OMIT, NULL },
	{ "weight", FDL_INT, FDL_OMIT, NULL },
	{ 0 },
};

static const struct fdl_field keep_fields[] = {
	{ "jobs", FDL_INT, FDL_OMIT, NULL },
	{ "days", FDL_INT, FDL_OMIT, NULL },
	{ "logs", FDL_INT, FDL_OMIT, NULL },
	{ 0 },
};

const struct fdl_field fdl_service_fields[] = {
	{ "name", FDL_STRING, FDL_EMPTY, NULL },
	{ "cluster_id", FDL_STRING, FDL_EMPTY, NULL },
	{ "memory", FDL_STRING, FDL_EMPTY, NULL },
	{ "cpu", FDL_STRING, FDL_EMPTY, NULL },
	{ "total_memory", FDL_STRING, FDL_EMPTY, NULL },
	{ "total_cpu", FDL_STRING, FDL_EMPTY, NULL },
	{ "ephemeral_storage_request", FDL_STRING, FDL_EMPTY, NULL },
	{ "enable_gpu", FDL_BOOL, FDL_EMPTY, NULL },
	{ "enable_sgx", FDL_BOOL, FDL_EMPTY, NULL },
	{ "image_prefetch", FDL_BOOL, FDL_EMPTY, NULL },
	{ "synchronous", FDL_OBJECT, FDL_EMPTY, scale_fields },
	{ "federation", FDL_OBJECT, FDL_OMIT, federation_fields },
	{ "log_level", FDL_STRING, FDL_EMPTY, NULL },
	{ "image", FDL_STRING, FDL_EMPTY, NULL },
	{ "alpine", FDL_BOOL, FDL_EMPTY, NULL },
	{ "token", FDL_STRING, FDL_EMPTY, NULL },
	{ "file_stage_in", FDL_BOOL, FDL_EMPTY, NULL },
	{ "input", FDL_OBJECTS, FDL_EMPTY, io_fields },
	{ "output", FDL_OBJECTS, FDL_EMPTY, io_fields },
	{ "script", FDL_STRING, FDL_EMPTY, NULL },
	{ "image_pull_secrets", FDL_STRINGS, FDL_OMIT, NULL },
	{ "expose", FDL_OBJECT, FDL_EMPTY, expose_fields },
	{ "environment", FDL_OBJECT, FDL_EMPTY, environment_fields },
	{ "annotations", FDL_WORDS, FDL_EMPTY, NULL },
	{ "vo", FDL_STRING, FDL_EMPTY, NULL },
	{ "labels", FDL_WORDS, FDL_EMPTY, NULL },
	{ "storage_providers", FDL_OBJECT, FDL_EMPTY, fdl_provider_fields },
	{ "clusters", FDL_NAMED, FDL_OMIT, fdl_cluster_fields },
	{ "owner", FDL_STRING, FDL_EMPTY, NULL },
	{ "namespace", FDL_STRING, FDL_EMPTY, NULL },
	{ "interlink_node_name", FDL_STRING, FDL_EMPTY, NULL },
	{ "visibility", FDL_STRING, FDL_EMPTY, NULL },
	{ "allowed_users", FDL_STRINGS, FDL_EMPTY, NULL },
	{ "isolation_level", FDL_STRING, FDL_EMPTY, NULL },
	{ "bucket_list", FDL_STRINGS, FDL_EMPTY, NULL },
	{ "mount", FDL_OBJECT, FDL_EMPTY, io_fields },
	{ "volume", FDL_OBJECT, FDL_OMIT, volume_fields },
	{ "volume_status", FDL_OBJECT, FDL_EMPTY, volume_status_fields },
	{ "deployment", FDL_ANY, FDL_OMIT, NULL },
	{ "kserve", FDL_ANY, FDL_OMIT, NULL },
	// Ours; the peers know none of these names.
	{ "image_refresh", FDL_STRING, FDL_OMIT, NULL },
	{ "timeout", FDL_INT, FDL_OMIT, NULL },
	{ "wait_timeout", FDL_INT, FDL_OMIT, NULL },
	{ "retry", FDL_OBJECT, FDL_OMIT, retry_fields },
	{ "queue", FDL_OBJECT, FDL_OMIT, queue_fields },
	{ "keep", FDL_OBJECT, FDL_OMIT, keep_fields },
	{ "network", FDL_STRING, FDL_OMIT, NULL },
	{ "mounts", FDL_OBJECTS, FDL_OMIT, host_mount_fields },
	{ "gpus", FDL_INT, FDL_OMIT, NULL },
	{ "devices", FDL_OBJECTS, FDL_OMIT, device_fields },
	{ "pids", FDL_INT, FDL_OMIT, NULL },
	{ "runtime", FDL_STRING, FDL_OMIT, NULL },
	{ "log_limit", FDL_STRING, FDL_OMIT, NULL },
	{ "upload_on_failure", FDL_BOOL, FDL_OMIT, NULL },
	{ "secrets_as", FDL_STRING, FDL_OMIT, NULL },
	{ "keep_warm", FDL_INT, FDL_OMIT, NULL },
	{ "prepared", FDL_INT, FDL_OMIT, NULL },
	{ "idle_stop", FDL_INT, FDL_OMIT, NULL },
	{ "freeze_after", FDL_INT, FDL_OMIT, NULL },
	{ 0 },
};
// clang-format on
