// progress: how far a pull, push or unpacking is, for whoever wants to look. A work is known by an id that its caller
// chose; one without is not listed.
// Owner: the work has the struct on its stack between begin and end. Threads: one writes, others look.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "image/image.h"

struct progress {
	struct progress *next;
	struct images *m;
	struct image_progress now; // id "" = not listed
};

void progress_begin(struct progress *p, struct images *m, const char *id); // id may be NULL
void progress_step(struct progress *p, const char *step, size_t number, size_t count,
		   uint64_t total);
void progress_add(void *progress, uint64_t bytes); // as registry.h wants it
void progress_end(struct progress *p);		   // accepts a zeroed struct
#define auto_progress at_scope_exit(progress_end)
