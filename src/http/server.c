// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, STACK_BYTES = 512 * 1024, POOL_STEP = 16 * 1024, CLOSE_PATIENCE_S = 5 };

// ---- what the library asks ------------------------------------------------------------------------------

static size_t no_unescape(void *arg unused_arg, struct MHD_Connection *mhd unused_arg, char *text)
{
	return strlen(text);
}

// What the library says in a loop that has no connection, so none will end there, and no descriptor for one: it asks
// again at once, for as long as that lasts. A loop with connections waits for one of them to end.
#define NO_DESCRIPTORS "Hit process or system resource limit at FIRST connection"
enum { ACCEPT_PAUSE_NS = 50 * 1000 * 1000 };

static void on_log(void *arg, const char *fmt, va_list ap)
{
	struct http_server *s = arg;
	char text[512];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	vsnprintf(text, sizeof(text), fmt, ap); // the library's own format
#pragma GCC diagnostic pop
	log_debug(s->name, "%s", text);
	if (strncmp(fmt, NO_DESCRIPTORS, sizeof(NO_DESCRIPTORS) - 1) == 0)
		nanosleep(&(struct timespec){ .tv_nsec = ACCEPT_PAUSE_NS }, NULL);
}

// ---- listening -----------------------------------------------------------------------------------------

static int split_listen(const char *listen_at, char *host, size_t host_size, const char **port,
			struct err *e)
{
	struct span at = span_make(listen_at, strlen(listen_at)), name;
	ptrdiff_t colon = span_rfind(at, ':');
	uint64_t number;

	if (colon < 0 || !span_to_u64(span_from(at, (size_t)colon + 1), &number) || number > 65535)
		return err_set(e, ERR_INVALID, "listen address %s: expected HOST:PORT", listen_at);
	name = span_head(at, (size_t)colon);
	if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
		name = span_make(name.p + 1, name.n - 2);
	if (!name.p || name.n >= host_size)
		return err_set(e, ERR_INVALID, "listen address %s: the host is too long",
			       listen_at);
	memcpy(host, name.p, name.n);
	host[name.n] = 0;
	*port = listen_at + colon + 1;
	return 0;
}

static int listen_one(const struct addrinfo *a, struct err *e)
{
	int on = 1, off = 0;
	auto_fd int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(e, ERR_IO, errno, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, a->ai_addr, a->ai_addrlen) < 0)
		return err_sys(e, errno == EADDRINUSE ? ERR_EXISTS : ERR_IO, errno, "bind");
	if (listen(fd, BACKLOG) < 0)
		return err_sys(e, ERR_IO, errno, "listen");
	return file_take(&fd);
}

static unsigned bound_port(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} a = { .six = { 0 } };
	socklen_t n = sizeof(a);

	if (getsockname(fd, &a.any, &n) < 0)
		return 0;
	return ntohs(a.any.sa_family == AF_INET6 ? a.six.sin6_port : a.four.sin_port);
}

static int start_listening(struct http_server *s, struct err *e)
{
	struct addrinfo hint = { .ai_family = AF_UNSPEC,
				 .ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	char host[256] = "";
	const char *port = NULL;
	int bad;

	if (split_listen(s->o.listen, host, sizeof(host), &port, e) < 0)
		return -1;
	if (!host[0]) // all addresses: one socket of the newer family takes both
		hint.ai_family = AF_INET6;
	bad = getaddrinfo(host[0] ? host : NULL, port, &hint, &found);
	if (bad)
		return err_set(e, ERR_INVALID, "listen address %s: %s", s->o.listen,
			       gai_strerror(bad));
	s->listen_fd = listen_one(found, e);
	if (s->listen_fd < 0 && !host[0]) { // a machine without IPv6
		struct sockaddr_in any = { .sin_family = AF_INET };
		struct addrinfo four = { .ai_family = AF_INET,
					 .ai_addr = (struct sockaddr *)&any,
					 .ai_addrlen = sizeof(any) };

		any.sin_port = ((struct sockaddr_in6 *)found->ai_addr)->sin6_port;
		s->listen_fd = listen_one(&four, e);
	}
	freeaddrinfo(found);
	if (s->listen_fd < 0)
		return err_wrap(e, "listen on %s", s->o.listen);
	s->port = bound_port(s->listen_fd);
	return 0;
}

// ---- open and close ------------------------------------------------------------------------------------

#define DEFAULT(field, value) (o->field = o->field ? o->field : (value))

static void set_defaults(struct http_options *o)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	DEFAULT(name, "http");
	DEFAULT(loops, cores > 0 ? (unsigned)cores : 1);
	DEFAULT(workers, 8);
	DEFAULT(worker_queue, 256);
	DEFAULT(connections, 8192);
	DEFAULT(head_max, 64 * 1024);
	DEFAULT(target_max, 16 * 1024);
	DEFAULT(drain_max, 1024 * 1024);
	DEFAULT(idle_ms, 60 * 1000);
	DEFAULT(head_ms, 30 * 1000);
	DEFAULT(body_grace_ms, 60 * 1000);
	DEFAULT(body_rate, 1024);
	DEFAULT(stream_tick_ms, 20);
	DEFAULT(stream_idle_ms, 15 * 1000);
}

// A quarter of the shortest limit, between 20 ms and a second.
static int64_t sweep_time(const struct http_options *o)
{
	unsigned ms = 4000;
	const unsigned limits[] = { o->idle_ms, o->head_ms, o->body_grace_ms, o->stream_idle_ms };

	for (unsigned i = 0; i < ARRAY_LEN(limits); i++)
		ms = limits[i] < ms ? limits[i] : ms;
	return (ms / 4 < 20 ? 20 : ms / 4) * NS_PER_MS;
}

static int start_library(struct http_server *s, struct err *e)
{
	const struct http_options *o = &s->o;
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
			 MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG | (s->tls ? MHD_USE_TLS : 0);
	struct MHD_OptionItem more[8];
	unsigned n = 0;

	if (o->loops > 1)
		more[n++] = (struct MHD_OptionItem){ MHD_OPTION_THREAD_POOL_SIZE, o->loops, NULL };
	if (s->tls)
		more[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_CERT_CALLBACK, 0,
						     tls_callback() };
	more[n] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
	s->mhd = MHD_start_daemon(
		flags, 0, NULL, NULL, course_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_log, s,
		MHD_OPTION_LISTEN_SOCKET, s->listen_fd, MHD_OPTION_URI_LOG_CALLBACK, course_target,
		s, MHD_OPTION_UNESCAPE_CALLBACK, no_unescape, s, MHD_OPTION_NOTIFY_COMPLETED,
		course_completed, s, MHD_OPTION_NOTIFY_CONNECTION, course_connection, s,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)o->head_max,
		MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)POOL_STEP,
		MHD_OPTION_CONNECTION_LIMIT, o->connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
		o->address_max, MHD_OPTION_CONNECTION_TIMEOUT, (o->idle_ms + 999) / 1000,
		MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 0,
		MHD_OPTION_ARRAY, more, MHD_OPTION_END);
	return s->mhd ? 0 : err_set(e, ERR_IO, "cannot start the HTTP server on %s", o->listen);
}

int http_server_open(struct http_server **out, const struct http_options *o, struct err *e)
{
	struct http_server *s = mem_zalloc(sizeof(*s));

	s->o = *o;
	set_defaults(&s->o);
	s->sweep_ns = sweep_time(&s->o);
	s->id_seed = rand_u64();
	snprintf(s->name, sizeof(s->name), "%s", s->o.name);
	s->listen_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	lock_cond_init(&s->wake);
	lock_cond_init(&s->calm);
	lock_cond_init(&s->corks);
	if ((!o->tls_cert_pem) != (!o->tls_key_pem)) {
		err_set(e, ERR_INVALID, "TLS needs a certificate and its key");
		goto fail;
	}
	if (o->tls_cert_pem && tls_open(&s->tls, o->tls_cert_pem, o->tls_key_pem, e) < 0)
		goto fail;
	// The texts are the caller's, the key's above all.
	s->o.tls_cert_pem = s->o.tls_key_pem = NULL;
	if (start_listening(s, e) < 0)
		goto fail;
	s->pool = pool_open(s->name, s->o.workers, s->o.worker_queue);
	lock_thread_start(&s->ticker, "http-tick", stream_ticker, s);
	s->ticking = true;
	if (!s->tls) { // TLS has no sendfile
		lock_thread_start(&s->uncorker, "http-uncork", cork_thread, s);
		s->uncorking = true;
	}
	if (start_library(s, e) < 0)
		goto fail;
	*out = s;
	return 0;
fail:
	http_server_close(s);
	return -1;
}

int http_server_tls_set(struct http_server *s, const char *cert_pem, const char *key_pem,
			struct err *e)
{
	if (!s->tls)
		return err_set(e, ERR_INVALID, "the server was not opened with TLS");
	return tls_set(s->tls, cert_pem, key_pem, e);
}

unsigned http_server_port(const struct http_server *s)
{
	return s->port;
}

// Requests on their way are answered first. After a while their connections are shut down, so that they end
// as soon as whoever has them lets go; the library must not be stopped while one is parked.
static void wait_until_calm(struct http_server *s)
{
	auto_lock held = lock_hold(&s->lock);
	int64_t patience = clock_mono_ns() + CLOSE_PATIENCE_S * NS_PER_S;

	s->pending = true;
	pthread_cond_signal(&s->wake); // the ticker ends the parked streams
	while (s->active || s->suspended) {
		if (lock_wait(&s->calm, &s->lock, patience))
			continue;
		log_warn(s->name, "%u requests hold the end of the server up", s->active);
		for (struct http_conn *c = s->conns; c; c = c->next)
			shutdown(c->fd, SHUT_RDWR);
		patience = clock_mono_ns() + CLOSE_PATIENCE_S * NS_PER_S;
	}
}

const struct http_figures *http_server_figures(const struct http_server *s)
{
	return &s->figures;
}

void http_server_close(struct http_server *s)
{
	if (!s)
		return;
	s->closing = true;
	if (s->mhd) {
		MHD_quiesce_daemon(s->mhd);
		wait_until_calm(s);
		MHD_stop_daemon(s->mhd);
	}
	if (s->ticking) {
		pthread_mutex_lock(&s->lock);
		s->stopping = true;
		pthread_cond_signal(&s->wake);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->ticker, NULL);
	}
	if (s->uncorking) {
		pthread_mutex_lock(&s->lock);
		pthread_cond_signal(&s->corks);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->uncorker, NULL);
	}
	pool_close(s->pool);
	tls_close(s->tls);
	file_close(s->listen_fd);
	pthread_cond_destroy(&s->calm);
	pthread_cond_destroy(&s->corks);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	mem_free(s);
}
