// SPDX-License-Identifier: Apache-2.0
#include "service/image.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fdl/fdl.h"
#include "service/registry.h"

#define PROGRESS "service:%s"
enum { LINES = SERVICE_IMAGE_LINES, LINE_BYTES = 300, NOTES_MAX = 4096, LOOK_MS = 1000 };

struct image_note {
	int64_t owner;
	unsigned busy; // who is at it now
	int64_t checked_ns;
	char error[LINE_BYTES]; // of the last time, "" = it went well
	struct {
		int64_t time_ns;
		char text[LINE_BYTES];
	} lines[LINES];
	unsigned count; // of all lines there were
};

void image_notes_init(struct image_notes *n)
{
	pthread_mutex_init(&n->lock, NULL);
}

void image_notes_release(struct image_notes *n)
{
	size_t at = 0;
	void *note;

	while (map_next(&n->by_name, &at, NULL, &note))
		mem_free(note);
	map_release(&n->by_name);
	pthread_mutex_destroy(&n->lock);
}

void image_notes_drop(struct image_notes *n, const char *name)
{
	auto_lock held = lock_hold(&n->lock);

	mem_free(map_remove(&n->by_name, span_of(name)));
}

// Services that were never made leave a note behind: some of those go when there are too many.
static void make_room(struct image_notes *n)
{
	size_t at = 0;
	struct span name;
	void *value;

	while (map_next(&n->by_name, &at, &name, &value)) {
		struct image_note *note = value;

		if (note->busy || note->checked_ns)
			continue;
		map_remove(&n->by_name, name);
		mem_free(note);
		return;
	}
}

static struct image_note *note_of(struct image_notes *n, const char *name)
{
	struct image_note *note = map_get(&n->by_name, span_of(name));

	if (note)
		return note;
	if (n->by_name.count >= NOTES_MAX)
		make_room(n);
	note = mem_zalloc(sizeof(*note));
	map_put(&n->by_name, span_of(name), note);
	return note;
}

static void add_line(struct image_note *note, const char *text)
{
	unsigned i = note->count++ % LINES;

	note->lines[i].time_ns = clock_wall_ns();
	snprintf(note->lines[i].text, LINE_BYTES, "%s", text);
}

static void note_begin(struct services *s, int64_t owner, const struct fdl_service *f,
		       bool periodic)
{
	auto_lock held = lock_hold(&s->notes.lock);
	struct image_note *note = note_of(&s->notes, f->name);
	char text[LINE_BYTES];

	note->owner = owner;
	note->busy++;
	snprintf(text, sizeof(text), "looking for image %.180s", f->image);
	if (!periodic)
		add_line(note, text);
}

static void note_end(struct services *s, const struct fdl_service *f, bool periodic, int result,
		     const char *id, const struct err *e)
{
	auto_lock held = lock_hold(&s->notes.lock);
	struct image_note *note = note_of(&s->notes, f->name);
	char text[LINE_BYTES], error[LINE_BYTES] = "";

	note->busy -= note->busy > 0;
	note->checked_ns = clock_wall_ns();
	if (result < 0)
		snprintf(error, sizeof(error), "%s", e->msg);
	snprintf(text, sizeof(text), "%s%s", result < 0 ? "failed: " : "image is ",
		 result < 0 ? e->msg : id);
	// The same each time is told once.
	if (!periodic || strcmp(error, note->error) != 0)
		add_line(note, text);
	memcpy(note->error, error, sizeof(error));
}

int image_find(struct services *s, int64_t user, const struct fdl_service *f, bool periodic,
	       char out[static SERVICE_IMAGE_MAX], struct err *e)
{
	struct service_image_wish wish = { .user = user,
					   .name = f->image,
					   .ask = f->refresh_apply };
	int bad;

	snprintf(wish.progress, sizeof(wish.progress), PROGRESS, f->name);

	note_begin(s, user, f, periodic);
	bad = s->o.resolve_image(s->o.owner, &wish, out, e);
	note_end(s, f, periodic, bad, out, e);
	return bad < 0 ? err_wrap(e, "image") : 0;
}

int service_image_state(struct services *s, const struct service_caller *who, struct span name,
			struct arena *mem, struct service_image_state *out, struct err *e)
{
	auto_service_def struct service_def *d = NULL;
	struct err unseen = { 0 };
	bool there = service_get(s, who, name, &d, &unseen) == 0;
	auto_lock held = lock_hold(&s->notes.lock);
	const struct image_note *note = map_get(&s->notes.by_name, name);
	unsigned first;

	*out = (struct service_image_state){ .error = "", .progress = "" };
	// One that is not made yet is seen by whoever makes it.
	if (!there && (unseen.code != ERR_NOT_FOUND || !note || note->owner != who->user)) {
		*e = unseen;
		return -1;
	}
	if (!note)
		return 0;
	out->busy = note->busy > 0;
	out->checked_ns = note->checked_ns;
	out->error = arena_strdup(mem, note->error);
	out->progress = arena_printf(mem, PROGRESS, arena_span(mem, name).p);
	first = note->count > LINES ? note->count - LINES : 0;
	for (unsigned i = first; i < note->count; i++)
		out->lines[out->line_count++] =
			(struct service_image_line){ note->lines[i % LINES].time_ns,
						     arena_strdup(mem,
								  note->lines[i % LINES].text) };
	return 0;
}

// ---- now and then --------------------------------------------------------------------------------------

static int64_t checked_ns(struct services *s, const char *name)
{
	auto_lock held = lock_hold(&s->notes.lock);
	const struct image_note *note = map_get(&s->notes.by_name, span_of(name));

	return note ? note->checked_ns : 0;
}

static void check_one(struct services *s, struct service_def *d)
{
	char id[SERVICE_IMAGE_MAX];
	struct err e = { 0 };

	if (image_find(s, d->owner, d->fdl, true, id, &e) < 0) {
		log_info("service", "%s: its image could not be asked for: %s", d->fdl->name,
			 e.msg);
		return;
	}
	if (strcmp(id, d->image_id) == 0)
		return;
	if (service_repin(s, d, id, &e) < 0)
		log_warn("service", "%s: its newer image cannot be taken: %s", d->fdl->name, e.msg);
	else
		log_info("service", "%s: image %s is now %s", d->fdl->name, d->fdl->image, id);
}

static void check_due(struct services *s)
{
	static const struct service_caller everybody = { .admin = true, .name = "" };
	auto_arena struct arena mem = { 0 };
	struct service_def **defs;
	struct err unused = { 0 };
	size_t n;

	if (service_list(s, &everybody, &mem, &defs, &n, &unused) < 0)
		return;
	for (size_t i = 0; i < n && !s->refresher.stop; i++) {
		const struct fdl_service *f = defs[i]->fdl;

		if (f->refresh_s &&
		    clock_wall_ns() - checked_ns(s, f->name) >= f->refresh_s * NS_PER_S)
			check_one(s, defs[i]);
	}
	service_list_put(defs, n);
}

void *image_refresher(void *services)
{
	struct services *s = services;

	while (chore_rest(&s->refresher, LOOK_MS * NS_PER_MS))
		check_due(s);
	return NULL;
}
