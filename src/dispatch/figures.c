// SPDX-License-Identifier: Apache-2.0
// figures: how long jobs waited and ran, for monitoring.
#include "dispatch/job.h"

void figures_take(struct dispatch *d, const struct job *j)
{
	const struct exec_result *r = &j->result;

	if (!r->started_wall_ns)
		return;
	if (j->row.attempt == 1)
		histogram_add(&d->figures.wait, r->started_wall_ns - j->row.created_ns);
	if (j->submitted_ns) // else an earlier life did
		histogram_add(&d->figures.start, r->started_wall_ns - j->submitted_ns);
	histogram_add(&d->figures.run, r->ended_wall_ns - r->started_wall_ns);
}

const struct dispatch_figures *dispatch_figures(const struct dispatch *d)
{
	return &d->figures;
}
