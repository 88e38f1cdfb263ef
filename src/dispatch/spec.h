// spec: what a service and its image say about how a script runs, for jobs (stage.c) and servers (server.c).
// Owner: a draft holds what the spec points to, until it is released. Threads: none of its own. Private to dispatch.
// Errors: ERR_NOT_FOUND (a mount that is not offered any more), and those of image_runtime() and files.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "dispatch/job.h"
#include "fdl/fdl.h"
#include "image/image.h"

enum { SPEC_ENV_MAX = FDL_ENV_MAX * 2 + IMAGE_VARIABLES_MAX + 128 };

struct spec_draft { // zeroed is empty
	struct arena mem;
	struct exec_env *env;
	size_t env_count;
	struct exec_mount mounts[EXEC_MOUNTS_MAX];
	size_t mount_count;
	struct image_runtime image;
};

// Begins with the service's own variables; those that follow by spec_env() come behind them.
must_check int spec_begin(struct dispatch *d, const struct service_def *def, struct spec_draft *s,
			  struct err *e);
void spec_env(struct spec_draft *s, const char *name, const char *value); // borrowed
// Adds what every script is told, and fills *out but for what makes it a job or a server: name, script, event, inputs,
// time.
void spec_fill(struct dispatch *d, const struct service_def *def, struct spec_draft *s,
	       struct exec_spec *out);
// The devices that are given to who runs under this id.
void spec_devices(struct dispatch *d, const char *id, struct spec_draft *s, struct exec_spec *out);
// A script that becomes this command, whose words end with NULL. ERR_LIMIT.
must_check int spec_command(struct spec_draft *s, const char *const *words, struct span *out,
			    struct err *e);
void spec_release(struct spec_draft *s);
#define auto_spec at_scope_exit(spec_release)
