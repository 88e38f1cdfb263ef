// SPDX-License-Identifier: Apache-2.0
// system: health, info, configuration, status.
#include "api/req.h"
#include "base/clock.h"
#include "base/mem.h"
#include "dispatch/dispatch.h"
#include "queue/queue.h"
#include "store/store.h"

#include <sys/utsname.h>

void api_health(struct req *q)
{
	reply_text(q, 200, "Ok");
}

static const char *architecture(struct utsname *u)
{
	if (uname(u) < 0)
		return "unknown";
	if (strcmp(u->machine, "x86_64") == 0)
		return "amd64";
	return strcmp(u->machine, "aarch64") == 0 ? "arm64" : u->machine;
}

void api_info(struct req *q)
{
	struct dispatch_usage usage;
	struct utsname u;

	dispatch_usage(q->api->o.dispatch, &usage);
	reply_json(q, 200,
		   json_pack("{s:s,s:s,s:s,s:s,s:{s:s,s:s}}", "version", q->api->o.version,
			     "git_commit", "", "architecture", architecture(&u),
			     "kubernetes_version", "", "serverless_backend", "name", usage.driver,
			     "version", q->api->o.version));
}

void api_config(struct req *q)
{
	struct dispatch_usage usage;
	struct auth_key key = { .access = "" };
	struct err e = { 0 };
	bool has = auth_key_of(q->api->o.auth, q->who.user, &key, &e) == 0;

	dispatch_usage(q->api->o.dispatch, &usage);
	reply_json(q, 200,
		   json_pack("{s:{s:s,s:s,s:s,s:s,s:b,s:b,s:b,s:b,s:b,s:[s],s:b},"
			     "s:{s:s,s:b,s:s,s:s,s:s},s:[]}",
			     "config", "name", "oscar", "namespace", "oscar", "services_namespace",
			     "oscar-svc", "controller_service_account", "oscar-sa", "gpu_available",
			     usage.gpus_total > 0, "interLink_available", 0, "yunikorn_enable", 0,
			     "kueue_enable", 0, "volume_enable", 0, "oidc_groups", "",
			     "minio_quota_enabled", 0, "minio_provider", "endpoint",
			     q->api->o.s3_endpoint, "verify", 1, "access_key",
			     has ? key.access : "", "secret_key", has ? key.secret : "", "region",
			     q->api->o.s3_region, "allowed_image_repositories"));
	mem_wipe(&key, sizeof(key));
}

static json_t *node_of(const struct dispatch_usage *u)
{
	struct utsname n;

	return json_pack("{s:s,s:{s:i,s:i,s:i},s:{s:I,s:I,s:I},s:i,s:b,s:s,s:[{s:s,s:b}]}", "name",
			 uname(&n) < 0 ? "node" : n.nodename, "cpu", "capacity_cores",
			 (int)u->cpu_millis_total, "usage_cores", (int)u->cpu_millis_used,
			 "request_cores", (int)u->cpu_millis_used, "memory", "capacity_bytes",
			 (json_int_t)u->memory_total, "usage_bytes", (json_int_t)u->memory_used,
			 "request_bytes", (json_int_t)u->memory_used, "gpu", (int)u->gpus_total,
			 "is_interlink", 0, "status", "Ready", "conditions", "type", "Ready",
			 "status", 1);
}

static json_t *metrics_of(const struct dispatch_usage *u)
{
	int free_cpu = u->cpu_millis_total > u->cpu_millis_used
			       ? (int)(u->cpu_millis_total - u->cpu_millis_used)
			       : 0;
	json_int_t free_memory = u->memory_total > u->memory_used
					 ? (json_int_t)(u->memory_total - u->memory_used)
					 : 0;

	return json_pack("{s:{s:i,s:i,s:i,s:i},s:{s:I,s:I,s:I,s:I},s:{s:i}}", "cpu",
			 "total_free_cores", free_cpu, "max_free_on_node_cores", free_cpu,
			 "total_schedulable_cores", (int)u->cpu_millis_total,
			 "total_schedulable_on_node_cores", (int)u->cpu_millis_total, "memory",
			 "total_free_bytes", free_memory, "max_free_on_node_bytes", free_memory,
			 "total_schedulable_bytes", (json_int_t)u->memory_total,
			 "max_schedulable_on_node_bytes", (json_int_t)u->memory_total, "gpu",
			 "total_gpu", (int)u->gpus_total);
}

// What services may have, and what the administrator sees besides.
static json_t *devices_of(struct req *q)
{
	json_t *list = json_array();
	struct dispatch_device *x;
	size_t n = dispatch_devices(q->api->o.dispatch, http_arena(q->http), &x);

	for (size_t i = 0; i < n; i++)
		if (x[i].offered || q->who.admin)
			json_array_append_new(list,
					      json_pack("{s:s,s:s,s:b,s:b,s:b,s:b}", "name",
							x[i].name, "kind", x[i].kind, "gpu",
							x[i].gpu, "offered", x[i].offered, "there",
							x[i].there, "in_use", x[i].held));
	return list;
}

static void count_store(struct req *q, json_int_t *buckets, json_int_t *objects)
{
	struct span after = SPAN("");
	struct store_bucket *b;
	struct err e = { 0 };
	size_t n;

	*buckets = *objects = 0;
	do {
		if (store_bucket_list(q->api->o.store, http_arena(q->http), 0, after, 1000, &b, &n,
				      &e) < 0)
			return;
		for (size_t i = 0; i < n; i++)
			*objects += (json_int_t)b[i].objects;
		*buckets += (json_int_t)n;
		if (n)
			after = span_of(b[n - 1].name);
	} while (n == 1000);
}

void api_status(struct req *q)
{
	uint64_t counts[QUEUE_STATES] = { 0 };
	json_int_t buckets = 0, objects = 0, pending, running, failed, total = 0;
	struct dispatch_usage u;
	struct err e = { 0 };
	json_t *v;

	dispatch_usage(q->api->o.dispatch, &u);
	if (q->who.admin) {
		if (queue_counts(q->api->o.queue, 0, 0, counts, &e) < 0) {
			reply_error(q, &e);
			return;
		}
		count_store(q, &buckets, &objects);
	}
	for (size_t i = 0; i < QUEUE_STATES; i++)
		total += (json_int_t)counts[i];
	pending = (json_int_t)(counts[QUEUE_QUEUED] + counts[QUEUE_STAGING]);
	running = (json_int_t)(counts[QUEUE_RUNNING] + counts[QUEUE_UPLOADING]);
	failed = (json_int_t)(counts[QUEUE_FAILED] + counts[QUEUE_CANCELLED] + counts[QUEUE_DEAD]);
	v = json_pack("{s:{s:i,s:o,s:[o]},s:{s:s,s:b,s:I,s:{s:I,s:{s:I,s:I,s:I,s:I,s:I}},"
		      "s:{s:b,s:[],s:[]}},s:{s:I,s:I}}",
		      "cluster", "nodes_count", 1, "metrics", metrics_of(&u), "nodes", node_of(&u),
		      "oscar", "deployment_name", "oscar", "ready", 1, "jobs_count", total, "pods",
		      "total", total, "states", "Failed", failed, "Pending", pending, "Running",
		      running, "Succeeded", (json_int_t)counts[QUEUE_SUCCEEDED], "Unknown",
		      (json_int_t)0, "oidc", "enabled", 0, "issuers", "groups", "minio",
		      "buckets_count", buckets, "total_objects", objects);
	json_object_set_new(json_object_get(v, "cluster"), "devices", devices_of(q));
	if (u.limits[0])
		json_object_set_new(json_object_get(v, "cluster"), "limits_missing",
				    json_string(u.limits));
	reply_json(q, 200, v);
}
