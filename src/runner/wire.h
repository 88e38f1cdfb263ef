// runner/wire: sends and receives the packets of runner/proto.h with the open files that come along.
// Private to runner/ and exec/sandbox. Threads: one a connection at a time for each direction. Never blocks.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "runner/proto.h"

#include <sys/types.h>

// Copies of the descriptors are sent. False, with errno, when the packet was not taken (EAGAIN: later).
bool wire_send(int conn, const void *packet, size_t n, const int *files, unsigned count);

struct wire_packet {
	_Alignas(8) char bytes[PROTO_PACKET_MAX];
	size_t size;
	int files[PROTO_FILES_MAX]; // the first `file_count` are the receiver's
	unsigned file_count;
};

// 1 = got one, to be released; 0 = nothing there now; -1: ERR_UNAVAILABLE when the peer has left, ERR_PROTOCOL when it
// sent more than a packet may hold. Nothing is to be released then.
must_check int wire_receive(int conn, struct wire_packet *p, struct err *e);
void wire_release(struct wire_packet *p); // closes its files
