// SPDX-License-Identifier: Apache-2.0
#include "base/histogram.h"

#include "base/clock.h"

#include <stdatomic.h>
#include <stddef.h>

const double histogram_bounds_s[HISTOGRAM_BOUNDS] = { 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
						      0.05,   0.1,   0.25,   1,	    2.5,  10,
						      30,     120,   600,    3600,  21600 };

void histogram_add(struct histogram *h, int64_t ns)
{
	uint64_t took = ns < 0 ? 0 : (uint64_t)ns;
	double s = (double)took / (double)NS_PER_S;
	size_t i = 0;

	while (i < HISTOGRAM_BOUNDS && s > histogram_bounds_s[i])
		i++;
	atomic_fetch_add_explicit(&h->counts[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_ns, took, memory_order_relaxed);
}

struct histogram_view histogram_look(const struct histogram *h)
{
	struct histogram_view v;

	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
		v.counts[i] = atomic_load_explicit(&h->counts[i], memory_order_relaxed);
	v.sum_s = (double)atomic_load_explicit(&h->sum_ns, memory_order_relaxed) / (double)NS_PER_S;
	return v;
}
