// quantity: amounts as Kubernetes writes them ("500m", "1.5", "256Mi", "1e3"), read without overflow.
// Owner: nothing. Threads: no shared state. Errors: ERR_INVALID (not a quantity, negative), ERR_LIMIT (more
// than 64 bits hold).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

// Thousandths of a unit, rounded up: "0.2" is 200, "2" is 2000.
must_check int fdl_quantity_milli(struct span text, uint64_t *out, struct err *e);

// Whole units (bytes), rounded up: "256Mi" is 268435456, "1500m" is 2.
must_check int fdl_quantity_units(struct span text, uint64_t *out, struct err *e);
