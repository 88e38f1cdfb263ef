// SPDX-License-Identifier: Apache-2.0
#include "auth/glob.h"

static char lower(char c, bool nocase)
{
	return nocase && c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

// One step of the pattern at p against one byte; how many bytes of pattern it took, 0 = no match.
static size_t step(struct span pattern, size_t p, char c, bool nocase)
{
	if (p >= pattern.n)
		return 0;
	if (pattern.p[p] == GLOB_LITERAL)
		return p + 1 < pattern.n && lower(pattern.p[p + 1], nocase) == lower(c, nocase) ? 2
												: 0;
	return pattern.p[p] == '?' || lower(pattern.p[p], nocase) == lower(c, nocase) ? 1 : 0;
}

// When a byte does not fit, the last star takes one byte more: earlier stars need not be tried again.
static bool match(struct span pattern, struct span text, bool nocase)
{
	size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;

	while (t < text.n) {
		size_t taken;

		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			star_text = t;
			continue;
		}
		taken = step(pattern, p, text.p[t], nocase);
		if (taken) {
			p += taken;
			t++;
		} else if (star == SIZE_MAX) {
			return false;
		} else {
			p = star + 1;
			t = ++star_text;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

bool glob_match(struct span pattern, struct span text)
{
	return match(pattern, text, false);
}

bool glob_match_nocase(struct span pattern, struct span text)
{
	return match(pattern, text, true);
}
