// SPDX-License-Identifier: Apache-2.0
#include "codec/shell_frame.h"

#include <string.h>

static unsigned get16(const char *p)
{
	return (unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1];
}

static void put16(char *p, unsigned v)
{
	p[0] = (char)(v >> 8);
	p[1] = (char)v;
}

char *shell_reader_room(struct shell_reader *r, size_t *max)
{
	if (r->at) {
		memmove(r->bytes, r->bytes + r->at, r->n - r->at);
		r->n -= r->at;
		r->at = 0;
	}
	*max = sizeof(r->bytes) - r->n;
	return r->bytes + r->n;
}

void shell_reader_grew(struct shell_reader *r, size_t n)
{
	check(n <= sizeof(r->bytes) - r->n);
	r->n += n;
}

static int bad(struct err *e)
{
	return err_set(e, ERR_PROTOCOL, "not a frame of " SHELL_PROTOCOL);
}

// Fills *out from a whole frame. The payload has n bytes.
static int take(struct shell_frame *out, const char *p, size_t n, bool from_client, struct err *e)
{
	*out = (struct shell_frame){ .payload = span_make(p, n) };
	switch (p[-SHELL_HEAD]) {
	case SHELL_INPUT:
		out->kind = SHELL_INPUT;
		return from_client ? 1 : bad(e);
	case SHELL_INPUT_END:
		out->kind = SHELL_INPUT_END;
		return from_client && !n ? 1 : bad(e);
	case SHELL_SIZE:
		if (!from_client || n != 4)
			return bad(e);
		out->kind = SHELL_SIZE;
		out->rows = (uint16_t)get16(p);
		out->columns = (uint16_t)get16(p + 2);
		return 1;
	case SHELL_OUTPUT:
		out->kind = SHELL_OUTPUT;
		return from_client ? bad(e) : 1;
	case SHELL_ERRORS:
		out->kind = SHELL_ERRORS;
		return from_client ? bad(e) : 1;
	case SHELL_END:
		if (from_client || n < 2 || n > 2 + SHELL_REASON_MAX || p[0] < SHELL_EXITED ||
		    p[0] > SHELL_BROKEN)
			return bad(e);
		out->kind = SHELL_END;
		out->how = (enum shell_end_how)p[0];
		out->code = (uint8_t)p[1];
		out->payload = span_make(p + 2, n - 2);
		return 1;
	default:
		return bad(e);
	}
}

int shell_reader_next(struct shell_reader *r, bool from_client, struct shell_frame *out,
		      struct err *e)
{
	const char *head = r->bytes + r->at;
	size_t held = r->n - r->at, n;

	if (held < SHELL_HEAD)
		return 0;
	n = get16(head + 2);
	if (head[1] || n > SHELL_PAYLOAD_MAX)
		return bad(e);
	if (held < SHELL_HEAD + n)
		return 0;
	r->at += SHELL_HEAD + n;
	return take(out, head + SHELL_HEAD, n, from_client, e);
}

size_t shell_frame_seal(char *out, enum shell_kind kind, size_t payload)
{
	check(payload <= SHELL_PAYLOAD_MAX);
	out[0] = (char)kind;
	out[1] = 0;
	put16(out + 2, (unsigned)payload);
	return SHELL_HEAD + payload;
}

size_t shell_frame_size(char out[static SHELL_HEAD + 4], unsigned rows, unsigned columns)
{
	put16(out + SHELL_HEAD, rows);
	put16(out + SHELL_HEAD + 2, columns);
	return shell_frame_seal(out, SHELL_SIZE, 4);
}

size_t shell_frame_end(char out[static SHELL_HEAD + 2 + SHELL_REASON_MAX], enum shell_end_how how,
		       unsigned code, const char *reason)
{
	size_t n = strnlen(reason, SHELL_REASON_MAX);

	out[SHELL_HEAD] = (char)how;
	out[SHELL_HEAD + 1] = (char)code;
	memcpy(out + SHELL_HEAD + 2, reason, n);
	return shell_frame_seal(out, SHELL_END, 2 + n);
}
