// shell_frame: what the two ends of a shell say to each other on a connection that has switched to SHELL_PROTOCOL
// (POST /system/jobs/{id}/shell, docs/api/openapi.yaml).
// A frame: its kind (1 byte), a zero byte, the length of what follows (2 bytes, big-endian, at most SHELL_PAYLOAD_MAX).
//   from the client   'i' input   'e' the input ends, nothing follows   's' size of the terminal: rows, columns (2 bytes
//                     each, big-endian)
//   from the server   'o' output  'r' error output   'x' the end, the last frame: how (1 byte, enum shell_end_how), the
//                     exit status or signal (1 byte), a reason in words (at most SHELL_REASON_MAX)
// Owner: payloads point into the reader. Threads: no shared state. Errors: ERR_PROTOCOL.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

#define SHELL_PROTOCOL "oscar-shell/1"
enum { SHELL_HEAD = 4, SHELL_PAYLOAD_MAX = 16384, SHELL_REASON_MAX = 255 };

enum shell_kind {
	SHELL_INPUT = 'i',
	SHELL_INPUT_END = 'e',
	SHELL_SIZE = 's',
	SHELL_OUTPUT = 'o',
	SHELL_ERRORS = 'r',
	SHELL_END = 'x',
};

enum shell_end_how {
	SHELL_EXITED, // `code`: its exit status
	SHELL_KILLED, // `code`: the signal that it died of
	SHELL_BROKEN, // ended for `reason`, or never began
};

struct shell_frame {
	enum shell_kind kind;
	struct span payload; // until the reader is used again
	uint16_t rows, columns;
	enum shell_end_how how;
	uint8_t code;
};

// One direction of the stream. Zeroed is its beginning.
struct shell_reader {
	size_t at, n;
	char bytes[2 * (SHELL_HEAD + SHELL_PAYLOAD_MAX)];
};

// Where to put bytes that arrive, at least as many as a frame can have once shell_reader_next() has returned 0; then
// how many were put there.
char *shell_reader_room(struct shell_reader *r, size_t *max);
void shell_reader_grew(struct shell_reader *r, size_t n);
// 1: a frame; 0: more bytes are needed; ERR_PROTOCOL: none that the client (or the server) may send.
must_check int shell_reader_next(struct shell_reader *r, bool from_client, struct shell_frame *out,
				 struct err *e);

// Writes frames; each returns its size. A payload stands at out + SHELL_HEAD already.
size_t shell_frame_seal(char *out, enum shell_kind kind, size_t payload);
size_t shell_frame_size(char out[static SHELL_HEAD + 4], unsigned rows, unsigned columns);
size_t shell_frame_end(char out[static SHELL_HEAD + 2 + SHELL_REASON_MAX], enum shell_end_how how,
		       unsigned code, const char *reason);
