// SPDX-License-Identifier: Apache-2.0
#include "supervisor/conn.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "supervisor/resolve.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECT_S = 10, IDLE_S = 60 };

struct tls {
	SSL_CTX *ctx;
	bool verify;
};

struct conn {
	struct stop *stop;
	int fd;
	SSL *ssl; // NULL = plain
};

// ---- trust -------------------------------------------------------------------------------------------

static const char *bundle(void)
{
	static const char *const places[] = {
		"/etc/ssl/certs/ca-certificates.crt", // Debian, Alpine
		"/etc/pki/tls/certs/ca-bundle.crt",   // Red Hat
		"/etc/ssl/ca-bundle.pem",	      // SUSE
		"/etc/ssl/cert.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	};
	const char *given = getenv("SSL_CERT_FILE");

	if (given && *given)
		return given;
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (access(places[i], R_OK) == 0)
			return places[i];
	return NULL;
}

int tls_new(bool verify, struct tls **out, struct err *e)
{
	const char *file = bundle();
	struct tls *t;

	if (verify && !file)
		return err_set(e, ERR_INVALID,
			       "the image has no CA bundle to verify TLS with; set SSL_CERT_FILE");
	// The image's openssl.cnf may name modules that a static program cannot load.
	if (!OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL))
		return err_set(e, ERR_PROTOCOL, "TLS does not start");
	t = mem_zalloc(sizeof(*t));
	t->ctx = SSL_CTX_new(TLS_client_method());
	t->verify = verify;
	check(t->ctx);
	SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	SSL_CTX_set_mode(t->ctx,
			 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (verify && SSL_CTX_load_verify_file(t->ctx, file) != 1) {
		tls_free(t);
		return err_set(e, ERR_INVALID, "%.200s holds no certificates", file);
	}
	SSL_CTX_set_verify(t->ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	*out = t;
	return 0;
}

void tls_free(struct tls *t)
{
	if (t)
		SSL_CTX_free(t->ctx);
	mem_free(t);
}

// ---- bytes -------------------------------------------------------------------------------------------

static int wait_for(struct conn *c, short events, int64_t seconds, struct err *e)
{
	int got = stop_wait(c->stop, c->fd, events, clock_mono_ns() + seconds * NS_PER_S, e);

	if (got == 0)
		return err_set(e, ERR_TIMEOUT, "no answer for %d s", (int)seconds);
	return got < 0 ? -1 : 0;
}

// After a call of TLS that did not go through: 0 = try again, 1 = the peer closed, -1 = it is over.
static int tls_retry(struct conn *c, int got, struct err *e)
{
	int sys = errno, why = SSL_get_error(c->ssl, got);
	unsigned long code;

	if (why == SSL_ERROR_WANT_READ)
		return wait_for(c, POLLIN, IDLE_S, e);
	if (why == SSL_ERROR_WANT_WRITE)
		return wait_for(c, POLLOUT, IDLE_S, e);
	if (why == SSL_ERROR_ZERO_RETURN)
		return 1;
	code = ERR_get_error();
	ERR_clear_error();
	if (why == SSL_ERROR_SYSCALL || !code)
		return err_sys(e, ERR_UNAVAILABLE, sys ? sys : ECONNRESET, "connection lost");
	if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return err_set(e, ERR_UNAVAILABLE, "connection lost");
	if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return err_set(e, ERR_DENIED, "the server's certificate: %s",
			       X509_verify_cert_error_string(SSL_get_verify_result(c->ssl)));
	return err_set(e, ERR_PROTOCOL, "TLS: %s", ERR_reason_error_string(code));
}

// A fast transfer never waits, so the wish to stop is looked for here too.
static int go_on(struct conn *c, struct err *e)
{
	stop_poll(c->stop);
	return c->stop->signal ? err_set(e, ERR_CANCELLED, "stopped by signal %d", c->stop->signal)
			       : 0;
}

ssize_t conn_read(struct conn *c, void *p, size_t n, struct err *e)
{
	if (go_on(c, e) < 0)
		return -1;
	for (;;) {
		ssize_t got;
		int again;

		errno = 0;
		if (c->ssl) {
			got = SSL_read(c->ssl, p, n < 1 << 30 ? (int)n : 1 << 30);
			again = got > 0 ? 0 : tls_retry(c, (int)got, e);
			if (again == 1)
				return 0;
		} else {
			got = recv(c->fd, p, n, 0);
			if (got == 0)
				return 0;
			if (got < 0 && errno != EAGAIN && errno != EINTR)
				return err_sys(e, ERR_UNAVAILABLE, errno, "connection lost");
			again = got > 0 ? 0 : wait_for(c, POLLIN, IDLE_S, e);
		}
		if (got > 0)
			return got;
		if (again < 0)
			return -1;
	}
}

int conn_write(struct conn *c, const void *p, size_t n, struct err *e)
{
	const char *at = p;

	if (go_on(c, e) < 0)
		return -1;
	while (n > 0) {
		ssize_t got;
		int again = 0;

		errno = 0;
		if (c->ssl) {
			got = SSL_write(c->ssl, at, n < 1 << 30 ? (int)n : 1 << 30);
			if (got <= 0)
				again = tls_retry(c, (int)got, e);
		} else {
			got = send(c->fd, at, n, MSG_NOSIGNAL);
			if (got < 0 && errno != EAGAIN && errno != EINTR)
				return err_sys(e, ERR_UNAVAILABLE, errno, "connection lost");
			if (got < 0)
				again = wait_for(c, POLLOUT, IDLE_S, e);
		}
		if (again)
			return again < 0 ? -1 : err_set(e, ERR_UNAVAILABLE, "connection closed");
		if (got > 0) {
			at += got;
			n -= (size_t)got;
		}
	}
	return 0;
}

// ---- opening -----------------------------------------------------------------------------------------

static int connect_to(struct conn *c, const struct dns_address *a, uint16_t port, struct err *e)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	bool is_v4 = a->family == AF_INET;
	socklen_t size = sizeof(int);
	int on = 1, fault = 0;

	memcpy(&v4.sin_addr, a->bytes, sizeof(v4.sin_addr));
	memcpy(&v6.sin6_addr, a->bytes, sizeof(v6.sin6_addr));
	file_close(c->fd);
	c->fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return err_sys(e, ERR_UNAVAILABLE, errno, "socket");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(c->fd, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
		    is_v4 ? sizeof(v4) : sizeof(v6)) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return err_sys(e, ERR_UNAVAILABLE, errno, "connect");
	if (wait_for(c, POLLOUT, CONNECT_S, e) < 0)
		return -1;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &fault, &size) < 0)
		fault = errno;
	return fault ? err_sys(e, ERR_UNAVAILABLE, fault, "connect") : 0;
}

static int handshake(struct conn *c, const char *host, struct tls *tls, struct err *e)
{
	struct dns_address address;
	bool is_address = dns_address_parse(span_of(host), &address);
	X509_VERIFY_PARAM *param;
	int got;

	c->ssl = SSL_new(tls->ctx);
	check(c->ssl);
	param = SSL_get0_param(c->ssl);
	if (SSL_set_fd(c->ssl, c->fd) != 1 ||
	    (!is_address && SSL_set_tlsext_host_name(c->ssl, host) != 1) ||
	    (tls->verify && (is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
					: X509_VERIFY_PARAM_set1_host(param, host, 0)) != 1))
		return err_set(e, ERR_INVALID, "\"%.100s\" is no name of a server", host);
	while ((errno = 0, got = SSL_connect(c->ssl)) != 1) {
		int again = tls_retry(c, got, e);

		if (again)
			return again < 0 ? -1 : err_set(e, ERR_UNAVAILABLE, "connection closed");
	}
	return 0;
}

int conn_open(struct stop *stop, const char *host, uint16_t port, struct tls *tls,
	      struct conn **out, struct err *e)
{
	struct dns_addresses list;
	struct err fault = { 0 }; // of the addresses before the one that answered
	struct conn *c;
	int bad = -1;

	if (resolve_host(stop, host, &list, e) < 0)
		return -1;
	c = mem_zalloc(sizeof(*c));
	c->stop = stop;
	c->fd = -1;
	for (size_t i = 0; i < list.n && bad && !stop->signal; i++)
		bad = connect_to(c, &list.at[i], port, &fault);
	if (!bad && tls)
		bad = handshake(c, host, tls, &fault);
	if (bad) {
		conn_close(c);
		*e = fault;
		return err_wrap(e, "%.100s:%u", host, port);
	}
	*out = c;
	return 0;
}

void conn_close(struct conn *c)
{
	if (!c)
		return;
	SSL_free(c->ssl);
	file_close(c->fd);
	mem_free(c);
}

bool conn_comes(struct conn *c, int64_t ms)
{
	struct err ignored = { 0 };

	return stop_wait(c->stop, c->fd, POLLIN, clock_mono_ns() + ms * NS_PER_MS, &ignored) != 0;
}
