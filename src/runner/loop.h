// runner/loop: the runner's one loop: messages of the daemon, births and deaths of shims. Private to runner/.
// Threads: one. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/attr.h"

struct runner_options;

// Serves until there is nothing to serve; the exit status, logged why.
must_check int loop_run(const struct runner_options *o);
