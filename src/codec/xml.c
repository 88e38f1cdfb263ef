// SPDX-License-Identifier: Apache-2.0
#include "codec/xml.h"

#include "base/mem.h"

#include <expat.h>
#include <limits.h>

enum { DEPTH_MAX = 64 };

struct reader {
	XML_Parser parser;
	struct arena *arena;
	struct err *e;
	struct xml_limits limits;
	struct buf text;
	struct xml_node *root;
	struct xml_node *stack[DEPTH_MAX], **tail[DEPTH_MAX];
	unsigned depth, nodes;
	bool failed;
};

static void refuse(struct reader *r, enum err_code code, const char *text)
{
	if (!r->failed)
		err_set(r->e, code, "XML line %lu: %s", XML_GetCurrentLineNumber(r->parser), text);
	r->failed = true;
	XML_StopParser(r->parser, XML_FALSE);
}

static struct span local_name(struct reader *r, const char *name)
{
	struct span s = span_of(name);
	ptrdiff_t colon = span_rfind(s, ':');

	return arena_span(r->arena, span_from(s, (size_t)(colon + 1)));
}

static void add_attrs(struct reader *r, struct xml_node *n, const char **attrs)
{
	for (; attrs[0]; attrs += 2) {
		struct xml_attr *at = arena_alloc(r->arena, sizeof(*at));

		if (++r->nodes > r->limits.nodes) {
			refuse(r, ERR_LIMIT, "too many elements");
			return;
		}
		at->name = local_name(r, attrs[0]);
		at->value = arena_span(r->arena, span_of(attrs[1]));
		at->next = n->attrs;
		n->attrs = at;
	}
}

static void on_start(void *arg, const char *name, const char **attrs)
{
	struct reader *r = arg;
	struct xml_node *n;

	if (r->failed)
		return;
	if (r->depth == r->limits.depth) {
		refuse(r, ERR_LIMIT, "too deep");
		return;
	}
	if (++r->nodes > r->limits.nodes) {
		refuse(r, ERR_LIMIT, "too many elements");
		return;
	}
	n = arena_alloc(r->arena, sizeof(*n));
	n->name = local_name(r, name);
	n->text = SPAN("");
	add_attrs(r, n, attrs);
	if (r->depth) {
		*r->tail[r->depth - 1] = n;
		r->tail[r->depth - 1] = &n->next;
	} else {
		r->root = n;
	}
	r->stack[r->depth] = n;
	r->tail[r->depth] = &n->first;
	r->depth++;
	buf_clear(&r->text);
}

static void on_end(void *arg, const char *name unused_arg)
{
	struct reader *r = arg;
	struct xml_node *n;

	if (r->failed)
		return;
	n = r->stack[--r->depth];
	if (!n->first)
		n->text = arena_span(r->arena, buf_span(&r->text));
	buf_clear(&r->text);
}

static void on_text(void *arg, const char *text, int n)
{
	struct reader *r = arg;

	if (!r->failed && !buf_add(&r->text, text, (size_t)n))
		refuse(r, ERR_LIMIT, "a text is too long");
}

static void on_doctype(void *arg, const char *name unused_arg, const char *system unused_arg,
		       const char *public unused_arg, int internal unused_arg)
{
	refuse(arg, ERR_INVALID, "a document type is not allowed");
}

static int run(struct reader *r, struct span doc, struct err *e)
{
	enum XML_Status status;

	if (doc.n > INT_MAX)
		return err_set(e, ERR_LIMIT, "XML of %zu bytes", doc.n);
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	status = XML_Parse(r->parser, doc.p, (int)doc.n, 1);
	if (r->failed)
		return -1;
	if (status != XML_STATUS_OK)
		return err_set(e, ERR_INVALID, "XML line %lu: %s",
			       XML_GetCurrentLineNumber(r->parser),
			       XML_ErrorString(XML_GetErrorCode(r->parser)));
	return 0;
}

int xml_parse(struct arena *a, struct span doc, const struct xml_limits *limits,
	      struct xml_node **out, struct err *e)
{
	struct reader r = { .arena = a, .e = e };
	int done;

	if (limits)
		r.limits = *limits;
	r.limits.depth = r.limits.depth ? r.limits.depth : 16;
	r.limits.nodes = r.limits.nodes ? r.limits.nodes : 50000;
	check(r.limits.depth <= DEPTH_MAX);
	r.parser = XML_ParserCreate(NULL);
	mem_need(r.parser);
	buf_init(&r.text, r.limits.text ? r.limits.text : 8192);
	done = run(&r, doc, e);
	buf_release(&r.text);
	XML_ParserFree(r.parser);
	if (done == 0)
		*out = r.root;
	return done;
}

struct xml_node *xml_child(const struct xml_node *n, const char *name)
{
	for (struct xml_node *c = n ? n->first : NULL; c; c = c->next)
		if (span_is(c->name, name))
			return c;
	return NULL;
}

struct xml_node *xml_again(const struct xml_node *n)
{
	for (struct xml_node *c = n->next; c; c = c->next)
		if (span_eq(c->name, n->name))
			return c;
	return NULL;
}

struct span xml_text(const struct xml_node *n, const char *name)
{
	struct xml_node *c = xml_child(n, name);

	return c ? c->text : span_make(NULL, 0);
}

struct span xml_attr(const struct xml_node *n, const char *name)
{
	for (const struct xml_attr *a = n->attrs; a; a = a->next)
		if (span_is(a->name, name))
			return a->value;
	return span_make(NULL, 0);
}

// The length of the character at s.p[0] when XML may hold it (XML 1.0, 2.2), else 0.
static size_t allowed(struct span s)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if (c < 0x20)
		return c == '\t' || c == '\n' || c == '\r';
	if (n > s.n || !span_is_utf8(span_head(s, n)))
		return 0;
	if (n == 3 && c == 0xef && (unsigned char)s.p[1] == 0xbf && (unsigned char)s.p[2] >= 0xbe)
		return 0; // U+FFFE and U+FFFF
	return n;
}

static const char *escape_of(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&#34;";
	case '\'':
		return "&#39;";
	case '\t':
		return "&#x9;";
	case '\n':
		return "&#xA;";
	case '\r': // a bare one would be read as a line end
		return "&#xD;";
	default:
		return NULL;
	}
}

// How many bytes at the start need no thought.
static size_t plain_run(struct span s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= ' ' && !escape_of(s.p[n]))
		n++;
	return n;
}

void xml_escape(struct buf *b, struct span text)
{
	while (text.n) {
		size_t run = plain_run(text);

		buf_add(b, text.p, run);
		text = span_from(text, run);
		if (!text.n)
			break;
		const char *escape = escape_of(text.p[0]);
		size_t n = allowed(text);

		if (escape)
			buf_add_str(b, escape);
		else if (n)
			buf_add(b, text.p, n);
		else
			buf_add_str(b, "\xef\xbf\xbd");
		text = span_from(text, n ? n : 1);
	}
}

void xml_open(struct buf *b, const char *name)
{
	buf_add_char(b, '<');
	buf_add_str(b, name);
	buf_add_char(b, '>');
}

void xml_close(struct buf *b, const char *name)
{
	buf_add_str(b, "</");
	buf_add_str(b, name);
	buf_add_char(b, '>');
}

void xml_add(struct buf *b, const char *name, struct span text)
{
	xml_open(b, name);
	xml_escape(b, text);
	xml_close(b, name);
}

void xml_add_u64(struct buf *b, const char *name, uint64_t v)
{
	char text[20], *p = text + sizeof(text);

	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	xml_add(b, name, span_make(p, (size_t)(text + sizeof(text) - p)));
}

void xml_add_bool(struct buf *b, const char *name, bool v)
{
	xml_add(b, name, v ? SPAN("true") : SPAN("false"));
}
