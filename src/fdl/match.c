// match: which objects an input takes. Threads: no shared state.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/fdl.h"

bool fdl_io_matches(const struct fdl_io *io, struct span name)
{
	bool begins = io->prefix_count == 0, ends = io->suffix_count == 0;

	for (size_t i = 0; i < io->prefix_count && !begins; i++)
		begins = span_starts(name, span_of(io->prefixes[i]));
	for (size_t i = 0; i < io->suffix_count && !ends; i++)
		ends = span_ends(name, span_of(io->suffixes[i]));
	return begins && ends;
}

static bool is_last_part(struct span name, const char *part)
{
	size_t n = strlen(part);

	return span_ends(name, span_of(part)) && (name.n == n || name.p[name.n - n - 1] == '/');
}

bool fdl_io_takes(const struct fdl_io *io, struct span bucket, struct span key, struct span *name)
{
	struct span folder = span_of(io->folder), rest = key;

	if (!span_is(bucket, io->bucket))
		return false;
	if (folder.n > 0) {
		if (!span_starts(key, folder) || key.n <= folder.n + 1 || key.p[folder.n] != '/')
			return false;
		rest = span_from(key, folder.n + 1);
	}
	if (rest.n == 0 || rest.p[rest.n - 1] == '/' || !fdl_io_matches(io, rest))
		return false;
	if ((io->sentinel && !is_last_part(rest, io->sentinel)) ||
	    (io->manifest && !span_ends(rest, span_of(io->manifest))))
		return false;
	*name = rest;
	return true;
}
