// runner/door: connections into a sandbox whose script is a server (proto_start.port), asked of its shim over the socket
// `door` in the job's folder (SEQPACKET, one message a packet, host byte order, both on one machine).
// Order: the daemon connects once; then it may ask at any time, and each question has one answer: to DIAL a connection or
// the reason why there is none, to FREEZE whether nothing in the sandbox runs until the next DIAL, which thaws it first. The shim, which is in the sandbox's network, makes it; nothing of the sandbox runs
// for that. When the daemon hangs up, or does not come within a minute, the job ends.
// Threads: one at a time for each end. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <stdint.h>

enum { DOOR_MAGIC = 0x4f53444f, DOOR_CONNECT_MS = 200, DOOR_WAIT_MS = 60000 };
#define DOOR_SOCKET "door"

enum door_kind { DOOR_DIAL = 1, DOOR_FREEZE };

struct door_message {
	uint32_t magic;
	uint32_t kind; // enum door_kind
	int32_t sys; // of an answer: 0 = it is done, and with DIAL a connection comes along, else errno
	uint32_t spare;
};

// The daemon: asks, and waits for the answer for at most a second. A connection that does not block, the caller's.
// ERR_UNAVAILABLE: nobody listens at the port (sys is ECONNREFUSED), or the shim is gone; ERR_BUSY: it does not take
// connections quickly enough; ERR_TIMEOUT: the shim does not answer; ERR_PROTOCOL.
must_check int door_dial(int fd, struct err *e);

// The daemon: nothing in the sandbox runs until door_dial(), when this succeeds. ERR_UNSUPPORTED: that cannot be;
// ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_PROTOCOL, ERR_IO.
must_check int door_freeze(int fd, struct err *e);

// The shim: what it is asked (enum door_kind); 0 = nothing came; ERR_UNAVAILABLE: the daemon is gone; ERR_PROTOCOL.
must_check int door_asked(int fd, struct err *e);
// `conn` is borrowed; -1 with FREEZE, or with errno in `sys`. ERR_UNAVAILABLE.
must_check int door_answer(int fd, enum door_kind kind, int conn, int sys, struct err *e);
