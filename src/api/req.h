// req: one API request and what the handlers share. Private to api.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "api/api.h"
#include "auth/auth.h"
#include "base/lock.h"
#include "codec/json.h"
#include "queue/queue.h"
#include "service/service.h"

enum {
	PARAMS_MAX = 2,
	SERVICE_BODY_MAX = 3 << 20,
	PAGE_DEFAULT = 70, // JOB_LISTING_LIMIT of the reference
	PAGE_MAX = 1000,
};

struct queue_job;
struct req;
struct shell;

struct route {
	enum http_method method;
	const char *pattern;				    // "/system/services/{}"
	unsigned auth;					    // enum route_auth bits
	enum { ROUTE_SHORT, ROUTE_LONG, ROUTE_ASYNC } kind; // on the loop, on a worker, suspended
	size_t body_max; // 0 = the body is dropped; ROUTE_FILE: it goes to a file
	void (*run)(struct req *q);
};
enum route_auth {
	ROUTE_OPEN = 0,
	ROUTE_BASIC = 1, // user and password
	ROUTE_TOKEN = 2, // the service's token
	ROUTE_ADMIN = 4, // the administrator only
};
#define ROUTE_FILE SIZE_MAX

struct req {
	struct api *api;
	struct http_req *http;
	const struct route *route;
	struct span param[PARAMS_MAX]; // decoded
	struct service_caller who;
	struct auth_user user;
	struct service_def *def; // by service token; else NULL
	int body_fd;		 // ROUTE_FILE
	uint64_t body_size;
	struct shell *shell; // that the request opened, or NULL
};

// A call that waits for its job.
struct pending {
	struct pending *next;
	struct req *req;
	int64_t job;
	int64_t deadline_ns; // monotonic
	bool answered;
};

enum { SHOWN_MAX = 4 };

struct api {
	struct api_options o;
	pthread_mutex_t lock; // guards what follows
	struct http_server *server;
	struct pending *pending;
	struct queue_waiter *queue_waiters; // readers of queues of events (targets.c) …
	bool queue_news;		    // … who may find something
	unsigned followers;		    // log streams that want ticks
	unsigned watchers;		    // feed streams, which want to know how far jobs are
	int64_t looked_ns;		    // when jobs were asked that last, monotonic
	bool looking;			    // they are asked now
	struct shell *shells;
	unsigned shell_count;
	bool shells_ending;
	pthread_cond_t shells_gone;
	bool stop;
	pthread_cond_t wake;
	pthread_t timer;
	int tmp_dir;
	struct api_shown { // since before the first request
		const char *name;
		const struct http_server *server;
	} shown[SHOWN_MAX];
	unsigned shown_count;
};

enum { TOPIC_FEED = 1, TOPIC_LOGS = 2 };

extern const struct route api_routes[];
extern const size_t api_route_count;

// ---- reply.c -------------------------------------------------------------------------------------------

void reply_json(struct req *q, unsigned status, json_t *v); // takes the reference
void reply_empty(struct req *q, unsigned status);
void reply_text(struct req *q, unsigned status, const char *text);
void reply_error(struct req *q, const struct err *e); // by its code
// As reply_error, for calls of services: a full queue is 429 with Retry-After.
void reply_call_error(struct req *q, const struct err *e);
void reply_unauthorized(struct req *q);
// The query member as a number between min and max, or `otherwise` when absent or not one.
int64_t query_int(struct req *q, const char *name, int64_t otherwise, int64_t min, int64_t max);
struct span query_text(struct req *q, const char *name); // "" when absent
bool query_flag(struct req *q, const char *name);	 // 1, true
void json_time(json_t *o, const char *key, int64_t ns);	 // ISO with seconds; left out when 0
// "progress", "progress_message" as far as they were said, "progress_time".
struct progress;
void json_progress(json_t *o, const struct progress *p, int64_t wall_ns);
// "image_digest": what a service's pinned image is, to the bit; left out for the machine's own programs. (images.c)
void json_image_digest(struct req *q, json_t *v, const char *image_id);
// "image_state" while a service's image is on its way, "image_checked" when it was asked for again, "image_error" why
// that failed. (deployment.c)
void json_image_state(struct req *q, json_t *v, const struct service_def *d);
// The service of param[0] as the caller may see it; answers 403/404 itself and returns NULL otherwise.
struct service_def *req_service(struct req *q);

// exposed.c: the deployment of a service that runs servers, and the last lines of their log.
json_t *exposed_json(struct req *q, const struct service_def *d);
json_t *exposed_log(struct req *q, const struct service_def *d, size_t lines);

// jobs.c: the job named by a parameter, if the caller may see it; else they answer and return false.
bool req_job(struct req *q, struct span name, struct queue_job *out);
// The job of param[1], which must be of the service of param[0].
bool req_job_of_service(struct req *q, struct queue_job *out);

// The jobs that ?service=, ?run= and ?state= mean and the caller may see.
bool req_job_filter(struct req *q, struct queue_filter *f);
// May the caller see all jobs of the service, or only those of his own calls?
bool req_sees_all(const struct req *q, const struct service_def *d);

// queue.c: files that wait for others to make one job, of a service or (when that is 0) of a run. NULL on failure.
json_t *req_groups_json(struct req *q, int64_t service, int64_t run, struct err *e);

// A job as lists show it; the objects it made that are there; what made them, added to `v`.
json_t *req_job_json(struct req *q, const struct queue_job *j);
json_t *req_job_outputs(struct req *q, const struct queue_job *j);
void req_job_provenance(struct req *q, const struct queue_job *j, json_t *v);

// ---- handlers ------------------------------------------------------------------------------------------

void api_health(struct req *q);
void api_info(struct req *q);
void api_config(struct req *q);
void api_status(struct req *q);
void api_metrics(struct req *q);
void api_services_list(struct req *q);
void api_services_get(struct req *q);
void api_services_create(struct req *q);
void api_services_update(struct req *q);
void api_services_remove(struct req *q);
void api_services_pause(struct req *q);
void api_services_drain(struct req *q);
void api_services_resume(struct req *q);
void api_services_stop(struct req *q);
void api_services_start(struct req *q);
void api_services_restart(struct req *q);
void api_services_queue(struct req *q);
void api_services_usage(struct req *q);
void api_limits_get(struct req *q);
void api_limits_put(struct req *q);
void api_deployment(struct req *q);
void api_deployment_logs(struct req *q);
void api_job(struct req *q);
void api_run(struct req *q);
void api_run_tick(struct api *a); // deadlines and callers that hung up
// jobs.c: deletes the finished jobs of a service with their logs.
must_check int purge_jobs(struct api *a, int64_t service, bool only_succeeded, struct err *e);
void api_logs_list(struct req *q);
void api_logs_get(struct req *q);
void api_logs_delete(struct req *q);
void api_logs_delete_one(struct req *q);
void api_jobs_list(struct req *q);
void api_jobs_summary(struct req *q);
void api_jobs_get(struct req *q);
void api_jobs_cancel(struct req *q);
void api_backfills_start(struct req *q);
void api_backfills_list(struct req *q);
void api_backfills_cancel(struct req *q);
void api_backfills_get(struct req *q);
void api_runs_get(struct req *q);
void api_traces_get(struct req *q);
void api_outputs(struct req *q);
void api_jobs_redrive(struct req *q);
void api_jobs_rerun(struct req *q);
void api_jobs_shell(struct req *q);
void api_jobs_cancel_all(struct req *q);
void api_jobs_redrive_all(struct req *q);
void api_jobs_log(struct req *q);
void api_feed(struct req *q);
void api_images_list(struct req *q);
void api_images_import(struct req *q);
void api_images_pull(struct req *q);
void api_images_remove(struct req *q);
void api_images_get(struct req *q);
void api_images_progress(struct req *q);
void api_images_push(struct req *q);
void api_images_prune(struct req *q);
void api_users_add(struct req *q);
void api_users_list(struct req *q);
void api_keys_list(struct req *q);
void api_keys_put(struct req *q);
void api_keys_remove(struct req *q);
void api_buckets_list(struct req *q);
void api_buckets_create(struct req *q);
void api_buckets_remove(struct req *q);
void api_targets_list(struct req *q);
void api_targets_get(struct req *q);
void api_targets_put(struct req *q);
void api_targets_remove(struct req *q);
void api_targets_dead(struct req *q);
void api_targets_redrive(struct req *q);
void api_targets_drop(struct req *q);
void api_queue_read(struct req *q);
void api_queue_take(struct req *q);
void api_queue_tick(struct api *a); // readers whose events came, or whose time is over
void api_queue_news(void *api);	    // a queue has new events; any thread
