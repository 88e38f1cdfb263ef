// quantity: amounts as Kubernetes writes them. Owner: nothing. Threads: no shared state. Errors: see the
// header.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/quantity.h"

#include "base/attr.h"

// value = digits × 10^tens × 2^(10 × kibi)
struct amount {
	uint64_t digits;
	int tens;
	int kibi;
};

enum { TENS_MAX = 40 };

static int not_a_quantity(struct span text, struct err *e)
{
	return err_set(
		e, ERR_INVALID,
		"\"%.*s\": quantities must match the regular expression "
		"'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$', for example 500m, 2 or 256Mi",
		(int)(text.n < 40 ? text.n : 40), text.p);
}

// Digits with at most one point. False when there is no digit or more than 18 of them count.
static bool read_digits(struct span *rest, struct amount *a)
{
	bool point = false, any = false;

	for (; rest->n > 0; *rest = span_from(*rest, 1)) {
		char c = rest->p[0];

		if (c == '.' && !point) {
			point = true;
			continue;
		}
		if (c < '0' || c > '9')
			break;
		any = true;
		if (a->digits >= UINT64_C(100000000000000000)) // 10^17: one more digit still fits
			return false;
		a->digits = a->digits * 10 + (uint64_t)(c - '0');
		if (point)
			a->tens--;
	}
	return any;
}

static bool read_exponent(struct span text, struct amount *a)
{
	bool minus = text.n > 0 && text.p[0] == '-';
	uint64_t value;

	if (minus || (text.n > 0 && text.p[0] == '+'))
		text = span_from(text, 1);
	if (!span_to_u64(text, &value) || value > TENS_MAX)
		return false;
	a->tens += minus ? -(int)value : (int)value;
	return true;
}

static bool read_suffix(struct span text, struct amount *a)
{
	static const struct {
		const char *name;
		int tens, kibi;
	} known[] = {
		{ "", 0, 0 },	{ "n", -9, 0 }, { "u", -6, 0 }, { "m", -3, 0 },
		{ "k", 3, 0 },	{ "M", 6, 0 },	{ "G", 9, 0 },	{ "T", 12, 0 },
		{ "P", 15, 0 }, { "E", 18, 0 }, { "Ki", 0, 1 }, { "Mi", 0, 2 },
		{ "Gi", 0, 3 }, { "Ti", 0, 4 }, { "Pi", 0, 5 }, { "Ei", 0, 6 },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (!span_is(text, known[i].name))
			continue;
		a->tens += known[i].tens;
		a->kibi = known[i].kibi;
		return true;
	}
	return text.n > 1 && (text.p[0] == 'e' || text.p[0] == 'E') &&
	       read_exponent(span_from(text, 1), a);
}

// digits × 2^(10 × kibi) × 10^tens rounded up, when it fits 64 bits.
static bool amount_value(struct amount a, uint64_t *out)
{
	unsigned __int128 v = (unsigned __int128)a.digits << (10 * a.kibi);
	bool rest = false;

	if (a.digits == 0) {
		*out = 0;
		return true;
	}
	for (; a.tens > 0; a.tens--) {
		v *= 10;
		if (v > UINT64_MAX)
			return false;
	}
	for (; a.tens < 0; a.tens++) {
		rest |= v % 10 != 0;
		v /= 10;
	}
	v += rest;
	if (v > UINT64_MAX)
		return false;
	*out = (uint64_t)v;
	return true;
}

static int read_amount(struct span text, int scale, uint64_t *out, struct err *e)
{
	struct amount a = { 0 };
	struct span rest = text;

	if (rest.n > 0 && rest.p[0] == '-')
		return err_set(e, ERR_INVALID, "\"%.*s\": must not be negative",
			       (int)(text.n < 40 ? text.n : 40), text.p);
	if (rest.n > 0 && rest.p[0] == '+')
		rest = span_from(rest, 1);
	if (!read_digits(&rest, &a) || !read_suffix(rest, &a))
		return not_a_quantity(text, e);
	a.tens += scale;
	if (!amount_value(a, out))
		return err_set(e, ERR_LIMIT, "\"%.*s\": too large",
			       (int)(text.n < 40 ? text.n : 40), text.p);
	return 0;
}

int fdl_quantity_milli(struct span text, uint64_t *out, struct err *e)
{
	return read_amount(text, 3, out, e);
}

int fdl_quantity_units(struct span text, uint64_t *out, struct err *e)
{
	return read_amount(text, 0, out, e);
}
