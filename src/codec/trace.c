// SPDX-License-Identifier: Apache-2.0
#include "codec/trace.h"

#include "codec/text.h"

#include <stdio.h>
#include <string.h>

enum { PARTS = 55 }; // of version 00: 2 + 1 + 32 + 1 + 16 + 1 + 2

static bool any(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return true;
	return false;
}

bool trace_is(const struct trace_context *t)
{
	return any(t->id, sizeof(t->id));
}

// Upper-case digits are not of the form.
static bool unhex(uint8_t *out, size_t n, struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] >= 'A' && text.p[i] <= 'F')
			return false;
	return text_unhex(out, n, text);
}

bool trace_parse(struct span header, struct trace_context *out)
{
	struct trace_context t = { 0 };
	const char *p = header.p;
	uint8_t version, flags;

	*out = t;
	if (header.n < PARTS || p[2] != '-' || p[35] != '-' || p[52] != '-' ||
	    !unhex(&version, 1, span_make(p, 2)) || version == 0xff ||
	    !unhex(t.id, sizeof(t.id), span_make(p + 3, 32)) ||
	    !unhex(t.parent, sizeof(t.parent), span_make(p + 36, 16)) ||
	    !unhex(&flags, 1, span_make(p + 53, 2)) || !any(t.id, sizeof(t.id)) ||
	    !any(t.parent, sizeof(t.parent)))
		return false;
	// A later version may say more behind another dash.
	if (header.n > PARTS && (!version || p[PARTS] != '-'))
		return false;
	t.flags = flags & TRACE_SAMPLED;
	*out = t;
	return true;
}

char *trace_id_text(const struct trace_context *t, char out[static TRACE_ID_TEXT])
{
	return text_hex(out, t->id, sizeof(t->id));
}

char *trace_text(const struct trace_context *t, char out[static TRACE_TEXT])
{
	char id[TRACE_ID_TEXT], parent[2 * TRACE_PARENT + 1];

	snprintf(out, TRACE_TEXT, "00-%s-%s-%02x", trace_id_text(t, id),
		 text_hex(parent, t->parent, sizeof(t->parent)), t->flags);
	return out;
}

bool trace_id_parse(struct span text, uint8_t id[static TRACE_ID])
{
	return text.n == 2 * (size_t)TRACE_ID && unhex(id, TRACE_ID, text) && any(id, TRACE_ID);
}
