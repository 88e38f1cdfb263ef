// replay: runs a fuzz target over the files of its corpus, as an ordinary test. With -Dfuzz=true the targets are
// linked with libFuzzer instead and search for new inputs.
// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	DIR *list = argc == 2 ? opendir(argv[1]) : NULL;
	struct dirent *d;
	int n = 0;

	if (!list) {
		fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
		return 2;
	}
	while ((d = readdir(list))) {
		auto_buf struct buf b = { 0 };
		struct err e = { 0 };

		if (d->d_name[0] == '.')
			continue;
		buf_init(&b, 64 << 20);
		if (file_read_path(dirfd(list), d->d_name, &b, &e) < 0) {
			fprintf(stderr, "%s\n", e.msg);
			return 1;
		}
		LLVMFuzzerTestOneInput((const uint8_t *)(b.p ? b.p : ""), b.n);
		n++;
	}
	closedir(list);
	printf("%d inputs\n", n);
	return n ? 0 : 1;
}
