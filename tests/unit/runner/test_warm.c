// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "runner/warm.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MINE, YOURS };

static int setup(void **state)
{
	static int pair[2];

	*state = pair;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
}

static int teardown(void **state)
{
	int *pair = *state;

	close(pair[MINE]);
	if (pair[YOURS] >= 0)
		close(pair[YOURS]);
	return 0;
}

static unsigned open_fds(void)
{
	DIR *list = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(list))
		n++;
	closedir(list);
	return n;
}

static void a_call_brings_its_descriptors(void **state)
{
	struct warm_message m = { .magic = WARM_MAGIC, .kind = WARM_CALL }, got;
	int *pair = *state, pipes[2], fds[WARM_FDS_MAX] = { -1, -1, -1, -1 };
	struct err e = { 0 };
	char c = 0;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(warm_receive(pair[YOURS], &got, fds, 3, &e), 0); // nothing yet
	const int sent[] = { pipes[0], pipes[1], pipes[1] };

	assert_int_equal(warm_send(pair[MINE], &m, sent, 3, &e), 0);
	assert_int_equal(warm_receive(pair[YOURS], &got, fds, 3, &e), 1);
	assert_int_equal(got.kind, WARM_CALL);
	assert_int_equal(write(fds[2], "x", 1), 1);
	assert_int_equal(read(fds[0], &c, 1), 1);
	assert_int_equal(c, 'x');
	assert_true(fcntl(fds[1], F_GETFD) & FD_CLOEXEC);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(pipes[0]);
	close(pipes[1]);
}

static void other_messages_are_refused_and_leave_nothing(void **state)
{
	struct warm_message good = { .magic = WARM_MAGIC, .kind = WARM_CALL }, m = good, got;
	int *pair = *state, fds[WARM_FDS_MAX];
	const int sent[WARM_FDS_MAX] = { 0, 0, 0, 0 };
	unsigned before = open_fds();
	struct err e = { 0 };

	assert_int_equal(warm_send(pair[MINE], &m, sent, 2, &e), 0); // too few
	assert_int_equal(warm_send(pair[MINE], &m, sent, 4, &e), 0); // too many
	m.kind = WARM_CANCEL;
	assert_int_equal(warm_send(pair[MINE], &m, sent, 1, &e), 0); // none belong to it
	m = good;
	m.magic++;
	assert_int_equal(warm_send(pair[MINE], &m, sent, 3, &e), 0);
	assert_int_equal(send(pair[MINE], &good, sizeof(good) - 1, 0), sizeof(good) - 1);
	char longer[sizeof(good) + 1] = { 0 };

	memcpy(longer, &good, sizeof(good));
	assert_int_equal(send(pair[MINE], longer, sizeof(longer), 0), sizeof(longer));
	for (int i = 0; i < 6; i++) {
		e = (struct err){ 0 };
		assert_int_equal(warm_receive(pair[YOURS], &got, fds, 3, &e), -1);
		assert_int_equal(e.code, ERR_PROTOCOL);
		assert_int_equal(open_fds(), before);
	}
	// A text from a sandbox ends where its field ends.
	m = (struct warm_message){ .magic = WARM_MAGIC, .kind = WARM_ENDED };
	memset(m.exit.reason, 'x', sizeof(m.exit.reason));
	assert_int_equal(warm_send(pair[MINE], &m, NULL, 0, &e), 0);
	assert_int_equal(warm_receive(pair[YOURS], &got, NULL, 0, &e), 1);
	assert_int_equal(strlen(got.exit.reason), JOBDIR_REASON_MAX - 1);
}

static void who_is_gone_is_noticed(void **state)
{
	struct warm_message m = { .magic = WARM_MAGIC, .kind = WARM_CANCEL };
	int *pair = *state;
	struct err e = { 0 };

	close(pair[YOURS]);
	pair[YOURS] = -1;
	assert_int_equal(warm_send(pair[MINE], &m, NULL, 0, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	e = (struct err){ 0 };
	assert_int_equal(warm_receive(pair[MINE], &m, NULL, 0, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		CASE(a_call_brings_its_descriptors),
		CASE(other_messages_are_refused_and_leave_nothing),
		CASE(who_is_gone_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
