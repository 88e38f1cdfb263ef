// soname: by which name programs look for a shared library: DT_SONAME of an ELF file.
// Threads: no state. Source: System V ABI, "Dynamic Section"; little-endian files of 64 bits alone.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>

enum { SONAME_MAX = 256 };

// False when the file names none, or is nothing of the kind. What is taken is a plain file name.
bool soname_read(int fd, char out[static SONAME_MAX]);
