// upload: a blob on its way into the registry, in as many requests as the client likes. It is a file that nobody sees;
// finishing checks its digest and makes it the repository's. Uploads do not outlive the daemon.
// Owner: whoever has taken it, until it gives it back, finishes or cancels. Threads: safe; one has it at a time.
// Errors: ERR_NOT_FOUND, ERR_BUSY (another request has it, or too many uploads), ERR_LIMIT (too large), ERR_PROTOCOL
//   (its digest is another), ERR_FULL, ERR_IO.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

struct images;
struct image_upload;

enum { UPLOAD_ID_MAX = 33, UPLOADS_MAX = 512, UPLOADS_USER_MAX = 64 };

must_check int upload_begin(struct images *m, struct span repo, int64_t user,
			    struct image_upload **out, struct err *e);
// One that was begun in that repository.
must_check int upload_take(struct images *m, struct span repo, struct span id,
			   struct image_upload **out, struct err *e);
void upload_give(struct images *m, struct image_upload *u); // NULL is fine

const char *upload_id(const struct image_upload *u);
uint64_t upload_size(const struct image_upload *u); // bytes so far
must_check int upload_write(struct image_upload *u, struct span bytes, struct err *e);

// The upload is gone afterwards, whatever happened.
must_check int upload_finish(struct images *m, struct image_upload *u, struct span digest,
			     struct err *e);
void upload_cancel(struct images *m, struct image_upload *u);
