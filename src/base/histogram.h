// histogram: durations counted in fixed steps, as Prometheus wants them. Threads: safe, without a lock; who looks sees
// counts and sum of nearly the same moment. Zeroed memory is an empty one.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 17 };
extern const double histogram_bounds_s[HISTOGRAM_BOUNDS]; // upper bounds, inclusive: 0.5 ms to 6 h

struct histogram {
	_Atomic uint64_t
		counts[HISTOGRAM_BOUNDS + 1]; // of each step alone, the last one above all bounds
	_Atomic uint64_t sum_ns;
};
void histogram_add(struct histogram *h, int64_t ns); // below 0 is 0

struct histogram_view {
	uint64_t counts[HISTOGRAM_BOUNDS + 1];
	double sum_s;
};
struct histogram_view histogram_look(const struct histogram *h);
