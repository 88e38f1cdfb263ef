// private: what the files of fdl share. Owner, threads, errors: see fdl.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "fdl/fdl.h"

struct codec_yaml_node;

struct fdl_memory {
	struct arena a;
};

// Fills the typed fields from s->doc and checks them. On failure `path` names the field at fault.
enum { FDL_PATH_MAX = 128 };
must_check int fdl_service_check(struct fdl_service *s, char path[static FDL_PATH_MAX],
				 struct err *e);

// Makes a service of a document in the table's names; takes the reference. The YAML node, when there is
// one, is where the service stood: errors get its place.
must_check int fdl_service_make(json_t *doc, const char *file, const struct codec_yaml_node *node,
				struct fdl_service **out, struct err *e);

// One entry of input or output (`field`), checked and with its place.
must_check int fdl_io_read(struct arena *a, const json_t *io, const char *service, bool is_input,
			   const json_t *providers, struct fdl_io *out,
			   char field[static FDL_PATH_MAX], struct err *e);

// The object `mount`, NULL in *out when it says nothing. Its place is apart from those of `mounts`.
must_check int fdl_mount_read(struct arena *a, const json_t *mount, const json_t *providers,
			      const struct fdl_mount *mounts, size_t count,
			      const struct fdl_io **out, const char **target, struct err *e);
// The parts of its path and its provider.
must_check int fdl_mount_io_read(struct arena *a, const json_t *mount, const json_t *providers,
				 struct fdl_io *out, struct err *e);

// The list `mounts`.
must_check int fdl_mounts_read(struct arena *a, const json_t *list, const struct fdl_mount **out,
			       size_t *count, struct err *e);

// The object `keep` of s->doc; on failure `path` names the field.
must_check int fdl_keep_read(struct fdl_service *s, char path[static FDL_PATH_MAX], struct err *e);
// The object `retry` of s->doc; on failure `path` names the field.
must_check int fdl_retry_read(struct fdl_service *s, char path[static FDL_PATH_MAX], struct err *e);

// The object `expose`.
must_check int fdl_expose_read(struct arena *a, const json_t *v, struct fdl_expose *out,
			       struct err *e);

// A list of strings as an array in the arena.
const char *const *fdl_strings(struct arena *a, const json_t *list, size_t *count);
