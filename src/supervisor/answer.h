// answer: what a call gets back on standard output: base64 of the one output file, of a ZIP of several, or
// what the script printed. Streamed; nothing is held in memory. Owner: the caller. Threads: one.
// Errors: ERR_IO, ERR_LIMIT (a ZIP of 4 GiB, or of over 65,535 files), ERR_CANCELLED, those of outputs.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "supervisor/outputs.h"
#include "supervisor/stop.h"

// `o` NULL or empty: the printed text. `to` is the descriptor written to.
must_check int answer_write(struct stop *stop, const struct outputs *o, int printed, int to,
			    struct err *e);
