// SPDX-License-Identifier: Apache-2.0
#include "supervisor/resolve.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, PORT = 53, ROUNDS = 2, WAIT_S = 3 };

static int connect_server(const struct dns_address *server, struct err *e)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	bool is_v4 = server->family == AF_INET;
	auto_fd int fd = socket(server->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(&v4.sin_addr, server->bytes, sizeof(v4.sin_addr));
	memcpy(&v6.sin6_addr, server->bytes, sizeof(v6.sin6_addr));
	// Connected: answers of others than the one who was asked do not arrive.
	if (fd < 0 || connect(fd, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
			      is_v4 ? sizeof(v4) : sizeof(v6)) < 0)
		return err_sys(e, ERR_UNAVAILABLE, errno, "name server");
	return file_take(&fd);
}

static const enum dns_type types[] = { DNS_A, DNS_AAAA };

// Both questions at once; done when both are answered.
static int ask(struct stop *stop, const struct dns_address *server, struct span name,
	       struct dns_addresses *out, struct err *e)
{
	auto_fd int fd = connect_server(server, e);
	int64_t deadline = clock_mono_ns() + WAIT_S * NS_PER_S;
	unsigned open = 3, missing = 0;
	uint16_t ids[2];

	if (fd < 0)
		return -1;
	rand_bytes(ids, sizeof(ids));
	for (unsigned i = 0; i < 2; i++) {
		uint8_t packet[DNS_QUERY_MAX];
		ptrdiff_t n = dns_query(ids[i], name, types[i], packet);

		if (n < 0)
			return err_set(e, ERR_NOT_FOUND, "no host can have this name");
		if (send(fd, packet, (size_t)n, 0) < 0)
			return err_sys(e, ERR_UNAVAILABLE, errno, "name server");
	}
	while (open) {
		char packet[DNS_ANSWER_MAX];
		ssize_t n;
		int ready = stop_wait(stop, fd, POLLIN, deadline, e);

		if (ready <= 0)
			return ready ? -1 : err_set(e, ERR_UNAVAILABLE, "no name server answers");
		n = recv(fd, packet, sizeof(packet), 0);
		if (n < 0 && errno != EAGAIN)
			return err_sys(e, ERR_UNAVAILABLE, errno, "name server");
		for (unsigned i = 0; i < 2 && n > 0; i++) {
			struct err fault = { 0 };
			int got = open & 1U << i ? dns_answer(span_make(packet, (size_t)n), ids[i],
							      types[i], out, &fault)
						 : -1;

			if (got < 0 && fault.code == ERR_UNAVAILABLE) {
				*e = fault;
				return -1;
			}
			if (got < 0 && fault.code != ERR_NOT_FOUND)
				continue;
			missing += got < 0;
			open &= ~(1U << i);
		}
	}
	return out->n ? 0 : err_set(e, ERR_NOT_FOUND, missing ? "no such host" : "no address");
}

static int ask_all(struct stop *stop, const struct dns_config *c, struct span name,
		   struct dns_addresses *out, struct err *e)
{
	for (unsigned round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < c->server_count; i++) {
			struct err fault = { 0 };

			if (ask(stop, &c->servers[i], name, out, &fault) == 0)
				return 0;
			*e = fault;
			if (fault.code != ERR_UNAVAILABLE)
				return -1;
		}
	return -1;
}

// As the C library: a name with enough dots is tried as it is first, else last.
static int search(struct stop *stop, const struct dns_config *c, struct span name,
		  struct dns_addresses *out, struct err *e)
{
	unsigned dots = 0;
	bool whole = name.n && name.p[name.n - 1] == '.';

	for (size_t i = 0; i < name.n; i++)
		dots += name.p[i] == '.';
	if (whole || dots >= c->ndots) {
		int got = ask_all(stop, c, name, out, e);

		if (got == 0 || whole || e->code != ERR_NOT_FOUND)
			return got;
	}
	for (size_t i = 0; i < c->search_count; i++) {
		char full[2 * DNS_NAME_MAX];
		int n = snprintf(full, sizeof(full), SPAN_FMT "." SPAN_FMT, SPAN_ARG(name),
				 SPAN_ARG(c->search[i]));

		if (n > DNS_NAME_MAX)
			continue;
		if (ask_all(stop, c, span_make(full, (size_t)n), out, e) == 0)
			return 0;
		if (e->code != ERR_NOT_FOUND)
			return -1;
	}
	return dots >= c->ndots ? -1 : ask_all(stop, c, name, out, e);
}

// An image without the file is no fault.
static void read_file(const char *path, struct buf *out)
{
	struct err ignored;

	buf_init(out, FILE_MAX);
	if (file_read_path(AT_FDCWD, path, out, &ignored) < 0)
		buf_clear(out);
}

int resolve_host(struct stop *stop, const char *host, struct dns_addresses *out, struct err *e)
{
	auto_buf struct buf hosts = { 0 }, conf = { 0 };
	struct span name = span_of(host);
	struct err fault = { 0 }; // of those that were asked before one knew
	struct dns_config c;

	*out = (struct dns_addresses){ 0 };
	if (dns_address_parse(name, &out->at[0])) {
		out->n = 1;
		return 0;
	}
	read_file("/etc/hosts", &hosts);
	dns_hosts_find(buf_span(&hosts), name, out);
	if (!out->n && span_eq_nocase(name, SPAN("localhost")))
		out->n = dns_address_parse(SPAN("127.0.0.1"), &out->at[0]);
	if (out->n)
		return 0;
	read_file("/etc/resolv.conf", &conf);
	dns_config_parse(buf_span(&conf), &c);
	if (search(stop, &c, name, out, &fault) == 0)
		return 0;
	*e = fault;
	return err_wrap(e, "%.100s", host);
}
