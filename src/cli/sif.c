// SPDX-License-Identifier: Apache-2.0
#include "cli/sif.h"

#include "base/file.h"

#include <string.h>
#include <sys/stat.h>

// The global header and the descriptors as the SIF library writes them: little endian, without padding.
enum {
	MAGIC_AT = 32,
	ARCH_AT = 45,
	TOTAL_AT = 88, // descriptors
	TABLE_AT = 96, // where they begin
	HEADER = 128,
	DESCRIPTOR = 585,
	DESCRIPTORS_MAX = 1000,
	USED = 4,
	FILE_AT = 17,
	FILE_LENGTH = 25,
	EXTRA = 201,
	TYPE_PARTITION = 0x4004,
	FS_SQUASH = 1,
	FS_ENCRYPTED = 5,
	PART_PRIMARY = 2,
};
static const char magic[] = "SIF_MAGIC";
#if defined(__x86_64__)
static const char machine[] = "02";
#else
static const char machine[] = "04";
#endif

static uint64_t number(const unsigned char *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = bytes; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static int check_place(int fd, uint64_t offset, uint64_t size, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, ERR_IO, "SIF");
	if (!size || offset > (uint64_t)st.st_size || size > (uint64_t)st.st_size - offset)
		return err_set(e, ERR_INVALID, "the SIF image ends before its file system");
	return 1;
}

int sif_find(int fd, uint64_t *offset, uint64_t *size, struct err *e)
{
	unsigned char head[HEADER], d[DESCRIPTOR];
	ssize_t n = file_pread_full(fd, head, sizeof(head), 0, e);
	uint64_t total, table;

	if (n < 0)
		return -1;
	if (n < HEADER || memcmp(head + MAGIC_AT, magic, sizeof(magic)) != 0)
		return 0;
	total = number(head + TOTAL_AT, 8);
	table = number(head + TABLE_AT, 8);
	if (total > DESCRIPTORS_MAX || table > INT64_MAX - DESCRIPTORS_MAX * DESCRIPTOR)
		return err_set(e, ERR_INVALID, "the SIF image's table cannot be read");
	if (memcmp(head + ARCH_AT, machine, 2) != 0 && memcmp(head + ARCH_AT, "00", 2) != 0)
		return err_set(e, ERR_UNSUPPORTED, "the SIF image is made for another machine");
	for (uint64_t i = 0; i < total; i++) {
		n = file_pread_full(fd, d, sizeof(d), (off_t)(table + i * DESCRIPTOR), e);
		if (n < 0)
			return -1;
		if (n < DESCRIPTOR)
			return err_set(e, ERR_INVALID, "the SIF image ends within its table");
		if (number(d, 4) != TYPE_PARTITION || !d[USED] ||
		    number(d + EXTRA + 4, 4) != PART_PRIMARY)
			continue;
		if (number(d + EXTRA, 4) != FS_SQUASH)
			return err_set(e, ERR_UNSUPPORTED,
				       number(d + EXTRA, 4) == FS_ENCRYPTED
					       ? "the SIF image is encrypted"
					       : "the SIF image's file system is no squashfs");
		*offset = number(d + FILE_AT, 8);
		*size = number(d + FILE_LENGTH, 8);
		return check_place(fd, *offset, *size, e);
	}
	return err_set(e, ERR_UNSUPPORTED, "the SIF image holds no root file system");
}
