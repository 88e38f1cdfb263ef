// registry: the definitions in memory. Private to service.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/chore.h"
#include "base/lock.h"
#include "base/map.h"
#include "service/image.h"
#include "service/service.h"

// An input of a service that objects of one bucket may trigger.
struct trigger {
	struct trigger *next; // of the same bucket
	int64_t id;
	int64_t bucket;
	size_t input; // index in the definition
	struct service_def *def;
};

struct services {
	struct service_options o;
	pthread_rwlock_t lock; // guards what follows
	struct map by_name;    // name -> current definition (a reference)
	struct map by_id;      // id -> the same, borrowed
	struct map by_bucket;  // bucket id -> first struct trigger
	struct map flows;      // id -> struct service_flow of a service that is paused
	struct chore backfill, grouper;
	struct {
		struct map passed; // run -> the job up to which all of it are over
		uint64_t redriven; // as long as this stays what it is
		int64_t last;	   // group that was looked at
	} runs;			   // of rungroup.c: the grouper's own
	struct {
		struct map missing; // group -> the first file that it waits for
		int64_t last;
	} manifests;		// of manifest.c: likewise
	pthread_mutex_t change; // one change of definitions at a time
	struct image_notes notes;
	struct chore refresher;
};

// Builds a definition from a stored document and its secrets.
must_check int service_def_load(struct services *s, struct db_conn *c, int64_t id, int64_t revision,
				struct service_def **out, struct err *e);

// Puts a definition with its triggers (rows of the database) in place of the older one, or takes it out.
must_check int registry_put(struct services *s, struct db_conn *c, struct service_def *d,
			    struct err *e);
void registry_remove(struct services *s, const char *name);

// The current definition of that name (a reference), NULL when there is none.
struct service_def *registry_find(struct services *s, struct span name);
// May they see it?
bool service_visible(const struct service_caller *who, const struct service_def *d);
// ERR_NOT_FOUND.
int service_missing(struct span name, struct err *e);
// What they may change; `verb` is what they want to do with it. ERR_NOT_FOUND, ERR_DENIED.
must_check int service_own(struct services *s, const struct service_caller *who, struct span name,
			   const char *verb, struct service_def **out, struct err *e);

// flow.c
must_check int flow_load(struct services *s, struct db_conn *c, struct err *e);
void flow_forget(struct services *s, int64_t service);
void flow_release(struct services *s);

must_check int registry_load(struct services *s, struct err *e);
void registry_release(struct services *s);
