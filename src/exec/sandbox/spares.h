// exec/sandbox/spares: folders of attempts that are over, kept for the next ones. Private to exec/sandbox.
// Purpose: ext4 looks at every inode deleted in the last seconds before it makes a new one; at hundreds of jobs a
//   second, making a dozen files for each cost more CPU than the sandbox.
// Owner: struct spares owns what is called ".spare-N" below `jobs`. A spare holds the folders and files of
//   runner/jobdir.h, none of it saying anything about the attempt it had: `event`, `env`, `script.sh`, `input.spare` and
//   `log.spare` are to be written over, `alive.new` and `exit.new` are taken up by whoever begins the next attempt.
// Threads: safe. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <pthread.h>
#include <stdbool.h>

enum { SPARES_MAX = 64 };
#define SPARES_INPUT "input.spare" // a file in a spare, for the first input
#define SPARES_LOG "log.spare"	   // an empty one, for the log
#define SPARES_SHELL "oscar/shell" // a folder with this one was a shell's, and becomes no spare

struct spares {
	int jobs; // borrowed
	pthread_mutex_t lock;
	unsigned free[SPARES_MAX], count, next;
};

// Both remove all spares, also those of an earlier life.
void spares_init(struct spares *s, int jobs);
void spares_release(struct spares *s);

// Takes away what is below a folder that a script could write to: false when it is not as new then. The log becomes
// SPARES_LOG, if nobody else has it, or goes.
bool spares_clear(int dir, const char *output);
bool spares_strip_log(int dir);
// Likewise, where it lies: nobody must be able to open it meanwhile.
bool spares_empty_log(int dir);

// Makes a spare the folder `name`; false when there is none. ERR_EXISTS when `name` is there.
must_check int spares_take(struct spares *s, const char *name, bool *taken, struct err *e);
// The folder `name` is forgotten at once, and becomes a spare if its shim saw the end of all that ran in it, else it is
// removed. A missing one is success.
must_check int spares_give(struct spares *s, const char *name, struct err *e);
