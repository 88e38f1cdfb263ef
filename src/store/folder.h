// folder: the names in a folder, in the order of their keys. Private to store.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "store/store.h"

struct folder_name {
	char *text; // of a folder with "/" at its end
	bool folder;
};

// `prefix`: bytes of the folder's own key. Names that cannot be keys are counted in *skipped. ERR_IO.
must_check int folder_names_read(int fd, size_t prefix, struct folder_name **out, size_t *count,
				 uint64_t *skipped, struct err *e);
void folder_names_free(struct folder_name *names, size_t n);
