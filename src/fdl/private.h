// private: what the files of fdl share. Owner, threads, errors: see fdl.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "fdl/fdl.h"

struct codec_yaml_node;

struct fdl_memory {
	struct arena a;
};

// Makes a service of a document in the table's names; takes the reference. The YAML node, when there is
// one, is where the service stood: errors get its place.
must_check int fdl_service_make(json_t *doc, const char *file, const struct codec_yaml_node *node,
				struct fdl_service **out, struct err *e);
