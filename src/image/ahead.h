// ahead: a file read on a thread of its own, ahead of whoever takes what is in it: its digest and, when it is packed
// by gzip, the unpacking go on while the one before is written. Other packing comes as it is.
// Owner: the caller, who keeps `fd` open; ahead_close() ends the thread. Threads: one takes. Memory: two MiB each.
// Errors: ERR_IO, ERR_INVALID (gzip that is damaged or cut off). Of the bytes before it nothing is lost.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

struct ahead;

// From where `fd` stands now to its end.
struct ahead *ahead_open(int fd);
void ahead_close(struct ahead *a);
static inline void ahead_close_ptr(struct ahead **a)
{
	ahead_close(*a);
}
#define auto_ahead at_scope_exit(ahead_close_ptr)

// The next piece, good until the next call; empty at the end.
must_check int ahead_next(struct ahead *a, struct span *out, struct err *e);
// Reads what is left without unpacking it. The SHA-256 of the file's bytes as they lie there, hexadecimal.
must_check int ahead_finish(struct ahead *a, char digest[static 65], struct err *e);
