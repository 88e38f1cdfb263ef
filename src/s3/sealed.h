// sealed: bodies of administration calls that carry secrets, as MinIO's clients write them: 32 bytes of salt, a byte
// for the algorithm (0 Argon2id + AES-256-GCM, 1 Argon2id + ChaCha20-Poly1305, 2 PBKDF2 + AES-256-GCM), 8 bytes of
// nonce, then fragments of 16 KiB, each with its tag; the last one is marked, so that a cut shows.
// The key is derived from the caller's secret key. Private to s3.
// Owner: results are buffers of the caller, to be wiped. Threads: safe; Argon2id takes 64 MiB and some 50 ms, one at
// a time in the whole process. Errors: ERR_INVALID (no such body), ERR_UNAUTH (another key, or changed), ERR_LIMIT.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum { SEALED_HEAD = 32 + 1 + 8 };
enum sealed_kind { SEALED_ARGON_AES, SEALED_ARGON_CHACHA, SEALED_PBKDF2_AES };

// `out` was made with its bound.
must_check int sealed_open(struct span secret, struct span body, struct buf *out, struct err *e);
must_check int sealed_make(struct span secret, enum sealed_kind kind, struct span plain,
			   struct buf *out, struct err *e);
