// SPDX-License-Identifier: Apache-2.0
// Rules of CORS: read, written, and the one that fits a request.
#include "codec/xml.h"
#include "s3/cors.h"

// ---- reading -------------------------------------------------------------------------------------------

static bool is_method(struct span s)
{
	return span_is(s, "GET") || span_is(s, "PUT") || span_is(s, "POST") ||
	       span_is(s, "DELETE") || span_is(s, "HEAD");
}

static bool one_star(struct span s)
{
	return span_find(s, '*') == span_rfind(s, '*');
}

static struct s3_cors_list take_list(struct arena *mem, const struct xml_node *rule,
				     const char *name)
{
	struct xml_node *first = xml_child(rule, name);
	struct span *items;
	size_t n = 0;

	for (struct xml_node *x = first; x; x = xml_again(x))
		n++;
	items = arena_alloc(mem, (n + 1) * sizeof(*items));
	n = 0;
	for (struct xml_node *x = first; x; x = xml_again(x))
		items[n++] = arena_span(mem, span_trim(x->text));
	return (struct s3_cors_list){ items, n };
}

static int check_stars(const struct s3_cors_list *l, const char *name, struct err *e)
{
	for (size_t i = 0; i < l->n; i++)
		if (!one_star(l->items[i]))
			return err_set(e, ERR_UNSUPPORTED,
				       "%s \"" SPAN_FMT "\" can not have more than one wildcard.",
				       name, SPAN_ARG(span_head(l->items[i], 64)));
	return 0;
}

static int take_rule(struct arena *mem, const struct xml_node *x, struct s3_cors_rule *r,
		     struct err *e)
{
	struct span age = span_trim(xml_text(x, "MaxAgeSeconds")), id = xml_text(x, "ID");

	*r = (struct s3_cors_rule){ .id = id.p ? arena_span(mem, id) : id,
				    .origins = take_list(mem, x, "AllowedOrigin"),
				    .methods = take_list(mem, x, "AllowedMethod"),
				    .headers = take_list(mem, x, "AllowedHeader"),
				    .expose = take_list(mem, x, "ExposeHeader"),
				    .has_age = age.n > 0 };
	if (!r->origins.n || !r->methods.n || id.n > 255 ||
	    (age.n && (!span_to_u64(age, &r->age_s) || r->age_s > INT32_MAX)))
		return err_set(e, ERR_INVALID, "a rule lacks origins or methods");
	for (size_t i = 0; i < r->methods.n; i++)
		if (!is_method(r->methods.items[i]))
			return err_set(e, ERR_UNSUPPORTED,
				       "Found unsupported HTTP method in CORS config. Unsupported "
				       "method is " SPAN_FMT,
				       SPAN_ARG(span_head(r->methods.items[i], 32)));
	for (size_t i = 0; i < r->expose.n; i++)
		if (span_find(r->expose.items[i], '*') >= 0)
			return err_set(e, ERR_UNSUPPORTED,
				       "ExposeHeader \"" SPAN_FMT
				       "\" contains wildcard. We currently do not support wildcard "
				       "for ExposeHeader.",
				       SPAN_ARG(span_head(r->expose.items[i], 64)));
	return check_stars(&r->origins, "AllowedOrigin", e) < 0 ||
			       check_stars(&r->headers, "AllowedHeader", e) < 0
		       ? -1
		       : 0;
}

int s3_cors_parse(struct arena *mem, struct span xml, struct s3_cors *out, struct err *e)
{
	auto_arena struct arena tree = { 0 };
	struct xml_node *root = NULL, *x;

	*out = (struct s3_cors){ 0 };
	if (xml.n > S3_CORS_BYTES_MAX)
		return err_set(e, ERR_INVALID, "the document is too large");
	if (xml_parse(&tree, xml, NULL, &root, e) < 0)
		return -1;
	if (!span_is(root->name, "CORSConfiguration"))
		return err_set(e, ERR_INVALID, "this is no CORSConfiguration");
	out->rules = arena_alloc(mem, S3_CORS_RULES_MAX * sizeof(*out->rules));
	for (x = xml_child(root, "CORSRule"); x; x = xml_again(x)) {
		if (out->n == S3_CORS_RULES_MAX)
			return err_set(e, ERR_INVALID, "more than %d rules", S3_CORS_RULES_MAX);
		if (take_rule(mem, x, &out->rules[out->n++], e) < 0)
			return -1;
	}
	return out->n ? 0 : err_set(e, ERR_INVALID, "there are no rules");
}

// ---- writing -------------------------------------------------------------------------------------------

static void print_list(struct buf *b, const char *name, const struct s3_cors_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		xml_add(b, name, l->items[i]);
}

void s3_cors_print(struct buf *b, const struct s3_cors *c)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct s3_cors_rule *r = &c->rules[i];

		xml_open(b, "CORSRule");
		if (r->id.p)
			xml_add(b, "ID", r->id);
		print_list(b, "AllowedOrigin", &r->origins);
		print_list(b, "AllowedMethod", &r->methods);
		print_list(b, "AllowedHeader", &r->headers);
		print_list(b, "ExposeHeader", &r->expose);
		if (r->has_age)
			xml_add_u64(b, "MaxAgeSeconds", r->age_s);
		xml_close(b, "CORSRule");
	}
}

// ---- finding -------------------------------------------------------------------------------------------

// A pattern with at most one star.
static bool fits(struct span pattern, struct span text, bool nocase)
{
	ptrdiff_t star = span_find(pattern, '*');
	struct span head, tail;

	if (star < 0)
		return nocase ? span_eq_nocase(pattern, text) : span_eq(pattern, text);
	head = span_head(pattern, (size_t)star);
	tail = span_from(pattern, (size_t)star + 1);
	if (text.n < head.n + tail.n)
		return false;
	return nocase ? span_starts_nocase(text, head) &&
				span_eq_nocase(span_from(text, text.n - tail.n), tail)
		      : span_starts(text, head) && span_ends(text, tail);
}

static bool any_fits(const struct s3_cors_list *l, struct span text)
{
	for (size_t i = 0; i < l->n; i++)
		if (fits(l->items[i], text, true))
			return true;
	return false;
}

static bool headers_fit(const struct s3_cors_rule *r, struct span asked)
{
	while (asked.n) {
		struct span one = span_trim(span_cut(&asked, ','));

		if (one.n && !any_fits(&r->headers, one))
			return false;
	}
	return true;
}

const struct s3_cors_rule *s3_cors_find(const struct s3_cors *c, struct span origin,
					struct span method, struct span headers,
					struct span *allowed)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct s3_cors_rule *r = &c->rules[i];
		bool may = false;

		for (size_t k = 0; k < r->methods.n; k++)
			may |= span_eq(r->methods.items[k], method);
		if (!may || !headers_fit(r, headers))
			continue;
		for (size_t k = 0; k < r->origins.n; k++)
			if (fits(r->origins.items[k], origin, false)) {
				*allowed = span_is(r->origins.items[k], "*") ? SPAN("*") : origin;
				return r;
			}
	}
	return NULL;
}
