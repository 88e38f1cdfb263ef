// s3load: a load client for S3 servers: requests are built and signed ahead, then sent by one thread over kept-alive
// connections as fast as answers come. The same for every server.
// Usage: s3load -o OP -h HOST:PORT -b BUCKET [-k ACCESS -s SECRET] [-p PREFIX] [-n REQUESTS] [-c CONNECTIONS]
//               [-z BYTES] [-K KEYS] [-q QUERY] [-P PID]... [-t TOKEN]
//   OP      get, put, delete, list (1,000 keys from somewhere among KEYS on), part (QUERY: "uploadId=…"); without
//           -k requests are anonymous. call and fetch: POST and GET of /BUCKET/PREFIX, of any HTTP server
//   KEYS    keys PREFIX00000000 … are read in turn; put and delete take REQUESTS different ones
//   PID     of the server, to tell its CPU time a request (resolution of the kernel's clock ticks)
// Prints one line of JSON. Bodies below 1 MiB carry their SHA-256, larger ones UNSIGNED-PAYLOAD.
// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/sigv4.h"
#include "codec/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, SINK = 1 << 20, PIDS_MAX = 16, EVENTS = 64, SIGNED_BODY_MAX = 1 << 20 };

struct conn {
	int fd;
	unsigned request;    // in flight
	size_t sent;	     // of head and body
	char head[HEAD_MAX]; // of the answer
	size_t got;
	bool in_body, chunked;
	uint64_t left; // of the body
	char tail[5];  // of a chunked one
	int64_t began_ns;
};

struct load {
	const char *op, *host, *bucket, *prefix, *query, *token;
	struct span access, secret;
	unsigned requests, connections, keys;
	size_t size;
	pid_t pids[PIDS_MAX];
	unsigned pid_count;
	int64_t now_ns; // what all requests are signed with

	struct arena mem;
	struct span *heads;
	char *body;
	struct sockaddr_in address;
	unsigned next, done, failed;
	int64_t *took;
	uint64_t bytes;
	char first_failure[200];
	char *sink;
};

static no_return void die(const char *what)
{
	fprintf(stderr, "s3load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool has_body(const struct load *l)
{
	return strcmp(l->op, "put") == 0 || strcmp(l->op, "part") == 0 ||
	       strcmp(l->op, "call") == 0;
}

// ---- requests ------------------------------------------------------------------------------------------

static struct span text_of(struct load *l, const char *fmt, ...) format_printf(2, 3);
static struct span text_of(struct load *l, const char *fmt, ...)
{
	char text[4096];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	check(n >= 0 && (size_t)n < sizeof(text));
	return arena_span(&l->mem, span_make(text, (size_t)n));
}

static struct span target_path(struct load *l, unsigned i)
{
	unsigned key = strcmp(l->op, "get") == 0 ? i % l->keys : i;

	if (strcmp(l->op, "list") == 0)
		return text_of(l, "/%s", l->bucket);
	if (strcmp(l->op, "part") == 0 || strcmp(l->op, "call") == 0 || strcmp(l->op, "fetch") == 0)
		return text_of(l, "/%s/%s", l->bucket, l->prefix);
	return text_of(l, "/%s/%s%08u", l->bucket, l->prefix, key);
}

static struct span target_query(struct load *l, unsigned i)
{
	if (strcmp(l->op, "list") == 0)
		return text_of(l, "list-type=2&max-keys=1000&start-after=%s%08u", l->prefix,
			       l->keys > 1000 ? i * 7919 % (l->keys - 1000) : 0);
	if (strcmp(l->op, "part") == 0)
		return text_of(l, "partNumber=%u&%s", i + 1, l->query);
	return span_of(l->query);
}

static struct span build(struct load *l, unsigned i, struct span payload, struct span time)
{
	const char *method = strcmp(l->op, "call") == 0	    ? "POST"
			     : has_body(l)		    ? "PUT"
			     : strcmp(l->op, "delete") == 0 ? "DELETE"
							    : "GET";
	struct span path = target_path(l, i), query = target_query(l, i);
	struct sigv4_header h[] = { { SPAN("host"), span_of(l->host) },
				    { SPAN("x-amz-content-sha256"), payload },
				    { SPAN("x-amz-date"), time } };
	struct sigv4_request r = { .method = span_of(method),
				   .path = path,
				   .query = query,
				   .headers = h,
				   .header_count = ARRAY_LEN(h),
				   .payload = payload };
	struct sigv4_client c = { .access = l->access, .secret = l->secret, .time_ns = l->now_ns };
	struct span auth = span_of("");

	if (l->access.n)
		auth = text_of(l,
			       "x-amz-content-sha256: " SPAN_FMT "\r\nx-amz-date: " SPAN_FMT
			       "\r\nAuthorization: " SPAN_FMT "\r\n",
			       SPAN_ARG(payload), SPAN_ARG(time),
			       SPAN_ARG(sigv4_authorization(&l->mem, &c, &r)));
	if (l->token)
		auth = text_of(l, "Authorization: Bearer %s\r\n", l->token);
	struct span length =
		has_body(l) ? text_of(l, "Content-Length: %zu\r\n", l->size) : span_of("");

	return text_of(l,
		       "%s " SPAN_FMT "%s" SPAN_FMT " HTTP/1.1\r\nHost: %s\r\n" SPAN_FMT SPAN_FMT
		       "\r\n",
		       method, SPAN_ARG(path), query.n ? "?" : "", SPAN_ARG(query), l->host,
		       SPAN_ARG(auth), SPAN_ARG(length));
}

static void prepare(struct load *l)
{
	char hex[SIGV4_HEX] = SIGV4_EMPTY_SHA256, time[CLOCK_TEXT_MAX];
	struct span payload = span_of(hex);

	if (has_body(l)) {
		uint8_t sum[DIGEST_MAX];

		l->body = mem_alloc(l->size + 1);
		for (size_t i = 0; i < l->size; i++)
			l->body[i] = (char)(i * 131 + i / 4096);
		digest_once(DIGEST_SHA256, span_make(l->body, l->size), sum);
		text_hex(hex, sum, 32);
		if (l->size > SIGNED_BODY_MAX)
			payload = SPAN(SIGV4_UNSIGNED);
	}
	l->now_ns = clock_wall_ns();
	clock_basic(l->now_ns, time);
	l->heads = mem_alloc(l->requests * sizeof(*l->heads));
	l->took = mem_zalloc(l->requests * sizeof(*l->took));
	for (unsigned i = 0; i < l->requests; i++)
		l->heads[i] = build(l, i, payload, span_of(time));
}

// ---- connections ---------------------------------------------------------------------------------------

static void push(struct load *l, struct conn *c)
{
	struct span head = l->heads[c->request];
	size_t all = head.n + (has_body(l) ? l->size : 0);

	while (c->sent < all) {
		struct iovec v[2];
		int n = 0;

		if (c->sent < head.n)
			v[n++] = (struct iovec){ (char *)head.p + c->sent, head.n - c->sent };
		if (all > head.n) {
			size_t at = c->sent > head.n ? c->sent - head.n : 0;

			v[n++] = (struct iovec){ l->body + at, l->size - at };
		}
		struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)n };
		ssize_t k = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (k < 0 && errno == EAGAIN)
			return;
		if (k < 0)
			die("send");
		c->sent += (size_t)k;
	}
}

// Takes the next request; false when there is none.
static bool begin(struct load *l, struct conn *c)
{
	if (l->next >= l->requests)
		return false;
	c->request = l->next++;
	c->sent = c->got = 0;
	c->in_body = c->chunked = false;
	c->began_ns = clock_mono_ns();
	push(l, c);
	return true;
}

static void open_conn(struct load *l, struct conn *c, int poll)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&l->address, sizeof(l->address)) < 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(poll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		die("epoll");
}

static struct span header(struct span head, const char *name)
{
	while (head.n) {
		struct span line = span_cut(&head, '\n');
		struct span key = span_cut(&line, ':');

		if (span_eq_nocase(key, span_of(name)))
			return span_trim(line);
	}
	return span_make(NULL, 0);
}

// The head of an answer, once complete.
static void take_head(struct load *l, struct conn *c)
{
	char *end = memmem(c->head, c->got, "\r\n\r\n", 4);
	struct span head, length;
	size_t rest;

	if (!end) {
		if (c->got == HEAD_MAX) {
			errno = EMSGSIZE;
			die("answer");
		}
		return;
	}
	head = span_make(c->head, (size_t)(end - c->head));
	rest = c->got - head.n - 4;
	if (head.n < 12 || c->head[9] != '2') {
		if (!l->failed++)
			snprintf(l->first_failure, sizeof(l->first_failure), "%.*s",
				 (int)strcspn(c->head, "\r"), c->head);
	}
	length = header(head, "content-length");
	c->in_body = true;
	c->chunked = !length.p;
	c->left = 0;
	if (length.p && !span_to_u64(length, &c->left))
		die("content-length");
	if (c->head[9] == '2' && memcmp(c->head + 9, "204", 3) == 0)
		c->chunked = false;
	if (c->chunked)
		memcpy(c->tail, rest >= 5 ? end + 4 + rest - 5 : "     ", 5);
	else
		c->left -= rest < c->left ? rest : c->left;
	l->bytes += rest;
}

static bool complete(const struct conn *c)
{
	return c->in_body && (c->chunked ? memcmp(c->tail, "0\r\n\r\n", 5) == 0 : !c->left);
}

// Reads what is there; true when an answer is complete.
static bool pull(struct load *l, struct conn *c)
{
	while (!complete(c)) {
		char *to = c->in_body ? l->sink : c->head + c->got;
		size_t room = c->in_body ? SINK : HEAD_MAX - c->got;
		// A plain body is thrown away in the kernel.
		int flags = MSG_DONTWAIT | (c->in_body && !c->chunked ? MSG_TRUNC : 0);
		ssize_t k = recv(c->fd, to, room, flags);

		if (k < 0 && errno == EAGAIN)
			return false;
		if (k <= 0) {
			errno = k ? errno : ECONNRESET;
			die("receive");
		}
		if (!c->in_body) {
			c->got += (size_t)k;
			take_head(l, c);
			continue;
		}
		l->bytes += (uint64_t)k;
		if (!c->chunked) {
			c->left -= (uint64_t)k < c->left ? (uint64_t)k : c->left;
		} else {
			size_t n = (size_t)k < 5 ? (size_t)k : 5;

			memmove(c->tail, c->tail + n, 5 - n);
			memcpy(c->tail + 5 - n, to + k - n, n);
		}
	}
	return true;
}

static void run(struct load *l)
{
	struct conn *conns = mem_zalloc(l->connections * sizeof(*conns));
	int poll = epoll_create1(EPOLL_CLOEXEC);

	for (unsigned i = 0; i < l->connections; i++)
		open_conn(l, &conns[i], poll);
	for (unsigned i = 0; i < l->connections; i++)
		begin(l, &conns[i]);
	while (l->done < l->requests) {
		struct epoll_event ev[EVENTS];
		int n = epoll_wait(poll, ev, EVENTS, 60000);

		if (n == 0) {
			errno = ETIMEDOUT;
			die("no answer for a minute");
		}
		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			if (ev[i].events & EPOLLOUT)
				push(l, c);
			while (c->sent && pull(l, c)) {
				l->took[c->request] = clock_mono_ns() - c->began_ns;
				l->done++;
				if (!begin(l, c)) {
					c->sent = 0;
					break;
				}
			}
		}
	}
	for (unsigned i = 0; i < l->connections; i++)
		close(conns[i].fd);
	close(poll);
	mem_free(conns);
}

// ---- figures -------------------------------------------------------------------------------------------

static double server_cpu_s(const struct load *l)
{
	double sum = 0;

	for (unsigned i = 0; i < l->pid_count; i++) {
		char path[64], text[1024], *at;
		unsigned long user, system;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)l->pids[i]);
		f = fopen(path, "re");
		if (!f || !fgets(text, sizeof(text), f) || !(at = strrchr(text, ')')) ||
		    sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			   &system) != 2)
			die(path);
		fclose(f);
		sum += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
	}
	return sum;
}

static double own_cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void parse(struct load *l, int argc, char **argv)
{
	const char *access = "", *secret = "";
	int opt;

	while ((opt = getopt(argc, argv, "o:h:b:k:s:p:n:c:z:K:q:P:t:")) != -1)
		switch (opt) {
		case 'o':
			l->op = optarg;
			break;
		case 'h':
			l->host = optarg;
			break;
		case 'b':
			l->bucket = optarg;
			break;
		case 'k':
			access = optarg;
			break;
		case 's':
			secret = optarg;
			break;
		case 'p':
			l->prefix = optarg;
			break;
		case 'q':
			l->query = optarg;
			break;
		case 'n':
			l->requests = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'c':
			l->connections = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'z':
			l->size = strtoul(optarg, NULL, 10);
			break;
		case 'K':
			l->keys = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			l->token = optarg;
			break;
		case 'P':
			if (l->pid_count < PIDS_MAX)
				l->pids[l->pid_count++] = (pid_t)strtol(optarg, NULL, 10);
			break;
		default:
			exit(2);
		}
	l->access = span_of(access);
	l->secret = span_of(secret);
	if (!l->op || !l->host || !l->bucket || !l->requests || !l->connections || !l->keys) {
		fprintf(stderr, "s3load: -o, -h and -b are needed; numbers are above 0\n");
		exit(2);
	}
	if (l->connections > l->requests)
		l->connections = l->requests;
	const char *colon = strchr(l->host, ':');
	auto_free char *ip =
		mem_strndup(l->host, colon ? (size_t)(colon - l->host) : strlen(l->host));

	l->address = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(colon ? colon + 1 : "80", NULL, 10))
	};
	if (inet_pton(AF_INET, ip, &l->address.sin_addr) != 1) {
		fprintf(stderr, "s3load: -h takes an IPv4 address and a port\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct load l = {
		.prefix = "", .query = "", .requests = 1000, .connections = 8, .keys = 1
	};
	double server, own, took;
	int64_t began;

	parse(&l, argc, argv);
	prepare(&l);
	l.sink = mem_alloc(SINK);
	server = server_cpu_s(&l);
	own = own_cpu_s();
	began = clock_mono_ns();
	run(&l);
	took = (double)(clock_mono_ns() - began) / 1e9;
	server = server_cpu_s(&l) - server;
	own = own_cpu_s() - own;
	qsort(l.took, l.requests, sizeof(*l.took), compare);
	if (l.failed)
		fprintf(stderr, "s3load: %u of %u failed, the first with \"%s\"\n", l.failed,
			l.requests, l.first_failure);
	printf("{\"op\": \"%s\", \"requests\": %u, \"failed\": %u, \"connections\": %u, "
	       "\"seconds\": %.3f, "
	       "\"rate\": %.1f, \"mib_s\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
	       "\"server_cpu_us\": %.1f, \"client_cpu_us\": %.1f}\n",
	       l.op, l.requests, l.failed, l.connections, took, l.requests / took,
	       ((double)l.bytes + (has_body(&l) ? (double)l.size * l.requests : 0)) / took /
		       1048576,
	       (double)l.took[l.requests / 2] / 1e6, (double)l.took[l.requests * 99ULL / 100] / 1e6,
	       server * 1e6 / l.requests, own * 1e6 / l.requests);
	arena_release(&l.mem);
	mem_free(l.heads);
	mem_free(l.took);
	mem_free(l.body);
	mem_free(l.sink);
	return l.failed != 0;
}
