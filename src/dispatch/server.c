// SPDX-License-Identifier: Apache-2.0
// server: room, spec and life of the servers that exposed services run.
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "dispatch/spec.h"

enum { SERVER_PREFIX = 'x' }; // of ids; those of jobs begin with j

struct server {
	struct fair_size size;
	struct fair_party *party;
};

void dispatch_on_servers(struct dispatch *d, const struct dispatch_servers *s)
{
	auto_lock held = lock_hold(&d->lock);

	d->server_events = s ? *s : (struct dispatch_servers){ 0 };
}

void server_id(struct dispatch *d, char prefix, char out[static EXEC_JOB_ID_MAX])
{
	auto_lock held = lock_hold(&d->lock);

	snprintf(out, EXEC_JOB_ID_MAX, "%c%llx-%u", prefix, (unsigned long long)clock_wall_ns(),
		 d->server_serial++);
}

char *dispatch_server_id(struct dispatch *d, char out[static EXEC_JOB_ID_MAX])
{
	server_id(d, SERVER_PREFIX, out);
	return out;
}

// ---- room ----------------------------------------------------------------------------------------------

int server_room_take(struct dispatch *d, const struct service_def *def, const char *id,
		     struct err *e)
{
	const struct queue_limits limits = queue_limits_get(d->o.queue, def->owner);
	const struct fair_size size = job_size(def);
	auto_lock held = lock_hold(&d->lock);
	struct fair_party *party = fair_party(&d->fair, def->owner, def->id, clock_mono_ns());
	struct server *s;

	if (d->stopping)
		return err_set(e, ERR_UNAVAILABLE, "the server is stopping");
	if (!choose_fits(d, &size))
		return err_set(e, ERR_BUSY,
			       "no room now for %u.%03u cores and %llu MiB beside what runs",
			       size.cpu_millis / 1000, size.cpu_millis % 1000,
			       (unsigned long long)(size.memory_bytes >> 20));
	if (devices_enough(d, def->fdl, e) < 0)
		return -1;
	if (!devices_free(d, def->fdl))
		return err_set(e, ERR_BUSY, "the devices that it needs are in use");
	if (!choose_allowed(&limits, party->user, &size))
		return err_set(e, ERR_BUSY, "its owner's limits allow no more at once");
	s = mem_zalloc(sizeof(*s));
	*s = (struct server){ size, party };
	map_put(&d->servers, span_of(id), s);
	devices_take(d, def->fdl, id);
	room_take(d, party, &size);
	room_count(&d->served, &size, true);
	return 0;
}

bool server_room_give_back(struct dispatch *d, const char *id)
{
	auto_lock held = lock_hold(&d->lock);
	struct server *s = map_remove(&d->servers, span_of(id));

	if (!s)
		return false;
	devices_give_back(d, id);
	room_give_back(d, s->party, &s->size);
	room_count(&d->served, &s->size, false);
	mem_free(s);
	d->look = true;
	pthread_cond_signal(&d->wake);
	return true;
}

void servers_drop(struct dispatch *d)
{
	size_t at = 0;
	void *value;

	while (map_next(&d->servers, &at, NULL, &value))
		mem_free(value);
	map_release(&d->servers);
}

// ---- what the driver says ------------------------------------------------------------------------------

static struct dispatch_servers events(struct dispatch *d)
{
	auto_lock held = lock_hold(&d->lock);

	return d->server_events;
}

// One of an earlier life is nobody's: strays.c ends it.
bool server_started(struct dispatch *d, const char *id)
{
	struct dispatch_servers ev;

	if (id[0] != SERVER_PREFIX)
		return false;
	ev = events(d);
	if (ev.started)
		ev.started(ev.owner, id);
	return true;
}

bool server_ended(struct dispatch *d, const char *id, const struct exec_result *r)
{
	struct dispatch_servers ev;

	if (id[0] != SERVER_PREFIX)
		return false;
	ev = events(d);
	if (server_room_give_back(d, id) && ev.ended)
		ev.ended(ev.owner, id, r);
	return true;
}

void servers_changed(struct dispatch *d, int64_t service)
{
	struct dispatch_servers ev = events(d);

	if (ev.changed)
		ev.changed(ev.owner, service);
}

// ---- life ----------------------------------------------------------------------------------------------

static int command_script(struct spec_draft *s, struct span *out, struct err *e)
{
	if (!s->image.command || !s->image.command[0])
		return err_set(e, ERR_INVALID,
			       "expose.default_command: the image says no command of its own");
	return spec_command(s, s->image.command, out, e) < 0 ? err_wrap(e, "the image's command")
							     : 0;
}

static int submit(struct dispatch *d, const struct service_def *def, const char *id, struct err *e)
{
	auto_spec struct spec_draft draft = { .env_count = 0 };
	const struct fdl_service *f = def->fdl;
	struct span script = span_of(f->script);
	struct exec_spec spec;

	if (spec_begin(d, def, &draft, e) < 0 ||
	    (f->expose.default_command && command_script(&draft, &script, e) < 0))
		return -1;
	spec_fill(d, def, &draft, &spec);
	spec_devices(d, id, &draft, &spec);
	spec.job = id;
	spec.attempt = 1;
	spec.script = script;
	spec.event = SPAN("");
	spec.port = f->expose.port;
	spec.freeze = f->freeze_after_s > 0;
	return d->driver->ops->submit(d->driver, &spec, e);
}

int dispatch_server_start(struct dispatch *d, const struct service_def *def, const char *id,
			  struct err *e)
{
	if (!d->driver->ops->open_door)
		return err_set(e, ERR_UNSUPPORTED, "runtime %s runs no servers",
			       d->driver->ops->name);
	if (server_room_take(d, def, id, e) < 0)
		return -1;
	if (submit(d, def, id, e) == 0)
		return 0;
	server_room_give_back(d, id);
	return -1;
}

void dispatch_server_end(struct dispatch *d, const char *id)
{
	struct err e = { 0 };

	if (d->driver->ops->cancel(d->driver, id, 1, &e) < 0 && e.code != ERR_NOT_FOUND)
		log_warn("dispatch", "ending server %s: %s", id, e.msg);
}

int dispatch_server_door(struct dispatch *d, const char *id, struct err *e)
{
	return d->driver->ops->open_door(d->driver, id, 1, e);
}

int dispatch_server_dial(struct dispatch *d, int door, struct err *e)
{
	return d->driver->ops->dial(d->driver, door, e);
}

int dispatch_server_freeze(struct dispatch *d, int door, struct err *e)
{
	return d->driver->ops->freeze ? d->driver->ops->freeze(d->driver, door, e)
				      : err_set(e, ERR_UNSUPPORTED, "runtime %s freezes no servers",
						d->driver->ops->name);
}

int dispatch_server_log(struct dispatch *d, const char *id, struct err *e)
{
	return d->driver->ops->open_log(d->driver, id, 1, e);
}

void dispatch_server_forget(struct dispatch *d, const char *id)
{
	struct err e = { 0 };

	if (d->driver->ops->forget(d->driver, id, 1, &e) < 0)
		log_warn("dispatch", "server %s: %s", id, e.msg);
}
