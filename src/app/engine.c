// SPDX-License-Identifier: Apache-2.0
// engine: what works behind the ports, and how its parts reach each other.
#include "app/daemon.h"
#include "auth/auth.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/schema.h"
#include "dispatch/dispatch.h"
#include "exec/sandbox/sandbox.h"
#include "image/image.h"
#include "notify/notify.h"
#include "queue/queue.h"
#include "registry/registry.h"
#include "runner/runner.h"
#include "service/service.h"
#include "store/store.h"

#include <stdlib.h>

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

static int open_images(struct daemon *d, struct err *e)
{
	const char *docker = getenv("DOCKER_CONFIG");
	struct image_options o = { .db = d->db,
				   .data_dir = d->o->data,
				   .size_max = d->o->image_size_max,
				   .entries_max = d->o->image_files_max,
				   .insecure_registries = d->o->insecure_registries };

	if (docker && *docker)
		o.docker_config = d->docker_config = mem_printf("%s/config.json", docker);
	return images_open(&d->images, &o, e);
}

int daemon_open_store(struct daemon *d, struct err *e)
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

	if (db_open(&d->db, &dbo, e) < 0)
		return -1;
	so.db = d->db;
	if (auth_open(&d->auth, d->db, e) < 0 ||
	    auth_set_admin(d->auth, d->cred.username, d->cred.password, d->cred.access_key,
			   d->cred.secret_key, e) < 0 ||
	    store_open(&d->store, &so, e) < 0 || queue_open(&d->queue, d->db, e) < 0)
		return -1;
	return open_images(d, e);
}

static int respawn(void *owner, struct err *e)
{
	struct daemon *d = owner;
	struct runner_spawn_options o = { .data_dir = d->o->data,
					  .user = d->rights.uid,
					  .oci_runtime = d->o->oci_runtime,
					  .cdi = d->o->cdi,
					  .cdi_count = d->o->cdi_count };

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

static int open_services(struct daemon *d, struct err *e)
{
	struct service_options o = { .db = d->db,
				     .store = d->store,
				     .queue = d->queue,
				     .auth = d->auth,
				     .owner = d,
				     .resolve_image = resolve_image,
				     .capacity = capacity,
				     .offers_mount = offers_mount,
				     .offers_nat = d->o->nat,
				     .offers_host_network = d->o->host_network };

	return services_open(&d->services, &o, e);
}

static int open_dispatch(struct daemon *d, struct err *e)
{
	struct dispatch_options o = { .db = d->db,
				      .store = d->store,
				      .queue = d->queue,
				      .images = d->images,
				      .services = d->services,
				      .data_dir = d->o->data,
				      .workers = d->o->workers,
				      .active_max = d->o->jobs_max,
				      .keep_jobs = d->o->keep_jobs,
				      .keep_jobs_s = (int64_t)d->o->keep_job_days * 24 * 3600,
				      .keep_logs_s = (int64_t)d->o->keep_log_days * 24 * 3600,
				      .keep_feed = d->o->keep_feed,
				      .cpu_millis_max = d->o->cpu_millis_max,
				      .memory_bytes_max = d->o->memory_bytes_max,
				      .mounts = d->o->mounts,
				      .mount_count = d->o->mount_count,
				      .gpu_kind = d->o->gpu_kind,
				      .device_kinds = d->o->device_kinds,
				      .device_kind_count = d->o->device_kind_count,
				      .view_objects_max = d->o->mount_objects };

	return dispatch_open(&d->dispatch, &o, e);
}

static int open_driver(struct daemon *d, struct err *e)
{
	struct exec_sandbox_options o = { .data_dir = d->o->data,
					  .oci = d->o->oci,
					  .cdi = d->o->cdi,
					  .cdi_count = d->o->cdi_count,
					  .respawn = respawn,
					  .respawn_owner = d };
	struct exec_events ev = dispatch_events(d->dispatch);

	return exec_sandbox_open(&d->driver, &o, &ev, e);
}

int daemon_open_jobs(struct daemon *d, struct err *e)
{
	struct notify_options no = { .db = d->db, .store = d->store };
	struct store_sink sink = { .changed = object_changed, .owner = d };

	if (notify_open(&d->notify, &no, e) < 0 || open_services(d, e) < 0)
		return -1;
	store_set_sink(d->store, &sink);
	if (open_dispatch(d, e) < 0 || open_driver(d, e) < 0 ||
	    dispatch_start(d->dispatch, d->driver, e) < 0)
		return -1;
	services_start(d->services);
	return 0;
}
