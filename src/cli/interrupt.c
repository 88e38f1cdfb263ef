// interrupt: Ctrl-C as a flag that calls and waits look at, so that every way out cleans up behind itself.
// Owner: the process; the flag is the one static variable of the command line, for a signal handler can
// reach nothing else. Threads: one.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/clock.h"

#include <signal.h>
#include <time.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number unused_arg)
{
	interrupted = 1;
}

void cli_interrupt_catch(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };

	interrupted = 0; // a second Ctrl-C ends the process at once
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN; // a reader of our output that goes away is told by write()
	sigaction(SIGPIPE, &action, NULL);
}

void cli_interrupt_restore(void)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
}

bool cli_interrupted(void *unused unused_arg)
{
	return interrupted != 0;
}

int cli_sleep_ms(int64_t ms, struct err *e)
{
	int64_t until = clock_mono_ns() + ms * NS_PER_MS;

	for (;;) {
		int64_t left = until - clock_mono_ns();
		struct timespec nap = { .tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S };

		if (interrupted)
			return err_set(e, ERR_CANCELLED, "interrupted");
		if (left <= 0)
			return 0;
		nanosleep(&nap, NULL); // a signal ends it early
	}
}
