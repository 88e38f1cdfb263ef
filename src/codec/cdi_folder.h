// cdi_folder: the devices of all specifications in the folders that an administrator named.
// Files are those whose names end in .json or .yaml. Of devices with the same name that of the later folder counts; of
// one folder none does, as the specification has it. A file that cannot be used is passed over with a warning.
// Owner: everything lives in the caller's arena. Threads: no state.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "codec/cdi.h"

enum {
	CDI_FOLDERS_MAX = 8,
	CDI_FILES_MAX = 64,
	CDI_ALL_MAX = 1024
}; // folders; files of one; devices

struct cdi_entry {
	const char *name; // "vendor.com/class=device"
	const struct cdi_spec *spec;
	const struct cdi_device *device;
	const char *file;
	unsigned folder; // which of them
	bool clash;	 // another file of the folder has it, too
};

struct cdi_set {
	struct cdi_entry *at; // in the order of folders, file names and files
	size_t count;
};

struct cdi_from {
	const char *const *folders;
	unsigned count;
	// Only what belongs to root or to this process's user, and nobody else may write to: for a reader with rights.
	bool checked;
	void (*warn)(void *owner, const char *text); // one line, with the file's name
	void *owner;
};

void cdi_read(struct arena *a, const struct cdi_from *from, struct cdi_set *out);
const struct cdi_entry *cdi_find(const struct cdi_set *set, const char *name);

// Changes with the names, sizes and times of the files.
uint64_t cdi_stamp(const struct cdi_from *from);

// Those that stand for hardware of their own: a file also has other names for the same (NVIDIA's: by number, by UUID,
// and "all"). One counts when it has a node that none with fewer nodes, or before it, has; or no nodes at all. Into `out`,
// which has room for all, in the set's order; the count.
size_t cdi_units(const struct cdi_set *set, const struct cdi_entry **out);

// What these devices need, each once: of their specifications and their own. At most two for each; the count.
size_t cdi_edits_of(const struct cdi_entry *const *devices, size_t count,
		    const struct cdi_edits **out);
