// fuzz_shell_frame: either direction of a shell's connection, arriving in pieces whose sizes the input says.
// SPDX-License-Identifier: Apache-2.0
#include "codec/shell_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct shell_reader r;
	bool from_client = size && data[0] & 1;
	size_t piece = size ? (size_t)(data[0] >> 1) + 1 : 1, at = 1;

	r.at = r.n = 0;
	while (at < size) {
		struct shell_frame f;
		struct err e = { 0 };
		size_t max, n = size - at < piece ? size - at : piece;
		char *room = shell_reader_room(&r, &max);
		int got;

		check(max >= SHELL_HEAD + SHELL_PAYLOAD_MAX);
		memcpy(room, data + at, n);
		shell_reader_grew(&r, n);
		at += n;
		while ((got = shell_reader_next(&r, from_client, &f, &e)) > 0) {
			check(f.payload.p >= r.bytes && f.payload.p + f.payload.n <= r.bytes + r.n);
			check(f.payload.n <= SHELL_PAYLOAD_MAX);
		}
		if (got < 0) {
			check(e.code == ERR_PROTOCOL);
			return 0;
		}
	}
	return 0;
}
