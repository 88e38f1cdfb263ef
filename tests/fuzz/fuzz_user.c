// fuzz_user: an image's USER and its /etc/passwd and /etc/group, put one after the other with a NUL between them.
// SPDX-License-Identifier: Apache-2.0
#include "image/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_make(data, size);
	struct span who = span_cut(&rest, '\0'), passwd = span_cut(&rest, '\0');
	struct image_user u;
	struct err e = { 0 };

	if (user_find(who, passwd, rest, &u, &e) < 0) {
		check(e.code == ERR_INVALID || e.code == ERR_LIMIT);
		return 0;
	}
	check(u.uid <= INT32_MAX && u.gid <= INT32_MAX && u.group_count <= IMAGE_GROUPS_MAX);
	for (unsigned i = 0; i < u.group_count; i++) {
		check(u.groups[i] <= INT32_MAX && u.groups[i] != u.gid);
		for (unsigned k = 0; k < i; k++) // the kernel takes no number twice
			check(u.groups[i] != u.groups[k]);
	}
	return 0;
}
