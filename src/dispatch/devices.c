// SPDX-License-Identifier: Apache-2.0
#include "dispatch/devices.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/cdi.h"
#include "dispatch/job.h"
#include "fdl/fdl.h"

enum { LOOK_MS = 5000, SETTLE_MS = 10000 };

struct device {
	char *name;
	char owner[EXEC_JOB_ID_MAX]; // "" = it is free
	bool there;
};

// ---- which there are -----------------------------------------------------------------------------------

static struct span kind_of(const char *name)
{
	struct span rest = span_of(name);

	return span_cut(&rest, '=');
}

static struct device *find(const struct devices *x, struct span name)
{
	for (size_t i = 0; i < x->n; i++)
		if (span_is(name, x->at[i]->name))
			return x->at[i];
	return NULL;
}

static struct device *add(struct devices *x, struct span name)
{
	struct device *v = mem_zalloc(sizeof(*v));

	v->name = mem_strndup(name.p, name.n);
	x->at = mem_realloc(x->at, x->n + 1, sizeof(struct device *));
	x->at[x->n++] = v;
	return v;
}

static void forget(struct device *v)
{
	mem_free(v->name);
	mem_free(v);
}

// In the order in which the driver tells of them.
static void replace(struct devices *x, const char *const *names, size_t n)
{
	struct devices old = *x;

	x->at = NULL;
	x->n = x->waited_count = 0;
	for (size_t i = 0; i < n; i++) {
		struct device *v = find(&old, span_of(names[i])), *now = add(x, span_of(names[i]));

		now->there = true;
		if (v)
			memcpy(now->owner, v->owner, sizeof(now->owner));
	}
	for (size_t i = 0; i < old.n; i++) {
		if (old.at[i]->owner[0] && !find(x, span_of(old.at[i]->name)))
			memcpy(add(x, span_of(old.at[i]->name))->owner, old.at[i]->owner,
			       sizeof(old.at[i]->owner));
		forget(old.at[i]);
	}
	mem_free(old.at);
}

static void choose_gpus(struct dispatch *d)
{
	struct devices *x = &d->devices;
	struct span kind = span_of(d->o.gpu_kind);

	for (size_t i = 0; i < x->n && !kind.n; i++)
		if (x->at[i]->there && span_is(cdi_class(kind_of(x->at[i]->name)), "gpu"))
			kind = kind_of(x->at[i]->name);
	mem_free(x->gpu_kind);
	x->gpu_kind = kind.n ? mem_strndup(kind.p, kind.n) : NULL;
}

static void count(const struct devices *x, const char *kind, uint32_t *all, uint32_t *free)
{
	*all = *free = 0;
	for (size_t i = 0; kind && i < x->n; i++)
		if (x->at[i]->there && span_is(kind_of(x->at[i]->name), kind)) {
			++*all;
			*free += !x->at[i]->owner[0];
		}
}

void devices_look(struct dispatch *d)
{
	struct devices *x = &d->devices;
	auto_arena struct arena mem = { 0 };
	const int64_t now = clock_mono_ns();
	const char *const *names;
	uint64_t stamp = x->stamp;
	uint32_t free;
	size_t n;

	if (!d->driver->ops->devices || now < x->look_ns)
		return;
	x->look_ns = now + LOOK_MS * NS_PER_MS;
	if (!d->driver->ops->devices(d->driver, &mem, &stamp, &names, &n))
		return;
	auto_lock held = lock_hold(&d->lock);

	x->stamp = stamp;
	x->told = true;
	x->began_ns = x->began_ns ? x->began_ns : now;
	replace(x, names, n);
	choose_gpus(d);
	count(x, x->gpu_kind, &x->gpus, &free);
	d->fair.all.gpus = x->gpus;
	d->look = true;
	if (n)
		log_info("dispatch", "%zu devices, %u of them GPUs (%s)", n, x->gpus,
			 x->gpu_kind ? x->gpu_kind : "no kind");
}

void devices_drop(struct devices *x)
{
	for (size_t i = 0; i < x->n; i++)
		forget(x->at[i]);
	mem_free(x->at);
	mem_free(x->gpu_kind);
}

// ---- what a service wants ------------------------------------------------------------------------------

struct want {
	const char *kind; // NULL: GPUs, of which there is no kind
	uint32_t count;
};

static size_t wants_of(const struct dispatch *d, const struct fdl_service *f,
		       struct want out[static DEVICES_KINDS_MAX])
{
	size_t n = 0;

	if (f->gpus)
		out[n++] = (struct want){ d->devices.gpu_kind, f->gpus };
	for (size_t i = 0; i < f->device_count && n < DEVICES_KINDS_MAX; i++) {
		size_t k = 0;

		while (k < n && !(out[k].kind && strcmp(out[k].kind, f->devices[i].kind) == 0))
			k++;
		if (k == n)
			out[n++] = (struct want){ f->devices[i].kind, 0 };
		out[k].count += f->devices[i].count;
	}
	return n;
}

static bool offered(const struct dispatch *d, const char *kind)
{
	if (d->devices.gpu_kind && strcmp(d->devices.gpu_kind, kind) == 0)
		return true;
	for (unsigned i = 0; i < d->o.device_kind_count; i++)
		if (strcmp(d->o.device_kinds[i], kind) == 0)
			return true;
	return false;
}

int devices_enough(const struct dispatch *d, const struct fdl_service *f, struct err *e)
{
	const struct devices *x = &d->devices;
	struct want wants[DEVICES_KINDS_MAX];
	size_t n = wants_of(d, f, wants);
	uint32_t all, free;

	if (!x->told)
		return f->device_count
			       ? err_set(e, ERR_UNAVAILABLE, "runtime %s gives no devices to jobs",
					 d->driver->ops->name)
			       : 0;
	if (clock_mono_ns() < x->began_ns + SETTLE_MS * NS_PER_MS)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (!wants[i].kind)
			return err_set(e, ERR_UNAVAILABLE,
				       "it needs %u GPU%s, and this machine has none",
				       wants[i].count, wants[i].count > 1 ? "s" : "");
		if (!offered(d, wants[i].kind))
			return err_set(e, ERR_UNAVAILABLE,
				       "devices of the kind %.100s are not offered here: ask the "
				       "administrator (oscar serve --device-kind)",
				       wants[i].kind);
		count(x, wants[i].kind, &all, &free);
		if (all < wants[i].count)
			return err_set(e, ERR_UNAVAILABLE,
				       "it needs %u devices %.100s, and this machine has %u",
				       wants[i].count, wants[i].kind, all);
	}
	return 0;
}

static bool waited(const struct devices *x, const char *kind)
{
	for (size_t i = 0; i < x->waited_count; i++)
		if (span_is(x->waited[i], kind))
			return true;
	return false;
}

bool devices_free(const struct dispatch *d, const struct fdl_service *f)
{
	const struct devices *x = &d->devices;
	struct want wants[DEVICES_KINDS_MAX];
	size_t n = x->told ? wants_of(d, f, wants) : 0;
	uint32_t all, free;

	for (size_t i = 0; i < n; i++) {
		count(x, wants[i].kind, &all, &free);
		if (free < wants[i].count || !offered(d, wants[i].kind) || waited(x, wants[i].kind))
			return false;
	}
	return true;
}

void devices_round(struct devices *x)
{
	x->waited_count = 0;
}

void devices_wait(struct dispatch *d, const struct fdl_service *f)
{
	struct devices *x = &d->devices;
	struct want wants[DEVICES_KINDS_MAX];
	size_t n = wants_of(d, f, wants);

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; wants[i].kind && k < x->n; k++) {
			struct span kind = kind_of(x->at[k]->name);

			if (!span_is(kind, wants[i].kind) || waited(x, wants[i].kind) ||
			    x->waited_count == DEVICES_KINDS_MAX)
				continue;
			x->waited[x->waited_count++] = kind;
		}
}

// ---- whose they are ------------------------------------------------------------------------------------

void devices_take(struct dispatch *d, const struct fdl_service *f, const char *id)
{
	struct devices *x = &d->devices;
	struct want wants[DEVICES_KINDS_MAX];
	size_t n = x->told ? wants_of(d, f, wants) : 0;

	for (size_t k = 0; k < n; k++)
		for (size_t i = 0; i < x->n && wants[k].count; i++) {
			struct device *v = x->at[i];

			if (!wants[k].kind || !v->there || v->owner[0] ||
			    !span_is(kind_of(v->name), wants[k].kind))
				continue;
			snprintf(v->owner, sizeof(v->owner), "%s", id);
			wants[k].count--;
		}
}

void devices_retake(struct dispatch *d, const char *names, const char *id)
{
	struct span rest = span_of(names);

	while (rest.n) {
		struct span name = span_cut(&rest, ' ');
		struct device *v = find(&d->devices, name);

		if (!v)
			v = add(&d->devices, name);
		snprintf(v->owner, sizeof(v->owner), "%s", id);
	}
}

void devices_give_back(struct dispatch *d, const char *id)
{
	for (size_t i = 0; i < d->devices.n; i++)
		if (strcmp(d->devices.at[i]->owner, id) == 0)
			d->devices.at[i]->owner[0] = '\0';
}

const char *devices_names(const struct dispatch *d, const char *id, struct arena *mem)
{
	const char *text = "";

	for (size_t i = 0; i < d->devices.n; i++)
		if (strcmp(d->devices.at[i]->owner, id) == 0)
			text = arena_printf(mem, "%s%s%s", text, *text ? " " : "",
					    d->devices.at[i]->name);
	return text;
}

size_t dispatch_devices(struct dispatch *d, struct arena *mem, struct dispatch_device **out)
{
	auto_lock held = lock_hold(&d->lock);
	const struct devices *x = &d->devices;
	size_t n = 0;

	*out = arena_alloc(mem, (x->n + 1) * sizeof(**out));
	for (size_t i = 0; i < x->n; i++) {
		struct span kind = kind_of(x->at[i]->name);
		const char *text = arena_strndup(mem, kind.p, kind.n);

		if (x->at[i]->there || x->at[i]->owner[0])
			(*out)[n++] = (struct dispatch_device){
				.name = arena_strdup(mem, x->at[i]->name),
				.kind = text,
				.gpu = x->gpu_kind && strcmp(x->gpu_kind, text) == 0,
				.offered = offered(d, text),
				.there = x->at[i]->there,
				.job = job_number(x->at[i]->owner),
				.held = x->at[i]->owner[0] != '\0',
			};
	}
	return n;
}
