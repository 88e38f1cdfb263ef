// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "s3/request.h"

#include <stdarg.h>

enum { XML_MAX = 32 << 20 }; // 1,000 entries of 1 KiB keys, each byte escaped

static void send_error(struct s3_req *q, enum s3_code code, const char *text)
{
	const struct s3_error *f = s3_error(code);
	auto_buf struct buf b = { 0 };

	q->failed = true;
	if (code == S3_NOT_MODIFIED) {
		http_reply(q->http, f->status, NULL, SPAN(""));
		return;
	}
	if (f->status == 503)
		http_reply_header(q->http, "Retry-After", SPAN("1"));
	buf_init(&b, 65536);
	buf_add_str(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	xml_open(&b, "Error");
	xml_add(&b, "Code", span_of(f->code));
	xml_add(&b, "Message", span_of(text));
	if (q->key.n)
		xml_add(&b, "Key", span_head(q->key, STORE_KEY_MAX));
	if (q->bucket_name.n)
		xml_add(&b, "BucketName", span_head(q->bucket_name, STORE_BUCKET_MAX));
	if (code == S3_AUTH_HEADER_MALFORMED)
		xml_add(&b, "Region", span_of(authn_region(q->s3->o.authn)));
	xml_add(&b, "Resource", span_head(http_path_raw(q->http), 2 * STORE_KEY_MAX));
	xml_add(&b, "RequestId", span_of(http_id(q->http)));
	xml_add(&b, "HostId", SPAN("oscar"));
	xml_close(&b, "Error");
	http_reply(q->http, f->status, "application/xml", buf_span(&b));
}

bool s3_fail(struct s3_req *q, enum s3_code code)
{
	send_error(q, code, s3_error(code)->text);
	return false;
}

bool s3_failf(struct s3_req *q, enum s3_code code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	send_error(q, code, text);
	return false;
}

bool s3_fail_store(struct s3_req *q, const struct err *e)
{
	enum s3_code code = s3_code_of_store(e);

	if (code == S3_INTERNAL)
		log_error("s3", "request %s: %s: %s", http_id(q->http), err_name(e->code), e->msg);
	if (code == S3_INVALID_ARGUMENT || code == S3_ENTITY_TOO_LARGE)
		return s3_failf(q, code, "%s", e->msg);
	return s3_fail(q, code);
}

void s3_xml_begin(struct buf *b, const char *root)
{
	buf_init(b, XML_MAX);
	buf_printf(b,
		   "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		   "<%s xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
		   root);
}

void s3_xml_send(struct s3_req *q, struct buf *b, const char *root)
{
	xml_close(b, root);
	if (b->over)
		s3_fail(q, S3_INTERNAL);
	else
		http_reply_buf(q->http, 200, "application/xml", b);
}

void s3_empty(struct s3_req *q, unsigned status)
{
	http_reply_kept(q->http, status, NULL, SPAN(""));
}

void s3_xml_time(struct buf *b, const char *name, int64_t ns)
{
	char text[CLOCK_TEXT_MAX];

	xml_add(b, name, span_of(clock_iso_ms(ns, text)));
}

void s3_xml_etag(struct buf *b, const char *etag)
{
	buf_add_str(b, "<ETag>&#34;");
	buf_add_str(b, etag); // hexadecimal digits and "-"
	buf_add_str(b, "&#34;</ETag>");
}

void s3_xml_checksum(struct buf *b, enum s3_sum_kind kind, struct span value)
{
	if (kind != S3_SUM_NONE)
		buf_printf(b, "<Checksum%s>" SPAN_FMT "</Checksum%s>", s3_sum_name(kind),
			   SPAN_ARG(value), s3_sum_name(kind));
}

void s3_xml_owner(struct s3_req *q, struct buf *b, const char *name, int64_t user)
{
	struct auth_user u = { 0 };
	struct err ignored = { 0 };

	if (auth_user_by_id(q->s3->o.auth, user, &u, &ignored) < 0)
		u.name[0] = 0; // the user was removed; the number still says whose it was
	xml_open(b, name);
	buf_printf(b, "<ID>%064llx</ID>", (unsigned long long)user);
	xml_add(b, "DisplayName", span_of(u.name));
	xml_close(b, name);
}
