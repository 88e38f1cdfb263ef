// runner/oci: the sandbox's namespaces made by an OCI runtime, crun or runc, where an administrator wants one
// (`oscar serve --runtime oci`). The root file system is put together as for any sandbox (runner/rootfs) and given to
// the runtime in a bundle (OCI runtime specification 1.0, config.md and config-linux.md), which makes the namespaces,
// mounts /proc, /tmp and /dev, masks, drops the rights and loads the filter. What it starts is pid 1 as everywhere
// (runner/init): it says when the script began and how it ended, so that all else of a job, a kept sandbox or a server
// is the same. The shim becomes its parent, since the runtime is gone by then.
// The bundle and the runtime's own records lie on a tmpfs in a mount namespace of the shim's, and are gone with
// that. Control groups are ours: pid 1 enters them, and the runtime is shown none.
// Owner: struct oci is the world's. Threads: one. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct sandbox;
struct sandbox_parent;
struct world_mask;

struct oci {
	char *path;    // of the runtime; NULL = there is none, sandboxes are made by ourselves
	bool runc;     // else it takes the options of crun
	char *seccomp; // the filter as config.json has it
	int self;      // this program, which is pid 1 in the containers
};

// The path of a runtime that is named ("crun", "runc") or given by a path whose last part begins so; the caller frees
// it. NULL with ERR_NOT_FOUND or ERR_INVALID.
char *oci_find(const char *runtime, struct err *e);
// Also ERR_UNSUPPORTED when `self`, the program to be pid 1, needs shared libraries.
must_check int oci_open(struct oci *o, const char *runtime, const char *self, struct err *e);
void oci_close(struct oci *o);

// As the end of sandbox_start(): makes the container and lets its pid 1 go. On failure nothing is left running but
// perhaps out->pid, to be killed.
must_check int oci_launch(struct sandbox *s, struct sandbox_parent *out, struct err *e);

// Where the bundle lies in the mount namespace of the shim's.
#define OCI_BUNDLE "/tmp"

// ociinit.c: the descriptors that pid 1 gets, in this order, and what it reads from the first.
enum oci_fd {
	OCI_FD_SPEC = 3,
	OCI_FD_GO,     // a byte when the shim is its parent
	OCI_FD_REPORT, // runner/sandbox.h
	OCI_FD_SELF,
	OCI_FD_STD, // three, or the calls of a kept one and two of no meaning
	OCI_FD_GROUPS = OCI_FD_STD + 3,
};
must_check int oci_spec_write(const struct sandbox *s, unsigned groups, struct err *e);
// The life of pid 1 in a container.
no_return void oci_init(void);

// ocibundle.c: config.json.
must_check int oci_config(const struct sandbox *s, struct buf *out, struct err *e);
