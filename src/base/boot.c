// SPDX-License-Identifier: Apache-2.0
#include "base/boot.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>

bool boot_id(char out[static BOOT_ID_MAX])
{
	auto_buf struct buf text;
	struct err ignored = { 0 };
	struct span id;

	buf_init(&text, BOOT_ID_MAX - 1);
	if (file_read_path(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text, &ignored) < 0)
		return false;
	id = span_trim(buf_span(&text));
	snprintf(out, BOOT_ID_MAX, SPAN_FMT, SPAN_ARG(id));
	return id.n > 0;
}
