// expose: services that run servers. Starts, watches and ends their instances, and passes requests to
// /system/services/NAME/exposed/… on to them, with bodies streamed both ways.
// Purpose: an instance is a server of dispatch's: it takes room beside jobs for as long as it runs. Between
//   expose.min_scale and max_scale of them run: one more when all are full and requests wait; one that has no request for
//   freeze_after seconds is frozen until the next; one less after idle_stop
//   seconds without a request; with min_scale 0 the first one begins with the first request. One that ended by itself
//   begins again, after a pause that doubles.
// Owner: struct expose owns the instances, the connections into them and the requests on their way. Threads: one for
//   scaling, one for what waits for a server's sockets, one an instance; the handler is called by http's loops.
// Errors: as said at each call.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "http/http.h"

struct authn;
struct dispatch;
struct expose;
struct service_def;
struct services;

struct expose_options {
	struct services *services;
	struct dispatch *dispatch;
	struct authn *authn;
	unsigned instances_max; // of all services; 0 = 64
	unsigned waiting_max;	// requests of a service that wait for an instance; 0 = 1,000
	int64_t timeout_ms; // to the first byte of an answer, and between two later ones, where the service says
		// nothing; 0 = 300,000
	int64_t start_ms; // until an instance must be ready; 0 = 60,000
	int64_t drain_ms; // for requests of one that shall end; 0 = 30,000
};

// After dispatch_start(); ERR_IO. Instances of min_scale begin at once.
must_check int expose_open(struct expose **out, const struct expose_options *o, struct err *e);
// Is it a request for us?
bool expose_path(struct span raw_path);
struct http_handler expose_handler(struct expose *x);
// Before the HTTP server closes: requests that wait are answered, later ones refused.
void expose_detach(struct expose *x);
// After it, and before dispatch_stop(): ends the instances. NULL is fine.
void expose_close(struct expose *x);

// ---- looking and ordering ------------------------------------------------------------------------------

struct expose_state {
	unsigned ready, starting; // instances
	unsigned frozen;	  // of those that are ready
	bool stopped;		  // by order
	char reason[256];	  // why the last one ended or could not begin; "" = none did
	int64_t changed_ns; // when an instance last began, became ready or ended (wall); 0 = never
};
// Of a service; zeros when nothing is known of it.
void expose_look(struct expose *x, int64_t service, struct expose_state *out);

// Of all services, and the requests since this process began.
struct expose_totals {
	unsigned ready, starting, frozen, waiting;
	uint64_t requests;
};
void expose_totals(struct expose *x, struct expose_totals *out);

enum expose_order { EXPOSE_STOP, EXPOSE_START, EXPOSE_RESTART };
// STOP ends all instances and refuses requests until START, or until this process ends. RESTART replaces the instances.
void expose_order(struct expose *x, const struct service_def *def, enum expose_order order);

// The log of the newest instance that is ready, else of the one that ended last: records of exec/joblog.h. ERR_NOT_FOUND.
must_check int expose_log(struct expose *x, int64_t service, struct err *e);
