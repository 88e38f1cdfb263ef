// SPDX-License-Identifier: Apache-2.0
#include "image/challenge.h"

enum { PARAMS_MAX = 64, VALUE_MAX = 4096 };

static bool is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip_blanks(struct span *s, bool commas)
{
	size_t i = 0;

	while (i < s->n && (s->p[i] == ' ' || s->p[i] == '\t' || (commas && s->p[i] == ',')))
		i++;
	*s = span_from(*s, i);
}

static struct span take_token(struct span *s)
{
	struct span all = *s;
	size_t i = 0;

	while (i < s->n && is_token(s->p[i]))
		i++;
	*s = span_from(*s, i);
	return span_head(all, i);
}

// A token or a quoted string, without its escapes. False when it is neither or too long.
static bool take_value(struct span *s, struct arena *mem, struct span *out)
{
	size_t n = 0, i = 1;
	char *text;

	if (!s->n || s->p[0] != '"') {
		*out = take_token(s);
		return out->n > 0 && out->n <= VALUE_MAX;
	}
	while (i < s->n && s->p[i] != '"')
		i += s->p[i] == '\\' ? 2 : 1;
	if (i >= s->n || i > VALUE_MAX)
		return false;
	text = arena_alloc(mem, i);
	for (size_t k = 1; k < i; k++) {
		k += s->p[k] == '\\';
		text[n++] = s->p[k];
	}
	*out = span_make(text, n);
	*s = span_from(*s, i + 1);
	return true;
}

// NAME "=" VALUE at the front; else *s stays: the next word is another scheme.
static bool take_param(struct span *s, struct arena *mem, struct span *name, struct span *value)
{
	struct span at = *s;

	skip_blanks(&at, true);
	*name = take_token(&at);
	skip_blanks(&at, false);
	if (!name->n || !at.n || at.p[0] != '=')
		return false;
	at = span_from(at, 1);
	skip_blanks(&at, false);
	if (!take_value(&at, mem, value))
		return false;
	*s = at;
	return true;
}

static void set_param(struct challenge *c, struct span name, struct span value)
{
	if (span_eq_nocase(name, SPAN("realm")))
		c->realm = value;
	else if (span_eq_nocase(name, SPAN("service")))
		c->service = value;
	else if (span_eq_nocase(name, SPAN("scope")))
		c->scope = value;
}

void challenge_parse(struct span field, struct arena *mem, struct challenge *out)
{
	unsigned params = 0;

	*out = (struct challenge){ CHALLENGE_NONE, SPAN(""), SPAN(""), SPAN("") };
	for (;;) {
		struct challenge c = { CHALLENGE_NONE, SPAN(""), SPAN(""), SPAN("") };
		struct span scheme, name, value;

		skip_blanks(&field, true);
		scheme = take_token(&field);
		if (!scheme.n)
			return;
		while (params < PARAMS_MAX && take_param(&field, mem, &name, &value)) {
			set_param(&c, name, value);
			params++;
		}
		if (span_eq_nocase(scheme, SPAN("Bearer")) && c.realm.n)
			c.kind = CHALLENGE_BEARER;
		else if (span_eq_nocase(scheme, SPAN("Basic")))
			c.kind = CHALLENGE_BASIC;
		if (c.kind > out->kind)
			*out = c;
	}
}
