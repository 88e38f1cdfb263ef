// nearest: the known word that a mistaken one was meant to be. Threads: no shared state.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/schema.h"

#include <string.h>

// Letters to change, put in or leave out to make one word of the other; words over 40 bytes are far.
static unsigned distance(const char *a, const char *b)
{
	size_t an = strlen(a), bn = strlen(b);
	unsigned row[42];

	if (an > 40 || bn > 40)
		return 99;
	for (size_t j = 0; j <= bn; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= an; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= bn; j++) {
			unsigned swap = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			row[j] = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
			row[j] = swap < row[j] ? swap : row[j];
		}
	}
	return row[bn];
}

const char *fdl_nearest(const struct fdl_field *fields, const char *name)
{
	unsigned best = (unsigned)(strlen(name) / 3 + 2);
	const char *found = NULL;

	for (; fields->name; fields++) {
		unsigned d = distance(fields->name, name);

		if (d < best) {
			best = d;
			found = fields->name;
		}
	}
	return found;
}
