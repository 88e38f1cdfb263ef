// runner/sandbox: makes one sandbox and starts the script in it. The parent (shim) opens everything that lies
// outside, clones, and lets the child go; the child (runner/inside) builds its root, locks itself in and
// becomes pid 1 of the sandbox, which starts the script and reaps.
// Owns: what struct sandbox holds. Threads: one. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "runner/device.h"
#include "runner/proto.h"
#include "runner/world.h"

#include <stdbool.h>
#include <sys/types.h>

enum { SANDBOX_TEXT_MAX = 160 };

// What the inside tells the shim, one at a time through a pipe. From REPORT_STARTED on it comes from a process
// that a script might have got hold of: the shim believes it only about this job.
struct sandbox_report {
	enum {
		REPORT_FAILED = 1,
		REPORT_STARTED,
		REPORT_ENDED,
		REPORT_OVER_MEMORY,
		REPORT_READY, // a kept one waits for a call: nothing is left of the one before
	} kind;
	int32_t status; // ENDED: as wait() gives it
	int64_t wall_ns;
	char text[SANDBOX_TEXT_MAX]; // FAILED
};

_Static_assert(PROTO_INPUTS_MAX <= 64, "struct sandbox counts inputs in 64 bits");

struct sandbox_input {
	int tree; // detached mount; -1 = a passed file was copied into the job's folder
	int file; // passed by the daemon, borrowed; -1 = none
	const char *name;
};

struct sandbox {
	const struct world *world;
	const struct proto_start *start;
	const struct cgroup_job *cgroup; // borrowed
	int go;				 // the child waits here until its user ids are set
	int report;			 // the child's end
	int std[3];			 // the script's
	int calls;     // of one that is made before its calls: pid 1 takes them here, else -1
	int tree_root; // detached mounts: image (-1 = host), /oscar, /oscar/output
	int tree_oscar;
	int tree_output;
	int net;		     // network namespace, borrowed; -1 = the host's
	int tree_resolv, tree_hosts; // of the host, with its network only; else -1
	struct sandbox_input *inputs;
	const int *folders;	      // passed for the mounts, borrowed
	const int *streams;	      // passed for a shell; they become `std`
	int mounts[PROTO_MOUNTS_MAX]; // detached, -1 = none
	struct devices devices;
	uint64_t
		copied; // bit i: input i was copied, so that it stays as it was. Also after the release
	char *env_text; // the strings of `env`
	size_t env_size;
	char **env;
	char *secrets; // of `secrets`, NULL = none
	size_t secrets_size;
	int env_file;	   // instead of `env`, else -1
	bool watch_memory; // no control group does
	bool limit_pids, limit_cpu;
};

// How many further groups its script has: none where a sandbox has just one id outside.
static inline unsigned sandbox_groups(const struct sandbox *s)
{
	return s->world->count > 1 ? s->start->group_count : 0;
}

// The sizes of its /tmp and /dev/shm.
static inline uint64_t sandbox_scratch_bytes(const struct sandbox *s)
{
	return s->start->scratch_bytes_max ? s->start->scratch_bytes_max : UINT64_C(64) << 20;
}

static inline uint64_t sandbox_shm_bytes(const struct sandbox *s)
{
	const uint64_t scratch = sandbox_scratch_bytes(s), most = UINT64_C(64) << 20;

	return scratch < most ? scratch : most;
}

// It is made before what it is to run is known: that comes by `calls`.
static inline bool sandbox_waits(const struct proto_start *m)
{
	return m->warm || m->ahead;
}

// What the parent keeps.
struct sandbox_parent {
	pid_t pid; // of the sandbox's pid 1
	int pidfd;
	int report, out, err; // to read
	int calls;	      // of one that is made before its calls, to send, else -1
};

// All of it: on success the script is about to run and `s` can be released. On failure nothing is left running;
// the text says what went wrong in words for the owner of the job.
must_check int sandbox_start(struct sandbox *s, int jobdir, struct sandbox_parent *out,
			     struct err *e);
// The environment in NUL-terminated strings of together `n` bytes, which must stay; freed by mem_free().
char **sandbox_env(char *text, size_t n);
// A pipe that a script may print to; the read end does not block.
must_check int sandbox_pipe(const struct world *w, int *read_end, int *write_end, struct err *e);
void sandbox_release(struct sandbox *s);
// `files`: as many as proto_files() says; borrowed, as all else, until sandbox_release().
void sandbox_init(struct sandbox *s, const struct world *w, const struct proto_start *m,
		  const int *files, int net, const struct cgroup_job *group);

// The child's part, in runner/inside.c. Never returns.
no_return void inside_run(const struct sandbox *s);
// pid 1's part after everything is locked, in runner/init.c.
no_return void init_run(const struct sandbox *s);
// initwarm.c: removes what a call left where it could write. False: something stays, or may.
bool init_clean(void);
// The environment in a file of NUL-terminated strings, in memory that is never freed; NULL with errno.
char **init_read_env(int fd);
void inside_report(const struct sandbox *s, const struct sandbox_report *r);
