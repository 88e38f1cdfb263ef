// event: what a job's payload says: which file, which variables. Pure: reads text, touches nothing.
// Source: the supervisor's order of tests (docs/user/events.md). Shared by the daemon and
// the supervisor inside a container.
// Owner: everything that is read lives in the caller's arena. Threads: no shared state. Errors: ERR_INVALID, ERR_LIMIT,
// ERR_NOT_FOUND as each says.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

enum fdl_event_kind {
	FDL_EVENT_UNKNOWN, // the payload itself is the input file
	FDL_EVENT_STORAGE, // an object: bucket and key
};

struct fdl_event_var {
	const char *name, *value;
};

struct fdl_event {
	enum fdl_event_kind kind;
	const char *provider; // "minio", "s3", "onedata", "webdav", "rucio"; "" when unknown
	const char *provider_id;
	bool has_provider_id;	    // the event says it itself
	const char *bucket, *key;   // decoded
	const char *file_name;	    // last part of the key
	const char *time;	    // "" when the event has none
	struct span body;	    // unknown: the bytes of the input file
	struct fdl_event_var *vars; // CONT_VAR_… of an API gateway event
	size_t var_count;
};

// One record of a storage event with several.
struct fdl_record {
	const char *bucket, *key, *file_name;
	int64_t version; // of its sequencer, 0 = it has none
};
// Those of MinIO or S3, at most `max`; what has none has 0 of them. ERR_LIMIT when there are more.
must_check int fdl_event_records(struct span payload, struct arena *mem, size_t max,
				 struct fdl_record *out, size_t *n, struct err *e);

// What the event of a whole run's files says beside its first record: "Oscar": {"run", "files": [{"key", "version"}],
// "failed", "over"}. ERR_NOT_FOUND: it is none; ERR_LIMIT: more than FDL_GROUP_RUN_MAX files.
struct fdl_member {
	const char *key;
	int64_t version;
};
struct fdl_group {
	struct fdl_member *members;
	size_t n;
	bool over;	 // there were more files
	uint64_t failed; // jobs of the run
};
must_check int fdl_event_group(struct span payload, struct arena *mem, struct fdl_group *out,
			       struct err *e);

// Everything in *out lives in mem. ERR_INVALID when the event names a file that cannot be one (empty, "..").
must_check int fdl_event_parse(struct span payload, struct arena *mem, struct fdl_event *out,
			       struct err *e);
