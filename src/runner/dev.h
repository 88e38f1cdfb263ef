// runner/dev: the /dev of sandboxes: the nodes that every program expects, and those of a job's devices.
// Private to runner/. Threads: one. Errors: ERR_IO, ERR_INVALID.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <stdbool.h>

struct devices;
struct sandbox;
struct world;

// Fills an empty folder with what every sandbox has. `nodes`: they can be made here, else the host's are bound.
must_check int dev_fill(int dir, bool nodes, struct err *e);

// With the rights of root, before the sandbox exists: a /dev of its own for a job with devices, d->dev. Nodes in it are
// its user's, who may do with them what the specification permits; whoever else may on the machine does not matter.
must_check int dev_make(struct devices *d, const struct world *w, struct err *e);

// In the sandbox's mount namespace, or a copy of the template's: the job's /dev at `where`, from the template when it
// has no devices.
must_check int dev_attach(const struct sandbox *s, const char *where, struct err *e);
