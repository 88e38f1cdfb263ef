// storage: objects of one storage, fetched to and sent from files: S3 (requests signed with SigV4, path style), WebDAV
// (basic authentication) and Onedata (CDMI, token). Folders that a WebDAV or Onedata storage lacks are made.
// What may be repeated is: with growing waits, a fetch going on where it was cut off.
// Owner: the caller. Threads: one.
// Errors: ERR_NOT_FOUND, ERR_DENIED (keys), ERR_CONFLICT (the object changed while it was read),
//   ERR_UNAVAILABLE (after all tries), ERR_PROTOCOL, ERR_FULL, ERR_IO, ERR_CANCELLED.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "supervisor/config.h"
#include "supervisor/report.h"
#include "supervisor/stop.h"

struct storage;

must_check int storage_open(struct stop *stop, const struct report *report,
			    const struct config_store *store, struct storage **out, struct err *e);
void storage_close(struct storage *s);

static inline void storage_close_ptr(struct storage **s)
{
	storage_close(*s);
}
#define auto_storage at_scope_exit(storage_close_ptr)

// Writes the object to fd, which is empty. On failure fd holds what came.
must_check int storage_get(struct storage *s, const char *bucket, const char *key, int fd,
			   uint64_t *size, struct err *e);

// Sends `size` bytes of fd from its start. The same key again replaces the object.
must_check int storage_put(struct storage *s, const char *bucket, const char *key, int fd,
			   uint64_t size, struct err *e);
