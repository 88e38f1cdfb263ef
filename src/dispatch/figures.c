// SPDX-License-Identifier: Apache-2.0
// figures: how long jobs waited and ran, for monitoring.
#include "base/clock.h"
#include "dispatch/job.h"

const double dispatch_bounds_s[DISPATCH_BOUNDS] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1,
						    2.5,   10,	 30,	120,  600, 3600, 21600 };

static void observe(struct dispatch_histogram *h, int64_t ns)
{
	double s = (double)(ns < 0 ? 0 : ns) / (double)NS_PER_S;
	size_t i = 0;

	while (i < DISPATCH_BOUNDS && s > dispatch_bounds_s[i])
		i++;
	h->counts[i]++;
	h->sum_s += s;
}

void figures_take(struct dispatch *d, const struct job *j)
{
	const struct exec_result *r = &j->result;
	auto_lock held = lock_hold(&d->lock);

	if (!r->started_wall_ns)
		return;
	if (j->row.attempt == 1)
		observe(&d->figures.wait, r->started_wall_ns - j->row.created_ns);
	observe(&d->figures.run, r->ended_wall_ns - r->started_wall_ns);
}

void dispatch_figures(struct dispatch *d, struct dispatch_figures *out)
{
	auto_lock held = lock_hold(&d->lock);

	*out = d->figures;
}
