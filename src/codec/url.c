// SPDX-License-Identifier: Apache-2.0
#include "codec/url.h"

#include "codec/text.h"

// The byte of the escape at s.p[at], or -1 when there is no well-formed one.
static int escape_at(struct span s, size_t at)
{
	int high, low;

	if (s.p[at] != '%' || s.n - at < 3)
		return -1;
	high = text_hex_digit(s.p[at + 1]);
	low = text_hex_digit(s.p[at + 2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

struct span url_decode(struct arena *a, struct span s, enum url_plus plus)
{
	size_t n = 0;
	char *out;

	if (span_find(s, '%') < 0 && (plus == URL_PLUS_KEEP || span_find(s, '+') < 0))
		return s;
	out = arena_alloc(a, s.n + 1);
	for (size_t i = 0; i < s.n; i++) {
		int byte = escape_at(s, i);

		if (byte >= 0) {
			out[n++] = (char)byte;
			i += 2;
		} else {
			out[n++] = s.p[i] == '+' && plus == URL_PLUS_BLANK ? ' ' : s.p[i];
		}
	}
	return span_make(out, n);
}

static bool unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

static void encode(struct buf *b, struct span s, const char *keep, bool form)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t from = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		char text[3] = { '%', digits[c >> 4], digits[c & 15] };

		if (unreserved(s.p[i]) || (c && strchr(keep, c)))
			continue;
		buf_add(b, s.p + from, i - from);
		if (form && c == ' ')
			buf_add_char(b, '+');
		else
			buf_add(b, text, 3);
		from = i + 1;
	}
	buf_add(b, s.p + from, s.n - from);
}

void url_encode(struct buf *b, struct span s, const char *keep)
{
	encode(b, s, keep, false);
}

void url_encode_form(struct buf *b, struct span s, const char *keep)
{
	encode(b, s, keep, true);
}

struct span url_encode_arena(struct arena *a, struct span s, const char *keep)
{
	auto_buf struct buf b = { 0 };

	buf_init(&b, s.n * 3);
	url_encode(&b, s, keep);
	return arena_span(a, buf_span(&b));
}

bool url_has_escaped(struct span s, unsigned char byte)
{
	for (size_t i = 0; i < s.n; i++)
		if (escape_at(s, i) == byte)
			return true;
	return false;
}

bool url_query_next(struct span *rest, struct span *name, struct span *value)
{
	while (rest->n) {
		struct span member = span_cut(rest, '&');

		if (!member.n)
			continue;
		*name = span_cut(&member, '=');
		*value = member;
		return true;
	}
	return false;
}

bool url_query_get(struct arena *a, struct span query, const char *name, struct span *value)
{
	struct span n, v;

	while (url_query_next(&query, &n, &v))
		if (span_is(url_decode(a, n, URL_PLUS_BLANK), name)) {
			*value = url_decode(a, v, URL_PLUS_BLANK);
			return true;
		}
	return false;
}
