// docker_auth: what a Docker config.json says about a registry's user and password (docker login, podman login,
// skopeo login write it). Credential helpers are named by such files, not asked here.
// Owner: results live in the caller's arena; they are secrets. Threads: no state.
// Errors: ERR_INVALID (not of that form; the text holds nothing of the file).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"

enum { DOCKER_AUTH_FILE_MAX = 1 << 20 };

// `registry` as in struct reference. 1 = found, 0 = the file says nothing about it.
must_check int docker_auth_find(struct span config, const char *registry, struct arena *mem,
				const char **user, const char **password, struct err *e);

// The helper to ask for a registry ("credHelpers", else "credsStore"): docker-credential-NAME. As above.
must_check int docker_auth_helper(struct span config, const char *registry, struct arena *mem,
				  const char **name, struct err *e);
