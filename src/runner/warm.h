// runner/warm: what the driver and the shim of a kept sandbox say to each other, over the socket `call` in the
// sandbox's folder (SEQPACKET, one message a packet, host byte order, both on one machine).
// Order: the driver connects once; then for each call CALL, perhaps CANCEL, and back STARTED and ENDED. Between two
// calls FREEZE, and back FROZEN, where that can be. The shim ends its sandbox when the driver hangs up. Descriptors travel with CALL: what the script reads on standard input, its
// environment (NUL-terminated strings), the log to append to. The shim passes the first two on to pid 1 of the
// sandbox with the pipes for what the script prints, by the same form.
// Threads: safe. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "runner/jobdir.h"

enum { WARM_MAGIC = 0x4f53574d, WARM_FDS_MAX = 4 };
#define WARM_SOCKET "call"

enum warm_kind {
	WARM_CALL = 1, // with three descriptors; to pid 1: with four
	WARM_CANCEL,   // the call that runs
	WARM_STARTED,  // exit.started_wall_ns
	WARM_ENDED,    // exit; reusable
	WARM_FREEZE,   // it is idle: nothing in it shall run before the next CALL
	WARM_FROZEN,   // it is so
};

struct warm_message {
	uint32_t magic;
	uint32_t kind;	   // enum warm_kind
	uint32_t reusable; // ENDED: the sandbox waits for the next call
	uint32_t spare;
	struct jobdir_exit exit;
};

// Never blocks. ERR_UNAVAILABLE: the other side is gone, or does not read.
must_check int warm_send(int fd, const struct warm_message *m, const int *fds, unsigned n,
			 struct err *e);
// 1 = a message, with `n` descriptors that are the caller's; 0 = nothing there now; ERR_UNAVAILABLE: the other side is
// gone; ERR_PROTOCOL: not such a message, none of its descriptors stays.
must_check int warm_receive(int fd, struct warm_message *m, int *fds, unsigned n, struct err *e);
