// SPDX-License-Identifier: Apache-2.0
#include "supervisor/http.h"

#include "base/file.h"
#include "base/mem.h"
#include "supervisor/conn.h"

#include <stdio.h>
#include <unistd.h>

enum {
	BUFFER = 64 << 10,
	LINE_MAX_BYTES = 4096,
	REST_MAX = 256 << 10,
	INTERIM_MAX = 5,
	EXPECT_MS = 2000
};

enum body_kind { BODY_NONE, BODY_SIZED, BODY_CHUNKED, BODY_UNTIL_CLOSE };

struct http {
	struct stop *stop;
	struct http_url url;
	struct tls *tls;   // NULL = plain
	struct conn *conn; // NULL = none now
	struct http_head head;
	char head_text[HTTP_HEAD_MAX];
	enum body_kind kind;
	uint64_t left; // of the body, or of the chunk
	char *in;      // BUFFER bytes: what has come and was not taken
	size_t at, end;
};

// ---- where it goes -----------------------------------------------------------------------------------

static bool host_ok(struct span host)
{
	for (size_t i = 0; i < host.n; i++)
		if ((unsigned char)host.p[i] <= 0x20 || (unsigned char)host.p[i] >= 0x7f ||
		    strchr("@/?#%\\\"", host.p[i]))
			return false;
	return host.n > 0;
}

int http_url_parse(const char *text, struct http_url *out, struct err *e)
{
	struct span rest = span_of(text), host;
	bool is_v6 = false;
	uint64_t port;
	ptrdiff_t end;

	*out = (struct http_url){ .tls = span_starts_nocase(rest, SPAN("https://")) };
	if (!out->tls && !span_starts_nocase(rest, SPAN("http://")))
		return err_set(e, ERR_INVALID,
			       "\"%.100s\" begins neither with http:// nor https://", text);
	rest = span_from(rest, out->tls ? 8 : 7);
	port = out->tls ? 443 : 80;
	host = span_cut(&rest, '/');
	snprintf(out->authority, sizeof(out->authority), SPAN_FMT, SPAN_ARG(host));
	if (host.n > 1 && host.p[0] == '[' && (end = span_find(host, ']')) > 0) {
		is_v6 = true;
		end++;
	} else {
		end = span_find(host, ':');
		end = end < 0 ? (ptrdiff_t)host.n : end;
	}
	if ((size_t)end < host.n &&
	    (host.p[end] != ':' || !span_to_u64(span_from(host, (size_t)end + 1), &port)))
		port = 0;
	host = is_v6 ? span_make(host.p + 1, (size_t)end - 2) : span_head(host, (size_t)end);
	while (rest.n && rest.p[rest.n - 1] == '/')
		rest.n--;
	if (!host_ok(host) || host.n >= sizeof(out->host) || !port || port > 65535 ||
	    rest.n + 2 > sizeof(out->path) || (rest.n && !span_is_utf8(rest)))
		return err_set(e, ERR_INVALID, "\"%.100s\" is no address of a server", text);
	out->port = (uint16_t)port;
	snprintf(out->host, sizeof(out->host), SPAN_FMT, SPAN_ARG(host));
	if (rest.n)
		snprintf(out->path, sizeof(out->path), "/" SPAN_FMT, SPAN_ARG(rest));
	if (port == (out->tls ? 443 : 80) && (size_t)end < strlen(out->authority))
		out->authority[end] = 0;
	return 0;
}

int http_redirect(const struct http_url *from, struct span location, struct http_url *out,
		  struct span *target, struct err *e)
{
	char base[sizeof("https://") + sizeof(out->host) + 8];
	struct span rest = location;
	size_t scheme, n = 0;

	for (size_t i = 0; i < location.n; i++)
		if ((unsigned char)location.p[i] <= 0x20 || (unsigned char)location.p[i] >= 0x7f)
			return err_set(e, ERR_PROTOCOL, "a redirect with blanks in it");
	*out = *from;
	*target = location;
	if (location.n && location.p[0] == '/' && !span_starts(location, SPAN("//")))
		return 0;
	scheme = span_starts_nocase(rest, SPAN("https://"))  ? 8
		 : span_starts_nocase(rest, SPAN("http://")) ? 7
							     : 0;
	if (!scheme)
		return err_set(e, ERR_PROTOCOL, "a redirect to nowhere");
	rest = span_from(rest, scheme);
	while (n < rest.n && !strchr("/?#", rest.p[n]))
		n++;
	*target = n < rest.n && rest.p[n] == '/' ? span_from(rest, n) : SPAN("/");
	if (scheme + n >= sizeof(base))
		return err_set(e, ERR_PROTOCOL, "a redirect to a host of too long a name");
	snprintf(base, sizeof(base), SPAN_FMT, SPAN_ARG(span_head(location, scheme + n)));
	if (http_url_parse(base, out, e) < 0) {
		e->code = ERR_PROTOCOL;
		return err_wrap(e, "redirect");
	}
	if (from->tls && !out->tls)
		return err_set(e, ERR_PROTOCOL,
			       "a redirect from https to plain http, to %.100s: not followed",
			       out->authority);
	return 0;
}

int http_new(struct stop *stop, const struct http_url *url, bool verify, struct http **out,
	     struct err *e)
{
	struct tls *tls = NULL;

	if (url->tls && tls_new(verify, &tls, e) < 0)
		return -1;
	*out = mem_zalloc(sizeof(**out));
	(*out)->stop = stop;
	(*out)->url = *url;
	(*out)->tls = tls;
	(*out)->in = mem_alloc(BUFFER);
	return 0;
}

static void disconnect(struct http *h)
{
	conn_close(h->conn);
	h->conn = NULL;
	h->at = h->end = 0;
	h->kind = BODY_NONE;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	disconnect(h);
	tls_free(h->tls);
	mem_free(h->in);
	mem_free(h);
}

// ---- answers -----------------------------------------------------------------------------------------

// More bytes; 1, or 0 at the end of the connection.
static int fill(struct http *h, struct err *e)
{
	ssize_t got = conn_read(h->conn, h->in, BUFFER, e);

	h->at = 0;
	h->end = got > 0 ? (size_t)got : 0;
	return got > 0 ? 1 : (int)got;
}

// A line with its end, into `out`.
static int read_line(struct http *h, char *out, size_t size, size_t *n, struct err *e)
{
	*n = 0;
	for (;;) {
		const char *from, *end;
		size_t take;

		if (h->at == h->end) {
			int got = fill(h, e);

			if (got <= 0)
				return got ? -1 : err_set(e, ERR_UNAVAILABLE, "connection lost");
		}
		from = h->in + h->at;
		end = memchr(from, '\n', h->end - h->at);
		take = end ? (size_t)(end - from) + 1 : h->end - h->at;
		if (*n + take > size)
			return err_set(e, ERR_LIMIT, "the answer's head is over %d bytes",
				       HTTP_HEAD_MAX);
		memcpy(out + *n, from, take);
		*n += take;
		h->at += take;
		if (end)
			return 0;
	}
}

static bool is_empty_line(const char *p, size_t n)
{
	return n == 1 || (n == 2 && p[0] == '\r');
}

// take_interim: 100 Continue is an answer, too.
static int read_head(struct http *h, bool take_interim, struct err *e)
{
	for (unsigned interim = 0; interim < INTERIM_MAX; interim++) {
		size_t n = 0, line = 0;

		do {
			n += line;
			if (read_line(h, h->head_text + n, sizeof(h->head_text) - n, &line, e) < 0)
				return -1;
		} while (!is_empty_line(h->head_text + n, line));
		if (http_head_parse(span_make(h->head_text, n + line), &h->head, e) < 0)
			return -1;
		if (h->head.status == 100 && take_interim)
			return 0;
		if (h->head.status < 200)
			continue; // 100 Continue and its like
		h->left = h->head.length > 0 ? (uint64_t)h->head.length : 0;
		h->kind = h->head.chunked      ? BODY_CHUNKED
			  : h->head.length < 0 ? BODY_UNTIL_CLOSE
			  : h->left	       ? BODY_SIZED
					       : BODY_NONE;
		return 0;
	}
	return err_set(e, ERR_PROTOCOL, "more than %d interim answers", INTERIM_MAX);
}

// The line end behind a chunk and the size of the next; the trailer behind the last one.
static int next_chunk(struct http *h, struct err *e)
{
	char line[LINE_MAX_BYTES];
	size_t n;

	do // the end of the chunk before is an empty line
		if (read_line(h, line, sizeof(line), &n, e) < 0)
			return -1;
	while (is_empty_line(line, n));
	if (http_chunk_size(span_make(line, n), &h->left, e) < 0)
		return -1;
	if (h->left)
		return 0;
	for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++) {
		if (read_line(h, line, sizeof(line), &n, e) < 0)
			return -1;
		if (is_empty_line(line, n)) {
			h->kind = BODY_NONE;
			return 0;
		}
	}
	return err_set(e, ERR_LIMIT, "a trailer of over %d lines", HTTP_FIELDS_MAX);
}

ssize_t http_body(struct http *h, void *p, size_t n, struct err *e)
{
	size_t have;

	if (h->kind == BODY_CHUNKED && !h->left && next_chunk(h, e) < 0)
		return -1;
	if (h->kind == BODY_NONE)
		return 0;
	if (h->at == h->end) {
		int got = fill(h, e);

		if (got == 0 && h->kind == BODY_UNTIL_CLOSE) {
			h->kind = BODY_NONE;
			return 0;
		}
		if (got <= 0)
			return got ? -1 : err_set(e, ERR_UNAVAILABLE, "connection lost");
	}
	have = h->end - h->at;
	have = have < n ? have : n;
	if (h->kind != BODY_UNTIL_CLOSE) {
		have = have < h->left ? have : (size_t)h->left;
		h->left -= have;
		if (!h->left && h->kind == BODY_SIZED)
			h->kind = BODY_NONE;
	}
	memcpy(p, h->in + h->at, have);
	h->at += have;
	return (ssize_t)have;
}

void http_finish(struct http *h, struct buf *out)
{
	char piece[4096];
	struct err ignored;
	size_t rest = 0;
	ssize_t n;

	while (h->conn && rest < REST_MAX &&
	       (n = http_body(h, piece, sizeof(piece), &ignored)) > 0) {
		rest += (size_t)n;
		if (out)
			buf_add(out, piece, (size_t)n);
	}
	if (h->conn && (h->kind != BODY_NONE || h->head.close || h->at != h->end))
		disconnect(h);
}

// ---- requests ----------------------------------------------------------------------------------------

static int send_body(struct http *h, const struct http_request *r, struct err *e)
{
	auto_free char *piece = NULL;

	if (r->text.n)
		return conn_write(h->conn, r->text.p, r->text.n, e);
	piece = mem_alloc(BUFFER);
	for (uint64_t at = 0; at < r->body_size;) {
		uint64_t left = r->body_size - at;
		ssize_t n = file_pread_full(r->body, piece, left < BUFFER ? (size_t)left : BUFFER,
					    (off_t)at, e);

		if (n <= 0)
			return n ? -1 : err_set(e, ERR_CONFLICT, "the file became shorter");
		if (conn_write(h->conn, piece, (size_t)n, e) < 0)
			return -1;
		at += (uint64_t)n;
	}
	return 0;
}

int http_send(struct http *h, const struct http_request *r, const struct http_head **out,
	      struct err *e)
{
	auto_buf struct buf text = { 0 };
	struct err fault = { 0 };
	bool unsent = false;

	if (h->kind != BODY_NONE)
		disconnect(h); // an answer that nobody read to its end
	if (!h->conn && conn_open(h->stop, h->url.host, h->url.port, h->tls, &h->conn, e) < 0)
		return -1;
	buf_init(&text, HTTP_HEAD_MAX);
	buf_printf(&text, "%s " SPAN_FMT " HTTP/1.1\r\nHost: %s\r\n", r->method,
		   SPAN_ARG(r->target), h->url.authority);
	if (r->body >= 0 || r->text.n)
		buf_printf(&text, "Content-Length: %llu\r\n",
			   (unsigned long long)(r->text.n ? r->text.n : r->body_size));
	if (r->expect)
		buf_add_str(&text, "Expect: 100-continue\r\n");
	buf_add_span(&text, r->headers);
	buf_add_str(&text, "\r\n");
	if (text.over)
		return err_set(e, ERR_LIMIT, "a request of over %d bytes", HTTP_HEAD_MAX);
	if (conn_write(h->conn, text.p, text.n, e) < 0)
		goto lost;
	// Servers that do not know the word say nothing: then the body goes all the same (RFC 9110 10.1.1).
	if (r->expect && conn_comes(h->conn, EXPECT_MS)) {
		if (read_head(h, true, e) < 0)
			goto lost;
		unsent = h->head.status != 100;
	}
	if ((r->body >= 0 || r->text.n) && !unsent && send_body(h, r, &fault) < 0 &&
	    fault.code != ERR_UNAVAILABLE) {
		*e = fault;
		goto lost;
	}
	// A server that refuses a body may close while we send; it said why before.
	if (!unsent && read_head(h, false, e) < 0)
		goto lost;
	// Whether it still waits for a body that will not come is not known.
	h->head.close = h->head.close || fault.code || unsent;
	*out = &h->head;
	return 0;
lost:
	disconnect(h);
	return -1;
}
