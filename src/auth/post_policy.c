// SPDX-License-Identifier: Apache-2.0
#include "auth/post_policy.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/json.h"

struct check {
	const struct post_field *fields;
	size_t n;
	bool *covered; // per field: a condition names it
	struct post_range *range;
};

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, "Invalid Policy: %s", what);
}

// A text, or a whole number as its digits.
static bool text_of(const json_t *v, char scratch[static 32], struct span *out)
{
	if (json_is_string(v)) {
		*out = span_make(json_string_value(v), json_string_length(v));
		return true;
	}
	if (!json_is_integer(v))
		return false;
	snprintf(scratch, 32, "%lld", (long long)json_integer_value(v));
	*out = span_of(scratch);
	return true;
}

// A field that is not there is like an empty one.
static int compare(struct check *c, struct span name, struct span wanted, bool prefix,
		   struct err *e)
{
	bool found = false, good = true;

	for (size_t i = 0; i < c->n; i++)
		if (span_eq_nocase(c->fields[i].name, name)) {
			found = c->covered[i] = true;
			good = good && (prefix ? span_starts(c->fields[i].value, wanted)
					       : span_eq(c->fields[i].value, wanted));
		}
	if (found ? good : !wanted.n)
		return 0;
	return err_set(e, ERR_DENIED,
		       "Invalid according to Policy: Policy Condition failed: [\"%s\", \"$" SPAN_FMT
		       "\", \"" SPAN_FMT "\"]",
		       prefix ? "starts-with" : "eq", SPAN_ARG(span_head(name, 64)),
		       SPAN_ARG(span_head(wanted, 64)));
}

static int take_range(struct check *c, const json_t *list, struct err *e)
{
	char scratch[2][32];
	struct span min, max;

	if (json_array_size(list) != 3 || !text_of(json_array_get(list, 1), scratch[0], &min) ||
	    !text_of(json_array_get(list, 2), scratch[1], &max) ||
	    !span_to_u64(min, &c->range->min) || !span_to_u64(max, &c->range->max) ||
	    c->range->min > c->range->max)
		return bad(e, "content-length-range needs two numbers in order");
	return 0;
}

// ["eq", "$field", "value"], ["starts-with", "$field", "value"], ["content-length-range", 1, 10]
static int take_list(struct check *c, const json_t *list, struct err *e)
{
	char scratch[3][32];
	struct span op, name, value;
	bool prefix;

	if (!text_of(json_array_get(list, 0), scratch[0], &op))
		return bad(e, "a condition names no operator");
	if (span_eq_nocase(op, SPAN("content-length-range")))
		return take_range(c, list, e);
	prefix = span_eq_nocase(op, SPAN("starts-with"));
	if (!prefix && !span_eq_nocase(op, SPAN("eq")))
		return bad(e, "unknown operator of a condition");
	if (json_array_size(list) != 3 || !text_of(json_array_get(list, 1), scratch[1], &name) ||
	    !text_of(json_array_get(list, 2), scratch[2], &value) || name.n < 2 || name.p[0] != '$')
		return bad(e, "a condition needs a $field and a value");
	return compare(c, span_from(name, 1), value, prefix, e);
}

static int take_object(struct check *c, json_t *object, struct err *e)
{
	const char *name;
	json_t *v;

	if (!json_object_size(object))
		return bad(e, "a condition is empty");
	json_object_foreach(object, name, v)
	{
		char scratch[32];
		struct span value;

		if (!text_of(v, scratch, &value))
			return bad(e, "a condition's value is no text");
		if (compare(c, span_of(name), value, false, e) < 0)
			return -1;
	}
	return 0;
}

static bool needs_no_condition(struct span name)
{
	static const char *const names[] = { "policy", "file", "signature", "x-amz-signature",
					     "AWSAccessKeyId" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (span_eq_nocase(name, span_of(names[i])))
			return true;
	return span_starts_nocase(name, SPAN("x-ignore-"));
}

static int take_conditions(struct check *c, const json_t *list, struct err *e)
{
	struct err first = { 0 };

	// The document's own faults count before what the form lacks.
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *one = json_array_get(list, i);
		struct err fault = { 0 };
		int result = json_is_array(one) ? take_list(c, one, &fault)
			     : json_is_object(one)
				     ? take_object(c, one, &fault)
				     : bad(&fault, "a condition is neither list nor object");

		if (result < 0 && fault.code == ERR_INVALID) {
			*e = fault;
			return -1;
		}
		if (result < 0 && !first.code)
			first = fault;
	}
	for (size_t i = 0; i < c->n && !first.code; i++)
		if (!c->covered[i] && !needs_no_condition(c->fields[i].name))
			err_set(&first, ERR_DENIED,
				"Invalid according to Policy: Extra input fields: " SPAN_FMT,
				SPAN_ARG(span_head(c->fields[i].name, 64)));
	if (!first.code)
		return 0;
	*e = first;
	return -1;
}

static int check_expiration(const json_t *doc, int64_t now_ns, struct err *e)
{
	const char *text = json_string_value(json_object_get(doc, "expiration"));
	int64_t until = text ? clock_parse_iso(text) : -1;

	if (until < 0)
		return bad(e, "expiration is no time of the form 2026-11-23T14:46:48Z");
	return until > now_ns
		       ? 0
		       : err_set(e, ERR_DENIED, "Invalid according to Policy: Policy expired.");
}

int post_policy_check(struct span json, int64_t now_ns, const struct post_field *fields, size_t n,
		      struct post_range *range, struct err *e)
{
	auto_json json_t *doc = NULL;
	auto_free bool *covered = mem_zalloc(n + 1);
	struct check c = { fields, n, covered, range };
	const json_t *conditions;
	struct err ignored = { 0 };

	if (codec_json_parse(json, POST_POLICY_MAX, &doc, &ignored) < 0 || !json_is_object(doc))
		return bad(e, "it is no JSON object");
	conditions = json_object_get(doc, "conditions");
	if (!json_is_array(conditions))
		return bad(e, "there is no list of conditions");
	if (check_expiration(doc, now_ns, e) < 0)
		return -1;
	return take_conditions(&c, conditions, e);
}
