// storage: objects of one storage, fetched to and sent from files: S3 (requests signed with SigV4, path style), WebDAV
// (basic authentication), Onedata (CDMI, token) and Rucio (OpenID token; the files themselves lie on WebDAV servers).
// Folders that a WebDAV or Onedata storage lacks are made.
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

// What Rucio calls `name` in `scope`: one file, or all files of a data set, each under the last part of its name in the
// folder `dir`. `list` is an empty file for the list of them. ERR_CONFLICT when two would get the same name, or when the
// bytes of one are not what Rucio knows of it.
struct storage_set {
	size_t n;
	const char *first; // the file that came first, in `mem`
	uint64_t size;	   // of all
};
enum { STORAGE_SET_MAX = 100000, STORAGE_SET_LIST_MAX = 64 << 20 };
must_check int storage_get_set(struct storage *s, const char *scope, const char *name, int dir,
			       int list, struct arena *mem, struct storage_set *out, struct err *e);

// Sends `size` bytes of fd from its start. The same key again replaces the object; of Rucio it is the
// name of the file, whose content is for ever: ERR_EXISTS when there is another of that name.
must_check int storage_put(struct storage *s, const char *bucket, const char *key, int fd,
			   uint64_t size, struct err *e);
