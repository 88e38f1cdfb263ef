// err: what went wrong, as a value on the caller's stack. Nothing is allocated, nothing leaks.
// A function that can fail returns 0 or a negative number and takes `struct err *` last. It fills the
// value once, at the place that knows the cause; callers pass it on, with context in front, by
// err_wrap(). On success the value is untouched. Threads: no shared state.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/attr.h"

enum err_code {
	ERR_NONE = 0,
	ERR_INVALID,	 // the caller's input is wrong; the text says what to change
	ERR_NOT_FOUND,	 // the named thing does not exist
	ERR_EXISTS,	 // a thing of that name exists already
	ERR_CONFLICT,	 // the thing is in a state that forbids this (not empty, precondition)
	ERR_DENIED,	 // known caller without the right
	ERR_UNAUTH,	 // unknown caller
	ERR_LIMIT,	 // a size or count is over its bound
	ERR_TIMEOUT,	 // a deadline passed
	ERR_UNAVAILABLE, // a part we need does not answer; trying again later may help
	ERR_IO,		 // disk or socket failed; `sys` holds errno
	ERR_PROTOCOL,	 // a peer broke its protocol
	ERR_CANCELLED,	 // somebody asked to stop
	ERR_UNSUPPORTED, // understood, not offered
	ERR_BUSY,	 // over capacity now; trying again soon helps
	ERR_FULL,	 // no space left on the device or in the quota
	ERR_CORRUPT,	 // stored bytes are not what was written
	ERR_BUG,	 // ours; should never be seen
};

struct err {
	enum err_code code;
	int sys;       // errno where there was one, else 0
	char msg[256]; // one line for people, without a final full stop
};

// Fills *e and returns -1, so that a caller may `return err_set(...)`. Text over 255 bytes is cut.
int err_set(struct err *e, enum err_code code, const char *fmt, ...) format_printf(3, 4);

// As err_set with the text of errno appended. EDQUOT and ENOSPC become ERR_FULL whatever `code` says.
int err_sys(struct err *e, enum err_code code, int sys, const char *fmt, ...) format_printf(4, 5);

// Puts context in front of the text ("context: text"). Returns -1.
int err_wrap(struct err *e, const char *fmt, ...) format_printf(2, 3);

#ifdef __clang_analyzer__
// It does not see across files that these return -1, so it would follow paths that cannot be.
#define err_set(...) (err_set(__VA_ARGS__), -1)
#define err_sys(...) (err_sys(__VA_ARGS__), -1)
#define err_wrap(...) (err_wrap(__VA_ARGS__), -1)
#endif

// The code's name in lower case, for logs and JSON ("not_found").
const char *err_name(enum err_code code);

// Stops the process when `cond` is false. For our own bugs only: nothing a peer sends may reach it.
// Stays on in release builds.
#define check(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			check_failed(#cond, __FILE__, __LINE__);                                   \
	} while (0)
no_return void check_failed(const char *cond, const char *file, int line);
