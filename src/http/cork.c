// SPDX-License-Identifier: Apache-2.0
// cork: files leave uncorked. The library sets TCP_CORK with a file's first piece of 128 KiB and lets it be until the
// answer is sent, which costs a quarter more CPU on the loopback and up to half of the rate (bench/s3.py get64m), and
// with pieces that large spares no packet anywhere. It offers no moment after the first piece, so a thread looks a
// moment later. When that is too early, this one file is sent corked.
#include "http/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { FILE_MIN = 1 << 20, MOMENT_NS = 500 * 1000 };

void cork_watch(struct http_req *r)
{
	struct http_server *s = r->server;

	if (r->file_size < FILE_MIN || !s->uncorking)
		return;
	auto_lock held = lock_hold(&s->lock);

	r->uncorked = true;
	r->conn->corked = true;
	r->conn->cork_next = s->corked;
	s->corked = r->conn;
	pthread_cond_signal(&s->corks);
}

// With the lock, which an ending request takes too: the descriptor is still this connection's.
static void pull(struct http_server *s)
{
	const int off = 0;

	while (s->corked) {
		struct http_conn *c = s->corked;

		s->corked = c->cork_next;
		c->corked = false;
		setsockopt(c->fd, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
	}
}

void cork_forget(struct http_req *r)
{
	struct http_server *s = r->server;
	auto_lock held = lock_hold(&s->lock);

	for (struct http_conn **at = &s->corked; r->conn->corked && *at; at = &(*at)->cork_next)
		if (*at == r->conn) {
			*at = r->conn->cork_next;
			r->conn->corked = false;
			return;
		}
}

void *cork_thread(void *arg)
{
	static const struct timespec moment = { .tv_nsec = MOMENT_NS };
	struct http_server *s = arg;
	auto_lock held = lock_hold(&s->lock);

	while (!s->stopping) {
		if (!s->corked) {
			pthread_cond_wait(&s->corks, &s->lock);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		nanosleep(&moment, NULL);
		pthread_mutex_lock(&s->lock);
		pull(s);
	}
	return NULL;
}
