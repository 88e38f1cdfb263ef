// api: the REST interface: OSCAR's own calls and ours beside them (docs/user/api.md). Decodes, calls, encodes;
// every rule about services and jobs lives below.
// Owner: struct api owns the requests in flight and one timer thread. Threads: the handler is called by http.
// Errors: texts as the clients of OSCAR expect them (plain text; see errors in api/reply.c).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "http/http.h"

struct api;
struct auth;
struct authn;
struct db;
struct dispatch;
struct expose;
struct images;
struct notify;
struct queue;
struct services;
struct store;

struct api_options {
	struct db *db;
	struct auth *auth;
	struct authn *authn;
	struct store *store;
	struct notify *notify;
	struct queue *queue;
	struct services *services;
	struct dispatch *dispatch;
	struct images *images;
	struct expose *expose;
	const char *data_dir;		    // tmp/ below it takes uploads
	const char *const *directory_roots; // where buckets may be directories; ends with NULL
	const char *s3_endpoint;	    // as clients reach it: "http://127.0.0.1:9000"
	const char *s3_region;		    // NULL = us-east-1
	const char *version;
	int64_t sync_timeout_ms; // a waiting call is answered 504 after this; 0 = 300,000
	uint64_t event_max;	 // bytes of a call's body; 0 = 16 MiB
	uint64_t image_max;	 // bytes of an imported archive; 0 = 64 GiB
	unsigned shells_max;	 // open at once (api/shell.h); 0 = none are opened
	int64_t shell_idle_s;	 // without a byte either way
	int64_t shell_time_s;	 // in all
};

must_check int api_open(struct api **out, const struct api_options *o, struct err *e);
struct http_handler api_handler(struct api *a);
void api_attach(struct api *a,
		struct http_server *s); // after the server opened: for waking streams
// The server's figures are among the metrics from now on, under a static name.
void api_show(struct api *a, const char *name, const struct http_server *s);
void api_detach(struct api *a); // before the server closes
void api_close(struct api *a);
