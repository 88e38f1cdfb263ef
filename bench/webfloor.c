// webfloor: the least HTTP server: one thread, epoll, the same small answer to whatever ends with an empty line. What a
// proxy to it can reach is measured beside asking it directly.
// Usage: webfloor PORT      listens on 127.0.0.1; a POST's body must come with its head
// SPDX-License-Identifier: Apache-2.0
#include "base/attr.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 64, BACKLOG = 128 };

static const char answer[] =
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n";

static int listen_at(unsigned port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((unsigned short)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, BACKLOG) < 0) {
		perror("webfloor");
		exit(1);
	}
	return fd;
}

static void take(int epoll, int listener)
{
	int fd = accept(listener, NULL, NULL), on = 1;
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (fd >= 0)
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
}

static void serve(int fd)
{
	char text[16384];
	ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);

	if (n == 0 || (n > 0 && send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0))
		close(fd);
}

int main(int argc, char **argv)
{
	int listener = listen_at(argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 8000);
	int epoll = epoll_create1(0);
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = listener }, got[EVENTS];

	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev);
	for (;;) {
		int n = epoll_wait(epoll, got, EVENTS, -1);

		for (int i = 0; i < n; i++)
			if (got[i].data.fd == listener)
				take(epoll, listener);
			else
				serve(got[i].data.fd);
	}
}
