// rig: a server on port 0 and a client that speaks raw bytes, for the tests of http.
// SPDX-License-Identifier: Apache-2.0
#pragma once
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "base/mem.h"
#include "http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RIG_WAIT_MS = 10000 };

static inline struct http_server *rig_open(struct http_options o)
{
	struct http_server *s = NULL;
	struct err e = { 0 };

	o.listen = "127.0.0.1:0";
	if (http_server_open(&s, &o, &e) < 0)
		fail_msg("%s", e.msg);
	return s;
}

static inline int rig_connect(const struct http_server *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)http_server_port(s)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval wait = { RIG_WAIT_MS / 1000, 0 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

static inline void rig_send_n(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k <= 0)
			return; // the server may have closed; the test sees it when reading
		p += k;
		n -= (size_t)k;
	}
}

static inline void rig_send(int fd, const char *text)
{
	rig_send_n(fd, text, strlen(text));
}

// Reads until `n` bytes are there, or the end; the count. The text gets a NUL.
static inline size_t rig_read(int fd, char *out, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t k = recv(fd, out + got, n - got, 0);

		if (k <= 0)
			break;
		got += (size_t)k;
	}
	out[got] = 0;
	return got;
}

// Reads one head, byte by byte so that nothing behind it is taken.
static inline void rig_read_head(int fd, char *out, size_t size)
{
	size_t got = 0;

	out[0] = 0;
	while (got + 1 < size && !strstr(out, "\r\n\r\n")) {
		if (recv(fd, out + got, 1, 0) != 1)
			break;
		out[++got] = 0;
	}
}

struct rig_answer {
	int status;
	char head[4096];
	char body[8192];
	size_t body_size;
};

// Reads one answer with a Content-Length, or without a body.
static inline void rig_answer(int fd, struct rig_answer *a, bool body)
{
	const char *length;
	uint64_t n = 0;

	memset(a, 0, sizeof(*a));
	rig_read_head(fd, a->head, sizeof(a->head));
	if (sscanf(a->head, "HTTP/1.1 %d", &a->status) != 1)
		a->status = -1;
	length = strstr(a->head, "Content-Length: ");
	if (length && body) {
		n = strtoull(length + 16, NULL, 10);
		assert_true(n < sizeof(a->body));
		a->body_size = rig_read(fd, a->body, n);
	}
}

static inline bool rig_closed(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

// One request on a connection of its own; the status, or -1 when it was closed without an answer.
static inline int rig_once(const struct http_server *s, const char *request, struct rig_answer *a)
{
	int fd = rig_connect(s);

	rig_send(fd, request);
	rig_answer(fd, a, strncmp(request, "HEAD", 4) != 0);
	close(fd);
	return a->status;
}

// Waits for a condition that another thread makes true.
#define rig_until(cond)                                                                            \
	do {                                                                                       \
		int64_t late_ns = clock_mono_ns() + RIG_WAIT_MS * NS_PER_MS;                       \
		while (!(cond) && clock_mono_ns() < late_ns)                                       \
			poll(NULL, 0, 1);                                                          \
		assert_true(cond);                                                                 \
	} while (0)
