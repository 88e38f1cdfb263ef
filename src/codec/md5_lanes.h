// md5_lanes: the rounds of MD5 (RFC 1321) for eight streams side by side, in the lanes of vector registers. Private to
// codec: others call digest_update_md5s().
// Threads: none. Errors: none.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { MD5_LANES = 8, MD5_BLOCK = 64 };

// Takes `blocks` blocks of each stream into its state (A, B, C, D). data[i] needs no alignment.
typedef void md5_lanes_fn(uint32_t state[static MD5_LANES][4],
			  const unsigned char *const data[static MD5_LANES], size_t blocks);
// Those that this machine can run, the fastest first; NULL after the last.
md5_lanes_fn *md5_lanes(unsigned i);
