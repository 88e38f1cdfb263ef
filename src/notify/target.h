// target: what the files about targets share. Private to notify. `change` is held by whoever changes them.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "notify/engine.h"

static inline void target_free_ptr(struct target **t)
{
	target_free(*t);
}
#define auto_target at_scope_exit(target_free_ptr)

// With room for all settings of its kind; not in the list yet.
struct target *target_new(const char *kind, const char *name);
void target_add_setting(struct target *t, const char *key, const char *value);
bool target_enabled(const struct target *t);

// Its settings are complete: takes the numbers over and, when it delivers, opens its lane.
void target_ready(struct notify *n, struct target *t);

// Puts it (NULL: nothing) into the list in place of the one of that id, which is returned and the caller's.
struct target *target_swap(struct notify *n, struct target *t, int64_t id);

// ERR_NOT_FOUND.
int target_missing(const char *kind, const char *name, struct err *e);
