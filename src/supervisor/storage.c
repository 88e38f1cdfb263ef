// SPDX-License-Identifier: Apache-2.0
#include "supervisor/storage.h"

#include "base/file.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/range.h"
#include "codec/sigv4.h"
#include "codec/text.h"
#include "codec/xml.h"
#include "supervisor/patience.h"
#include "supervisor/storage_private.h"

#include <unistd.h>

enum {
	CHUNK = 64 << 10,
	FAULT_BODY_MAX = 16 << 10,
	ETAG_MAX = 128,
	HOPS_MAX = 3, // of a redirect
};

int storage_open(struct stop *stop, const struct report *report, const struct config_store *store,
		 struct storage **out, struct err *e)
{
	struct storage *s = mem_zalloc(sizeof(*s));

	s->stop = stop;
	s->report = report;
	s->store = store;
	s->chunk = mem_alloc(CHUNK);
	if (http_url_parse(store->endpoint, &s->url, e) < 0 ||
	    http_new(stop, &s->url, store->verify, &s->http, e) < 0) {
		storage_close(s);
		return err_wrap(e, "storage %s", store->name);
	}
	if (store->kind == CONFIG_RUCIO)
		storage_rucio_open(s);
	*out = s;
	return 0;
}

void storage_close(struct storage *s)
{
	if (!s)
		return;
	storage_rucio_close(s);
	http_free(s->http);
	http_free(s->pool);
	mem_free(s->folder);
	mem_free(s->chunk);
	mem_free(s);
}

// ---- requests ----------------------------------------------------------------------------------------

static bool is_dav(const struct storage *s)
{
	return s->store->kind == CONFIG_WEBDAV || s->store->kind == CONFIG_REPLICA;
}

static bool is_redirect(const struct http_head *h)
{
	return h->status == 301 || h->status == 302 || h->status == 307 || h->status == 308;
}

// dCache's door sends to the pool that has the file, or will have it. The address there is the right to it: who we are
// is for the door alone.
static int follow(struct storage *s, struct http_request *http, const struct storage_request *r,
		  const struct http_head **head, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_buf struct buf lines = { 0 };
	struct http_url at = s->url, to;

	buf_init(&lines, HTTP_HEAD_MAX / 2);
	if (r->from)
		buf_printf(&lines, "Range: bytes=%llu-\r\nIf-Match: %s\r\n",
			   (unsigned long long)r->from, r->etag);
	buf_add_str(&lines, "User-Agent: oscar-supervisor\r\nAccept-Encoding: identity\r\n");
	for (unsigned hops = 0; is_redirect(*head); hops++) {
		struct span where = arena_span(&mem, http_head_get(*head, "location"));
		struct http *next = NULL;

		if (hops == HOPS_MAX)
			return err_set(e, ERR_PROTOCOL, "over %d redirects", HOPS_MAX);
		http_finish(s->last, NULL);
		if (http_redirect(&at, where, &to, &http->target, e) < 0 ||
		    http_new(s->stop, &to, s->store->verify, &next, e) < 0)
			return -1;
		http_free(s->pool);
		s->pool = s->last = next;
		at = to;
		http->expect = false;
		if (to.tls != s->url.tls || strcmp(to.authority, s->url.authority) != 0)
			http->headers = buf_span(&lines);
		if (http_send(next, http, head, e) < 0)
			return err_wrap(e, "sent on to %.80s", to.authority);
	}
	return 0;
}

int storage_send(struct storage *s, const struct storage_request *r, const struct http_head **head,
		 struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_buf struct buf text = { 0 };
	struct http_request http = { .method = r->method,
				     .body = r->body,
				     .body_size = r->body_size };

	buf_init(&text, HTTP_HEAD_MAX / 2);
	if (s->store->kind == CONFIG_S3)
		storage_s3_head(s, r, &mem, &text, &http.target);
	else
		storage_plain_head(s, r, &mem, &text, &http.target);
	if (r->from)
		buf_printf(&text, "Range: bytes=%llu-\r\nIf-Match: %s\r\n",
			   (unsigned long long)r->from, r->etag);
	buf_add_str(&text, "User-Agent: oscar-supervisor\r\nAccept-Encoding: identity\r\n");
	http.headers = buf_span(&text);
	http.expect = is_dav(s) && r->body >= 0 && r->body_size;
	s->last = s->http;
	if (http_send(s->http, &http, head, e) < 0)
		return -1;
	return is_dav(s) ? follow(s, &http, r, head, e) : 0;
}

// What the store says about a refusal, and whether asking again may help (ERR_UNAVAILABLE).
int storage_refused(struct storage *s, const struct http_head *head, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_buf struct buf body = { 0 };
	struct xml_node *root = NULL;
	struct err ignored;
	struct span code, text;
	int status = head->status;
	enum err_code kind = status == 404		      ? ERR_NOT_FOUND
			     : status == 401 || status == 403 ? ERR_DENIED
			     : status == 412		      ? ERR_CONFLICT
			     : status == 507		      ? ERR_FULL
			     : status == 429 || status == 408 ? ERR_UNAVAILABLE
			     : status >= 500 && status != 501 ? ERR_UNAVAILABLE
							      : ERR_PROTOCOL;

	buf_init(&body, FAULT_BODY_MAX);
	http_finish(s->last, &body);
	if (xml_parse(&mem, buf_span(&body), NULL, &root, &ignored) < 0)
		return err_set(e, kind, "status %d", status);
	code = xml_text(root, "Code");
	if (!code.n)
		return err_set(e, kind, "status %d", status);
	text = xml_text(root, "Message");
	return err_set(e, kind, "status %d, " SPAN_FMT ": " SPAN_FMT, status,
		       SPAN_ARG(span_head(code, 60)), SPAN_ARG(span_head(text, 120)));
}

// ---- fetch -------------------------------------------------------------------------------------------

struct fetch {
	int fd;
	uint64_t at;	   // bytes written
	uint64_t farthest; // the most there ever were: only more than that is progress
	uint64_t total;	   // of the object; UINT64_MAX = not said
	char etag[ETAG_MAX];
};

// Where the body of this answer begins, and how long the object is.
static int fetch_begin(struct fetch *f, const struct http_head *head, struct err *e)
{
	struct span etag = http_head_get(head, "etag");
	uint64_t first, last, total;

	if (head->status == 206) {
		if (!range_of_content(http_head_get(head, "content-range"), &first, &last,
				      &total) ||
		    first != f->at || (f->total != UINT64_MAX && total != f->total))
			return err_set(e, ERR_PROTOCOL, "the answer is another range than asked");
		return 0;
	}
	if (ftruncate(f->fd, 0) < 0 || lseek(f->fd, 0, SEEK_SET) < 0)
		return err_set(e, ERR_IO, "input file");
	f->at = 0;
	f->total = head->length >= 0 ? (uint64_t)head->length : UINT64_MAX;
	f->etag[0] = 0;
	if (etag.n && etag.n < sizeof(f->etag))
		memcpy(f->etag, etag.p, etag.n);
	f->etag[etag.n < sizeof(f->etag) ? etag.n : 0] = 0;
	return 0;
}

static int fetch_body(struct storage *s, struct fetch *f, struct patience *p, struct err *e)
{
	ssize_t n;

	while ((n = http_body(s->last, s->chunk, CHUNK, e)) > 0) {
		if (file_write_all(f->fd, s->chunk, (size_t)n, e) < 0)
			return -1;
		f->at += (uint64_t)n;
		if (f->at > f->farthest) {
			f->farthest = f->at;
			p->failed = 0;
		}
	}
	if (n < 0)
		return -1;
	if (f->total != UINT64_MAX && f->at != f->total)
		return err_set(e, ERR_UNAVAILABLE, "%llu bytes of %llu came",
			       (unsigned long long)f->at, (unsigned long long)f->total);
	http_finish(s->last, NULL);
	return 0;
}

static int fetch_once(struct storage *s, const struct storage_request *base, struct fetch *f,
		      struct patience *p, struct err *e)
{
	struct storage_request r = *base;
	const struct http_head *head;

	// Without an entity tag nobody can say that the rest is of the same object.
	r.from = f->etag[0] ? f->at : 0;
	r.etag = f->etag;
	if (storage_send(s, &r, &head, e) < 0)
		return -1;
	if (head->status != 200 && (head->status != 206 || !r.from)) {
		patience_heed(p, head);
		return storage_refused(s, head, e);
	}
	return fetch_begin(f, head, e) < 0 ? -1 : fetch_body(s, f, p, e);
}

int storage_fetch(struct storage *s, const struct storage_request *r, const char *what, int fd,
		  uint64_t *size, struct err *e)
{
	struct fetch f = { .fd = fd, .total = UINT64_MAX };
	struct patience p = { 0 };
	struct err fault = { 0 };

	while (fetch_once(s, r, &f, &p, &fault) < 0)
		if (!patience_again(&p, s->stop, s->report, what, &fault)) {
			*e = fault;
			return -1;
		}
	*size = f.at;
	return 0;
}

int storage_get(struct storage *s, const char *bucket, const char *key, int fd, uint64_t *size,
		struct err *e)
{
	struct storage_request r = { .method = "GET",
				     .bucket = bucket,
				     .key = key,
				     .sha256 = SPAN(SIGV4_EMPTY_SHA256),
				     .body = -1 };

	return storage_fetch(s, &r, key, fd, size, e) < 0
		       ? err_wrap(e, "%s/%.100s from %s", bucket, key, s->store->name)
		       : 0;
}

// ---- send --------------------------------------------------------------------------------------------

// Over plain HTTP nothing else guards the bytes, so the signature covers them; TLS does it by itself.
static int hash_body(struct storage *s, int fd, uint64_t size, char out[static SIGV4_HEX],
		     struct err *e)
{
	uint8_t sum[DIGEST_MAX];
	struct digest d;

	digest_init(&d, DIGEST_SHA256);
	for (uint64_t at = 0; at < size;) {
		uint64_t left = size - at;
		ssize_t n = file_pread_full(fd, s->chunk, left < CHUNK ? (size_t)left : CHUNK,
					    (off_t)at, e);

		if (n <= 0)
			return n ? -1 : err_set(e, ERR_CONFLICT, "the file became shorter");
		digest_update(&d, span_make(s->chunk, (size_t)n));
		at += (uint64_t)n;
	}
	digest_final(&d, sum);
	text_hex(out, sum, 32);
	return 0;
}

static bool stored(const struct storage *s, int status)
{
	if (s->store->kind == CONFIG_S3)
		return status == 200;
	return status == 200 || status == 201 || status == 202 || status == 204;
}

static bool lacks_folder(const struct storage *s, const struct http_head *head)
{
	return s->store->kind == CONFIG_REPLICA && (head->status == 404 || head->status == 409);
}

static int put_once(struct storage *s, const struct storage_request *r, struct patience *p,
		    struct err *e)
{
	bool has_folders = s->store->kind == CONFIG_WEBDAV || s->store->kind == CONFIG_ONEDATA;
	const struct http_head *head;

	if (has_folders && storage_plain_folders(s, r, e) < 0)
		return -1;
	if (storage_send(s, r, &head, e) < 0)
		return -1;
	if (lacks_folder(s, head)) {
		http_finish(s->last, NULL);
		if (storage_replica_folders(s, r->target, e) < 0 ||
		    storage_send(s, r, &head, e) < 0)
			return -1;
	}
	if (!stored(s, head->status)) {
		patience_heed(p, head);
		return storage_refused(s, head, e);
	}
	http_finish(s->last, NULL);
	return 0;
}

int storage_send_file(struct storage *s, const struct storage_request *r, const char *what,
		      struct err *e)
{
	struct patience p = { 0 };
	struct err fault = { 0 };

	while (put_once(s, r, &p, &fault) < 0)
		if (!patience_again(&p, s->stop, s->report, what, &fault)) {
			*e = fault;
			return -1;
		}
	return 0;
}

int storage_put(struct storage *s, const char *bucket, const char *key, int fd, uint64_t size,
		struct err *e)
{
	char sum[SIGV4_HEX];
	struct storage_request r = { .method = "PUT",
				     .bucket = bucket,
				     .key = key,
				     .sha256 = SPAN(SIGV4_UNSIGNED),
				     .body = fd,
				     .body_size = size };

	if (s->store->kind == CONFIG_RUCIO)
		return storage_rucio_put(s, key, fd, size, e) < 0
			       ? err_wrap(e, "%.100s to %s", key, s->store->name)
			       : 0;
	if (!s->url.tls && s->store->kind == CONFIG_S3) {
		if (hash_body(s, fd, size, sum, e) < 0)
			return -1;
		r.sha256 = span_of(sum);
	}
	return storage_send_file(s, &r, key, e) < 0
		       ? err_wrap(e, "%s/%.100s to %s", bucket, key, s->store->name)
		       : 0;
}
