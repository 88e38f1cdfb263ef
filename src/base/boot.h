// boot: which life of the machine this is. What was written without waiting for the disk is whole as long as it goes on.
// Threads: no state.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>

enum { BOOT_ID_MAX = 64 };

// The kernel's random id of this boot; false where it does not say.
bool boot_id(char out[static BOOT_ID_MAX]);
