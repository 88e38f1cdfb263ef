// runner/proto: what daemon and runner say to each other over DATA/run/runner.sock (SEQPACKET, one message a
// packet, host byte order, both on one machine). Fixed forms only: the runner parses no text.
// Order: the daemon says HELLO, the runner answers WELCOME or closes; then any message at any time. The runner
// takes the next connection when the present one is closed and all it had sent is worked off, so after WELCOME
// nothing of an earlier daemon is still on its way.
// Changing a message: raise PROTO_VERSION; a runner of another version is left alone until it has no jobs.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROTO_MAGIC = 0x4f534352,
	PROTO_VERSION = 15,
	PROTO_JOB_MAX = 80,   // with the NUL
	PROTO_IMAGE_MAX = 80, // with the NUL
	PROTO_NAME_MAX = 256,
	PROTO_PATH_MAX = 512,
	PROTO_INPUTS_MAX = 64,
	PROTO_MOUNTS_MAX = 16,
	PROTO_STREAMS = 3,
	// passed with one message
	PROTO_FILES_MAX = PROTO_INPUTS_MAX + PROTO_MOUNTS_MAX + PROTO_STREAMS,
	PROTO_TEXT_MAX = 256,
	PROTO_GROUPS_MAX = 32,
	PROTO_DEVICES_MAX = 16,
	PROTO_DEVICE_MAX = 256, // with the NUL
};

enum proto_kind {
	PROTO_HELLO = 1, // daemon: proto_hello
	PROTO_WELCOME,	 // runner: proto_welcome, or it closes
	PROTO_START, // daemon: proto_start, with its open files. Safe to send again: a job is started once
	PROTO_CANCEL,	// daemon: proto_about
	PROTO_STOP_ALL, // daemon: proto_plain
	PROTO_STARTED,	// runner: proto_about with wall_ns
	PROTO_ENDED,	// runner: proto_about. Look into the job directory now
	PROTO_REFUSED,	// runner: proto_about with text. Never ran
	PROTO_GIVE,	// daemon: proto_give, with an open folder. Without an answer
	PROTO_TAKE,	// daemon: proto_take. Answered as START is
};

enum proto_network { PROTO_NETWORK_NONE, PROTO_NETWORK_HOST, PROTO_NETWORK_NAT };

struct proto_head {
	uint32_t magic;
	uint16_t version;
	uint16_t kind;
};

struct proto_plain {
	struct proto_head head;
};

// Who makes the sandboxes. A runner that was started for the other one leaves when it has no jobs.
enum proto_runtime { PROTO_RUNTIME_OWN, PROTO_RUNTIME_OCI, PROTO_RUNTIME_ANY };

struct proto_hello {
	struct proto_head head;
	uint32_t runtime; // enum proto_runtime
	uint32_t spare;
};

struct proto_welcome {
	struct proto_head head;
	char limits[PROTO_TEXT_MAX]; // "" when every limit holds, else plain words
};

struct proto_about {
	struct proto_head head;
	char job[PROTO_JOB_MAX];
	uint32_t attempt;
	uint32_t busy; // REFUSED: 1 when only room was missing
	int64_t wall_ns;
	char text[PROTO_TEXT_MAX];
};

// What the daemon made in the folder becomes whose the folder is (runner/give.h).
struct proto_give {
	struct proto_head head;
	char name[PROTO_NAME_MAX];  // one path component
	char later[PROTO_NAME_MAX]; // what it is renamed to meanwhile, "" = nothing
};

// A file that is bound read-only into the input directory: of the data directory by its path, or of elsewhere by a
// descriptor that comes with the message (SCM_RIGHTS; those of all such inputs in their order). The descriptor must
// be of a regular file and open for reading, so that nobody is shown what the daemon itself may not read.
struct proto_input {
	char name
		[PROTO_NAME_MAX]; // one path component; stands as an empty file in the job's input folder
	char content[PROTO_PATH_MAX]; // relative to the data directory; "" = the descriptor's file,
	uint64_t size;		      // which must be and stay of this size
	int64_t mtime_ns;	      // and time of change
};

// A folder of the machine that is shown read-only below /mnt. Its descriptor, open for reading, is passed behind those
// of the inputs.
struct proto_mount {
	char target
		[PROTO_PATH_MAX]; // below /mnt; neither the same as, nor above or below, another's
};

// A device of the machine: "vendor.com/class=name" (codec/cdi.h). What it is, the runner knows.
struct proto_device {
	char name[PROTO_DEVICE_MAX];
};

// A sandbox that was made ahead of its job gets it: its folder bears the job's name by now and holds all that the job
// needs. ENDED at once when there is no such sandbox any more; the folder tells whether the job ran.
struct proto_take {
	struct proto_head head;
	char from[PROTO_JOB_MAX]; // as it was started, attempt 1
	char job[PROTO_JOB_MAX];
	uint32_t attempt;
	uint32_t spare;
};

struct proto_start {
	struct proto_head head;
	char job[PROTO_JOB_MAX];
	uint32_t attempt;
	char image[PROTO_IMAGE_MAX];  // "host" or [a-z0-9]+
	char workdir[PROTO_PATH_MAX]; // absolute, inside the image; "" = /tmp. Missing there: /tmp
	uint32_t uid, gid;	      // of the script as it sees itself; at most INT32_MAX
	uint32_t group_count;
	uint32_t groups[PROTO_GROUPS_MAX]; // further ones; zeros behind the last
	uint32_t network;		   // enum proto_network
	uint32_t cpu_millis;		   // limits: 0 = none
	uint32_t pids_max;
	uint64_t memory_bytes;
	uint64_t output_bytes_max;
	uint64_t scratch_bytes_max; // 0 = 64 MiB
	uint64_t log_bytes_max;	    // 0 = 1 MiB
	int64_t timeout_ms;	    // 0 = none
	int64_t grace_ms;
	uint32_t input_count;
	uint32_t warm; // 1: kept for many calls, see runner/warm.h; has no inputs of its own
	uint32_t mount_count;
	uint32_t
		port; // 0 = none; else it is a server, connections to which are handed out: runner/door.h
	// 1: a person's shell. It runs /oscar/shell/start.sh on three passed streams, which come behind the folders: ends
	// of pipes, or a terminal, which it controls. It has no log, and a door, with which it ends.
	uint32_t shell;
	// 1: it may be frozen while it is idle, as runner/warm.h and runner/door.h say; only with `warm` or `port`.
	uint32_t freezer;
	uint32_t device_count;
	// 1: made ahead of its job, of which it has nothing yet but the script: STARTED says that it is ready, PROTO_TAKE
	// begins it. It ends when the daemon's connection does, or the runner.
	uint32_t ahead;
	// Only those that there are travel; behind them mounts and devices.
	struct proto_input input[];
};

enum {
	PROTO_PACKET_MAX = sizeof(struct proto_start) +
			   PROTO_INPUTS_MAX * sizeof(struct proto_input) +
			   PROTO_MOUNTS_MAX * sizeof(struct proto_mount) +
			   PROTO_DEVICES_MAX * sizeof(struct proto_device)
};

struct proto_head proto_head(enum proto_kind kind);

// [a-z0-9-]+ with its NUL inside the field; the field must end in zeros.
bool proto_job_ok(const char job[static PROTO_JOB_MAX]);

// Check a packet of n bytes as received, before anything in it is used. ERR_PROTOCOL with the field's name.
must_check int proto_check_head(const void *packet, size_t n, struct err *e);
must_check int proto_check_hello(const struct proto_hello *m, size_t n, struct err *e);
must_check int proto_check_about(const struct proto_about *m, size_t n, struct err *e);
must_check int proto_check_start(const struct proto_start *m, size_t n, struct err *e);
must_check int proto_check_take(const struct proto_take *m, size_t n, struct err *e);
must_check int proto_check_give(const struct proto_give *m, size_t n, struct err *e);
// Of a message that passed: how many descriptors come with it, and how many of them for inputs; its mounts, its devices.
uint32_t proto_files(const struct proto_start *m);
uint32_t proto_input_files(const struct proto_start *m);
const struct proto_mount *proto_mounts(const struct proto_start *m);
const struct proto_device *proto_devices(const struct proto_start *m);
must_check int proto_check_welcome(struct proto_welcome *m, size_t n, struct err *e);
