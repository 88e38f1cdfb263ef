// runner/device: devices of the machine for one job. The daemon names them, the runner knows from the folders given at
// its start what they are (codec/cdi_folder.h): so a daemon that was taken over gets what the administrator wrote there,
// and nothing else. A device is one job's at a time: whoever has it holds a lock on a file below DATA/run/devices, until
// its shim and its sandbox are dead.
// Private to runner/. Threads: one. Errors: in words for the owner of the job.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "codec/cdi_folder.h"
#include "runner/layer.h"
#include "runner/proto.h"

#include <sys/types.h>

enum { DEVICE_NODES_MAX = 256, DEVICE_GROUPS_MAX = 16 };

struct sandbox;
struct world;

struct device_node {
	const char *name; // below /dev
	mode_t mode;	  // with its type
	dev_t number;
	int tree; // detached mount of the machine's, without root rights; else -1
};

struct devices { // zeroed is none
	struct arena mem;
	struct device_node *nodes;
	size_t node_count;
	struct layer_entry *places; // mounts, and links
	size_t place_count;
	// Of the machine; none without root rights. And as which the script has them.
	uint32_t groups[DEVICE_GROUPS_MAX], inside[DEVICE_GROUPS_MAX];
	unsigned group_count;
	int dev; // the job's whole /dev as a detached mount, else 0
};

// In the shim, where the machine's files are seen. ERR_NOT_FOUND, ERR_BUSY, ERR_UNSUPPORTED, ERR_IO. The locks stay
// with the process, whatever comes.
must_check int devices_open(struct devices *d, const struct world *w, const struct proto_start *m,
			    struct err *e);
void devices_release(struct devices *d);
