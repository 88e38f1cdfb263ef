// exec: the one interface to whatever runs jobs (sandbox, oci, kubernetes, slurm, lambda, fake).
// Purpose: dispatch hands over a job and hears later what became of it; nothing here waits for a job.
// Owner: a driver is made by exec_NAME_open() in its own folder; app plugs it into dispatch.
// Threads: every operation is safe from any thread. Callbacks come from the driver's own thread, one at a
//   time, never from inside an operation. They must not block for long.
// Lifetime: everything in a spec is borrowed for the call of submit() only.
// Delivery: after a successful submit() exactly one `ended` comes for that (job, attempt), however late;
//   `started` comes at most once, before it. A driver that loses a job ends it with EXEC_LOST.
// Errors: ERR_INVALID (this spec can never run here), ERR_BUSY (no room now, try later), ERR_UNAVAILABLE
//   (the engine does not answer), ERR_EXISTS (this attempt was submitted before), ERR_NOT_FOUND, ERR_IO.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	EXEC_JOB_ID_MAX = 80,
	EXEC_REASON_MAX = 200,
	EXEC_NODE_MAX = 64,
	EXEC_GROUPS_MAX = 32,
	EXEC_PROGRESS_MAX = 4096
};

enum exec_network {
	EXEC_NETWORK_NONE, // loopback only
	EXEC_NETWORK_NAT,  // its own, with a way out, but not to the node
	EXEC_NETWORK_HOST, // the node's own network, with whatever listens on it for local callers
};

struct exec_env {
	const char *name;
	const char *value;
};

// A file that the script finds in its input directory. Exactly one source is set: content, bytes or file.
struct exec_input {
	const char
		*name; // relative path below the input directory, already checked (no "..", no "/")
	const char *
		content; // an immutable file, path relative to the data directory; bound, not copied
	struct span bytes; // or the bytes themselves; written by the driver
	int file; // or an open regular file of anywhere, borrowed; bound, not copied, where that can be. 0 = none
	uint64_t file_size;    // such a file must be and stay of this size
	int64_t file_mtime_ns; // and time of change, else the job ends with EXEC_CHANGED
};

// Sandboxes that are kept for the next calls, where an engine can do that; each serves one call at a time and only
// calls of the same service, revision and owner.
struct exec_keep {
	int64_t service, revision, owner;
	unsigned count;	 // at most; calls beyond run as others
	bool once;	 // each serves one call and is made ahead of it: `count` of them wait
	int64_t idle_ms; // then it ends
	int64_t freeze_ms; // then nothing in it runs until its next call, where that can be; 0 = never
};

struct exec_kept {
	unsigned busy, idle, frozen; // each is one of them
	unsigned ahead;		     // wait for the one call that they serve
};

// A folder of the machine that the script sees, read-only.
enum { EXEC_MOUNTS_MAX = 16 };
struct exec_mount {
	const char *target; // where, below /mnt: "data", "a/b"; none within another
	int folder;	    // open for reading, borrowed
};

// Devices of the machine that a job has for itself: "vendor.com/class=name", each of those that devices() tells of.
enum { EXEC_DEVICES_MAX = 16 };

// A person at work in the sandbox of a job: instead of the job's script, which lies where it always does, another one
// runs, with these streams, borrowed: ends of pipes, or three times a terminal, which becomes its controlling one. The
// event is a file, and not what comes in. It has no log; it ends with its door, as servers do, and by cancel() at once
// when its grace time is 0.
struct exec_shell {
	struct span script;
	int streams[3];
};

struct exec_spec {
	const char *job;  // [a-z0-9-], at most EXEC_JOB_ID_MAX-1 characters; unique over all time
	unsigned attempt; // 1, 2, …
	const char *service;
	const char *image;   // "host", or the id of an unpacked image ([a-z0-9]+)
	const char *workdir; // where the script starts if it exists in the image; NULL or "" = /tmp
	// Whom the script runs as, as it sees itself; zeros = root. An engine that runs images as they are does as the
	// image says anyway. At most EXEC_GROUPS_MAX further groups.
	uint32_t uid, gid;
	const uint32_t *groups;
	unsigned group_count;
	struct span script; // run as /bin/sh /oscar/config/script.sh
	struct span event;  // standard input of the script, any size, byte for byte
	const struct exec_env
		*env; // set in this order; the driver adds the paths of its own layout
	size_t env_count;
	const struct exec_env
		*secrets; // files in /oscar/secrets, readable for the script's user alone
	size_t secret_count;
	const struct exec_input *inputs; // at most 64 with `content` or `file`
	size_t input_count;
	const struct exec_mount *mounts;
	size_t mount_count;
	const char *const *devices;
	size_t device_count; // then `keep` is nothing: a sandbox with devices ends with its job
	// For INPUT_FILE_PATH: the name of an input, "" = their folder, NULL = none; then the target of a mount may be it.
	const char *input_file;
	const char *input_mount;

	// Limits. 0 = none, but for the two that say otherwise.
	uint64_t memory_bytes;	    // of the job; at least 4 MiB
	uint32_t cpu_millis;	    // 1000 = one core
	uint32_t pids_max;	    // processes and threads
	uint64_t output_bytes_max;  // what may lie in the output directory
	uint64_t scratch_bytes_max; // size of /tmp (tmpfs, counts as memory); 0 = 64 MiB
	uint64_t log_bytes_max;	    // kept log, what is over is counted and dropped; 0 = 1 MiB
	int64_t timeout_ms;	    // run time, 0 = none; then SIGTERM, after grace SIGKILL
	int64_t grace_ms;
	enum exec_network network;
	// The script is a server that listens at this port of its own loopback, and runs until it is ended; 0 = a job.
	// Its log keeps what came last. Only with EXEC_NETWORK_NONE.
	uint16_t port;
	bool freeze;			// with `port`: freeze() may be asked for
	const struct exec_keep *keep;	// NULL = a sandbox of its own
	const struct exec_shell *shell; // NULL = none; without `port` and `keep`
};

enum exec_outcome {
	EXEC_EXITED,	   // `exit_code` says how
	EXEC_SIGNALED,	   // killed by `signal`, not by us
	EXEC_OOM,	   // over its memory limit
	EXEC_TIMEOUT,	   // over its run time
	EXEC_DISK,	   // over its output allowance
	EXEC_CANCELLED,	   // by cancel()
	EXEC_SETUP_FAILED, // never ran: the sandbox could not be made; `reason` says why
	EXEC_LOST,	   // nobody knows: machine restarted, shim or node gone
	EXEC_CHANGED,	   // a file that was its input changed before it began or while it ran
};

struct exec_result {
	enum exec_outcome outcome;
	int exit_code;
	int signal;
	char reason[EXEC_REASON_MAX]; // plain language: "killed: over the memory limit of 256 MiB"
	char node[EXEC_NODE_MAX];
	uint64_t memory_peak_bytes; // 0 = not known
	uint64_t cpu_us;	    // user + system; 0 = not known
	int64_t started_wall_ns;    // execve of the script, 0 = never
	int64_t ended_wall_ns;	    // wait of the script
	uint64_t log_bytes_dropped;
};

struct exec_events {
	void *owner;
	void (*started)(void *owner, const char *job, unsigned attempt, int64_t started_wall_ns,
			const char *node);
	void (*ended)(void *owner, const char *job, unsigned attempt, const struct exec_result *r);
};

// What the driver offers, for admission and /system/status. Zero = not known.
struct exec_capacity {
	uint32_t cpu_millis;
	uint64_t memory_bytes;
	uint32_t gpus;
	char limits[256]; // "" when every limit holds; else what does not ("no memory limit: …")
};

struct arena;
struct exec_driver;

struct exec_ops {
	const char *name; // as in configuration

	must_check int (*submit)(struct exec_driver *d, const struct exec_spec *spec,
				 struct err *e);

	// Asks for the job's end: SIGTERM, after the grace time SIGKILL. `ended` follows.
	must_check int (*cancel)(struct exec_driver *d, const char *job, unsigned attempt,
				 struct err *e);

	// After a restart: takes a (job, attempt) of an earlier life back. `started` and `ended` follow as for
	// submit(), `ended` with the real result when it ended while nobody listened. Also for one of this life
	// whose submit() got no answer; an end that was told is told again. ERR_UNAVAILABLE when the engine
	// cannot say now whether it has it: it may run. ERR_NOT_FOUND when the
	// engine has never heard of it (then it never ran and may be submitted).
	must_check int (*adopt)(struct exec_driver *d, const char *job, unsigned attempt,
				struct err *e);

	// After `ended`: a descriptor of the directory that holds the outputs, owned by the caller; regular
	// files in it may be moved away by rename. ERR_UNSUPPORTED where the job uploads by itself.
	must_check int (*open_output)(struct exec_driver *d, const char *job, unsigned attempt,
				      struct err *e);

	// The log at any time after submit(): a descriptor to read records of exec/joblog.h, which grows
	// while the job runs. ERR_UNSUPPORTED where logs are fetched otherwise.
	must_check int (*open_log)(struct exec_driver *d, const char *job, unsigned attempt,
				   struct err *e);

	// The end of what the script wrote of how far it is, as it wrote it, at any time between submit() and forget():
	// the count of bytes, and when they came. ERR_NOT_FOUND: nothing. NULL where none is read.
	must_check ssize_t (*progress)(struct exec_driver *d, const char *job, unsigned attempt,
				       char out[static EXEC_PROGRESS_MAX], int64_t *wall_ns,
				       struct err *e);

	// Forgets the attempt and removes what it left. Only after `ended`. Unknown is success.
	must_check int (*forget)(struct exec_driver *d, const char *job, unsigned attempt,
				 struct err *e);

	// Tells of every (job, attempt) that anything is kept of, also of earlier lives, in any order. `found` must
	// not call the driver.
	must_check int (*list)(struct exec_driver *d,
			       void (*found)(void *owner, const char *job, unsigned attempt),
			       void *owner, struct err *e);

	// What the daemon made under this name in an open folder becomes whose the folder is, soon, where that may be
	// (runner/give.h), also when it has been renamed to `later` by then (NULL = it will not be). NULL where the
	// daemon's rights are all there are.
	void (*give)(struct exec_driver *d, int folder, const char *name, const char *later);

	// Ends the idle kept sandboxes of a service, and busy ones after their call. NULL where none are kept.
	void (*retire)(struct exec_driver *d, int64_t service);

	// The way into a server, or a shell, that has started: a descriptor of the caller's. When that is closed, the server ends,
	// as it does with the daemon. ERR_NOT_FOUND, ERR_UNAVAILABLE. NULL where servers are not run.
	must_check int (*open_door)(struct exec_driver *d, const char *job, unsigned attempt,
				    struct err *e);
	// Another connection to its port, the caller's, which does not block. May take a second; one caller at a time for
	// each door. ERR_UNAVAILABLE: nobody listens; ERR_BUSY, ERR_TIMEOUT: it, or the way to it, does not answer.
	must_check int (*dial)(struct exec_driver *d, int door, struct err *e);

	// Until the next dial() nothing of the server runs, at once. ERR_UNSUPPORTED where that cannot be; ERR_UNAVAILABLE,
	// ERR_TIMEOUT, ERR_IO. NULL where it never can.
	must_check int (*freeze)(struct exec_driver *d, int door, struct err *e);

	// How many kept sandboxes there are now. NULL where none are kept.
	void (*count_kept)(struct exec_driver *d, struct exec_kept *out);

	void (*capacity)(struct exec_driver *d, struct exec_capacity *out);

	// The devices that jobs can have, none of which is a part of another, in an order that stays: names in the arena.
	// False: they are what they were when *stamp, at first 0, was set. NULL where there are none, or they are only
	// counted (exec_capacity.gpus).
	bool (*devices)(struct exec_driver *d, struct arena *a, uint64_t *stamp,
			const char *const **names, size_t *n);

	// stop_jobs: end every job first (they end with EXEC_LOST for the next life); else they go on.
	void (*close)(struct exec_driver *d, bool stop_jobs);
};

// First member of each driver's own struct.
struct exec_driver {
	const struct exec_ops *ops;
	struct exec_events events;
};
