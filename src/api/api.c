// SPDX-License-Identifier: Apache-2.0
#include "api/api.h"

#include "api/req.h"
#include "api/shell.h"
#include "authn/authn.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/url.h"
#include "db/db.h"
#include "dispatch/dispatch.h"
#include "notify/notify.h"

#include <errno.h>
#include <fcntl.h>

enum { TICK_MS = 200, PROGRESS_MS = 500, SYNC_TIMEOUT_MS = 300000, EVENT_MAX = 16 << 20 };
#define IMAGE_MAX (UINT64_C(64) << 30)

#define B ROUTE_BASIC
#define BT (ROUTE_BASIC | ROUTE_TOKEN)
#define ADMIN (ROUTE_BASIC | ROUTE_ADMIN)
#define EVENT_BODY 1 // stands for event_max

const struct route api_routes[] = {
	{ HTTP_GET, "/health", ROUTE_OPEN, ROUTE_SHORT, 0, api_health },
	{ HTTP_GET, "/system/info", B, ROUTE_SHORT, 0, api_info },
	{ HTTP_GET, "/system/config", B, ROUTE_SHORT, 0, api_config },
	{ HTTP_GET, "/system/status", B, ROUTE_LONG, 0, api_status },
	{ HTTP_GET, "/metrics", ADMIN, ROUTE_LONG, 0, api_metrics },
	{ HTTP_GET, "/system/services", B, ROUTE_LONG, 0, api_services_list },
	{ HTTP_POST, "/system/services", B, ROUTE_LONG, SERVICE_BODY_MAX, api_services_create },
	{ HTTP_PUT, "/system/services", B, ROUTE_LONG, SERVICE_BODY_MAX, api_services_update },
	{ HTTP_GET, "/system/services/{}", B, ROUTE_LONG, 0, api_services_get },
	{ HTTP_DELETE, "/system/services/{}", B, ROUTE_LONG, 0, api_services_remove },
	{ HTTP_POST, "/system/services/{}/pause", B, ROUTE_LONG, 0, api_services_pause },
	{ HTTP_POST, "/system/services/{}/drain", B, ROUTE_LONG, 0, api_services_drain },
	{ HTTP_POST, "/system/services/{}/resume", B, ROUTE_LONG, 0, api_services_resume },
	{ HTTP_POST, "/system/services/{}/stop", B, ROUTE_LONG, 0, api_services_stop },
	{ HTTP_POST, "/system/services/{}/start", B, ROUTE_LONG, 0, api_services_start },
	{ HTTP_POST, "/system/services/{}/restart", B, ROUTE_LONG, 0, api_services_restart },
	{ HTTP_GET, "/system/services/{}/queue", B, ROUTE_LONG, 0, api_services_queue },
	{ HTTP_POST, "/system/services/{}/backfill", B, ROUTE_LONG, 65536, api_backfills_start },
	{ HTTP_GET, "/system/services/{}/backfill", B, ROUTE_LONG, 0, api_backfills_list },
	{ HTTP_GET, "/system/backfills/{}", B, ROUTE_LONG, 0, api_backfills_get },
	{ HTTP_POST, "/system/backfills/{}/cancel", B, ROUTE_LONG, 0, api_backfills_cancel },
	{ HTTP_GET, "/system/services/{}/outputs", B, ROUTE_LONG, 0, api_outputs },
	{ HTTP_GET, "/system/services/{}/usage", B, ROUTE_LONG, 0, api_services_usage },
	{ HTTP_GET, "/system/services/{}/deployment", B, ROUTE_LONG, 0, api_deployment },
	{ HTTP_GET, "/system/services/{}/deployment/logs", B, ROUTE_LONG, 0, api_deployment_logs },
	{ HTTP_POST, "/job/{}", BT, ROUTE_LONG, EVENT_BODY, api_job },
	{ HTTP_POST, "/run/{}", BT, ROUTE_ASYNC, EVENT_BODY, api_run },
	{ HTTP_GET, "/system/logs/{}", B, ROUTE_LONG, 0, api_logs_list },
	{ HTTP_DELETE, "/system/logs/{}", B, ROUTE_LONG, 0, api_logs_delete },
	{ HTTP_GET, "/system/logs/{}/{}", B, ROUTE_LONG, 0, api_logs_get },
	{ HTTP_DELETE, "/system/logs/{}/{}", B, ROUTE_LONG, 0, api_logs_delete_one },
	{ HTTP_GET, "/system/jobs", B, ROUTE_LONG, 0, api_jobs_list },
	{ HTTP_GET, "/system/jobs/summary", B, ROUTE_LONG, 0, api_jobs_summary },
	{ HTTP_GET, "/system/jobs/{}", B, ROUTE_LONG, 0, api_jobs_get },
	{ HTTP_POST, "/system/jobs/{}/cancel", B, ROUTE_LONG, 0, api_jobs_cancel },
	{ HTTP_POST, "/system/jobs/{}/redrive", B, ROUTE_LONG, 0, api_jobs_redrive },
	{ HTTP_POST, "/system/jobs/{}/rerun", B, ROUTE_LONG, 0, api_jobs_rerun },
	{ HTTP_POST, "/system/jobs/{}/shell", B, ROUTE_LONG, 65536, api_jobs_shell },
	{ HTTP_POST, "/system/jobs/cancel", B, ROUTE_LONG, 0, api_jobs_cancel_all },
	{ HTTP_POST, "/system/jobs/redrive", B, ROUTE_LONG, 0, api_jobs_redrive_all },
	{ HTTP_GET, "/system/jobs/{}/log", B, ROUTE_LONG, 0, api_jobs_log },
	{ HTTP_GET, "/system/runs/{}", B, ROUTE_LONG, 0, api_runs_get },
	{ HTTP_GET, "/system/traces/{}", B, ROUTE_LONG, 0, api_traces_get },
	{ HTTP_GET, "/system/events", B, ROUTE_LONG, 0, api_feed },
	{ HTTP_GET, "/system/images", B, ROUTE_LONG, 0, api_images_list },
	{ HTTP_POST, "/system/images/import", ADMIN, ROUTE_LONG, ROUTE_FILE, api_images_import },
	{ HTTP_POST, "/system/images/pull", ADMIN, ROUTE_LONG, 65536, api_images_pull },
	{ HTTP_GET, "/system/images/progress/{}", ADMIN, ROUTE_SHORT, 0, api_images_progress },
	{ HTTP_POST, "/system/images/push", ADMIN, ROUTE_LONG, 65536, api_images_push },
	{ HTTP_POST, "/system/images/prune", ADMIN, ROUTE_LONG, 0, api_images_prune },
	{ HTTP_GET, "/system/images/{}", B, ROUTE_LONG, 0, api_images_get },
	{ HTTP_DELETE, "/system/images/{}", ADMIN, ROUTE_LONG, 0, api_images_remove },
	{ HTTP_GET, "/system/users", ADMIN, ROUTE_LONG, 0, api_users_list },
	{ HTTP_POST, "/system/users", ADMIN, ROUTE_LONG, 65536, api_users_add },
	{ HTTP_GET, "/system/users/{}/keys", ADMIN, ROUTE_LONG, 0, api_keys_list },
	{ HTTP_POST, "/system/users/{}/keys", ADMIN, ROUTE_LONG, 65536, api_keys_put },
	{ HTTP_DELETE, "/system/users/{}/keys/{}", ADMIN, ROUTE_LONG, 0, api_keys_remove },
	{ HTTP_GET, "/system/users/{}/limits", ADMIN, ROUTE_LONG, 0, api_limits_get },
	{ HTTP_PUT, "/system/users/{}/limits", ADMIN, ROUTE_LONG, 65536, api_limits_put },
	{ HTTP_GET, "/system/buckets", B, ROUTE_LONG, 0, api_buckets_list },
	{ HTTP_POST, "/system/buckets", B, ROUTE_LONG, 65536, api_buckets_create },
	{ HTTP_DELETE, "/system/buckets/{}", B, ROUTE_LONG, 0, api_buckets_remove },
	{ HTTP_GET, "/system/targets", ADMIN, ROUTE_LONG, 0, api_targets_list },
	{ HTTP_GET, "/system/targets/{}/{}", ADMIN, ROUTE_LONG, 0, api_targets_get },
	{ HTTP_PUT, "/system/targets/{}/{}", ADMIN, ROUTE_LONG, 65536, api_targets_put },
	{ HTTP_DELETE, "/system/targets/{}/{}", ADMIN, ROUTE_LONG, 0, api_targets_remove },
	{ HTTP_GET, "/system/targets/{}/{}/dead", ADMIN, ROUTE_LONG, 0, api_targets_dead },
	{ HTTP_DELETE, "/system/targets/{}/{}/dead", ADMIN, ROUTE_LONG, 0, api_targets_drop },
	{ HTTP_POST, "/system/targets/{}/{}/redrive", ADMIN, ROUTE_LONG, 0, api_targets_redrive },
	{ HTTP_GET, "/system/queues/{}", B, ROUTE_ASYNC, 0, api_queue_read },
	{ HTTP_DELETE, "/system/queues/{}", B, ROUTE_LONG, 0, api_queue_take },
};
const size_t api_route_count = ARRAY_LEN(api_routes);

// ---- routing -------------------------------------------------------------------------------------------

// Compares segment by segment; a "{}" takes one non-empty segment. The raw path is cut first and decoded after,
// so that an escaped slash stays inside its segment.
static bool match(struct req *q, const char *pattern, struct span path)
{
	struct span want = span_of(pattern);
	size_t n = 0;

	while (want.n || path.n) {
		struct span a = span_cut(&want, '/'), b = span_cut(&path, '/');

		if (!span_is(a, "{}")) {
			if (!span_eq(a, b))
				return false;
			continue;
		}
		if (!b.n || n == PARAMS_MAX)
			return false;
		q->param[n++] = url_decode(http_arena(q->http), b, URL_PLUS_KEEP);
	}
	return true;
}

static const struct route *find_route(struct req *q)
{
	struct span path = http_path_raw(q->http);

	// A slash at the end is the same call: oscar-js and oscar-python's storage client send one.
	if (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	for (size_t i = 0; i < api_route_count; i++)
		if (api_routes[i].method == http_method(q->http) &&
		    match(q, api_routes[i].pattern, path))
			return &api_routes[i];
	return NULL;
}

// ---- who is it -----------------------------------------------------------------------------------------

static bool authenticate(struct req *q)
{
	unsigned auth = q->route->auth;
	struct authn_api who;
	struct err e;

	if (auth == ROUTE_OPEN)
		return true;
	if (authn_api_request(q->api->o.authn, q->http, &who, &e) < 0)
		return false;
	if (who.scheme == AUTHN_BEARER && (auth & ROUTE_TOKEN)) {
		if (service_by_token(q->api->o.services, q->param[0], who.token, &q->def, &e) < 0)
			return false;
		q->who = (struct service_caller){ .user = q->def->owner, .name = "" };
		return true;
	}
	if (who.scheme != AUTHN_BASIC)
		return false;
	q->user = who.user;
	q->who = (struct service_caller){ .user = q->user.id,
					  .admin = q->user.admin,
					  .name = q->user.name };
	return true;
}

// ---- callbacks of http ---------------------------------------------------------------------------------

static void take_body(struct req *q)
{
	struct err e = { 0 };

	if (q->route->body_max != ROUTE_FILE) {
		if (q->route->body_max)
			http_body_collect(q->http, q->route->body_max == EVENT_BODY
							   ? q->api->o.event_max
							   : q->route->body_max);
		return;
	}
	q->body_fd = openat(q->api->tmp_dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (q->body_fd < 0) {
		err_sys(&e, ERR_IO, errno, "temporary file");
		reply_error(q, &e);
	}
}

static void begin(void *owner, struct http_req *r)
{
	struct req *q = arena_alloc(http_arena(r), sizeof(*q));

	*q = (struct req){ .api = owner, .http = r, .body_fd = -1 };
	http_app_set(r, q);
	q->route = find_route(q);
	if (!q->route)
		reply_text(q, 404, "404 page not found");
	else if (!authenticate(q))
		reply_unauthorized(q);
	else if ((q->route->auth & ROUTE_ADMIN) && !q->who.admin)
		reply_text(q, 403, "only the administrator may do this");
	else
		take_body(q);
}

static void body(void *owner unused_arg, struct http_req *r, struct span piece)
{
	struct req *q = http_app(r);
	struct err e = { 0 };

	if (q->body_fd < 0)
		return;
	q->body_size += piece.n;
	if (q->body_size > q->api->o.image_max) {
		err_set(&e, ERR_LIMIT, "the archive is over %llu bytes",
			(unsigned long long)q->api->o.image_max);
		reply_error(q, &e);
	} else if (file_write_all(q->body_fd, piece.p, piece.n, &e) < 0) {
		reply_error(q, &e);
	}
}

static void run_deferred(void *owner unused_arg, struct http_req *r)
{
	struct req *q = http_app(r);

	q->route->run(q);
}

static void finish(void *owner unused_arg, struct http_req *r)
{
	struct req *q = http_app(r);

	if (q->route->kind == ROUTE_LONG)
		http_defer(r, run_deferred);
	else
		q->route->run(q);
}

static void gone(void *owner unused_arg, struct http_req *r)
{
	struct req *q = http_app(r);

	if (!q)
		return;
	file_close(q->body_fd);
	service_def_put(q->def);
	if (q->shell)
		shell_request_gone(q->shell);
}

static void busy(void *owner unused_arg, struct http_req *r)
{
	http_reply_header(r, "Retry-After", SPAN("1"));
	http_reply_text(r, 503, "the server is busy: try again");
}

struct http_handler api_handler(struct api *a)
{
	return (struct http_handler){ a, begin, body, finish, gone, busy };
}

// ---- life ----------------------------------------------------------------------------------------------

static void wake_topic(struct api *a, uint64_t topic)
{
	auto_lock held = lock_hold(&a->lock); // so that the server stays until api_detach() returns

	if (a->server)
		http_stream_wake(a->server, topic);
}

static void on_commit(void *owner)
{
	wake_topic(owner, TOPIC_FEED);
}

// Asks jobs how far they are, while somebody follows the feed.
static void look_for_progress(struct api *a)
{
	bool news;

	{
		auto_lock held = lock_hold(&a->lock);

		if (!a->server || !a->watchers ||
		    clock_mono_ns() - a->looked_ns < PROGRESS_MS * NS_PER_MS)
			return;
		a->looking = true;
	}
	news = dispatch_progress_look(a->o.dispatch);
	{
		auto_lock held = lock_hold(&a->lock);

		a->looking = false;
		a->looked_ns = clock_mono_ns();
		pthread_cond_broadcast(&a->wake);
	}
	if (news)
		wake_topic(a, TOPIC_FEED);
}

static void *timer_main(void *arg)
{
	struct api *a = arg;

	pthread_mutex_lock(&a->lock);
	while (!a->stop) {
		bool logs = a->followers;

		if (!a->queue_news)
			lock_wait(&a->wake, &a->lock, clock_mono_ns() + TICK_MS * NS_PER_MS);
		a->queue_news = false;
		pthread_mutex_unlock(&a->lock);
		if (logs)
			wake_topic(a, TOPIC_LOGS);
		look_for_progress(a);
		api_run_tick(a);
		api_queue_tick(a);
		pthread_mutex_lock(&a->lock);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

int api_open(struct api **out, const struct api_options *o, struct err *e)
{
	auto_free char *tmp = mem_printf("%s/tmp", o->data_dir);
	struct api *a;
	int dir;

	if (file_mkdirs(tmp, 0700, e) < 0)
		return -1;
	dir = file_open(AT_FDCWD, tmp, O_RDONLY | O_DIRECTORY, 0, e);
	if (dir < 0)
		return -1;
	a = mem_zalloc(sizeof(*a));
	a->o = *o;
	a->o.sync_timeout_ms = o->sync_timeout_ms ? o->sync_timeout_ms : SYNC_TIMEOUT_MS;
	a->o.event_max = o->event_max ? o->event_max : EVENT_MAX;
	a->o.image_max = o->image_max ? o->image_max : IMAGE_MAX;
	a->o.s3_region = o->s3_region ? o->s3_region : "us-east-1";
	a->tmp_dir = dir;
	pthread_mutex_init(&a->lock, NULL);
	lock_cond_init(&a->wake);
	lock_cond_init(&a->shells_gone);
	db_on_commit(a->o.db, on_commit, a);
	notify_on_queued(a->o.notify, api_queue_news, a);
	lock_thread_start(&a->timer, "api-timer", timer_main, a);
	*out = a;
	return 0;
}

void api_attach(struct api *a, struct http_server *s)
{
	auto_lock held = lock_hold(&a->lock);

	a->server = s;
}

void api_show(struct api *a, const char *name, const struct http_server *s)
{
	auto_lock held = lock_hold(&a->lock);

	check(a->shown_count < SHOWN_MAX);
	a->shown[a->shown_count++] = (struct api_shown){ name, s };
}

void api_detach(struct api *a)
{
	shells_end(a);
	auto_lock held = lock_hold(&a->lock);

	a->server = NULL;
	pthread_cond_signal(&a->wake); // readers of queues are answered
	while (a->looking)	       // dispatch may go after this
		pthread_cond_wait(&a->wake, &a->lock);
}

void api_close(struct api *a)
{
	if (!a)
		return;
	notify_on_queued(a->o.notify, NULL, NULL);
	db_off_commit(a->o.db, a);
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->timer, NULL);
	file_close(a->tmp_dir);
	pthread_mutex_destroy(&a->lock);
	mem_free(a);
}
