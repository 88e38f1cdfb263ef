// SPDX-License-Identifier: Apache-2.0
#include "base/span.h"
#include "runner/runner.h"

#include <getopt.h>
#include <stdio.h>

static const char usage[] =
	"Usage: oscar runner --data DIR [--user UID] [--group GID] [--idle-ms N]\n"
	"                    [--oci-runtime crun|runc|PATH] [--cdi-dir DIR]...\n"
	"The process that makes sandboxes; `oscar serve` starts it.\n";

static bool number(const char *text, uint64_t max, uint64_t *out)
{
	return span_to_u64(span_of(text), out) && *out <= max;
}

int runner_options(int argc, char **argv, struct runner_options *o)
{
	static const struct option longs[] = {
		{ "data", 1, NULL, 'd' },    { "user", 1, NULL, 'u' },
		{ "group", 1, NULL, 'g' },   { "idle-ms", 1, NULL, 'i' },
		{ "help", 0, NULL, 'h' },    { "oci-runtime", 1, NULL, 'r' },
		{ "cdi-dir", 1, NULL, 'c' }, { 0 },
	};
	uint64_t n;
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		if (c == 'd') {
			o->data_dir = optarg;
		} else if (c == 'r') {
			o->oci_runtime = optarg;
		} else if (c == 'c' && o->cdi_count < RUNNER_CDI_MAX) {
			o->cdi[o->cdi_count++] = optarg;
		} else if (c == 'u' && number(optarg, UINT32_MAX - 1, &n)) {
			o->user = (uid_t)n;
		} else if (c == 'g' && number(optarg, UINT32_MAX - 1, &n)) {
			o->group = (gid_t)n;
		} else if (c == 'i' && number(optarg, INT32_MAX, &n)) {
			o->idle_ms = (int64_t)n;
		} else {
			fputs(usage, c == 'h' ? stdout : stderr);
			return c == 'h' ? 1 : -1;
		}
	}
	return 0;
}
