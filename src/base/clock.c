// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <locale.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static _Atomic int64_t wall_offset;

static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
				  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

static int64_t now(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t clock_wall_ns(void)
{
	return now(CLOCK_REALTIME) + wall_offset;
}

int64_t clock_mono_ns(void)
{
	return now(CLOCK_MONOTONIC);
}

void clock_wall_shift(int64_t offset_ns)
{
	wall_offset = offset_ns;
}

static struct tm split(int64_t wall_ns)
{
	time_t s = (time_t)(wall_ns / NS_PER_S);
	struct tm tm = { 0 };

	gmtime_r(&s, &tm);
	return tm;
}

static char *put(char *p, int value, int digits, char after)
{
	for (int i = digits; i-- > 0; value /= 10)
		p[i] = (char)('0' + value % 10);
	p[digits] = after;
	return p + digits + 1;
}

// By hand: a listing has a thousand of them on a page.
static char *put_iso(char *p, int64_t wall_ns, char after)
{
	struct tm tm = split(wall_ns);

	p = put(p, tm.tm_year + 1900, 4, '-');
	p = put(p, tm.tm_mon + 1, 2, '-');
	p = put(p, tm.tm_mday, 2, 'T');
	p = put(p, tm.tm_hour, 2, ':');
	p = put(p, tm.tm_min, 2, ':');
	return put(p, tm.tm_sec, 2, after);
}

char *clock_iso_s(int64_t wall_ns, char out[static CLOCK_TEXT_MAX])
{
	*put_iso(out, wall_ns, 'Z') = '\0';
	return out;
}

char *clock_iso_ms(int64_t wall_ns, char out[static CLOCK_TEXT_MAX])
{
	char *p = put_iso(out, wall_ns, '.');

	*put(p, (int)(wall_ns / NS_PER_MS % 1000), 3, 'Z') = '\0';
	return out;
}

char *clock_http(int64_t wall_ns, char out[static CLOCK_TEXT_MAX])
{
	struct tm tm = split(wall_ns);

	snprintf(out, CLOCK_TEXT_MAX, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
		 tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
		 tm.tm_sec);
	return out;
}

char *clock_basic(int64_t wall_ns, char out[static CLOCK_TEXT_MAX])
{
	struct tm tm = split(wall_ns);

	strftime(out, CLOCK_TEXT_MAX, "%Y%m%dT%H%M%SZ", &tm);
	return out;
}

// The last second whose nanoseconds a number can hold, and a fraction of a second more.
#define SECONDS_MAX (INT64_MAX / NS_PER_S - 1)

static int64_t join(struct tm *tm)
{
	time_t s = timegm(tm);

	if (s < 0)
		return -1;
	return (s < SECONDS_MAX ? (int64_t)s : SECONDS_MAX) * NS_PER_S;
}

int64_t clock_parse_iso(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t fraction = 0, unit = NS_PER_S;

	if (!rest)
		return -1;
	if (*rest == '.')
		for (rest++; *rest >= '0' && *rest <= '9'; rest++) {
			unit /= 10;
			fraction += (*rest - '0') * unit;
		}
	if (strcmp(rest, "Z") != 0)
		return -1;
	int64_t whole = join(&tm);

	return whole < 0 ? -1 : whole + fraction;
}

int64_t clock_parse_http(const char *text)
{
	struct tm tm = { 0 };
	char month[4];
	int n = 0;

	if (sscanf(text, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT%n", &tm.tm_mday, month, &tm.tm_year,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &n) != 6 ||
	    !n || text[n])
		return -1;
	tm.tm_year -= 1900;
	for (int i = 0; i < 12; i++)
		if (strcmp(month, months[i]) == 0) {
			tm.tm_mon = i;
			return join(&tm);
		}
	return -1;
}

int64_t clock_parse_basic(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y%m%dT%H%M%SZ", &tm);

	return rest && !*rest && strlen(text) == 16 ? join(&tm) : -1;
}
