// s3: files in the object store, with the keys that the server hands out for it. Owner: struct cli.
// Threads: one. Errors: those of http/client.h; S3's own messages as text.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/sigv4.h"
#include "codec/url.h"
#include "codec/xml.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIST_BODY_MAX = 16 << 20, OBJECTS_MAX = 2000000 };

struct cli_s3 {
	const char *endpoint; // without "/" at its end
	struct span host;     // as in the Host header
	struct span access, secret, region;
};

static struct span host_of(const char *endpoint)
{
	const char *at = strstr(endpoint, "://");
	struct span host = span_of(at ? at + 3 : endpoint);
	struct span scheme = span_make(endpoint, at ? (size_t)(at - endpoint) : 0);
	ptrdiff_t slash = span_find(host, '/');

	if (slash >= 0)
		host = span_head(host, (size_t)slash);
	if (span_is(scheme, "http") && span_ends(host, SPAN(":80")))
		host = span_head(host, host.n - 3); // libcurl leaves the usual port away
	if (span_is(scheme, "https") && span_ends(host, SPAN(":443")))
		host = span_head(host, host.n - 4);
	return host;
}

static int open_s3(struct cli *c, struct err *e)
{
	auto_json json_t *config = NULL;
	struct cli_s3 *s3;
	const json_t *p;
	size_t n;

	if (c->s3)
		return 0;
	if (cli_get_json(c, "/system/config", &config, e) < 0)
		return -1;
	p = json_object_get(config, "minio_provider");
	if (!*cli_text(p, "endpoint"))
		return err_set(e, ERR_PROTOCOL,
			       "the server does not say where its object store is");
	s3 = arena_alloc(&c->a, sizeof(*s3));
	s3->endpoint = arena_strdup(&c->a, cli_text(p, "endpoint"));
	n = strlen(s3->endpoint);
	while (n > 0 && s3->endpoint[n - 1] == '/')
		n--;
	s3->endpoint = arena_strndup(&c->a, s3->endpoint, n);
	s3->host = host_of(s3->endpoint);
	s3->access = arena_span(&c->a, span_of(cli_text(p, "access_key")));
	s3->secret = arena_span(&c->a, span_of(cli_text(p, "secret_key")));
	s3->region = arena_span(&c->a, span_of(cli_text(p, "region")));
	c->s3 = s3;
	return 0;
}

struct s3_call {
	const char *method, *bucket, *key, *query; // key and query may be NULL
	struct http_call http;			   // what is sent and taken
};

// What S3 says about a failure: the message of its XML body.
static int s3_check(const struct http_answer *a, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct xml_node *root;
	struct err fault = { 0 };
	struct span code, text;

	if (http_answer_check(a, &fault) == 0)
		return 0;
	*e = fault;
	if (xml_parse(&mem, buf_span(&a->body), NULL, &root, &fault) < 0)
		return -1;
	code = xml_text(root, "Code");
	text = xml_text(root, "Message");
	return err_set(e, e->code, "%.*s: %.*s", SPAN_ARG(span_head(code, 60)),
		       SPAN_ARG(span_head(text, 150)));
}

static int s3_call(struct cli *c, struct s3_call *s, struct http_answer *out, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	char date[CLOCK_TEXT_MAX];
	const char *headers[3];
	struct span path;
	int64_t now = clock_wall_ns();
	struct sigv4_client who;
	struct sigv4_header signed_headers[3];
	struct sigv4_request r;

	if (open_s3(c, e) < 0)
		return -1;
	clock_basic(now, date);
	path = span_of(arena_printf(&mem, "/%s%s%s", s->bucket, s->key ? "/" : "",
				    s->key ? url_encode_arena(&mem, span_of(s->key), "/").p : ""));
	who = (struct sigv4_client){ c->s3->access, c->s3->secret, c->s3->region, now };
	signed_headers[0] = (struct sigv4_header){ SPAN("host"), c->s3->host };
	signed_headers[1] =
		(struct sigv4_header){ SPAN("x-amz-content-sha256"), SPAN(SIGV4_UNSIGNED) };
	signed_headers[2] = (struct sigv4_header){ SPAN("x-amz-date"), span_of(date) };
	r = (struct sigv4_request){
		.method = span_of(s->method),
		.path = path,
		.query = span_of(s->query ? s->query : ""),
		.headers = signed_headers,
		.header_count = ARRAY_LEN(signed_headers),
		.payload = SPAN(SIGV4_UNSIGNED),
	};
	headers[0] = arena_printf(&mem, "x-amz-date: %s", date);
	headers[1] = "x-amz-content-sha256: " SIGV4_UNSIGNED;
	headers[2] = arena_printf(&mem, "Authorization: " SPAN_FMT,
				  SPAN_ARG(sigv4_authorization(&mem, &who, &r)));
	s->http.method = s->method;
	s->http.url = arena_printf(&mem, "%s" SPAN_FMT "%s%s", c->s3->endpoint, SPAN_ARG(path),
				   s->query ? "?" : "", s->query ? s->query : "");
	s->http.headers = headers;
	s->http.header_count = ARRAY_LEN(headers);
	s->http.no_auth = true;
	s->http.idle_ms = 120000;
	s->http.tries = 5;
	if (http_client_call(c->http, &s->http, out, e) < 0 || s3_check(out, e) < 0)
		return err_wrap(e, "%s %s/%s", s->method, s->bucket, s->key ? s->key : "");
	return 0;
}

struct transfer {
	int fd;
	uint64_t done;
	void (*progress)(void *owner, uint64_t done);
	void *owner;
};

static ssize_t send_file(void *owner, char *p, size_t n)
{
	struct transfer *t = owner;
	ssize_t got = pread(t->fd, p, n, (off_t)t->done);

	if (got > 0) {
		t->done += (uint64_t)got;
		if (t->progress)
			t->progress(t->owner, t->done);
	}
	return got;
}

static bool rewind_file(void *owner)
{
	struct transfer *t = owner;

	t->done = 0;
	return true;
}

int cli_s3_put(struct cli *c, const char *bucket, const char *key, int fd, uint64_t size,
	       void (*progress)(void *owner, uint64_t done), void *owner, struct err *e)
{
	struct transfer t = { .fd = fd, .progress = progress, .owner = owner };
	auto_http_answer struct http_answer a = { 0 };
	struct s3_call s = {
		.method = "PUT",
		.bucket = bucket,
		.key = key,
		.http = { .send = send_file,
			  .send_size = (int64_t)size,
			  .rewind = rewind_file,
			  .owner = &t },
	};

	return s3_call(c, &s, &a, e);
}

static bool take_file(void *owner, struct span piece)
{
	struct transfer *t = owner;
	struct err e;

	if (file_write_all(t->fd, piece.p, piece.n, &e) < 0)
		return false;
	t->done += piece.n;
	if (t->progress)
		t->progress(t->owner, t->done);
	return true;
}

// A name beside `path` that nobody has, open for writing.
static int open_temporary(struct cli *c, const char *path, const char **name, struct err *e)
{
	char *text = arena_printf(&c->a, "%s.part-XXXXXX", path);
	int fd = mkostemp(text, O_CLOEXEC);

	*name = text;
	return fd < 0 ? err_sys(e, ERR_IO, errno, "create %s", path) : fd;
}

int cli_s3_get(struct cli *c, const char *bucket, const char *key, const char *path,
	       void (*progress)(void *owner, uint64_t done), void *owner, struct err *e)
{
	struct transfer t = { .progress = progress, .owner = owner };
	auto_http_answer struct http_answer a = { 0 };
	struct s3_call s = {
		.method = "GET",
		.bucket = bucket,
		.key = key,
		.http = { .take = take_file, .owner = &t },
	};
	mode_t mask = umask(0);
	const char *temporary;
	auto_fd int fd = -1;

	umask(mask);
	fd = open_temporary(c, path, &temporary, e);
	if (fd < 0)
		return -1;
	t.fd = fd;
	if (s3_call(c, &s, &a, e) < 0) {
		unlink(temporary);
		return -1;
	}
	fchmod(fd, 0666 & ~mask);
	if (rename(temporary, path) < 0) {
		err_sys(e, ERR_IO, errno, "rename to %s", path);
		unlink(temporary);
		return -1;
	}
	return 0;
}

int cli_s3_delete(struct cli *c, const char *bucket, const char *key, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	struct s3_call s = { .method = "DELETE", .bucket = bucket, .key = key };

	return s3_call(c, &s, &a, e);
}

static int list_page(struct cli *c, const char *bucket, const char *prefix, const char *token,
		     struct http_answer *a, struct err *e)
{
	const char *query =
		token ? cli_path(c, "continuation-token=%s&encoding-type=url&list-type=2&prefix=%s",
				 token, prefix)
		      : cli_path(c, "encoding-type=url&list-type=2&prefix=%s", prefix);
	struct s3_call s = {
		.method = "GET",
		.bucket = bucket,
		.query = query,
		.http = { .body_max = LIST_BODY_MAX },
	};

	return s3_call(c, &s, a, e);
}

static struct cli_object *read_object(struct cli *c, const struct xml_node *n)
{
	struct cli_object *o = arena_alloc(&c->a, sizeof(*o));
	struct span key = url_decode(&c->a, xml_text(n, "Key"), URL_PLUS_BLANK);

	o->key = arena_strndup(&c->a, key.p, key.n);
	span_to_u64(xml_text(n, "Size"), &o->size);
	o->modified = arena_span(&c->a, xml_text(n, "LastModified")).p;
	return o;
}

int cli_s3_list(struct cli *c, const char *bucket, const char *prefix, struct cli_object **out,
		size_t *count, struct err *e)
{
	struct cli_object *first = NULL, **end = &first;
	const char *token = NULL;

	*count = 0;
	do {
		auto_arena struct arena mem = { 0 };
		auto_http_answer struct http_answer a = { 0 };
		struct xml_node *root, *n;

		if (list_page(c, bucket, prefix, token, &a, e) < 0 ||
		    xml_parse(&mem, buf_span(&a.body), NULL, &root, e) < 0)
			return err_wrap(e, "list %s/%s", bucket, prefix);
		for (n = xml_child(root, "Contents"); n; n = xml_again(n)) {
			struct cli_object *o = read_object(c, n);

			if (o->key[0] && o->key[strlen(o->key) - 1] == '/')
				continue; // a folder's own marker
			*end = o;
			end = &o->next;
			if (++*count > OBJECTS_MAX)
				return err_set(e, ERR_LIMIT, "more than %d objects", OBJECTS_MAX);
		}
		token = span_is(xml_text(root, "IsTruncated"), "true")
				? arena_span(&c->a, xml_text(root, "NextContinuationToken")).p
				: NULL;
	} while (token && *token);
	*out = first;
	return 0;
}
