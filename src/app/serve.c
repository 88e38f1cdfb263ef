// SPDX-License-Identifier: Apache-2.0
// serve: one daemon from its folders to its listeners and back.
#include "api/api.h"
#include "app/app.h"
#include "auth/auth.h"
#include "authn/authn.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "db/db.h"
#include "db/schema.h"
#include "dispatch/dispatch.h"
#include "exec/sandbox/sandbox.h"
#include "expose/expose.h"
#include "image/image.h"
#include "notify/notify.h"
#include "queue/queue.h"
#include "registry/registry.h"
#include "runner/oci.h"
#include "runner/program.h"
#include "runner/runner.h"
#include "s3/s3.h"
#include "service/service.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { S3_WORKERS = 32 }; // each takes part in the group commit

struct daemon {
	const struct serve_options *o;
	struct rights rights;
	int lock; // held for the daemon's life
	struct credentials cred;
	struct db *db;
	struct auth *auth;
	struct authn *authn;
	struct store *store;
	struct notify *notify;
	struct queue *queue;
	struct images *images;
	char *docker_config;
	struct services *services;
	struct dispatch *dispatch;
	struct exec_driver *driver;
	struct expose *expose;
	struct api *api;
	struct s3 *s3;
	struct registry_server *registry;
	struct mux mux;
	struct http_server *api_server, *s3_server;
	char s3_url[300], api_url[300];
	struct tls_files tls; // no paths = plain HTTP
};

// ---- folders -------------------------------------------------------------------------------------------

static int make_folder(struct daemon *d, const char *path, mode_t mode, struct err *e)
{
	if (file_mkdirs(path, 0755, e) < 0 || rights_give(&d->rights, path, e) < 0)
		return -1;
	return chmod(path, mode) < 0 ? err_sys(e, ERR_IO, errno, "chmod %s", path) : 0;
}

static int prepare_folders(struct daemon *d, struct err *e)
{
	static const char *const names[] = { "tmp", "logs", "jobs", "images", "run" };
	static const mode_t modes[] = { 0700, 0700, 0711, 0711, 0711 };

	if (make_folder(d, d->o->data, 0711, e) < 0 || data_lock(d->o->data, &d->lock, e) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		auto_free char *path = mem_printf("%s/%s", d->o->data, names[i]);

		if (make_folder(d, path, modes[i], e) < 0)
			return -1;
	}
	if (mounts_check(d->o, e) < 0)
		return -1;
	if (d->o->db && make_folder(d, d->o->db, 0700, e) < 0)
		return -1;
	for (unsigned i = 0; i < d->o->content_count; i++)
		if (make_folder(d, d->o->content[i], 0711, e) < 0)
			return -1;
	return 0;
}

static int reachable(struct daemon *d, struct err *e)
{
	if (access(d->o->data, R_OK | W_OK | X_OK) == 0)
		return 0;
	return err_set(
		e, ERR_DENIED,
		"user %d cannot reach %s: give the folders above it mode o+x, or choose another "
		"--data or --user",
		(int)d->rights.uid, d->o->data);
}

// ---- parts ---------------------------------------------------------------------------------------------

// The registry is asked only for those who could bring the image in themselves: else whoever may use an image could
// change what it is for everybody.
static int resolve_image(void *owner, const struct service_image_wish *wish,
			 char out[static SERVICE_IMAGE_MAX], struct err *e)
{
	struct daemon *d = owner;
	char local[IMAGE_NAME_MAX];
	struct auth_user who;
	struct span repo;
	struct image_pull p = { .reference = wish->name,
				.user_id = wish->user,
				.progress = wish->progress };

	if (strcmp(wish->name, "host") != 0) {
		if (image_local_name(d->images, wish->name, local, e) < 0 ||
		    auth_user_by_id(d->auth, wish->user, &who, e) < 0)
			return -1;
		repo = span_head(span_of(local), (size_t)span_rfind(span_of(local), ':'));
		if (!registry_may(d->auth, &who, repo, false))
			return err_set(e, ERR_DENIED, "image %s belongs to another user", local);
		if (wish->ask && registry_may(d->auth, &who, repo, true) &&
		    image_refresh(d->images, &p, e) < 0)
			return -1;
	}
	return image_resolve(d->images, wish->name, wish->progress, out, SERVICE_IMAGE_MAX, e);
}

static void capacity(void *owner, uint32_t *cpu, uint64_t *memory)
{
	struct daemon *d = owner;
	struct exec_capacity c = { 0 };

	if (!d->driver)
		return;
	d->driver->ops->capacity(d->driver, &c);
	*cpu = c.cpu_millis;
	*memory = c.memory_bytes;
}

static int open_store(struct daemon *d, struct err *e)
{
	const char *folder = d->o->db ? d->o->db : d->o->data;
	auto_free char *path = mem_printf("%s/oscar.db", folder);
	struct db_options dbo = { .path = path,
				  .migrations = schema_migrations,
				  .migration_count = schema_migration_count };
	struct store_options so = { .data_dir = d->o->data,
				    .content_dirs = d->o->content,
				    .free_low_percent = d->o->free_low,
				    .hot_bytes = (uint64_t)d->o->object_cache_mib << 20,
				    .free_stop_percent = d->o->free_stop,
				    .upload_days = d->o->upload_days,
				    .day_s = d->o->lifecycle_day_s };
	const char *docker = getenv("DOCKER_CONFIG");
	struct image_options io = { .data_dir = d->o->data,
				    .size_max = d->o->image_size_max,
				    .entries_max = d->o->image_files_max,
				    .insecure_registries = d->o->insecure_registries };

	if (docker && *docker)
		io.docker_config = d->docker_config = mem_printf("%s/config.json", docker);
	if (db_open(&d->db, &dbo, e) < 0)
		return -1;
	so.db = io.db = d->db;
	if (auth_open(&d->auth, d->db, e) < 0 ||
	    auth_set_admin(d->auth, d->cred.username, d->cred.password, d->cred.access_key,
			   d->cred.secret_key, e) < 0 ||
	    store_open(&d->store, &so, e) < 0 || queue_open(&d->queue, d->db, e) < 0)
		return -1;
	return images_open(&d->images, &io, e);
}

static int respawn(void *owner, struct err *e)
{
	struct daemon *d = owner;
	struct runner_spawn_options o = { .data_dir = d->o->data,
					  .user = d->rights.uid,
					  .oci_runtime = d->o->oci_runtime };

	if (d->rights.drop)
		return err_set(e, ERR_UNAVAILABLE,
			       "the runner is gone; its supervisor starts it again");
	return runner_spawn(&o, e);
}

// What the store tells goes to the functions first: theirs are the jobs of the same transaction.
static int object_changed(void *owner, struct db_conn *c, const struct store_event *ev,
			  struct err *e)
{
	struct daemon *d = owner;

	return service_object_changed(d->services, c, ev, e) < 0
		       ? -1
		       : notify_changed(d->notify, c, ev, e);
}

static bool offers_mount(void *owner, const char *name)
{
	const struct daemon *d = owner;

	return mounts_find(d->o, name);
}

static int open_jobs(struct daemon *d, struct err *e)
{
	struct service_options svo = { .db = d->db,
				       .store = d->store,
				       .queue = d->queue,
				       .auth = d->auth,
				       .owner = d,
				       .resolve_image = resolve_image,
				       .capacity = capacity,
				       .offers_mount = offers_mount,
				       .offers_nat = d->o->nat,
				       .offers_host_network = d->o->host_network };
	struct dispatch_options dio = { .db = d->db,
					.store = d->store,
					.queue = d->queue,
					.images = d->images,
					.data_dir = d->o->data,
					.workers = d->o->workers,
					.active_max = d->o->jobs_max,
					.keep_jobs = d->o->keep_jobs,
					.keep_jobs_s = (int64_t)d->o->keep_job_days * 24 * 3600,
					.keep_feed = d->o->keep_feed,
					.cpu_millis_max = d->o->cpu_millis_max,
					.memory_bytes_max = d->o->memory_bytes_max,
					.mounts = d->o->mounts,
					.mount_count = d->o->mount_count,
					.view_objects_max = d->o->mount_objects };
	struct exec_sandbox_options xo = {
		.data_dir = d->o->data, .oci = d->o->oci, .respawn = respawn, .respawn_owner = d
	};
	struct notify_options no = { .db = d->db, .store = d->store };
	struct store_sink sink = { .changed = object_changed, .owner = d };
	struct exec_events ev;

	if (notify_open(&d->notify, &no, e) < 0 || services_open(&d->services, &svo, e) < 0)
		return -1;
	store_set_sink(d->store, &sink);
	dio.services = d->services;
	if (dispatch_open(&d->dispatch, &dio, e) < 0)
		return -1;
	ev = dispatch_events(d->dispatch);
	if (exec_sandbox_open(&d->driver, &xo, &ev, e) < 0)
		return -1;
	if (dispatch_start(d->dispatch, d->driver, e) < 0)
		return -1;
	services_start(d->services);
	return 0;
}

// "http://HOST:PORT" with the port that was really bound.
static void url_of(const struct daemon *d, const char *listen, unsigned port, char *out,
		   size_t size)
{
	struct span host = span_of(listen);
	ptrdiff_t colon = span_rfind(host, ':');

	host = colon < 0 ? host : span_head(host, (size_t)colon);
	if (!host.n || span_is(host, "0.0.0.0") || span_is(host, "[::]"))
		host = SPAN("127.0.0.1");
	snprintf(out, size, "%s://" SPAN_FMT ":%u", d->tls.cert ? "https" : "http", SPAN_ARG(host),
		 port);
}

// What people write in front of a name that they push here: this machine, and what the administrator says.
static void name_registry(struct daemon *d, unsigned port)
{
	char own[3][300], node[256] = "localhost";
	const char *names[REGISTRY_NAMES_MAX + 4];
	size_t n = 0;

	gethostname(node, sizeof(node) - 1);
	snprintf(own[0], sizeof(own[0]), "localhost:%u", port);
	snprintf(own[1], sizeof(own[1]), "127.0.0.1:%u", port);
	snprintf(own[2], sizeof(own[2]), "%s:%u", node, port);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		names[n++] = own[i];
	for (size_t i = 0; i < REGISTRY_NAMES_MAX && d->o->registry_names[i]; i++)
		names[n++] = d->o->registry_names[i];
	names[n] = NULL;
	images_set_hosts(d->images, names);
}

// What both ports share.
static struct http_options listener(const struct daemon *d, const char *listen, const char *name)
{
	const struct serve_options *o = d->o;

	return (struct http_options){ .listen = listen,
				      .name = name,
				      .connections = o->connections,
				      .address_max = o->address_max,
				      .head_max = o->head_max,
				      .head_ms = o->head_s * 1000,
				      .body_rate = o->body_rate,
				      .tls_cert_pem = d->tls.cert_pem,
				      .tls_key_pem = d->tls.key_pem };
}

static int open_servers(struct daemon *d, struct err *e)
{
	struct authn_options no = { .auth = d->auth };
	struct s3_options s3o = {
		.store = d->store, .auth = d->auth, .notify = d->notify, .domains = d->o->s3_domains
	};
	struct http_options s3h = listener(d, d->o->s3_listen, "s3");
	struct api_options ao = { .db = d->db,
				  .auth = d->auth,
				  .store = d->store,
				  .notify = d->notify,
				  .queue = d->queue,
				  .services = d->services,
				  .dispatch = d->dispatch,
				  .images = d->images,
				  .data_dir = d->o->data,
				  .directory_roots = d->o->directory_roots,
				  .shells_max = d->o->shells_max,
				  .shell_idle_s = d->o->shell_idle_s,
				  .shell_time_s = d->o->shell_time_s,
				  .version = OSCAR_VERSION };
	struct registry_server_options ro = { .auth = d->auth, .images = d->images };
	struct expose_options xo = { .services = d->services,
				     .dispatch = d->dispatch,
				     .instances_max = d->o->instances_max };
	struct http_options ah = listener(d, d->o->listen, "api");

	authn_open(&d->authn, &no);
	s3o.authn = ao.authn = ro.authn = xo.authn = d->authn;
	s3_open(&d->s3, &s3o);
	s3h.handler = s3_handler(d->s3);
	s3h.workers = S3_WORKERS;
	if (http_server_open(&d->s3_server, &s3h, e) < 0)
		return err_wrap(e, "--s3-listen");
	url_of(d, d->o->s3_listen, http_server_port(d->s3_server), d->s3_url, sizeof(d->s3_url));
	ao.s3_endpoint = d->s3_url;
	if (expose_open(&d->expose, &xo, e) < 0)
		return -1;
	ao.expose = d->expose;
	if (api_open(&d->api, &ao, e) < 0)
		return -1;
	registry_server_open(&d->registry, &ro);
	d->mux = (struct mux){ api_handler(d->api), registry_server_handler(d->registry),
			       expose_handler(d->expose) };
	ah.handler = mux_handler(&d->mux);
	if (http_server_open(&d->api_server, &ah, e) < 0)
		return err_wrap(e, "--listen");
	api_attach(d->api, d->api_server);
	api_show(d->api, "api", d->api_server);
	api_show(d->api, "s3", d->s3_server);
	name_registry(d, http_server_port(d->api_server));
	url_of(d, d->o->listen, http_server_port(d->api_server), d->api_url, sizeof(d->api_url));
	return 0;
}

// ---- telling that we are there -------------------------------------------------------------------------

// sd_notify(3), the datagram itself: a library for one message is not worth its start-up.
static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_fd int fd = -1;

	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(a.sun_path))
		return;
	memcpy(a.sun_path, path, strlen(path));
	if (path[0] == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) < 0)
		log_warn("serve", "systemd could not be told \"%s\"", state);
}

static int say_ready(struct daemon *d, struct err *e)
{
	auto_json json_t *v =
		json_pack("{s:b,s:s,s:s}", "ready", 1, "api", d->api_url, "s3", d->s3_url);
	auto_free char *text = codec_json_text(v, CODEC_JSON_PLAIN);
	auto_free char *path = mem_printf("%s/ready.json", d->o->data);

	if (file_replace(AT_FDCWD, path, 0644, text, strlen(text), e) < 0)
		return -1;
	printf("%s\n", text);
	fflush(stdout);
	if (d->cred.generated)
		log_info("serve", "new credentials are in %s", d->cred.path);
	notify("READY=1");
	return 0;
}

// ---- life ----------------------------------------------------------------------------------------------

static int start(struct daemon *d, struct err *e)
{
	struct runner_spawn_options ro = { .data_dir = d->o->data,
					   .oci_runtime = d->o->oci_runtime };
	auto_free char *nat = program_find("slirp4netns");
	auto_free char *runtime = ro.oci_runtime ? oci_find(ro.oci_runtime, e) : NULL;

	if (ro.oci_runtime && !runtime)
		return err_wrap(e, "--oci-runtime");
	if (d->o->nat && !nat)
		return err_set(e, ERR_UNSUPPORTED,
			       "--nat needs the program slirp4netns, which is not installed");
	if (rights_find(d->o->user, &d->rights, e) < 0 || prepare_folders(d, e) < 0)
		return -1;
	ro.user = d->rights.uid;
	if (runner_spawn(&ro, e) < 0)
		return err_wrap(e, "runner");
	// A key that only root may read is read now; later ones must be readable for the daemon's user.
	d->tls = (struct tls_files){ .cert = d->o->tls_cert, .key = d->o->tls_key };
	if (d->tls.cert && tls_files_load(&d->tls, e) < 0)
		return err_wrap(e, "--tls-cert, --tls-key");
	if (rights_drop(&d->rights, e) < 0 || reachable(d, e) < 0)
		return -1;
	umask(0077);
	if (credentials_load(d->o->data, &d->cred, e) < 0 || open_store(d, e) < 0 ||
	    open_jobs(d, e) < 0 || open_servers(d, e) < 0)
		return -1;
	notify_start(d->notify);
	store_directories_start(d->store);
	mem_wipe(d->cred.password, sizeof(d->cred.password));
	mem_wipe(d->cred.secret_key, sizeof(d->cred.secret_key));
	tls_files_wipe(&d->tls);
	return say_ready(d, e);
}

static void finish(struct daemon *d, bool end_jobs)
{
	auto_free char *ready = mem_printf("%s/ready.json", d->o->data);

	notify("STOPPING=1");
	images_leave(d->images);
	if (d->api)
		api_detach(d->api);
	expose_detach(d->expose);
	http_server_close(d->api_server);
	http_server_close(d->s3_server);
	expose_close(d->expose);
	if (d->store)
		store_directories_stop(d->store);
	if (d->dispatch)
		dispatch_stop(d->dispatch, end_jobs);
	dispatch_close(d->dispatch);
	api_close(d->api);
	s3_close(d->s3);
	registry_server_close(d->registry);
	authn_close(d->authn);
	services_close(d->services);
	images_close(d->images);
	mem_free(d->docker_config);
	queue_close(d->queue);
	store_close(d->store);
	notify_close(d->notify); // which the store tells of changes to its end
	auth_close(d->auth);
	db_close(d->db);
	tls_files_wipe(&d->tls);
	unlink(ready);
	file_close(d->lock);
}

enum { TLS_LOOK_S = 5 };

// Until SIGTERM or SIGINT, looking after the certificate's files meanwhile.
static int wait_for_end(struct daemon *d, const sigset_t *set)
{
	struct http_server *const servers[] = { d->s3_server, d->api_server };
	struct timespec look = { .tv_sec = TLS_LOOK_S };

	for (;;) {
		int got = sigtimedwait(set, NULL, &look);

		if (got == SIGTERM || got == SIGINT)
			return got;
		if (d->tls.cert && (got == SIGHUP || tls_files_changed(&d->tls)))
			tls_files_reload(&d->tls, servers, ARRAY_LEN(servers));
	}
}

int serve(const struct serve_options *o)
{
	struct daemon d = { .o = o, .lock = -1 };
	enum log_level level;
	struct err e = { 0 };
	sigset_t set;
	int got;

	if (!log_level_parse(o->log_level, &level)) {
		fprintf(stderr, "oscar serve: --log-level: debug, info, warn or error\n");
		return 2;
	}
	log_set_level(level);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (start(&d, &e) < 0) {
		fprintf(stderr, "oscar serve: %s\n", e.msg);
		finish(&d, false);
		return 1;
	}
	got = wait_for_end(&d, &set);
	log_info("serve",
		 got == SIGINT ? "stopping; jobs go back to the queue" : "leaving; jobs go on");
	finish(&d, got == SIGINT);
	return 0;
}
