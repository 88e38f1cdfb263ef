// private_server: a server of one command's own, on free ports of the loopback and in a folder of its own,
// gone when the command ends. Owner: the caller. Threads: one. Errors: ERR_UNAVAILABLE with the server's
// last words, ERR_IO.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cli/private.h"

#include <sys/types.h>

enum { PRIVATE_SERVER_MOUNTS_MAX = 16, PRIVATE_SERVER_CDI_MAX = 8, PRIVATE_SERVER_KINDS_MAX = 16 };

struct private_server {
	// Set by the caller:
	const char *what; // names its folder
	const char
		*mounts[PRIVATE_SERVER_MOUNTS_MAX]; // NAME=/FOLDER, as `serve --mount` takes them
	size_t mount_count;
	const char
		*cdi[PRIVATE_SERVER_CDI_MAX]; // as `serve --cdi-dir` and `--device-kind` take them
	size_t cdi_count;
	const char *kinds[PRIVATE_SERVER_KINDS_MAX];
	size_t kind_count;
	bool nat; // services may say `network: nat`
	// Set by private_server_start():
	pid_t pid; // 0 = none
	const char *dir;
};

// Starts it and points the cli's session at it.
must_check int private_server_start(struct cli *c, struct private_server *s, struct err *e);

// Ends it with its jobs; removes its folder unless `keep`.
void private_server_stop(struct cli *c, struct private_server *s, bool keep);
