// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/file.h"
#include "codec/soname.h"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>

static const char *library; // of this very process

static int find(struct dl_phdr_info *info, size_t size unused_arg, void *owner unused_arg)
{
	if (strstr(info->dlpi_name, "/libc.so.6"))
		library = info->dlpi_name;
	return library != NULL;
}

static void a_library_says_its_name(void **state unused_arg)
{
	struct err e = { 0 };
	char name[SONAME_MAX];

	dl_iterate_phdr(find, NULL);
	assert_non_null(library);
	auto_fd int fd = file_open(AT_FDCWD, library, O_RDONLY, 0, &e);

	assert_true(soname_read(fd, name));
	assert_string_equal(name, "libc.so.6");
}

static void what_is_none_has_no_name(void **state unused_arg)
{
	auto_fd int empty = memfd_create("empty", MFD_CLOEXEC);
	auto_fd int cut = memfd_create("cut", MFD_CLOEXEC);
	struct err e = { 0 };
	char name[SONAME_MAX], head[4096];

	auto_fd int program = file_open(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0, &e);
	auto_fd int fd = file_open(AT_FDCWD, library, O_RDONLY, 0, &e);

	assert_false(soname_read(empty, name));
	assert_false(soname_read(program, name));
	// The headers alone: what they speak of is not there.
	assert_int_equal(file_pread_full(fd, head, sizeof(head), 0, &e), sizeof(head));
	assert_int_equal(file_pwrite_all(cut, head, sizeof(head), 0, &e), 0);
	assert_false(soname_read(cut, name));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_library_says_its_name),
		cmocka_unit_test(what_is_none_has_no_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
