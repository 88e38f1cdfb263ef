// cdi: specifications of the Container Device Interface: what a container needs of the machine to use a device.
// Purpose: the daemon counts devices and sets their environment; the runner makes their nodes and mounts. Both read
//   the same files, which are the administrator's.
// What sandboxes of ours have no place for (a mount below /proc or /tmp) is left out, and named. Hooks are programs that a runtime would run with its rights: none is run here. What the usual
// ones of NVIDIA's are for is read from their arguments instead: links, and folders of libraries.
// Owner: everything lives in the caller's arena. Threads: no state. Errors: ERR_INVALID, ERR_UNSUPPORTED, ERR_LIMIT,
// with the field's name.
// Source: github.com/cncf-tags/container-device-interface, SPEC.md, versions 0.3.0 to 1.0.0. JSON or YAML.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"

#include <stdint.h>

enum {
	CDI_FILE_BYTES_MAX = 1 << 20,
	CDI_DEVICES_MAX = 256, // of one file
	CDI_LIST_MAX = 1024,   // of one list in the edits
	CDI_PATH_MAX = 512,    // with the NUL
	CDI_NAME_MAX = 256,    // "vendor.com/class=device", with the NUL
	CDI_ENV_MAX = 4096,
};

// A device node. Whose it is, and its mode, say `uid`, `gid` and `fileMode`: in a sandbox it belongs to the one user
// that there is.
struct cdi_node {
	const char *path; // in the container, below /dev
	const char *host_path;
	char type;	      // 'c' or 'b'; 0 = as it is on the machine
	int64_t major, minor; // -1 = as it is on the machine
	bool read, write;
};

// A file or folder of the machine; it is shown read-only whatever `options` say.
struct cdi_mount {
	const char *host_path, *path;
	bool noexec;
};

struct cdi_link {
	const char *target; // as it is written into the link
	const char *path;
};

struct cdi_edits {
	const char **env; // "NAME=VALUE"
	size_t env_count;
	struct cdi_node *nodes;
	size_t node_count;
	struct cdi_mount *mounts;
	size_t mount_count;
	struct cdi_link *links;
	size_t link_count;
	const char **folders; // where the dynamic linker is to look for libraries
	size_t folder_count;
	uint32_t *groups; // of the machine
	size_t group_count;
	const char **
		skipped; // what is not done, for the log: "the hook /usr/bin/x y", "the mount /proc/x"
	size_t skipped_count;
};

struct cdi_device {
	const char *name;
	struct cdi_edits edits;
};

struct cdi_spec {
	const char *kind; // "vendor.com/class"
	struct cdi_device *devices;
	size_t device_count;	// at least one
	struct cdi_edits edits; // with any of them
};

must_check int cdi_parse(struct arena *a, struct span text, struct cdi_spec *out, struct err *e);

// "vendor.com/class", "vendor.com/class=device".
bool cdi_kind_ok(struct span kind);
bool cdi_name_ok(struct span name);
// The last part of a kind.
struct span cdi_class(struct span kind);
