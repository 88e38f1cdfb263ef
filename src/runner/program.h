// runner/program: programs of the system that the runner has do a part of its work. Private to runner/.
// Threads: safe. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>

// Its path: of an absolute one itself, of a name in the system's folders, whatever PATH says. NULL when it is not there or
// cannot be executed. The caller frees it.
char *program_find(const char *name);
// What it printed to a pipe, as one line of printable characters. The pipe must not block.
void program_said(int pipe, char *text, size_t size);
