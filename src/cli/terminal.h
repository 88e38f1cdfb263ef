// terminal: the user's terminal while a shell elsewhere has it: raw, and given back on every way out but SIGKILL.
// Signals come as bytes to read meanwhile, so that none ends the process before the terminal is as it was.
// Owner: the caller; one at a time, for the terminal and the signals are the process's. Threads: one. Errors: ERR_IO.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <stdbool.h>
#include <termios.h>

struct terminal {
	int signals; // poll() it for reading
	bool raw;
	struct termios before;
};

// raw: standard input is a terminal, which becomes raw.
must_check int terminal_take(struct terminal *t, bool raw, struct err *e);
void terminal_give_back(struct terminal *t);
// The next signal that came: SIGWINCH, or one that wants us to end; 0 = none.
int terminal_signal(struct terminal *t);
// Of standard input's terminal, 24 rows of 80 when it does not say.
void terminal_size(unsigned *rows, unsigned *columns);
