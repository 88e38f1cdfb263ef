// clock: the only source of time, so that tests can turn it. Threads: safe.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

int64_t clock_wall_ns(void); // nanoseconds since 1970-01-01 UTC; may jump
int64_t clock_mono_ns(void); // never goes back; for deadlines and durations

// Tests only: adds an offset to the wall clock of this process.
void clock_wall_shift(int64_t offset_ns);

enum { CLOCK_TEXT_MAX = 40 };

// 2026-11-23T14:46:48Z
char *clock_iso_s(int64_t wall_ns, char out[static CLOCK_TEXT_MAX]);
// 2026-11-23T14:46:48.449Z
char *clock_iso_ms(int64_t wall_ns, char out[static CLOCK_TEXT_MAX]);
// Mon, 23 Nov 2026 14:46:48 GMT (RFC 9110 5.6.7)
char *clock_http(int64_t wall_ns, char out[static CLOCK_TEXT_MAX]);
// 20261123T144648Z, as SigV4 writes it
char *clock_basic(int64_t wall_ns, char out[static CLOCK_TEXT_MAX]);

// Parse the forms above (iso with or without fraction); -1 when the text is not of that form or before 1970.
// What is later than April 2262 becomes that.
int64_t clock_parse_iso(const char *text);
int64_t clock_parse_http(const char *text);
int64_t clock_parse_basic(const char *text);
