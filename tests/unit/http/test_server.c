// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

// A small application: what it does depends on the path.
struct app {
	struct http_server *server;
	_Atomic int begun, gone, deferred;
	_Atomic uint64_t bytes;
	_Atomic(struct http_req *) held;
	_Atomic bool block;
};

static struct app app;

static void answer_late(void *owner, struct http_req *r)
{
	struct app *a = owner;

	a->deferred++;
	while (a->block)
		poll(NULL, 0, 1);
	http_reply_text(r, 200, "late\n");
}

static void let_pass(void *owner unused_arg, struct http_req *r unused_arg)
{
}

static void on_begin(void *owner, struct http_req *r)
{
	struct app *a = owner;
	struct span path = http_path(r);

	a->begun++;
	if (span_is(path, "/denied"))
		http_reply_text(r, 403, "no\n");
	else if (span_is(path, "/denied-late"))
		http_defer(r, answer_late);
	else if (span_is(path, "/pass-late"))
		http_defer(r, let_pass);
	else if (span_is(path, "/collect"))
		http_body_collect(r, 16);
}

static void on_body(void *owner, struct http_req *r, struct span piece)
{
	struct app *a = owner;

	a->bytes += piece.n;
	if (span_is(http_path(r), "/fail-in-body"))
		http_reply_text(r, 409, "half way\n");
}

static void describe(struct http_req *r)
{
	struct span v = { 0 }, name, value;
	size_t at = 0;
	auto_buf struct buf b;

	buf_init(&b, 4096);
	buf_printf(&b, SPAN_FMT " " SPAN_FMT "|" SPAN_FMT "|" SPAN_FMT "|" SPAN_FMT "\n",
		   SPAN_ARG(http_method_name(r)), SPAN_ARG(http_target(r)),
		   SPAN_ARG(http_path_raw(r)), SPAN_ARG(http_path(r)), SPAN_ARG(http_query_raw(r)));
	if (http_query(r, "a b", &v))
		buf_printf(&b, "q=" SPAN_FMT "\n", SPAN_ARG(v));
	while (http_header_next(r, &at, &name, &value))
		buf_printf(&b, SPAN_FMT "=" SPAN_FMT "\n", SPAN_ARG(name), SPAN_ARG(value));
	buf_printf(&b, "peer=%s body=" SPAN_FMT "\n", http_peer(r), SPAN_ARG(http_body(r)));
	http_reply(r, 200, "text/plain", buf_span(&b));
}

static int scratch_file(void)
{
	char name[] = "/tmp/oscar-http-XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, "0123456789abcdef", 16), 16);
	return fd;
}

enum { LARGE = 3 << 20 };

static char large_byte(size_t at)
{
	return (char)('a' + at % 23 + at / 65536 % 3);
}

static int large_file(void)
{
	auto_free char *p = mem_alloc(LARGE);
	int fd = scratch_file();

	for (size_t i = 0; i < LARGE; i++)
		p[i] = large_byte(i);
	assert_int_equal(pwrite(fd, p, LARGE, 0), LARGE);
	return fd;
}

static void on_finish(void *owner, struct http_req *r)
{
	struct app *a = owner;
	struct span path = http_path(r);

	if (span_is(path, "/late"))
		http_defer(r, answer_late);
	else if (span_is(path, "/silent"))
		http_defer(r, let_pass);
	else if (span_is(path, "/held")) {
		http_suspend(r);
		a->held = r;
	} else if (span_is(path, "/file"))
		http_reply_file(r, 206, NULL, scratch_file(), 4, 6);
	else if (span_is(path, "/large"))
		http_reply_file(r, 200, NULL, large_file(), 0, LARGE);
	else if (span_is(path, "/size"))
		http_reply_length(r, 200, "image/png", UINT64_C(5000000000));
	else if (span_is(path, "/count"))
		http_reply_headerf(r, "X-Bytes", "%llu", (unsigned long long)a->bytes),
			http_reply(r, 204, NULL, SPAN(""));
	else if (span_is(path, "/empty-header"))
		http_reply_header(r, "X-Empty", SPAN("")),
			http_reply_header(r, "X-Split", SPAN("a\r\nb")),
			http_reply_text(r, 200, "x");
	else
		describe(r);
}

static void on_gone(void *owner, struct http_req *r unused_arg)
{
	struct app *a = owner;

	a->gone++;
}

static int setup(void **state)
{
	struct http_options o = {
		.handler = { &app, on_begin, on_body, on_finish, on_gone, NULL },
		.loops = 2,
		.workers = 2,
		.worker_queue = 2,
	};

	memset(&app, 0, sizeof(app));
	app.server = rig_open(o);
	*state = app.server;
	return 0;
}

static int teardown(void **state)
{
	http_server_close(*state);
	// Each request that began has ended exactly once.
	return app.begun == app.gone ? 0 : -1;
}

static void a_request_is_handed_out_raw_and_decoded(void **state)
{
	struct rig_answer a;

	assert_int_equal(rig_once(*state,
				  "PUT /b%2Fc//../d%20e?x=1&a+b=%41+z HTTP/1.1\r\nHost: h:1\r\n"
				  "X-Twice: one\r\nx-twice:  two \r\nContent-Length: 0\r\n\r\n",
				  &a),
			 200);
	assert_non_null(strstr(a.body, "PUT /b%2Fc//../d%20e?x=1&a+b=%41+z|/b%2Fc//../d%20e|"
				       "/b/c//../d e|x=1&a+b=%41+z\n"));
	assert_non_null(strstr(a.body, "q=A z\n"));
	assert_non_null(strstr(a.body, "X-Twice=one\nx-twice=two\n"));
	assert_non_null(strstr(a.body, "peer=127.0.0.1 "));
	assert_non_null(strstr(a.head, "\r\nDate: "));
	assert_null(strstr(a.head, "Server:"));
}

static void the_target_in_absolute_form_gives_its_path(void **state)
{
	struct rig_answer a;

	assert_int_equal(rig_once(*state, "GET http://h/p?q HTTP/1.1\r\nHost: h\r\n\r\n", &a), 200);
	assert_non_null(strstr(a.body, "GET http://h/p?q|/p|/p|q\n"));
}

static void requests_in_a_row_share_a_connection(void **state)
{
	struct rig_answer a;
	int fd = rig_connect(*state);

	rig_send(fd, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"
		     "POST /collect HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
		     "GET /late HTTP/1.1\r\nHost: h\r\n\r\n"
		     "GET /4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	rig_answer(fd, &a, true);
	assert_non_null(strstr(a.body, "GET /1|"));
	rig_answer(fd, &a, true);
	assert_non_null(strstr(a.body, "body=abc\n"));
	rig_answer(fd, &a, true);
	assert_string_equal(a.body, "late\n");
	rig_answer(fd, &a, true);
	assert_non_null(strstr(a.body, "GET /4|"));
	assert_non_null(strstr(a.head, "Connection: close"));
	assert_true(rig_closed(fd));
	close(fd);
}

static void a_refusal_comes_instead_of_100_continue(void **state)
{
	static const char *const paths[] = { "/denied", "/denied-late" };

	for (int i = 0; i < 2; i++) {
		char request[256];
		struct rig_answer a;
		int fd = rig_connect(*state);

		snprintf(request, sizeof(request),
			 "PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n"
			 "Expect: 100-continue\r\n\r\n",
			 paths[i]);
		rig_send(fd, request);
		rig_answer(fd, &a, true);
		assert_int_equal(a.status, i ? 200 : 403);
		assert_non_null(strstr(a.head, "Connection: close"));
		assert_true(rig_closed(fd));
		close(fd);
	}
	assert_int_equal(app.bytes, 0);
}

static void the_body_is_asked_for_with_100_continue(void **state)
{
	static const char *const paths[] = { "/collect", "/pass-late" };

	for (int i = 0; i < 2; i++) {
		char request[256], head[256];
		struct rig_answer a;
		int fd = rig_connect(*state);

		snprintf(request, sizeof(request),
			 "PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
			 "Expect: 100-continue\r\n\r\n",
			 paths[i]);
		rig_send(fd, request);
		rig_read_head(fd, head, sizeof(head));
		assert_string_equal(head, "HTTP/1.1 100 Continue\r\n\r\n");
		rig_send(fd, "data");
		rig_answer(fd, &a, true);
		assert_int_equal(a.status, 200);
		assert_non_null(strstr(a.body, i ? "body=\n" : "body=data\n"));
		close(fd);
	}
	assert_int_equal(app.bytes, 4);
}

static void an_unread_body_is_never_the_next_request(void **state)
{
	struct rig_answer a;
	int fd = rig_connect(*state);

	// Small: read and dropped, the connection lives on.
	rig_send(fd, "PUT /denied HTTP/1.1\r\nHost: h\r\nContent-Length: 32\r\n\r\n"
		     "GET /smuggled HTTP/1.1\r\nHost: h\r\n"
		     "GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_answer(fd, &a, true);
	assert_int_equal(a.status, 403);
	rig_answer(fd, &a, true);
	assert_non_null(strstr(a.body, "GET /next|"));
	// Large: answered at once and closed. A body of GET counts too.
	rig_send(fd, "GET /denied HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n"
		     "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_answer(fd, &a, true);
	assert_int_equal(a.status, 403);
	assert_non_null(strstr(a.head, "Connection: close"));
	assert_true(rig_closed(fd));
	close(fd);
	assert_int_equal(app.begun, 3);
}

static void an_answer_during_the_body_comes_after_it(void **state)
{
	struct rig_answer a;
	int fd = rig_connect(*state);

	rig_send(fd, "PUT /fail-in-body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "3\r\nabc\r\n");
	rig_until(app.bytes == 3);
	rig_send(fd, "4\r\ndefg\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_answer(fd, &a, true);
	assert_int_equal(a.status, 409);
	rig_answer(fd, &a, true);
	assert_int_equal(a.status, 200);
	assert_int_equal(app.bytes, 3);
	close(fd);
}

static void a_chunked_body_arrives_whole(void **state)
{
	struct rig_answer a;

	assert_int_equal(rig_once(*state,
				  "POST /collect HTTP/1.1\r\nHost: h\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n"
				  "5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n",
				  &a),
			 200);
	assert_non_null(strstr(a.body, "body=hello!\n"));
}

static void a_collected_body_over_its_bound_is_413(void **state)
{
	struct rig_answer a;

	assert_int_equal(rig_once(*state,
				  "POST /collect HTTP/1.1\r\nHost: h\r\nContent-Length: 17\r\n\r\n"
				  "12345678901234567",
				  &a),
			 413);
	assert_int_equal(rig_once(*state,
				  "POST /collect HTTP/1.1\r\nHost: h\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n"
				  "11\r\n12345678901234567\r\n0\r\n\r\n",
				  &a),
			 413);
}

static long resident_kib(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

static void a_large_body_streams_in_constant_memory(void **state)
{
	enum { PIECE = 1 << 16, PIECES = 1024 };
	char *piece = mem_zalloc(PIECE);
	struct rig_answer a;
	long before;
	int fd = rig_connect(*state);
	int64_t start;

	rig_send(fd, "PUT /count HTTP/1.1\r\nHost: h\r\nContent-Length: 67108864\r\n\r\n");
	rig_send_n(fd, piece, PIECE);
	before = resident_kib();
	start = clock_mono_ns();
	for (int i = 1; i < PIECES; i++)
		rig_send_n(fd, piece, PIECE);
	rig_answer(fd, &a, true);
	print_message("# 64 MiB in %lld ms\n", (long long)((clock_mono_ns() - start) / NS_PER_MS));
	assert_int_equal(a.status, 204);
	assert_non_null(strstr(a.head, "X-Bytes: 67108864\r\n"));
	assert_true(resident_kib() - before < 8192);
	mem_free(piece);
	close(fd);
}

static void *resume_held(void *arg)
{
	struct app *a = arg;
	struct http_req *r;

	rig_until(a->held);
	r = a->held;
	http_reply_text(r, 200, "resumed\n");
	http_resume(r);
	return NULL;
}

static void a_suspended_request_is_answered_by_another_thread(void **state)
{
	struct rig_answer a;
	pthread_t t;

	pthread_create(&t, NULL, resume_held, &app);
	assert_int_equal(rig_once(*state, "GET /held HTTP/1.1\r\nHost: h\r\n\r\n", &a), 200);
	assert_string_equal(a.body, "resumed\n");
	pthread_join(t, NULL);
}

static void a_client_that_leaves_while_suspended_is_noticed(void **state)
{
	struct http_req *r;
	int fd = rig_connect(*state);

	rig_send(fd, "GET /held HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_until(app.held);
	r = app.held;
	assert_false(http_peer_gone(r));
	close(fd);
	rig_until(http_peer_gone(r));
	assert_int_equal(app.gone, 0);
	http_reply_text(r, 200, "nobody reads this\n");
	http_resume(r);
	rig_until(app.gone == 1);
}

static void a_deferred_request_without_an_answer_is_500(void **state)
{
	struct rig_answer a;

	assert_int_equal(rig_once(*state, "GET /silent HTTP/1.1\r\nHost: h\r\n\r\n", &a), 500);
}

static void a_full_pool_answers_503(void **state)
{
	enum { WORKERS = 2, QUEUE = 2 };
	int fds[WORKERS + QUEUE];
	struct rig_answer a;

	app.block = true;
	for (int i = 0; i < WORKERS + QUEUE; i++) {
		fds[i] = rig_connect(*state);
		rig_send(fds[i], "GET /late HTTP/1.1\r\nHost: h\r\n\r\n");
		if (i < WORKERS) // taken off the queue before the next one fills it
			rig_until(app.deferred == i + 1);
		else
			rig_until(app.begun == i + 1);
	}
	poll(NULL, 0, 20);
	assert_int_equal(rig_once(*state, "GET /late HTTP/1.1\r\nHost: h\r\n\r\n", &a), 503);
	assert_non_null(strstr(a.head, "Retry-After: 1\r\n"));
	app.block = false;
	for (int i = 0; i < WORKERS + QUEUE; i++) {
		rig_answer(fds[i], &a, true);
		assert_int_equal(a.status, 200);
		close(fds[i]);
	}
}

static void part_of_a_file_is_sent(void **state)
{
	struct rig_answer a;

	assert_int_equal(rig_once(*state, "GET /file HTTP/1.1\r\nHost: h\r\n\r\n", &a), 206);
	assert_string_equal(a.body, "456789");
}

// Reads the head, then the file, with a pause in the middle when `slow`.
static void read_large(int fd, bool slow)
{
	char c, last[4] = "";
	auto_free char *p = mem_alloc(LARGE);
	size_t n = 0;

	while (memcmp(last, "\r\n\r\n", 4) != 0) {
		assert_int_equal(recv(fd, &c, 1, 0), 1);
		memmove(last, last + 1, 3);
		last[3] = c;
	}
	while (n < LARGE) {
		ssize_t k = recv(fd, p + n, LARGE - n, 0);

		assert_true(k > 0);
		n += (size_t)k;
		if (slow && n > LARGE / 2) {
			usleep(300 * 1000);
			slow = false;
		}
	}
	for (size_t i = 0; i < LARGE; i++)
		if (p[i] != large_byte(i))
			fail_msg("byte %zu is another", i);
}

static void large_files_are_sent_uncorked_and_whole(void **state)
{
	static const char get[] = "GET /large HTTP/1.1\r\nHost: h\r\n\r\n";
	struct rig_answer a;
	int fds[8];

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) { // many at once, some of whose clients leave
		fds[i] = rig_connect(*state);
		rig_send(fds[i], get);
	}
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (i % 3)
			read_large(fds[i], i == 1);
		else
			assert_true(recv(fds[i], a.head, 100, 0) > 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (i % 3) { // the connection goes on, for the next one too
			rig_send(fds[i], get);
			read_large(fds[i], false);
			rig_send(fds[i], "GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
			rig_answer(fds[i], &a, true);
			assert_string_equal(a.body, "456789");
		}
		close(fds[i]);
	}
}

static void head_has_the_length_and_no_body(void **state)
{
	struct rig_answer a;
	int fd = rig_connect(*state);

	rig_send(fd, "HEAD /file HTTP/1.1\r\nHost: h\r\n\r\n"
		     "HEAD /size HTTP/1.1\r\nHost: h\r\n\r\n"
		     "GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_answer(fd, &a, false);
	assert_non_null(strstr(a.head, "Content-Length: 6\r\n"));
	rig_answer(fd, &a, false);
	assert_non_null(strstr(a.head, "Content-Length: 5000000000\r\n"));
	assert_non_null(strstr(a.head, "Content-Type: image/png\r\n"));
	rig_answer(fd, &a, true);
	assert_non_null(strstr(a.body, "GET /next|"));
	close(fd);
}

static void reply_headers_cannot_be_split(void **state)
{
	struct rig_answer a;

	assert_int_equal(rig_once(*state, "GET /empty-header HTTP/1.1\r\nHost: h\r\n\r\n", &a),
			 200);
	assert_non_null(strstr(a.head, "X-Empty: "));
	assert_non_null(strstr(a.head, "X-Split: a  b\r\n"));
}

static void close_answers_what_is_under_way(void **state)
{
	struct rig_answer a;
	pthread_t t;
	int fd = rig_connect(*state);

	rig_send(fd, "GET /held HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_until(app.held);
	pthread_create(&t, NULL, resume_held, &app);
	http_server_close(*state);
	rig_answer(fd, &a, true);
	assert_int_equal(a.status, 200);
	pthread_join(t, NULL);
	close(fd);
	*state = NULL;
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_request_is_handed_out_raw_and_decoded),
		CASE(the_target_in_absolute_form_gives_its_path),
		CASE(requests_in_a_row_share_a_connection),
		CASE(a_refusal_comes_instead_of_100_continue),
		CASE(the_body_is_asked_for_with_100_continue),
		CASE(an_unread_body_is_never_the_next_request),
		CASE(an_answer_during_the_body_comes_after_it),
		CASE(a_chunked_body_arrives_whole),
		CASE(a_collected_body_over_its_bound_is_413),
		CASE(a_large_body_streams_in_constant_memory),
		CASE(a_suspended_request_is_answered_by_another_thread),
		CASE(a_client_that_leaves_while_suspended_is_noticed),
		CASE(a_deferred_request_without_an_answer_is_500),
		CASE(a_full_pool_answers_503),
		CASE(part_of_a_file_is_sent),
		CASE(large_files_are_sent_uncorked_and_whole),
		CASE(head_has_the_length_and_no_body),
		CASE(reply_headers_cannot_be_split),
		CASE(close_answers_what_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
