// SPDX-License-Identifier: Apache-2.0
// oscar-runner: the runner as a program of its own, linked statically. Each job begins with forks of it, and what a
// fork costs is what is mapped: beside the libraries of `oscar` that was more than the whole sandbox.
// It is pid 1 in the containers of an OCI runtime, too (runner/oci.h).
// Started by `oscar runner`, with everything said: "oscar runner --data DIR --user UID --group GID …".
#include "runner/oci.h"
#include "runner/runner.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct runner_options o = { .supervise = true };
	if (argc == 2 && strcmp(argv[1], "init") == 0)
		oci_init();

	int skip = argc > 1 && strcmp(argv[1], "runner") == 0;
	int got = runner_options(argc - skip, argv + skip, &o);

	if (got)
		return got < 0 ? 2 : 0;
	if (!o.data_dir) {
		fputs("oscar-runner: --data is needed\n", stderr);
		return 2;
	}
	return runner_main(&o);
}
