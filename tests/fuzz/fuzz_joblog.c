// Fuzz target: a job's log, as a crash or a full disk may leave it.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/mem.h"
#include "runner/joblog.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_fd int fd = memfd_create("log", MFD_CLOEXEC);
	auto_free char *text = mem_alloc(JOBLOG_RECORD_MAX);
	struct joblog_record r;
	struct err e = { 0 };
	off_t at = 0, was = 0;

	if (fd < 0 || file_write_all(fd, data, size, &e) < 0)
		return 0;
	while (joblog_read(fd, &at, &r, text, &e) > 0) {
		check(at > was && (size_t)at <= size && r.size <= JOBLOG_RECORD_MAX);
		was = at;
	}
	check(at == was);
	return 0;
}
