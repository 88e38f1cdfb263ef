// SPDX-License-Identifier: Apache-2.0
// What the server refuses without asking the application.
#include "rig.h"

#include <stdatomic.h>

static _Atomic int begun;

static void on_begin(void *owner unused_arg, struct http_req *r unused_arg)
{
	begun++;
}

static void on_finish(void *owner unused_arg, struct http_req *r)
{
	http_reply_text(r, 200, "ok\n");
}

static int setup(void **state)
{
	struct http_options o = {
		.handler = { NULL, on_begin, NULL, on_finish, NULL, NULL },
		.loops = 1,
		.head_max = 16384,
		.target_max = 1024,
		.idle_ms = 1000,
		.head_ms = 400,
		.body_grace_ms = 300,
		.body_rate = 1000000,
		.address_max = 4,
	};

	begun = 0;
	*state = rig_open(o);
	return 0;
}

static int teardown(void **state)
{
	http_server_close(*state);
	return 0;
}

static void expect_status(struct http_server *s, const char *request, int status)
{
	struct rig_answer a;
	int got = rig_once(s, request, &a);

	if (got != status)
		fail_msg("%d instead of %d for: %s", got, status, request);
}

static void framing_that_can_be_read_in_two_ways_is_refused(void **state)
{
	static const char *const bad[] = {
		("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
		 "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\nabc",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		expect_status(*state, bad[i], 400);
	assert_int_equal(begun, 0);
}

static void after_a_refusal_the_connection_is_closed(void **state)
{
	struct rig_answer a;
	int fd = rig_connect(*state);

	rig_send(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n"
		     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
		     "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_answer(fd, &a, true);
	assert_int_equal(a.status, 400);
	assert_true(rig_closed(fd));
	close(fd);
	assert_int_equal(begun, 0);
}

static void exactly_one_host_is_needed(void **state)
{
	expect_status(*state, "GET / HTTP/1.1\r\n\r\n", 400);
	expect_status(*state, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
	assert_int_equal(begun, 0);
	expect_status(*state, "GET / HTTP/1.0\r\n\r\n", 200);
}

static void odd_bytes_in_the_target_are_refused(void **state)
{
	static const char with_nul[] = "GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n";
	struct rig_answer a;
	int fd;

	expect_status(*state, "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400);
	expect_status(*state, "GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n", 400);
	expect_status(*state, "GET /a\001b HTTP/1.1\r\nHost: h\r\n\r\n", 400);
	expect_status(*state, "GET /a\177b HTTP/1.1\r\nHost: h\r\n\r\n", 400);
	expect_status(*state, "GET /a%00b HTTP/1.1\r\nHost: h\r\n\r\n", 400);
	expect_status(*state, "GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400);
	expect_status(*state, "GET /\r\n\r\n", 400);
	fd = rig_connect(*state);
	rig_send_n(fd, with_nul, sizeof(with_nul) - 1);
	rig_answer(fd, &a, true);
	assert_true(a.status == 400 || a.status == -1);
	close(fd);
	assert_int_equal(begun, 0);
	expect_status(*state, "GET /a%2500b?q=%00 HTTP/1.1\r\nHost: h\r\n\r\n", 200);
}

// A request whose target or one header has `n` letters.
static char *long_request(size_t target, size_t header)
{
	auto_buf struct buf b;

	buf_init(&b, target + header + 100);
	buf_add_str(&b, "GET /");
	for (size_t i = 0; i < target; i++)
		buf_add_char(&b, 'a');
	buf_add_str(&b, " HTTP/1.1\r\nHost: h\r\nX-Long: ");
	for (size_t i = 0; i < header; i++)
		buf_add_char(&b, 'a');
	buf_add_str(&b, "\r\n\r\n");
	return buf_take(&b);
}

static void heads_over_their_bound_are_refused(void **state)
{
	static const struct {
		size_t target, header;
		int status;
	} cases[] = { { 1000, 1000, 200 }, { 1100, 0, 414 }, { 30000, 0, 414 }, { 1, 20000, 431 } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *request = long_request(cases[i].target, cases[i].header);

		expect_status(*state, request, cases[i].status);
	}
	assert_int_equal(begun, 1);
}

// Sends a byte at a time for as long as the server takes them; the time until it closed.
static int64_t drip(struct http_server *s, const char *start)
{
	int64_t from = clock_mono_ns();
	int fd = rig_connect(s);
	char byte;

	rig_send(fd, start);
	while (clock_mono_ns() - from < RIG_WAIT_MS * NS_PER_MS) {
		struct pollfd p = { fd, POLLIN, 0 };

		if (poll(&p, 1, 50) == 1 && recv(fd, &byte, 1, MSG_PEEK) <= 0)
			break;
		rig_send(fd, "x");
	}
	close(fd);
	return (clock_mono_ns() - from) / NS_PER_MS;
}

static void slow_clients_are_given_up(void **state)
{
	// The bytes come regularly, so that a timer which restarts with each byte would never end.
	assert_in_range(drip(*state, ""), 1000, 4000);
	assert_in_range(drip(*state, "GET / HTTP/1.1\r\nHost: h\r\nX-Slow: "), 300, 3000);
	assert_in_range(drip(*state, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\n"),
			250, 3000);
}

// The end of what they send may come together with the last bytes.
static void who_leaves_in_the_middle_is_noticed(void **state unused_arg)
{
	static const char *const some[] = {
		"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\nabc",
		"GET / HTTP/1.1\r\nHost: h\r\nX-Cut: ",
	};
	struct http_options o = { .handler = { NULL, on_begin, NULL, on_finish, NULL, NULL },
				  .stream_idle_ms =
					  200 }; // the other limits are a minute, half a minute
	struct http_server *s = rig_open(o);
	int64_t from = clock_mono_ns();

	for (int i = 0; i < 60; i++) {
		int fd = rig_connect(s);
		char byte;

		rig_send(fd, some[i % 3]);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		while (recv(fd, &byte, 1, 0) > 0) // perhaps an answer, then the end
			;
		close(fd);
	}
	assert_in_range((clock_mono_ns() - from) / NS_PER_S, 0, 25);
	http_server_close(s);
}

static void connections_of_one_address_are_counted(void **state)
{
	int fds[5];
	struct rig_answer a;

	for (int i = 0; i < 5; i++)
		fds[i] = rig_connect(*state);
	for (int i = 0; i < 4; i++) {
		rig_send(fds[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
		rig_answer(fds[i], &a, true);
		assert_int_equal(a.status, 200);
	}
	rig_send(fds[4], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(rig_closed(fds[4]));
	for (int i = 0; i < 5; i++)
		close(fds[i]);
}

static void bad_listen_addresses_are_named(void **state unused_arg)
{
	static const char *const bad[] = { "", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000",
					   "no such host:1" };
	struct http_options o = { .handler = { NULL, on_begin, NULL, on_finish, NULL, NULL } };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct http_server *s = NULL;
		struct err e = { 0 };

		o.listen = bad[i];
		assert_int_equal(http_server_open(&s, &o, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
	}
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(framing_that_can_be_read_in_two_ways_is_refused),
		CASE(after_a_refusal_the_connection_is_closed),
		CASE(exactly_one_host_is_needed),
		CASE(odd_bytes_in_the_target_are_refused),
		CASE(heads_over_their_bound_are_refused),
		CASE(slow_clients_are_given_up),
		cmocka_unit_test(who_leaves_in_the_middle_is_noticed),
		CASE(connections_of_one_address_are_counted),
		cmocka_unit_test(bad_listen_addresses_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
