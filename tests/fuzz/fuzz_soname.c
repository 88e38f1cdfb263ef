// fuzz_soname: a shared library of a stranger. What is taken is a file name.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "codec/soname.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_fd int fd = memfd_create("library", MFD_CLOEXEC);
	char name[SONAME_MAX];
	struct err e = { 0 };

	check(fd >= 0 && file_pwrite_all(fd, data, size, 0, &e) == 0);
	if (soname_read(fd, name))
		check(name[0] && strlen(name) < SONAME_MAX && !strchr(name, '/') &&
		      strcmp(name, "..") != 0);
	return 0;
}
