// put: an object being written. Private to store.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "codec/digest.h"
#include "db/db.h"
#include "store/engine.h"
#include "store/writing.h"

struct store_put {
	struct store_put *next; // in store->live while `file` is set
	struct store *store;
	struct arena mem;
	struct store_put_options o;
	struct span upload; // a part of this upload, else empty
	unsigned number;
	struct placing *placing; // it becomes a file of a directory; then nothing of what follows

	struct digest md5; // unless the file has a hasher, as what is known to be large
	bool expects_md5;
	uint8_t expected_md5[16];
	struct buf small;	// bytes so far while they fit inline
	struct writing content; // the file when they do not
	int64_t file;		// its id, 0 = none
	uint64_t size;
	struct span checksum;
	char etag[STORE_ETAG_MAX];
	bool staged, committed;
	struct store_object object; // filled by apply
	struct db_request request;
	store_done_fn *done;
	void *owner;
};
