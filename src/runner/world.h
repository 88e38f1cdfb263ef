// runner/world: what is the same for all sandboxes and is made once when the runner starts: the mount namespace
// they are cloned from, the user namespace that shifts owners, the system call filter, the control groups.
// Owns: its descriptors. Threads: one. A shim inherits it by fork.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "runner/cgroup.h"
#include "runner/filter.h"
#include "runner/oci.h"

#include <sys/types.h>

enum { WORLD_MASKS_MAX = 16, WORLD_STAMPS = 3, WORLD_NETS_MAX = 64, WORLD_GROUPS_MAX = 64 };

// A path below /proc that is hidden or made read-only.
struct world_mask {
	const char *path;
	enum { WORLD_HIDE_FILE, WORLD_HIDE_FOLDER, WORLD_READ_ONLY } how;
};

struct world {
	int data; // DATA and DATA/jobs
	int jobs;
	bool rootless;
	uid_t owner; // of everything below DATA, as seen from here
	gid_t group;
	uint32_t base;	   // host id of a sandbox's root
	uint32_t count;	   // ids a sandbox has
	uint32_t setup_id; // host id that owns nothing, for the root of an OCI runtime's container
	int idmap; // user namespace for MOUNT_ATTR_IDMAP: shows owner's files as base's. -1 = none
	int root;  // mount namespace the sandboxes are cloned from (runner/template.h)
	int64_t stamps[WORLD_STAMPS]; // of the host's /etc when `root` was made
	struct filter filter;
	struct oci oci;		// makes the sandboxes, if there is one
	const char *const *cdi; // folders of specifications of devices, borrowed
	unsigned cdi_count;
	struct cgroup_base cgroups;
	struct world_mask masks[WORLD_MASKS_MAX];
	unsigned mask_count;
	int nets[WORLD_NETS_MAX]; // empty network namespaces, ready for use
	unsigned net_count;
	struct cgroup_job groups[WORLD_GROUPS_MAX]; // of finished jobs, ready for use
	unsigned group_count, group_serial;
	char limits[256]; // what does not hold here, in plain words; "" = everything holds
};

struct runner_options;

// A user namespace for MOUNT_ATTR_IDMAP that shows this owner's files as the sandbox root's own.
must_check int world_idmap(const struct world *w, uid_t uid, gid_t gid, struct err *e);

// Fails with ERR_UNSUPPORTED and what is missing where sandboxes cannot be made at all.
must_check int world_open(struct world *w, const struct runner_options *o, struct err *e);
// Then, by the one runner that holds the lock of the data directory: takes the control groups, which the runner
// before may have removed up to the moment when it let go of the lock.
must_check int world_serve(struct world *w, struct err *e);
void world_close(struct world *w);

// A network namespace with nothing but its loopback, to be given back once nobody is in it any more, or to be
// closed. The kernel takes a millisecond to make one and as long to clear one away, so they are used again:
// what one job could leave in it for the next is at most a TCP port of the loopback in its minute of rest.
must_check int world_net_get(struct world *w, struct err *e);
void world_net_put(struct world *w, int net);

// Control groups with these limits, for one job. Give them back when nobody is in them any more; `clean`: they are
// as new (cgroup_job_reset) and may serve again, else they are the caller's shim's to remove and are closed.
must_check int world_group_get(struct world *w, const struct cgroup_limits *l,
			       struct cgroup_job *out, struct err *e);
void world_group_put(struct world *w, struct cgroup_job *g, bool clean);

// Lets all pooled namespaces and groups go.
void world_pools_drop(struct world *w);

// Makes the root file system anew when the host's programs were changed. Failure keeps the old one.
void world_refresh(struct world *w);
