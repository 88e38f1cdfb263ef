// SPDX-License-Identifier: Apache-2.0
// Bodies whose receiver suspends the request at each piece: none comes before it is resumed.
#include "rig.h"

#include "base/lock.h"

#include <stdatomic.h>

enum { CHUNKS = 500 };

static struct http_req *_Atomic away;
static _Atomic unsigned pieces, intruders;
static _Atomic bool stop;

static void on_begin(void *owner unused_arg, struct http_req *r unused_arg)
{
}

static void on_body(void *owner unused_arg, struct http_req *r, struct span piece unused_arg)
{
	if (away)
		intruders++;
	pieces++;
	http_suspend(r);
	away = r;
}

static void on_finish(void *owner unused_arg, struct http_req *r)
{
	if (away)
		intruders++;
	http_reply_text(r, 200, "done");
}

// Resumes late enough for the loop to do something wrong before.
static void *resume(void *arg unused_arg)
{
	while (!stop) {
		struct http_req *r = away;

		if (!r)
			continue;
		usleep(200);
		away = NULL;
		http_resume(r);
	}
	return NULL;
}

static void no_piece_comes_to_a_suspended_request(void **state unused_arg)
{
	struct http_options o = { .handler = { NULL, on_begin, on_body, on_finish, NULL, NULL } };
	struct http_server *s = rig_open(o);
	auto_free char *text = mem_zalloc(CHUNKS * 8 + 256);
	char answer[256];
	pthread_t t;
	int fd;

	lock_thread_start(&t, "resume", resume, NULL);
	size_t n = (size_t)snprintf(text, 256,
				    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
				    "Connection: close\r\n\r\n");
	for (int i = 0; i < CHUNKS; i++)
		n += (size_t)snprintf(text + n, 16, "2\r\nab\r\n");
	n += (size_t)snprintf(text + n, 16, "0\r\n\r\n");
	fd = rig_connect(s);
	rig_send_n(fd, text, n);
	rig_read(fd, answer, sizeof(answer) - 1);
	close(fd);
	assert_non_null(strstr(answer, "done"));
	assert_int_equal(pieces, CHUNKS);
	assert_int_equal(intruders, 0);
	http_server_close(s);
	stop = true;
	pthread_join(t, NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_piece_comes_to_a_suspended_request),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
