// SPDX-License-Identifier: Apache-2.0
// Servers: connections into a sandbox without a network.
#include "bed.h"

#include <poll.h>

// Answers each line with it; a line "end" ends it with status 3.
static const char server[] =
	"exec python3 -u -c '\n"
	"import os, socketserver, sys\n"
	"class H(socketserver.StreamRequestHandler):\n"
	"    def handle(self):\n"
	"        for line in self.rfile:\n"
	"            if line == b\"end\\n\": os._exit(3)\n"
	"            if line == b\"print\\n\": print(\"x\" * 999)\n"
	"            self.wfile.write(line)\n"
	"class S(socketserver.ThreadingTCPServer): allow_reuse_address = True\n"
	"S((\"127.0.0.1\", 8000), H).serve_forever()'\n";

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

static struct exec_spec server_spec(const char *job)
{
	struct exec_spec s = bed_spec(job, server);

	s.port = 8000;
	s.timeout_ms = 0;
	s.log_bytes_max = 20000;
	return s;
}

static int open_door(struct bed *b, const struct exec_spec *s)
{
	struct bed_event ev;
	struct err e = { 0 };
	int door;

	bed_submit(b, s);
	bed_wait(b, s->job, 1, false, &ev);
	door = b->driver->ops->open_door(b->driver, s->job, 1, &e);
	if (door < 0)
		fail_msg("%s", e.msg);
	return door;
}

static int dial(struct bed *b, int door)
{
	struct err e = { 0 };

	for (int i = 0; i < 1000; i++) {
		int fd = b->driver->ops->dial(b->driver, door, &e);

		if (fd >= 0)
			return fd;
		assert_int_equal(e.code, ERR_UNAVAILABLE);
		assert_int_equal(e.sys, ECONNREFUSED); // it has not begun to listen
		bed_pause_ms(10);
	}
	fail_msg("nobody listens: %s", e.msg);
	return -1;
}

static void ask(int fd, const char *line)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = strlen(line), got = 0;
	char answer[64] = "";

	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(write(fd, line, n), n);
	while (got < n) {
		ssize_t k;

		assert_int_equal(poll(&p, 1, 20000), 1);
		k = read(fd, answer + got, sizeof(answer) - 1 - got);
		assert_true(k > 0);
		got += (size_t)k;
	}
	assert_string_equal(answer, line);
}

static void connections_reach_a_server_in_a_sandbox(void **state)
{
	struct bed *b = *state;
	struct exec_spec s = server_spec("serves");
	struct bed_event ev;

	if (!b)
		skip();
	auto_fd int door = open_door(b, &s);
	auto_fd int one = dial(b, door);
	auto_fd int two = dial(b, door);

	ask(one, "first\n");
	ask(two, "second\n");
	ask(one, "third\n");
	assert_int_equal(write(two, "end\n", 4), 4);
	bed_wait(b, "serves", 1, true, &ev);
	assert_outcome(ev.result, EXEC_EXITED);
	assert_int_equal(ev.result.exit_code, 3);
}

static void a_server_ends_when_its_door_is_closed(void **state)
{
	struct bed *b = *state;
	struct exec_spec s = server_spec("closed");
	struct bed_event ev;

	if (!b)
		skip();
	int door = open_door(b, &s);
	auto_fd int one = dial(b, door);

	ask(one, "x\n");
	close(door);
	bed_wait(b, "closed", 1, true, &ev);
	assert_non_null(strstr(ev.result.reason, "daemon is gone"));
}

static void a_second_visitor_finds_no_door(void **state)
{
	struct bed *b = *state;
	struct exec_spec s = server_spec("one");
	struct bed_event ev;
	struct err e = { 0 };

	if (!b)
		skip();
	auto_fd int door = open_door(b, &s);

	assert_int_equal(b->driver->ops->open_door(b->driver, "one", 1, &e), -1);
	assert_int_equal(b->driver->ops->open_door(b->driver, "none", 1, &e), -1);
	assert_int_equal(b->driver->ops->cancel(b->driver, "one", 1, &e), 0);
	bed_wait(b, "one", 1, true, &ev);
	assert_outcome(ev.result, EXEC_CANCELLED);
	assert_int_equal(b->driver->ops->dial(b->driver, door, &e), -1);
}

static void a_full_log_begins_anew(void **state)
{
	struct bed *b = *state;
	struct exec_spec s = server_spec("talks");
	struct bed_event ev;
	struct err e = { 0 };
	auto_free char *text = NULL, *ours = NULL;

	if (!b)
		skip();
	auto_fd int door = open_door(b, &s);
	auto_fd int one = dial(b, door);

	for (int i = 0; i < 30; i++)
		ask(one, "print\n");
	assert_int_equal(write(one, "end\n", 4), 4);
	bed_wait(b, "talks", 1, true, &ev);
	assert_int_equal(ev.result.log_bytes_dropped, 0);
	text = bed_log(b, "talks", JOBLOG_STDOUT);
	// Where it begins anew depends on how much was read at a time.
	assert_true(strlen(text) >= 1000 && strlen(text) <= 20000);
	ours = bed_log(b, "talks", JOBLOG_SYSTEM);
	assert_non_null(strstr(ours, "the log was full"));
	assert_int_equal(b->driver->ops->forget(b->driver, "talks", 1, &e), 0);
}

// Counts for ever, in a file that can be looked at from outside; and answers.
static const char worker[] =
	"exec python3 -u -c '\n"
	"import os, socketserver, threading\n"
	"def work():\n"
	"    out = os.open(\"/oscar/output/n\", os.O_WRONLY | os.O_CREAT)\n"
	"    n = 0\n"
	"    while True: n += 1; os.pwrite(out, b\"%d\" % n, 0)\n"
	"threading.Thread(target=work, daemon=True).start()\n"
	"class H(socketserver.StreamRequestHandler):\n"
	"    def handle(self):\n"
	"        for line in self.rfile: self.wfile.write(line)\n"
	"class S(socketserver.ThreadingTCPServer): allow_reuse_address = True\n"
	"S((\"127.0.0.1\", 8000), H).serve_forever()'\n";

static char *work_of(struct bed *b, const char *job)
{
	auto_free char *path = mem_printf("%s/jobs/%s.1/oscar/output/n", b->data, job);
	auto_buf struct buf text;
	struct err e = { 0 };

	buf_init(&text, 100);
	if (file_read_path(AT_FDCWD, path, &text, &e) < 0)
		fail_msg("%s", e.msg);
	return buf_take(&text);
}

static bool works(struct bed *b, const char *job, int tries)
{
	auto_free char *before = work_of(b, job);

	for (int i = 0; i < tries; i++) {
		bed_pause_ms(10);
		auto_free char *after = work_of(b, job);

		if (strcmp(before, after) != 0)
			return true;
	}
	return false;
}

// False where this machine cannot.
static bool frozen(struct bed *b, int door)
{
	struct err e = { 0 };

	if (b->driver->ops->freeze(b->driver, door, &e) == 0)
		return true;
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	return false;
}

static void a_frozen_server_does_nothing_until_it_is_asked(void **state)
{
	struct bed *b = *state;
	struct exec_spec s = bed_spec("rests", worker);
	struct bed_event ev;
	struct err e = { 0 };

	if (!b)
		skip();
	s.port = 8000;
	s.timeout_ms = 0;
	s.freeze = true;
	auto_fd int door = open_door(b, &s);
	auto_fd int one = dial(b, door);

	ask(one, "first\n");
	assert_true(works(b, s.job, 500));
	if (!frozen(b, door))
		skip();
	assert_true(frozen(b, door));		  // again is the same
	for (int i = 0; works(b, s.job, 10); i++) // it may take a moment until it stands still
		assert_true(i < 50);
	auto_fd int two = dial(b, door);

	ask(two, "second\n");
	ask(one, "third\n");
	assert_true(works(b, s.job, 500));
	assert_true(frozen(b, door));
	assert_int_equal(b->driver->ops->cancel(b->driver, s.job, 1, &e), 0);
	bed_wait(b, s.job, 1, true, &ev);
	assert_outcome(ev.result, EXEC_CANCELLED);
	bed_forget(b, s.job);

	// Not without being said at the start; over its time, frozen or not, it ends.
	s.job = "awake";
	s.freeze = false;
	auto_fd int other = open_door(b, &s);

	assert_false(frozen(b, other));
	s.job = "late";
	s.freeze = true;
	s.timeout_ms = 1500;
	auto_fd int third = open_door(b, &s);

	assert_true(frozen(b, third));
	bed_wait(b, s.job, 1, true, &ev);
	assert_outcome(ev.result, EXEC_TIMEOUT);
}

static void a_server_on_the_machines_network_is_refused(void **state)
{
	struct bed *b = *state;
	struct exec_spec s = server_spec("host");
	struct err e = { 0 };

	if (!b)
		skip();
	s.network = EXEC_NETWORK_HOST;
	assert_int_equal(b->driver->ops->submit(b->driver, &s, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_reach_a_server_in_a_sandbox),
		cmocka_unit_test(a_server_ends_when_its_door_is_closed),
		cmocka_unit_test(a_second_visitor_finds_no_door),
		cmocka_unit_test(a_full_log_begins_anew),
		cmocka_unit_test(a_frozen_server_does_nothing_until_it_is_asked),
		cmocka_unit_test(a_server_on_the_machines_network_is_refused),
	};

	if (bed_is_runner(argc, argv))
		return bed_runner(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
