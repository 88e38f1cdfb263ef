// SPDX-License-Identifier: Apache-2.0
#include "codec/text.h"

char *text_hex(char *out, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = p;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[from[i] >> 4];
		out[2 * i + 1] = digits[from[i] & 15];
	}
	out[2 * n] = 0;
	return out;
}

int text_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool text_hex_number(struct span text, size_t digits_max, uint64_t *out)
{
	uint64_t v = 0;

	if (!text.n || text.n > digits_max)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		int digit = text_hex_digit(text.p[i]);

		if (digit < 0)
			return false;
		v = v << 4 | (unsigned)digit;
	}
	*out = v;
	return true;
}

bool text_unhex(void *out, size_t n, struct span text)
{
	unsigned char *to = out;

	if (text.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = text_hex_digit(text.p[2 * i]), low = text_hex_digit(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		to[i] = (unsigned char)(high * 16 + low);
	}
	return true;
}

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *text_base64(char *out, const void *p, size_t n)
{
	const unsigned char *from = p;
	char *to = out;

	for (size_t i = 0; i < n; i += 3) {
		size_t have = n - i;
		unsigned v = (unsigned)from[i] << 16 | (have > 1 ? (unsigned)from[i + 1] << 8 : 0) |
			     (have > 2 ? from[i + 2] : 0);

		*to++ = letters[v >> 18];
		*to++ = letters[v >> 12 & 63];
		*to++ = have > 1 ? letters[v >> 6 & 63] : '=';
		*to++ = have > 2 ? letters[v & 63] : '=';
	}
	*to = 0;
	return out;
}

static int letter(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ptrdiff_t text_unbase64(void *out, size_t size, struct span text)
{
	unsigned char *to = out;
	size_t pad = 0, n;

	if (text.n % 4)
		return -1;
	while (pad < 2 && pad < text.n && text.p[text.n - 1 - pad] == '=')
		pad++;
	n = text.n / 4 * 3 - pad;
	if (n > size)
		return -1;
	for (size_t i = 0, at = 0; i < text.n; i += 4) {
		unsigned v = 0;

		for (size_t k = 0; k < 4; k++) {
			bool padding = i + k >= text.n - pad;
			int d = padding ? 0 : letter(text.p[i + k]);

			if (d < 0)
				return -1;
			v = v << 6 | (unsigned)d;
		}
		for (int shift = 16; shift >= 0; shift -= 8) {
			if (at < n)
				to[at++] = (unsigned char)(v >> shift);
			else if (v >> shift & 255)
				return -1; // bits behind the end
		}
	}
	return (ptrdiff_t)n;
}
