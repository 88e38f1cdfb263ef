// SPDX-License-Identifier: Apache-2.0
// Shells: a sandbox on streams that the daemon passes, with its door.
#include "bed.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>

static int setup(void **state)
{
	*state = bed_open(false);
	return 0;
}

static int teardown(void **state)
{
	bed_close(*state);
	return 0;
}

// A shell of that script; the job's own would fail.
static void submit(struct bed *b, const char *job, const char *script, int in, int out, int err)
{
	struct exec_shell shell = { span_of(script), { in, out, err } };
	struct exec_spec s = bed_spec(job, "exit 99");

	s.event = SPAN("the event");
	s.shell = &shell;
	s.grace_ms = 0;
	bed_submit(b, &s);
}

static int open_door(struct bed *b, const char *job)
{
	struct bed_event ev;
	struct err e = { 0 };
	int door;

	bed_wait(b, job, 1, false, &ev);
	door = b->driver->ops->open_door(b->driver, job, 1, &e);
	if (door < 0)
		fail_msg("%s", e.msg);
	return door;
}

// Until nobody has the other end any more.
static void read_all(int fd, char *out, size_t max)
{
	size_t n = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t got;

		if (poll(&p, 1, 20000) != 1)
			fail_msg("no end comes");
		got = read(fd, out + n, max - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	out[n] = '\0';
}

static void pipes_are_its_streams(void **state)
{
	struct bed *b = *state;
	int in[2], out[2], err[2], door;
	struct bed_event ev;
	char text[256];

	assert_int_equal(pipe2(in, O_CLOEXEC) + pipe2(out, O_CLOEXEC) + pipe2(err, O_CLOEXEC), 0);
	submit(b, "s1",
	       "cat /oscar/shell/event; cat; echo \"$EVENT\" >&2; echo again >/dev/stderr;"
	       "grep -q 99 /oscar/config/script.sh; exit $?",
	       in[0], out[1], err[1]);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	door = open_door(b, "s1");
	assert_int_equal(write(in[1], " and more", 9), 9);
	close(in[1]);
	read_all(out[0], text, sizeof(text));
	assert_string_equal(text, "the event and more");
	read_all(err[0], text, sizeof(text));
	assert_string_equal(text, "the event\nagain\n");
	bed_wait(b, "s1", 1, true, &ev);
	assert_int_equal(ev.result.outcome, EXEC_EXITED);
	assert_int_equal(ev.result.exit_code, 0);
	close(out[0]);
	close(err[0]);
	close(door);
	bed_forget(b, "s1");
}

static void a_terminal_is_the_controlling_one(void **state)
{
	struct bed *b = *state;
	const struct winsize size = { .ws_row = 7, .ws_col = 70 };
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave, door;
	struct bed_event ev;
	char text[256];

	assert_int_equal(grantpt(master) + unlockpt(master) + ioctl(master, TIOCSWINSZ, &size), 0);
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	submit(b, "s2", "stty size >/dev/tty; read -r x; echo \"got $x\"; exit 5", slave, slave,
	       slave);
	close(slave);
	door = open_door(b, "s2");
	assert_int_equal(write(master, "it\n", 3), 3);
	read_all(master, text, sizeof(text));
	assert_non_null(strstr(text, "7 70\r\n"));
	assert_non_null(strstr(text, "got it\r\n"));
	bed_wait(b, "s2", 1, true, &ev);
	assert_int_equal(ev.result.exit_code, 5);
	close(master);
	close(door);
	bed_forget(b, "s2");
}

static void it_ends_with_its_door(void **state)
{
	struct bed *b = *state;
	int64_t began;
	struct bed_event ev;
	int out[2], null = open("/dev/null", O_RDWR | O_CLOEXEC), door;
	char text[16];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	submit(b, "s3", "trap '' TERM HUP; echo ready; sleep 1000 & wait; sleep 1000", out[1],
	       out[1], out[1]);
	close(out[1]);
	door = open_door(b, "s3");
	assert_int_equal(read(out[0], text, sizeof(text)), 6);
	began = clock_mono_ns();
	close(door);
	read_all(out[0], text, sizeof(text));
	bed_wait(b, "s3", 1, true, &ev);
	assert_true(clock_mono_ns() - began < 2 * NS_PER_S);
	close(out[0]);
	close(null);
	bed_forget(b, "s3");
}

static void other_files_are_no_streams(void **state)
{
	struct bed *b = *state;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct bed_event ev;

	submit(b, "s4", "exit 0", null, null, null);
	bed_wait(b, "s4", 1, true, &ev);
	assert_int_equal(ev.result.outcome, EXEC_SETUP_FAILED);
	assert_non_null(strstr(ev.result.reason, "no pipe and no terminal"));
	close(null);
	bed_forget(b, "s4");
}

// The next job in that folder, if it was used again, would see what the shell ran.
static void its_folder_is_not_used_again(void **state)
{
	struct bed *b = *state;
	struct exec_spec s = bed_spec("j5", "[ ! -e /oscar/shell ]");
	struct bed_event ev;

	for (int i = 0; i < 4; i++) {
		char job[16];

		snprintf(job, sizeof(job), "j5%d", i);
		s.job = job;
		bed_submit(b, &s);
		bed_wait(b, job, 1, true, &ev);
		assert_int_equal(ev.result.exit_code, 0);
		bed_forget(b, job);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(pipes_are_its_streams),
		cmocka_unit_test(a_terminal_is_the_controlling_one),
		cmocka_unit_test(it_ends_with_its_door),
		cmocka_unit_test(other_files_are_no_streams),
		cmocka_unit_test(its_folder_is_not_used_again),
	};

	if (bed_is_runner(argc, argv))
		return bed_runner(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
