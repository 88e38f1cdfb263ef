// image: from what a service calls its image to what its revision runs on, and how that came about. Private to service.
// Owner: struct services. Threads: safe.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/chore.h"
#include "base/map.h"
#include "service/service.h"

// What is told of the image of each service, by the service's name; also of one that is about to be made.
struct image_notes {
	pthread_mutex_t lock;
	struct map by_name; // struct image_note
};

void image_notes_init(struct image_notes *n);
void image_notes_release(struct image_notes *n);
void image_notes_drop(struct image_notes *n, const char *name);

// Asks the plugged-in resolver; may take long, so no lock of services is held. `periodic`: nobody waits for it.
must_check int image_find(struct services *s, int64_t user, const struct fdl_service *f,
			  bool periodic, char out[static SERVICE_IMAGE_MAX], struct err *e);

// A new revision that differs by its image only. Nothing happens when the service was changed meanwhile. (change.c)
must_check int service_repin(struct services *s, const struct service_def *d, const char *image,
			     struct err *e);

// The chore that looks after services whose image is asked for again now and then.
void *image_refresher(void *services);
