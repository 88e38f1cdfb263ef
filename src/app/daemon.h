// daemon: the parts of `oscar serve`, from the folders to the listeners. Private to app: serve.c opens and closes them.
// Threads: the main one. Errors: those of the parts; whoever calls then closes what is open.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "app/app.h"

struct daemon {
	const struct serve_options *o;
	struct rights rights;
	int lock; // held for the daemon's life
	struct credentials cred;
	struct db *db;
	struct auth *auth;
	struct authn *authn;
	struct store *store;
	struct notify *notify;
	struct queue *queue;
	struct images *images;
	char *docker_config;
	struct services *services;
	struct dispatch *dispatch;
	struct exec_driver *driver;
	struct expose *expose;
	struct api *api;
	struct s3 *s3;
	struct registry_server *registry;
	struct mux mux;
	struct http_server *api_server, *s3_server;
	char s3_url[300], api_url[300];
	struct tls_files tls; // no paths = plain HTTP
};

// ---- folders.c -----------------------------------------------------------------------------------------

// Makes and locks the folders and hands them to the daemon's user; still with all rights.
must_check int daemon_make_folders(struct daemon *d, struct err *e);
// Can the daemon's user, as whom we are now, get there?
must_check int daemon_reachable(const struct daemon *d, struct err *e);

// ---- engine.c ------------------------------------------------------------------------------------------

must_check int daemon_open_store(struct daemon *d,
				 struct err *e); // database, users, objects, queue, images
must_check int daemon_open_jobs(struct daemon *d,
				struct err *e); // services, dispatch, driver; jobs begin

// ---- listeners.c ---------------------------------------------------------------------------------------

must_check int daemon_listen(struct daemon *d, struct err *e);

// ---- ready.c -------------------------------------------------------------------------------------------

// Standard output, DATA/ready.json and systemd are told that the ports answer.
must_check int daemon_say_ready(const struct daemon *d, struct err *e);
// A state as sd_notify(3) has it: "STOPPING=1". Does nothing without systemd.
void daemon_tell_systemd(const char *state);
