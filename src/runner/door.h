// runner/door: connections into a sandbox whose script is a server (proto_start.port), asked of its shim over the socket
// `door` in the job's folder (SEQPACKET, one message a packet, host byte order, both on one machine).
// Order: the daemon connects once; then it may ask at any time, and each question has one answer, with a connection or
// with the reason why there is none. The shim, which is in the sandbox's network, makes it; nothing of the sandbox runs
// for that. When the daemon hangs up, or does not come within a minute, the job ends.
// Threads: one at a time for each end. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <stdint.h>

enum { DOOR_MAGIC = 0x4f53444f, DOOR_CONNECT_MS = 200, DOOR_WAIT_MS = 60000 };
#define DOOR_SOCKET "door"

struct door_message {
	uint32_t magic;
	int32_t sys; // of an answer: 0 = a connection comes along, else errno
};

// The daemon: asks, and waits for the answer for at most a second. A connection that does not block, the caller's.
// ERR_UNAVAILABLE: nobody listens at the port (sys is ECONNREFUSED), or the shim is gone; ERR_BUSY: it does not take
// connections quickly enough; ERR_TIMEOUT: the shim does not answer; ERR_PROTOCOL.
must_check int door_dial(int fd, struct err *e);

// The shim: 1 = it is asked; 0 = nothing came; ERR_UNAVAILABLE: the daemon is gone; ERR_PROTOCOL.
must_check int door_asked(int fd, struct err *e);
// `conn` is borrowed; -1 with errno in `sys`. ERR_UNAVAILABLE.
must_check int door_answer(int fd, int conn, int sys, struct err *e);
