// stop: signals as something to wait for. Whoever waits, for a socket or a script, also waits for the wish
// to stop, so that every phase ends in good order and cleans up behind it.
// Owner: main. Threads: one. Errors: ERR_CANCELLED once a signal asked to stop, ERR_IO.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

struct stop {
	int fd;		 // signalfd of TERM, INT, HUP and CHLD
	int signal;	 // the first that asked to stop, 0 until then
	sigset_t before; // what was blocked at the start: what the script gets
};

// Blocks the signals, and SIGPIPE with them. A zeroed struct that was never initialised has fd 0.
must_check int stop_init(struct stop *s, struct err *e);

// Takes what has come. A child that ended is seen by whoever waits for it.
void stop_poll(struct stop *s);

// Waits for poll(2)'s `events` on fd (-1 = none) until the monotonic deadline (0 = for ever).
// 1 = ready, 0 = the deadline passed, -1 = ERR_CANCELLED or ERR_IO.
must_check int stop_wait(struct stop *s, int fd, short events, int64_t deadline_ns, struct err *e);

// Writes all to a pipe, file or terminal, a piece at a time, so that a slow reader does not hide a signal.
must_check int stop_write(struct stop *s, int fd, const void *p, size_t n, struct err *e);

// What poll(2) takes: milliseconds until the deadline, rounded up; -1 = none.
int stop_timeout_ms(int64_t deadline_ns);
