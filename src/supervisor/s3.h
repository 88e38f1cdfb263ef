// s3: objects of one store, fetched to and sent from files. Requests are signed with SigV4, path style.
// What may be repeated is: with growing waits, a fetch going on where it was cut off.
// Owner: the caller. Threads: one.
// Errors: ERR_NOT_FOUND, ERR_DENIED (keys), ERR_CONFLICT (the object changed while it was read),
//   ERR_UNAVAILABLE (after all tries), ERR_PROTOCOL, ERR_FULL, ERR_IO, ERR_CANCELLED.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "supervisor/config.h"
#include "supervisor/report.h"
#include "supervisor/stop.h"

struct s3;

must_check int s3_open(struct stop *stop, const struct report *report,
		       const struct config_store *store, struct s3 **out, struct err *e);
void s3_close(struct s3 *s);

static inline void s3_close_ptr(struct s3 **s)
{
	s3_close(*s);
}
#define auto_s3 at_scope_exit(s3_close_ptr)

// Writes the object to fd, which is empty. On failure fd holds what came.
must_check int s3_get(struct s3 *s, const char *bucket, const char *key, int fd, uint64_t *size,
		      struct err *e);

// Sends `size` bytes of fd from its start. The same key again replaces the object.
must_check int s3_put(struct s3 *s, const char *bucket, const char *key, int fd, uint64_t size,
		      struct err *e);
