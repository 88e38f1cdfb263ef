// SPDX-License-Identifier: Apache-2.0
#include "image/progress.h"

#include "image/private.h"

#include <stdio.h>

void progress_begin(struct progress *p, struct images *m, const char *id)
{
	*p = (struct progress){ .m = m };
	if (!id || !*id)
		return;
	snprintf(p->now.id, sizeof(p->now.id), "%s", id);
	auto_lock held = lock_hold(&m->progress_lock);

	p->next = m->works;
	m->works = p;
}

void progress_step(struct progress *p, const char *step, size_t number, size_t count,
		   uint64_t total)
{
	auto_lock held = lock_hold(&p->m->progress_lock);

	snprintf(p->now.step, sizeof(p->now.step), "%s", step);
	p->now.number = (unsigned)number;
	p->now.count = (unsigned)count;
	p->now.done = 0;
	p->now.total = total;
}

void progress_add(void *progress, uint64_t bytes)
{
	struct progress *p = progress;
	auto_lock held = lock_hold(&p->m->progress_lock);

	p->now.done += bytes;
}

void progress_end(struct progress *p)
{
	if (!p->m)
		return;
	auto_lock held = lock_hold(&p->m->progress_lock);

	for (struct progress **at = &p->m->works; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			break;
		}
}

int image_progress(struct images *m, struct span id, struct image_progress *out, struct err *e)
{
	auto_lock held = lock_hold(&m->progress_lock);

	for (const struct progress *p = m->works; p; p = p->next)
		if (span_is(id, p->now.id)) {
			*out = p->now;
			return 0;
		}
	return err_set(e, ERR_NOT_FOUND, "no such work: it is over, or has not begun");
}
