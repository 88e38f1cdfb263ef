// cli: the command line of `oscar` for everybody who talks to a server: all commands but serve, runner and
// stop. Words and aliases are those of the peer's oscar-cli where both have the command.
// Owner: nothing survives a call. Threads: one call at a time (it takes SIGINT and SIGTERM).
// Result: the exit status: 0 done, 1 the operation or a job failed, 2 wrong usage, 3 not found, 4 not
//   allowed, 5 --timeout of a --wait passed, 6 the server does not answer, 130 interrupted.
// Data goes to `out`, everything else to `err`: stdout holds nothing but what was asked for.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdio.h>

// argv[0] is the program's name, argv[1] the command.
int cli_main(int argc, char **argv);

// As cli_main with other streams, for tests.
int cli_run(int argc, char **argv, FILE *out, FILE *err);
