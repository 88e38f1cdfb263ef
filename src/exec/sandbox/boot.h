// exec/sandbox/boot: what a machine that went down left of attempts is not to be trusted.
// Purpose: exit records and outputs are not synced, since the same machine's memory has them; after a power loss a
//   record may be there and the output it speaks of may be empty. So folders of an earlier boot are removed: then
//   nobody knows the attempts, and they run again. Private to exec/sandbox.
// Threads: before any other use of the jobs' folder. Errors: ERR_IO.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

// `jobs` is the folder of all attempts; the boot they belong to is kept in its file ".boot".
must_check int boot_check(int jobs, struct err *e);
