// SPDX-License-Identifier: Apache-2.0
#include "codec/sigv4.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/text.h"
#include "codec/url.h"

#include <stdlib.h>

enum { TEXT_MAX = 1 << 20 }; // far above what a request head can hold

struct member {
	struct span name, value;
};

static int member_order(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int c = span_cmp(x->name, y->name);

	return c ? c : span_cmp(x->value, y->value);
}

static struct span encoded_again(struct arena *a, struct span s)
{
	return url_encode_arena(a, url_decode(a, s, URL_PLUS_BLANK), "");
}

struct span sigv4_query(struct arena *a, struct span query, const char *skip)
{
	struct span rest = query, name, value;
	struct member *m;
	size_t n = 0;
	auto_buf struct buf b = { 0 };

	while (url_query_next(&rest, &name, &value))
		n++;
	m = arena_alloc(a, (n + 1) * sizeof(*m));
	n = 0;
	while (url_query_next(&query, &name, &value)) {
		m[n].name = encoded_again(a, name);
		m[n].value = encoded_again(a, value);
		if (!skip || !span_is(m[n].name, skip))
			n++;
	}
	qsort(m, n, sizeof(*m), member_order);
	buf_init(&b, TEXT_MAX);
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_add_char(&b, '&');
		buf_add_span(&b, m[i].name);
		buf_add_char(&b, '=');
		buf_add_span(&b, m[i].value);
	}
	return arena_span(a, buf_span(&b));
}

// Trimmed, with inner runs of blanks as one.
static void add_folded(struct buf *b, struct span value)
{
	value = span_trim(value);
	for (size_t i = 0; i < value.n; i++) {
		bool blank = value.p[i] == ' ' || value.p[i] == '\t';

		if (blank && (value.p[i + 1] == ' ' || value.p[i + 1] == '\t'))
			continue; // the last byte is no blank, so [i + 1] is there
		buf_add_char(b, blank ? ' ' : value.p[i]);
	}
}

static void add_lower(struct buf *b, struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_add_char(b, s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 32) : s.p[i]);
}

// Version 2 leaves runs of blanks as they are.
static void add_header(struct buf *b, const struct sigv4_request *r, struct span name, bool fold)
{
	bool more = false;

	add_lower(b, name);
	buf_add_char(b, ':');
	for (size_t i = 0; i < r->header_count; i++)
		if (span_eq_nocase(r->headers[i].name, name)) {
			if (more)
				buf_add_char(b, ',');
			if (fold)
				add_folded(b, r->headers[i].value);
			else
				buf_add_span(b, span_trim(r->headers[i].value));
			more = true;
		}
	buf_add_char(b, '\n');
}

struct span sigv4_canonical(struct arena *a, const struct sigv4_request *r)
{
	struct span names = r->signed_headers;
	auto_buf struct buf b = { 0 };

	buf_init(&b, TEXT_MAX);
	buf_add_span(&b, r->method);
	buf_add_char(&b, '\n');
	if (r->path_as_is)
		buf_add_span(&b, r->path);
	else
		url_encode(&b, url_decode(a, r->path, URL_PLUS_KEEP), "/");
	buf_add_char(&b, '\n');
	buf_add_span(&b, sigv4_query(a, r->query, r->skip_query));
	buf_add_char(&b, '\n');
	while (names.n)
		add_header(&b, r, span_cut(&names, ';'), true);
	buf_add_char(&b, '\n');
	add_lower(&b, r->signed_headers);
	buf_add_char(&b, '\n');
	buf_add_span(&b, r->payload);
	return arena_span(a, buf_span(&b));
}

struct span sigv4_string_to_sign(struct arena *a, struct span time, const struct sigv4_scope *s,
				 struct span canonical)
{
	uint8_t sum[DIGEST_MAX];
	char hex[SIGV4_HEX];

	digest_once(DIGEST_SHA256, canonical, sum);
	return span_of(arena_printf(a,
				    "AWS4-HMAC-SHA256\n" SPAN_FMT "\n" SPAN_FMT "/" SPAN_FMT
				    "/" SPAN_FMT "/aws4_request\n%s",
				    SPAN_ARG(time), SPAN_ARG(s->date), SPAN_ARG(s->region),
				    SPAN_ARG(s->service), text_hex(hex, sum, 32)));
}

void sigv4_key(struct span secret, const struct sigv4_scope *s, uint8_t out[static 32])
{
	auto_buf struct buf first = { 0 };
	uint8_t k[DIGEST_MAX];

	buf_init(&first, secret.n + 4);
	buf_add_str(&first, "AWS4");
	buf_add_span(&first, secret);
	digest_hmac(DIGEST_SHA256, buf_span(&first), s->date, k);
	digest_hmac(DIGEST_SHA256, span_make(k, 32), s->region, k);
	digest_hmac(DIGEST_SHA256, span_make(k, 32), s->service, k);
	digest_hmac(DIGEST_SHA256, span_make(k, 32), SPAN("aws4_request"), k);
	memcpy(out, k, 32);
	mem_wipe(first.p, first.n);
	mem_wipe(k, sizeof(k));
}

void sigv4_sign(const uint8_t key[static 32], struct span text, char out[static SIGV4_HEX])
{
	uint8_t sum[DIGEST_MAX];

	digest_hmac(DIGEST_SHA256, span_make(key, 32), text, sum);
	text_hex(out, sum, 32);
}

// ---- for clients ---------------------------------------------------------------------------------------

static int name_order(const void *a, const void *b)
{
	return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

// All header names in lower case, sorted, each once.
static struct span all_headers(struct arena *a, const struct sigv4_request *r)
{
	struct span *names = arena_alloc(a, (r->header_count + 1) * sizeof(*names));
	auto_buf struct buf b = { 0 };

	for (size_t i = 0; i < r->header_count; i++) {
		auto_buf struct buf name = { 0 };

		buf_init(&name, TEXT_MAX);
		add_lower(&name, r->headers[i].name);
		names[i] = arena_span(a, buf_span(&name));
	}
	qsort(names, r->header_count, sizeof(*names), name_order);
	buf_init(&b, TEXT_MAX);
	for (size_t i = 0; i < r->header_count; i++) {
		if (i && span_eq(names[i], names[i - 1]))
			continue;
		if (i)
			buf_add_char(&b, ';');
		buf_add_span(&b, names[i]);
	}
	return arena_span(a, buf_span(&b));
}

struct signing {
	char time[CLOCK_TEXT_MAX];
	struct sigv4_scope scope;
};

static void signing_init(struct signing *s, const struct sigv4_client *c)
{
	clock_basic(c->time_ns, s->time);
	s->scope.date = span_make(s->time, 8);
	s->scope.region = c->region.n ? c->region : SPAN("us-east-1");
	s->scope.service = SPAN("s3");
}

static void sign(struct arena *a, const struct sigv4_client *c, const struct signing *s,
		 const struct sigv4_request *r, char out[static SIGV4_HEX])
{
	uint8_t key[32];

	sigv4_key(c->secret, &s->scope, key);
	sigv4_sign(key, sigv4_string_to_sign(a, span_of(s->time), &s->scope, sigv4_canonical(a, r)),
		   out);
	mem_wipe(key, sizeof(key));
}

struct span sigv4_authorization(struct arena *a, const struct sigv4_client *c,
				const struct sigv4_request *r)
{
	struct sigv4_request full = *r;
	char signature[SIGV4_HEX];
	struct signing s;

	signing_init(&s, c);
	full.signed_headers = all_headers(a, r);
	sign(a, c, &s, &full, signature);
	return span_of(
		arena_printf(a,
			     "AWS4-HMAC-SHA256 Credential=" SPAN_FMT "/" SPAN_FMT "/" SPAN_FMT
			     "/s3/aws4_request, SignedHeaders=" SPAN_FMT ", Signature=%s",
			     SPAN_ARG(c->access), SPAN_ARG(s.scope.date), SPAN_ARG(s.scope.region),
			     SPAN_ARG(full.signed_headers), signature));
}

struct span sigv4_presign(struct arena *a, const struct sigv4_client *c,
			  const struct sigv4_request *r, unsigned expires_s)
{
	struct sigv4_request full = *r;
	char signature[SIGV4_HEX];
	struct signing s;

	signing_init(&s, c);
	full.signed_headers = all_headers(a, r);
	full.payload = SPAN(SIGV4_UNSIGNED);
	full.query = span_of(arena_printf(
		a,
		SPAN_FMT "%sX-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" SPAN_FMT
			 "%%2F" SPAN_FMT "%%2F" SPAN_FMT
			 "%%2Fs3%%2Faws4_request&X-Amz-Date=%s&X-Amz-Expires=%u"
			 "&X-Amz-SignedHeaders=" SPAN_FMT,
		SPAN_ARG(r->query), r->query.n ? "&" : "",
		SPAN_ARG(url_encode_arena(a, c->access, "")), SPAN_ARG(s.scope.date),
		SPAN_ARG(s.scope.region), s.time, expires_s,
		SPAN_ARG(url_encode_arena(a, full.signed_headers, ""))));
	sign(a, c, &s, &full, signature);
	return span_of(
		arena_printf(a, SPAN_FMT "&X-Amz-Signature=%s", SPAN_ARG(full.query), signature));
}

// ---- version 2 -----------------------------------------------------------------------------------------

// The query members that are part of a version 2 resource.
static const char *const v2_members[] = {
	"accelerate",
	"acl",
	"analytics",
	"cors",
	"defaultObjectAcl",
	"delete",
	"inventory",
	"lifecycle",
	"location",
	"logging",
	"metrics",
	"notification",
	"object-lock",
	"partNumber",
	"policy",
	"replication",
	"requestPayment",
	"response-cache-control",
	"response-content-disposition",
	"response-content-encoding",
	"response-content-language",
	"response-content-type",
	"response-expires",
	"restore",
	"select",
	"select-type",
	"storageClass",
	"tagging",
	"torrent",
	"uploadId",
	"uploads",
	"versionId",
	"versioning",
	"versions",
	"website",
};

static struct span header_of(const struct sigv4_request *r, const char *name)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (span_eq_nocase(r->headers[i].name, span_of(name)))
			return r->headers[i].value;
	return SPAN("");
}

static void add_amz_headers(struct arena *a, struct buf *b, const struct sigv4_request *r)
{
	struct sigv4_request amz = *r;
	struct sigv4_header *kept = arena_alloc(a, (r->header_count + 1) * sizeof(*kept));
	struct span names;

	amz.header_count = 0;
	for (size_t i = 0; i < r->header_count; i++)
		if (span_starts_nocase(r->headers[i].name, SPAN("x-amz-")))
			kept[amz.header_count++] = r->headers[i];
	amz.headers = kept;
	names = all_headers(a, &amz);
	while (names.n)
		add_header(b, &amz, span_cut(&names, ';'), false);
}

// Members are listed in the order of the table, which is sorted, with their values decoded.
static void add_resource_query(struct arena *a, struct buf *b, struct span query)
{
	char mark = '?';

	for (size_t i = 0; i < ARRAY_LEN(v2_members); i++) {
		struct span rest = query, name, value;

		while (url_query_next(&rest, &name, &value)) {
			if (!span_is(url_decode(a, name, URL_PLUS_BLANK), v2_members[i]))
				continue;
			buf_add_char(b, mark);
			mark = '&';
			buf_add_str(b, v2_members[i]);
			if (value.n) {
				buf_add_char(b, '=');
				buf_add_span(b, url_decode(a, value, URL_PLUS_BLANK));
			}
		}
	}
}

bool sigv2_covers(const char *member)
{
	for (size_t i = 0; i < ARRAY_LEN(v2_members); i++)
		if (strcmp(member, v2_members[i]) == 0)
			return true;
	return false;
}

struct span sigv2_string_to_sign(struct arena *a, const struct sigv4_request *r, struct span bucket,
				 struct span expires)
{
	auto_buf struct buf b = { 0 };

	buf_init(&b, TEXT_MAX);
	buf_add_span(&b, r->method);
	buf_add_char(&b, '\n');
	buf_add_span(&b, header_of(r, "Content-MD5"));
	buf_add_char(&b, '\n');
	buf_add_span(&b, header_of(r, "Content-Type"));
	buf_add_char(&b, '\n');
	buf_add_span(&b, expires);
	buf_add_char(&b, '\n');
	add_amz_headers(a, &b, r);
	if (bucket.n) {
		buf_add_char(&b, '/');
		buf_add_span(&b, bucket);
	}
	buf_add_span(&b, r->path);
	add_resource_query(a, &b, r->query);
	return arena_span(a, buf_span(&b));
}

void sigv2_sign(struct span secret, struct span text, char out[static 32])
{
	uint8_t sum[DIGEST_MAX];

	digest_hmac(DIGEST_SHA1, secret, text, sum);
	text_base64(out, sum, 20);
}
