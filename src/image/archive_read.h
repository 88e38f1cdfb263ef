// archive_read: tars of strangers, whatever they are packed with (archive.c). Private to image.
// Threads: no state. Errors: ERR_INVALID (not an archive), ERR_IO.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

struct archive;
struct archive_entry;

// From the beginning of the seekable descriptor; NULL on failure.
struct archive *archive_open(int fd, struct err *e);
// The same, as one entry whose data are the bytes below the compression.
struct archive *archive_open_raw(int fd, struct err *e);
void archive_drop(struct archive **a); // for at_scope_exit
int archive_fail(struct archive *a, struct err *e);
// The name as documents in the archive write it: no "./" and no "/" in front. NULL when there is none.
const char *archive_plain_name(struct archive_entry *entry);
