// registry: the OCI distribution API (v1.1) over the images of this machine, so that docker push and docker pull work
// against `oscar serve`. Everything lies in image's catalogue; here is only the protocol.
// Paths: /v2/… of the API's port. Who asks proves it by Basic credentials or by a bearer token from /v2/token.
// Rights: see registry_may(). Owner: struct registry_server owns its requests. Threads: the handler is called by http.
// Errors: as the specification has them, {"errors": [{"code": …, "message": …}]}.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "http/http.h"

struct auth;
struct auth_user;
struct authn;
struct images;
struct registry_server;

struct registry_server_options {
	struct auth *auth;
	struct authn *authn;
	struct images *images;
};

void registry_server_open(struct registry_server **out, const struct registry_server_options *o);
struct http_handler registry_server_handler(struct registry_server *s);
void registry_server_close(struct registry_server *s);

// Whether the path is one of ours: "/v2" or below it.
bool registry_server_path(struct span raw_path);

// A user's own repositories are USER and USER/…; those of other users are theirs alone; all others the administrators
// write and everybody reads.
bool registry_may(struct auth *a, const struct auth_user *user, struct span repo, bool write);
