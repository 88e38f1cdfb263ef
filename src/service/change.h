// change: what the parts of a changed definition share. Private to service.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "service/service.h"

struct service_change {
	struct services *s;
	const struct fdl_service *fdl;
	char image[SERVICE_IMAGE_MAX];
	int64_t id, revision, owner;
	char token[SERVICE_TOKEN_LEN + 1];
	bool create, repin; // repin: nothing but the image is another
};

// What this server does not offer or its caller may not use.
must_check int service_check(struct services *s, const struct service_caller *who,
			     const struct fdl_service *f, struct err *e);

// All rows of a definition that is made or replaced; arg is the change. The writer's thread.
int service_change_in(struct db_conn *c, void *arg, struct err *e);
// A line in the feed: the service was `what`.
int service_change_tell_in(struct service_change *w, struct db_conn *c, const char *what,
			   struct err *e);
