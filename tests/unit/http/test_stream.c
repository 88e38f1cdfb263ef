// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

enum { PARKED = 1000 };

// Each stream sends one line for each number of the feed, then parks.
struct feed {
	_Atomic uint64_t newest;
	_Atomic int open, asked;
	_Atomic bool end;
};

static struct feed feed;

struct follower {
	struct feed *feed;
	uint64_t seen;
};

static ssize_t follow(void *owner, struct http_req *r unused_arg, uint64_t at unused_arg, char *buf,
		      size_t max)
{
	struct follower *f = owner;

	f->feed->asked++;
	if (f->seen == f->feed->newest)
		return f->feed->end ? HTTP_STREAM_END : HTTP_STREAM_PARK;
	f->seen++;
	return snprintf(buf, max, "data: %llu\n\n", (unsigned long long)f->seen);
}

static void followed(void *owner)
{
	struct follower *f = owner;

	f->feed->open--;
	mem_free(f);
}

static ssize_t count_up(void *owner unused_arg, struct http_req *r unused_arg, uint64_t at,
			char *buf, size_t max)
{
	uint64_t n = 100000 - at < max ? 100000 - at : max;

	if (!n)
		return HTTP_STREAM_END;
	for (uint64_t i = 0; i < n; i++)
		buf[i] = (char)('a' + (at + i) % 26);
	return (ssize_t)n;
}

static ssize_t break_off(void *owner unused_arg, struct http_req *r unused_arg, uint64_t at,
			 char *buf, size_t max unused_arg)
{
	if (at)
		return HTTP_STREAM_FAIL;
	buf[0] = 'x';
	return 1;
}

static void on_begin(void *owner unused_arg, struct http_req *r unused_arg)
{
}

static void on_finish(void *owner unused_arg, struct http_req *r)
{
	struct http_stream s = { 0 };

	if (span_is(http_path(r), "/sized") || span_is(http_path(r), "/unsized")) {
		s.read = count_up;
		http_reply_stream(r, 200, "text/plain",
				  span_is(http_path(r), "/sized") ? 100000 : UINT64_MAX, &s);
	} else if (span_is(http_path(r), "/broken")) {
		s.read = break_off;
		http_reply_stream(r, 200, "text/plain", 10, &s);
	} else {
		struct follower *f = mem_zalloc(sizeof(*f));

		f->feed = &feed;
		f->feed->open++;
		s = (struct http_stream){ f, follow, followed, 7, 0 };
		http_reply_stream(r, 200, "text/event-stream", UINT64_MAX, &s);
	}
}

static int setup(void **state)
{
	struct http_options o = { .handler = { NULL, on_begin, NULL, on_finish, NULL, NULL },
				  .loops = 2,
				  .stream_idle_ms = 400 };

	memset(&feed, 0, sizeof(feed));
	*state = rig_open(o);
	return 0;
}

static int teardown(void **state)
{
	http_server_close(*state);
	return feed.open ? -1 : 0; // every stream was closed once
}

static void a_stream_of_known_size_has_its_length(void **state)
{
	char *body = mem_zalloc(100001), head[1024];
	int fd = rig_connect(*state);

	rig_send(fd, "GET /sized HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_read_head(fd, head, sizeof(head));
	assert_non_null(strstr(head, "Content-Length: 100000\r\n"));
	assert_int_equal(rig_read(fd, body, 100000), 100000);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(body[i], 'a' + i % 26);
	mem_free(body);
	close(fd);
}

static void a_stream_of_unknown_size_is_chunked_or_ends_the_connection(void **state)
{
	char *body = mem_zalloc(200001), head[1024];
	int fd = rig_connect(*state);

	rig_send(fd, "GET /unsized HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	rig_read_head(fd, head, sizeof(head));
	assert_non_null(strstr(head, "Transfer-Encoding: chunked\r\n"));
	assert_in_range(rig_read(fd, body, 200000), 100001, 110000);
	assert_non_null(strstr(body, "\r\n0\r\n\r\n"));
	close(fd);
	fd = rig_connect(*state);
	rig_send(fd, "GET /unsized HTTP/1.0\r\n\r\n");
	rig_read_head(fd, head, sizeof(head));
	assert_null(strstr(head, "chunked"));
	assert_int_equal(rig_read(fd, body, 200000), 100000);
	mem_free(body);
	close(fd);
}

static void a_broken_stream_breaks_the_connection(void **state)
{
	char body[100], head[1024];
	int fd = rig_connect(*state);

	rig_send(fd, "GET /broken HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_read_head(fd, head, sizeof(head));
	assert_int_equal(rig_read(fd, body, 10), 1);
	close(fd);
}

static int follow_one(struct http_server *s)
{
	char head[1024];
	int fd = rig_connect(s);

	rig_send(fd, "GET /events HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_read_head(fd, head, sizeof(head));
	assert_non_null(strstr(head, "Content-Type: text/event-stream\r\n"));
	return fd;
}

static void expect_event(int fd, const char *text)
{
	char got[64], wanted[64];
	int n = snprintf(wanted, sizeof(wanted), "%zX\r\n%s\r\n", strlen(text), text);

	assert_int_equal(rig_read(fd, got, (size_t)n), (size_t)n);
	assert_string_equal(got, wanted);
}

static void a_thousand_parked_streams_hear_of_each_event(void **state)
{
	int *fds = mem_zalloc(PARKED * sizeof(*fds));
	int64_t start, cpu;
	struct timespec t;

	for (int i = 0; i < PARKED; i++)
		fds[i] = follow_one(*state);
	rig_until(feed.asked >= PARKED);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	cpu = t.tv_sec * NS_PER_S + t.tv_nsec;
	start = clock_mono_ns();
	for (int round = 1; round <= 3; round++) {
		char text[32];

		feed.newest++;
		for (int i = 0; i < 10; i++) // many wakes cost one
			http_stream_wake(*state, 7);
		snprintf(text, sizeof(text), "data: %d\n\n", round);
		for (int i = 0; i < PARKED; i++)
			expect_event(fds[i], text);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	print_message("# 3 events to %d streams: %lld ms, %lld ms of CPU\n", PARKED,
		      (long long)((clock_mono_ns() - start) / NS_PER_MS),
		      (long long)((t.tv_sec * NS_PER_S + t.tv_nsec - cpu) / NS_PER_MS));
	feed.end = true;
	http_stream_wake(*state, 7);
	for (int i = 0; i < PARKED; i++) {
		char rest[16];

		assert_int_equal(rig_read(fds[i], rest, 5), 5);
		assert_string_equal(rest, "0\r\n\r\n");
		close(fds[i]);
	}
	rig_until(feed.open == 0);
	mem_free(fds);
}

static void wakes_of_another_topic_leave_a_stream_parked(void **state)
{
	int asked, fd = follow_one(*state);

	rig_until(feed.asked == 1);
	asked = feed.asked;
	http_stream_wake(*state, 8);
	poll(NULL, 0, 100);
	assert_int_equal(feed.asked, asked);
	feed.newest++;
	http_stream_wake(*state, 7);
	expect_event(fd, "data: 1\n\n");
	close(fd);
}

static void a_client_that_leaves_a_parked_stream_is_noticed(void **state)
{
	int fd = follow_one(*state);

	rig_until(feed.open == 1);
	close(fd);
	rig_until(feed.open == 0); // at the latest when asked for being idle
}

static void *feed_quickly(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		feed.newest++;
		http_stream_wake(arg, 7);
	}
	return NULL;
}

static void no_wake_is_lost(void **state)
{
	pthread_t t;
	int fd = follow_one(*state);

	pthread_create(&t, NULL, feed_quickly, *state);
	for (int i = 1; i <= 2000; i++) {
		char text[32];

		snprintf(text, sizeof(text), "data: %d\n\n", i);
		expect_event(fd, text);
	}
	pthread_join(t, NULL);
	close(fd);
}

static void close_ends_parked_streams(void **state)
{
	char rest[16];
	int fd = follow_one(*state);

	rig_until(feed.asked == 1);
	http_server_close(*state);
	*state = NULL;
	assert_int_equal(rig_read(fd, rest, 15), 0);
	close(fd);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_stream_of_known_size_has_its_length),
		CASE(a_stream_of_unknown_size_is_chunked_or_ends_the_connection),
		CASE(a_broken_stream_breaks_the_connection),
		CASE(a_thousand_parked_streams_hear_of_each_event),
		CASE(wakes_of_another_topic_leave_a_stream_parked),
		CASE(a_client_that_leaves_a_parked_stream_is_noticed),
		CASE(no_wake_is_lost),
		CASE(close_ends_parked_streams),
	};
	struct rlimit files = { 4096, 4096 };

	setrlimit(RLIMIT_NOFILE, &files);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
