// shellstream: the bytes of a shell: the sandbox's streams on one side, frames of codec/shell_frame.h on the other, one
// piece each way under way. Private to api.
// Owner: struct shell_stream owns its ends of the streams; the client's descriptor is http's.
// Threads: one at a time. Errors: ERR_IO: no terminal, or no pipe, to be had; a fault of the client is in `why`.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "api/shell.h"
#include "codec/shell_frame.h"

struct shell_stream {
	bool terminal;
	int in, out, err; // our ends; with a terminal the first two are one, and there is no third
	struct shell_reader reader;
	char pending[SHELL_PAYLOAD_MAX]; // input that the sandbox has not taken
	size_t pending_at, pending_n;
	bool in_end;
	char sending[SHELL_HEAD + SHELL_PAYLOAD_MAX]; // a frame that the client has not taken
	size_t sending_at, sending_n;
	uint64_t bytes_in, bytes_out;
	int64_t active_ns; // the last byte either way, monotonic
	const char *why;   // the shell is to be ended for this; NULL = it ends by itself
};

// Of zeros.
void shell_stream_init(struct shell_stream *s, const struct shell_wish *w);
// The sandbox's ends are the caller's, also on failure; -1 = none.
must_check int shell_stream_open(struct shell_stream *s, const struct shell_wish *w,
				 int theirs[static 3], struct err *e);
void shell_stream_release(struct shell_stream *s);

// What the client had sent before it was there.
void shell_stream_begin(struct shell_stream *s);
// Sleeps until something can be done or `wake` can be read, for at most `ms`.
void shell_stream_wait(const struct shell_stream *s, int wake, int client, int64_t ms);
// Does what can be done without waiting.
void shell_stream_turn(struct shell_stream *s, int client);
// When the sandbox has ended: what it printed last, as long as the client takes it; and how it ended.
void shell_stream_drain(struct shell_stream *s, int client);
void shell_stream_end(struct shell_stream *s, int client, enum shell_end_how how, unsigned code,
		      const char *reason);
