// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include "base/file.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void set_of(sigset_t *set)
{
	static const int ours[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH };

	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		sigaddset(set, ours[i]);
}

int terminal_take(struct terminal *t, bool raw, struct err *e)
{
	struct termios mode;
	sigset_t set;

	t->raw = false;
	set_of(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	t->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (t->signals < 0) {
		err_sys(e, ERR_IO, errno, "signalfd");
		terminal_give_back(t);
		return -1;
	}
	if (!raw)
		return 0;
	if (tcgetattr(STDIN_FILENO, &t->before) == 0) {
		mode = t->before;
		cfmakeraw(&mode);
		t->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &mode) == 0;
	}
	if (t->raw)
		return 0;
	err_sys(e, ERR_IO, errno, "make the terminal raw");
	terminal_give_back(t);
	return -1;
}

void terminal_give_back(struct terminal *t)
{
	sigset_t set;

	if (t->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &t->before);
	t->raw = false;
	file_close(t->signals);
	t->signals = -1;
	set_of(&set);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int terminal_signal(struct terminal *t)
{
	struct signalfd_siginfo s;

	return read(t->signals, &s, sizeof(s)) == sizeof(s) ? (int)s.ssi_signo : 0;
}

void terminal_size(unsigned *rows, unsigned *columns)
{
	struct winsize size = { 0 };

	ioctl(STDIN_FILENO, TIOCGWINSZ, &size);
	*rows = size.ws_row ? size.ws_row : 24;
	*columns = size.ws_col ? size.ws_col : 80;
}
