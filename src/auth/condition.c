// SPDX-License-Identifier: Apache-2.0
// condition: the Condition element: operators over the values of a request.
#include "auth/glob.h"
#include "auth/policy_private.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <stdlib.h>

enum kind {
	STRING_EQUALS,
	STRING_EQUALS_NOCASE,
	STRING_LIKE,
	NUMBER,
	DATE,
	BOOL,
	BINARY,
	IP,
	ARN,
	IS_NULL,
};
enum order { EQ, LT, LE, GT, GE };

struct comparison {
	const char *name;
	enum kind kind;
	bool negated;
	enum order order;
};

static const struct comparison comparisons[] = {
	{ "StringEquals", STRING_EQUALS, false, EQ },
	{ "StringNotEquals", STRING_EQUALS, true, EQ },
	{ "StringEqualsIgnoreCase", STRING_EQUALS_NOCASE, false, EQ },
	{ "StringNotEqualsIgnoreCase", STRING_EQUALS_NOCASE, true, EQ },
	{ "StringLike", STRING_LIKE, false, EQ },
	{ "StringNotLike", STRING_LIKE, true, EQ },
	{ "NumericEquals", NUMBER, false, EQ },
	{ "NumericNotEquals", NUMBER, true, EQ },
	{ "NumericLessThan", NUMBER, false, LT },
	{ "NumericLessThanEquals", NUMBER, false, LE },
	{ "NumericGreaterThan", NUMBER, false, GT },
	{ "NumericGreaterThanEquals", NUMBER, false, GE },
	{ "DateEquals", DATE, false, EQ },
	{ "DateNotEquals", DATE, true, EQ },
	{ "DateLessThan", DATE, false, LT },
	{ "DateLessThanEquals", DATE, false, LE },
	{ "DateGreaterThan", DATE, false, GT },
	{ "DateGreaterThanEquals", DATE, false, GE },
	{ "Bool", BOOL, false, EQ },
	{ "BinaryEquals", BINARY, false, EQ },
	{ "IpAddress", IP, false, EQ },
	{ "NotIpAddress", IP, true, EQ },
	{ "ArnEquals", ARN, false, EQ },
	{ "ArnLike", ARN, false, EQ },
	{ "ArnNotEquals", ARN, true, EQ },
	{ "ArnNotLike", ARN, true, EQ },
	{ "Null", IS_NULL, false, EQ },
};

// How an operator is applied: "ForAnyValue:StringLikeIfExists".
struct use {
	const struct comparison *op;
	bool any, all, if_exists;
};

static bool find(const char *text, struct use *out)
{
	struct span name = span_of(text);

	*out = (struct use){ 0 };
	if (span_starts(name, SPAN("ForAnyValue:"))) {
		out->any = true;
		name = span_from(name, sizeof("ForAnyValue:") - 1);
	} else if (span_starts(name, SPAN("ForAllValues:"))) {
		out->all = true;
		name = span_from(name, sizeof("ForAllValues:") - 1);
	}
	if (span_ends(name, SPAN("IfExists"))) {
		out->if_exists = true;
		name = span_head(name, name.n - (sizeof("IfExists") - 1));
	}
	for (size_t i = 0; i < ARRAY_LEN(comparisons); i++)
		if (span_is(name, comparisons[i].name))
			out->op = &comparisons[i];
	return out->op && !(out->op->kind == IS_NULL && out->if_exists);
}

// ---- values --------------------------------------------------------------------------------------------

static bool to_number(struct span s, double *out)
{
	char text[64], *end;

	if (!s.n || s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	*out = strtod(text, &end);
	return !*end;
}

// Seconds since 1970: "2026-11-23T14:46:48Z", "2026-11-23", or the number itself.
static bool to_date(struct span s, double *out)
{
	char text[64];
	int64_t ns;

	if (s.n < 10 || s.n + sizeof("T00:00:00Z") > sizeof(text) || s.p[4] != '-')
		return to_number(s, out);
	snprintf(text, sizeof(text), SPAN_FMT "%s", SPAN_ARG(s), s.n == 10 ? "T00:00:00Z" : "");
	ns = clock_parse_iso(text);
	*out = (double)ns / (double)NS_PER_S;
	return ns >= 0;
}

static bool ordered(enum order order, double have, double wanted)
{
	switch (order) {
	case EQ:
		return have >= wanted && have <= wanted;
	case LT:
		return have < wanted;
	case LE:
		return have <= wanted;
	case GT:
		return have > wanted;
	case GE:
		return have >= wanted;
	}
	return false;
}

struct network {
	int family;
	unsigned char bytes[16];
	unsigned bits;
};

static bool to_network(struct span s, struct network *out)
{
	char text[INET6_ADDRSTRLEN];
	struct span address = span_cut(&s, '/');
	unsigned max;
	uint64_t bits;

	if (!address.n || address.n >= sizeof(text))
		return false;
	memcpy(text, address.p, address.n);
	text[address.n] = '\0';
	out->family = memchr(text, ':', address.n) ? AF_INET6 : AF_INET;
	max = out->family == AF_INET6 ? 128 : 32;
	if (inet_pton(out->family, text, out->bytes) != 1)
		return false;
	out->bits = max;
	if (!s.n)
		return true;
	if (!span_to_u64(s, &bits) || bits > max)
		return false;
	out->bits = (unsigned)bits;
	return true;
}

static bool in_network(struct span have, struct span wanted)
{
	struct network a = { 0 }, n = { 0 };
	unsigned whole, rest;

	if (!to_network(have, &a) || !to_network(wanted, &n) || a.family != n.family)
		return false;
	whole = n.bits / 8;
	rest = n.bits % 8;
	return memcmp(a.bytes, n.bytes, whole) == 0 &&
	       (!rest || ((a.bytes[whole] ^ n.bytes[whole]) >> (8 - rest)) == 0);
}

// One value of the request against one of the policy, before negation.
static bool fits(const struct comparison *op, struct span have, struct span wanted)
{
	double a, b;

	switch (op->kind) {
	case STRING_EQUALS:
	case BINARY:
		return span_eq(have, wanted);
	case STRING_EQUALS_NOCASE:
	case BOOL:
		return span_eq_nocase(have, wanted);
	case STRING_LIKE:
	case ARN:
		return glob_match(wanted, have);
	case NUMBER:
		return to_number(have, &a) && to_number(wanted, &b) && ordered(op->order, a, b);
	case DATE:
		return to_date(have, &a) && to_date(wanted, &b) && ordered(op->order, a, b);
	case IP:
		return in_network(have, wanted);
	case IS_NULL:
		break;
	}
	return false;
}

// ---- one condition -------------------------------------------------------------------------------------

static bool fits_any(const struct policy *p, const struct use *u, const json_t *wanted,
		     struct span have, const struct policy_request *r)
{
	bool pattern = u->op->kind == STRING_LIKE || u->op->kind == ARN;
	char scratch[32];

	for (size_t i = 0; i < policy_item_count(wanted); i++) {
		auto_buf struct buf text = { 0 };

		buf_init(&text, POLICY_EXPANDED_MAX);
		if (policy_expand(p, r, policy_item(wanted, i, scratch), pattern, &text) &&
		    fits(u->op, have, buf_span(&text)))
			return true;
	}
	return false;
}

static bool holds(const struct policy *p, const struct use *u, const char *key,
		  const json_t *wanted, const struct policy_request *r)
{
	struct span have[POLICY_VALUES_MAX];
	size_t n = r->values(r->owner, span_of(key), have, ARRAY_LEN(have));
	bool every = u->all || (u->op->negated && !u->any);
	char scratch[32];

	if (u->op->kind == IS_NULL) {
		bool absent = n == 0;

		for (size_t i = 0; i < policy_item_count(wanted); i++)
			if (span_eq_nocase(policy_item(wanted, i, scratch), SPAN("true")) == absent)
				return true;
		return false;
	}
	if (!n)
		return u->if_exists || every;
	for (size_t i = 0; i < n; i++) {
		bool good = fits_any(p, u, wanted, have[i], r) != u->op->negated;

		// Without a quantifier one fitting value is enough, and a negation means all of them.
		if (good != every)
			return good;
	}
	return every;
}

bool policy_conditions_hold(const struct policy *p, json_t *conditions,
			    const struct policy_request *r)
{
	const char *name, *key;
	json_t *keys, *wanted;

	json_object_foreach(conditions, name, keys)
	{
		struct use u;

		if (!find(name, &u))
			return false;
		json_object_foreach(keys, key, wanted)
		{
			if (!holds(p, &u, key, wanted, r))
				return false;
		}
	}
	return true;
}

// ---- checking ------------------------------------------------------------------------------------------

static int check_value(const struct use *u, struct span v, struct err *e)
{
	struct network n;
	double number;
	bool good = true;

	for (size_t i = 0; i < v.n; i++)
		if ((unsigned char)v.p[i] < ' ')
			return err_set(e, ERR_INVALID, "A condition holds a control character");
	if (span_find(v, '$') >= 0)
		return 0;
	if (u->op->kind == NUMBER)
		good = to_number(v, &number);
	else if (u->op->kind == DATE)
		good = to_date(v, &number);
	else if (u->op->kind == IP)
		good = to_network(v, &n);
	else if (u->op->kind == BOOL || u->op->kind == IS_NULL)
		good = span_eq_nocase(v, SPAN("true")) || span_eq_nocase(v, SPAN("false"));
	return good ? 0 : err_set(e, ERR_INVALID, "A value of %s is not of its kind", u->op->name);
}

static int check_values(const struct use *u, const json_t *wanted, struct err *e)
{
	char scratch[32];

	if (!policy_item_count(wanted))
		return err_set(e, ERR_INVALID, "A condition has no values");
	for (size_t i = 0; i < policy_item_count(wanted); i++) {
		const json_t *one = json_is_array(wanted) ? json_array_get(wanted, i) : wanted;

		if (!json_is_string(one) && !json_is_number(one) && !json_is_boolean(one))
			return err_set(e, ERR_INVALID, "A condition's value is no text");
		if (check_value(u, policy_item(wanted, i, scratch), e) < 0)
			return -1;
	}
	return 0;
}

int policy_conditions_check(json_t *conditions, struct err *e)
{
	const char *name, *key;
	json_t *keys, *wanted;

	if (conditions && !json_is_object(conditions))
		return err_set(e, ERR_INVALID, "Condition is no object");
	json_object_foreach(conditions, name, keys)
	{
		struct use u;

		if (!find(name, &u))
			return err_set(e, ERR_INVALID, "Invalid Condition type : %.64s", name);
		if (!json_is_object(keys))
			return err_set(e, ERR_INVALID, "%.64s is no object", name);
		json_object_foreach(keys, key, wanted)
		{
			if (!span_find(span_of(key), ':') || span_find(span_of(key), ':') < 0)
				return err_set(e, ERR_INVALID,
					       "Policy has an invalid condition key : %.64s", key);
			if (check_values(&u, wanted, e) < 0)
				return -1;
		}
	}
	return 0;
}

const char *policy_conditions_unknown(json_t *conditions, bool (*known)(struct span key))
{
	const char *name, *key;
	json_t *keys, *ignored;

	json_object_foreach(conditions, name, keys)
	{
		json_object_foreach(keys, key, ignored)
		{
			if (!known(span_of(key)))
				return key;
		}
	}
	return NULL;
}

// ---- what makes a policy not public --------------------------------------------------------------------

// As AWS defines public: fixed values of one of these keys. An address range bounds when it is no larger than
// /8 (IPv4) or /32 (IPv6).
static bool value_bounds(const struct use *u, struct span v)
{
	struct network n;

	if (u->op->kind == IP)
		return to_network(v, &n) && n.bits >= (n.family == AF_INET ? 8 : 32);
	return span_find(v, '*') < 0 && span_find(v, '?') < 0 && span_find(v, '$') < 0;
}

static bool key_bounds(struct span key)
{
	static const char *const keys[] = {
		"aws:sourceip",
		"aws:sourcearn",
		"aws:sourcevpc",
		"aws:sourcevpce",
		"aws:sourceaccount",
		"aws:sourceowner",
		"aws:userid",
		"aws:username",
		"aws:principalarn",
		"aws:principalorgid",
		"aws:principalaccount",
		"s3:dataaccesspointarn",
		"s3:x-amz-server-side-encryption-aws-kms-key-id",
	};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (span_eq_nocase(key, span_of(keys[i])))
			return true;
	return false;
}

bool policy_conditions_bound(json_t *conditions)
{
	const char *name, *key;
	json_t *keys, *wanted;
	char scratch[32];

	json_object_foreach(conditions, name, keys)
	{
		struct use u;

		if (!find(name, &u) || u.op->negated || u.if_exists || u.all)
			continue;
		json_object_foreach(keys, key, wanted)
		{
			bool bound = key_bounds(span_of(key));

			for (size_t i = 0; i < policy_item_count(wanted); i++)
				bound = bound && value_bounds(&u, policy_item(wanted, i, scratch));
			if (bound)
				return true;
		}
	}
	return false;
}
