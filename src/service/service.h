// service: the functions of users: definitions, revisions, triggers, secrets. Knows no HTTP.
// Purpose: creating a service makes its buckets and folders and wires its triggers; an object that arrives
//   becomes jobs in the transaction that stores it.
// Owner: struct services keeps the current definition of each service in memory.
// Threads: safe. A struct service_def is immutable and shared: service_def_put() when done.
// Errors: ERR_INVALID (text names the field), ERR_EXISTS, ERR_NOT_FOUND, ERR_DENIED, ERR_CONFLICT (it would
//   feed itself), ERR_UNSUPPORTED, and those of store and db.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

struct auth;
struct db;
struct db_conn;
struct fdl_service;
struct queue;
struct queue_new;
struct trace_context;
struct services;
struct store;
struct store_event;

enum { SERVICE_TOKEN_LEN = 64, SERVICE_IMAGE_MAX = 80 };

// One revision of a service.
struct service_def {
	int64_t id, revision, owner;
	int64_t created_ns; // of the service
	int64_t changed_ns; // of this revision
	char token[SERVICE_TOKEN_LEN + 1];
	char image_id[SERVICE_IMAGE_MAX]; // "host" or the pinned id of an unpacked image
	char script_hash[65];		  // SHA-256, hexadecimal
	struct fdl_service *fdl;	  // with token and owner set
	_Atomic int refs;		  // private
};
struct service_def *service_def_ref(struct service_def *d);
void service_def_put(struct service_def *d); // NULL is fine
static inline void service_def_put_ptr(struct service_def **d)
{
	service_def_put(*d);
}
#define auto_service_def at_scope_exit(service_def_put_ptr)

// What the image of a service is wanted for.
struct service_image_wish {
	int64_t user; // whose service it is
	const char *name;
	bool ask;	   // the registry that it came from is asked for news, where the user may
	char progress[64]; // an id to look at the work by
};

struct service_options {
	struct db *db;
	struct store *store;
	struct queue *queue;
	struct auth *auth;
	unsigned depth_max; // jobs in a chain before it is taken for an endless loop; 0 = 64

	// Plugged in by app. The id of the root file system of an image name; ERR_NOT_FOUND when it must be
	// imported first, ERR_DENIED when it is not for this user.
	void *owner;
	int (*resolve_image)(void *owner, const struct service_image_wish *wish,
			     char out[static SERVICE_IMAGE_MAX], struct err *e);
	// What the machines have, 0 = not known: more is refused.
	void (*capacity)(void *owner, uint32_t *cpu_millis, uint64_t *memory_bytes);
	// Says whether services may mount a folder by this name; NULL = none.
	bool (*offers_mount)(void *owner, const char *name);
	bool offers_nat, offers_host_network; // services may say `network: nat`, `network: host`
};

must_check int services_open(struct services **out, const struct service_options *o, struct err *e);
void services_close(struct services *s);

// Who asks; the administrator may do everything.
struct service_caller {
	int64_t user;
	bool admin;
	const char *name; // of the user, for labels
};

// Takes the parsed definition over, whether it succeeds or not. [waits for the disk]
must_check int service_create(struct services *s, const struct service_caller *who,
			      struct fdl_service *fdl, struct err *e);
// Replaces the definition of a service by a new revision: token, owner and unnamed secrets are kept.
must_check int service_update(struct services *s, const struct service_caller *who,
			      struct fdl_service *fdl, struct err *e);
// Deletes the service, its waiting jobs and, when asked, the buckets it made that nobody else uses. Running
// jobs end as cancelled by the caller (dispatch) before.
must_check int service_remove(struct services *s, const struct service_caller *who,
			      struct span name, bool delete_buckets, struct err *e);

// Visible to the caller: own, public, restricted with membership; the administrator sees all. ERR_NOT_FOUND,
// or ERR_DENIED when it exists and is not visible. *out = a reference.
must_check int service_get(struct services *s, const struct service_caller *who, struct span name,
			   struct service_def **out, struct err *e);
must_check int service_list(struct services *s, const struct service_caller *who, struct arena *mem,
			    struct service_def ***out, size_t *n, struct err *e);
void service_list_put(struct service_def **list, size_t n);

// What is going on with a service's image, and the last that was heard of it in this life of the daemon; also of a
// service that is being made, for who makes it. ERR_NOT_FOUND, ERR_DENIED. The arena holds the texts.
enum { SERVICE_IMAGE_LINES = 32 };
struct service_image_state {
	bool busy;
	const char *progress; // id of the work
	int64_t checked_ns;   // 0 = not in this life
	const char *error;    // why the last time failed, "" = it did not
	struct service_image_line {
		int64_t time_ns;
		const char *text;
	} lines[SERVICE_IMAGE_LINES];
	size_t line_count;
};
must_check int service_image_state(struct services *s, const struct service_caller *who,
				   struct span name, struct arena *mem,
				   struct service_image_state *out, struct err *e);
// Begins to look after services that want their image asked for now and then.
void services_start(struct services *s);

// Compares in constant time; ERR_UNAUTH.
must_check int service_by_token(struct services *s, struct span name, struct span token,
				struct service_def **out, struct err *e);

// A given revision, as jobs name it.
must_check int service_revision(struct services *s, int64_t id, int64_t revision,
				struct service_def **out, struct err *e);
must_check int service_by_id(struct services *s, int64_t id, struct service_def **out,
			     struct err *e);

// ---- groups --------------------------------------------------------------------------------------------

// Jobs that several files made have triggers below this, as do those that run again.
#define SERVICE_GROUP_TRIGGERS (-(INT64_C(1) << 40))

// Files that wait for others to make one job with them (`group` of an input), the oldest first.
enum { SERVICE_GROUPS_MAX = 64 };
// Why they wait: for so many; for the end of their run; a manifest, for the files that it names. (As rows have it.)
enum service_group_kind { SERVICE_GROUP_COUNT, SERVICE_GROUP_RUN, SERVICE_GROUP_MANIFEST };
struct service_group {
	int64_t service;
	size_t input; // index in the definition
	uint64_t files;
	int64_t opened_ns;
	int64_t due_ns; // then it makes a job with what it has; 0 = at once
	int64_t run;	// of the file that came first
	enum service_group_kind kind;
};
// Those of a service, or, when that is 0, of a run.
must_check int service_groups(struct services *s, int64_t service, int64_t run, struct arena *mem,
			      struct service_group **out, size_t *n, struct err *e);
// Forgets those that wait for the end of a run and belong to services of that owner, 0 = of anybody: for who cancels the run. *n = how many.
must_check int service_groups_cancel(struct services *s, int64_t run, int64_t owner, uint64_t *n,
				     struct err *e);

// The files that a manifest names, with its own, as they are there now: for who lays them out. ERR_NOT_FOUND: some are
// not there (the text says how many, and the first); those of fdl_manifest_read() and of store.
struct fdl_io;
struct fdl_member;
must_check int service_manifest_files(struct store *st, const struct fdl_io *io, int64_t bucket,
				      struct span key, int64_t version, struct arena *mem,
				      struct fdl_member **members, size_t *n, struct err *e);

// ---- retention -----------------------------------------------------------------------------------------

// Services that say themselves what is kept of their jobs.
struct service_keep {
	int64_t service;
	uint64_t jobs;	// 0 = any number
	int64_t s;	// 0 = for ever
	int64_t logs_s; // their logs, 0 = as long as they
};
void service_keeps(struct services *s, struct arena *mem, struct service_keep **out, size_t *n);

// ---- pausing -------------------------------------------------------------------------------------------

enum service_flow_change {
	SERVICE_PAUSE, // starts no job; events and calls are queued
	SERVICE_DRAIN, // works off what is queued now, then as paused
	SERVICE_RESUME,
};
// Running jobs go on whatever is said. ERR_DENIED, ERR_NOT_FOUND. [waits for the disk]
must_check int service_flow_set(struct services *s, const struct service_caller *who,
				struct span name, enum service_flow_change change, struct err *e);
struct service_flow {
	bool paused;
	int64_t upto; // paused, but jobs with ids up to this may start; 0 = none
};
struct service_flow service_flow_get(struct services *s, int64_t service);

// ---- calls ---------------------------------------------------------------------------------------------

// A call by the API, of this trace (NULL = none yet): queues a job with this payload. *job = its id. ERR_BUSY: the queue of the
// service or of the user is full.
must_check int service_call(struct services *s, const struct service_def *d, int64_t user,
			    struct span payload, const struct trace_context *trace, int64_t *job,
			    struct err *e);

// What such a call is to the queue; the payload is borrowed. sync: somebody waits for the answer.
// ERR_UNAVAILABLE: nobody would answer, since the service is paused.
must_check int service_call_describe(struct services *s, const struct service_def *d, int64_t user,
				     struct span payload, bool sync,
				     const struct trace_context *trace, struct queue_new *out,
				     struct err *e);

// The store's sink: makes the jobs of what an object triggers.
int service_object_changed(void *services, struct db_conn *c, const struct store_event *ev,
			   struct err *e);
