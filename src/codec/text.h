// text: bytes as hexadecimal digits and as base64 (RFC 4648). Threads: no state.
// Errors: by the result; a text that is not wholly of the form is refused.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/span.h"

#define TEXT_HEX_SIZE(n) ((n)*2 + 1)
#define TEXT_BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)

// Lower case, with a NUL; `out` has TEXT_HEX_SIZE(n). Returns out.
char *text_hex(char *out, const void *p, size_t n);
// Exactly n bytes from 2n digits of either case.
bool text_unhex(void *out, size_t n, struct span text);
// 0 to 15 for a digit of either case, else -1.
int text_hex_digit(char c);
// A number of 1 to digits_max digits, which is 16 at most.
bool text_hex_number(struct span text, size_t digits_max, uint64_t *out);

// With padding and a NUL; `out` has TEXT_BASE64_SIZE(n). Returns out.
char *text_base64(char *out, const void *p, size_t n);
// Padding is required and must be clean. The count, or -1 when it is no base64 or longer than `size`.
ptrdiff_t text_unbase64(void *out, size_t size, struct span text);
