// sif: where the root file system lies in a Singularity image (SIF, as Apptainer writes it).
// Owner: nothing is kept. Threads: no state. Errors: ERR_INVALID (damaged), ERR_UNSUPPORTED (no squashfs in it, encrypted,
// for another machine), ERR_IO.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <stdint.h>

// 1 = it is one and *offset and *size say where its squashfs lies, 0 = it is something else.
must_check int sif_find(int fd, uint64_t *offset, uint64_t *size, struct err *e);
