// exec/fake: a driver that runs nothing, for tests of those who use drivers. It is asynchronous like a cluster:
// answers come late, from another thread, sometimes never; now and then it is busy. All by chance from a seed.
// Outputs and log are real files in a temporary folder, so that callers cannot tell it from a real driver.
// A (job, attempt) lives on in a `struct exec_fake_world`, if one is given, across close() and open(), as it
// would in a cluster; so adopt() can be tested.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "exec/exec.h"

// What a job does, decided when it is submitted. Zeroed: exits 0 at once, without output.
struct exec_fake_answer {
	enum exec_outcome outcome;
	int exit_code, signal;
	const char *reason;	 // copied; NULL = ""
	const char *log;	 // copied; its standard output
	const char *output_name; // copied; one file in the output directory, NULL = none
	struct span output;	 // copied; its content
	const char *progress;	 // copied; what it says of how far it is, NULL = nothing
	int64_t delay_ms;	 // of the run; < 0 = by chance within the options' bounds
	bool never;		 // runs until cancelled
};

struct exec_fake_world;
struct exec_fake_world *exec_fake_world_new(void);
void exec_fake_world_free(struct exec_fake_world *w); // after close() of the drivers on it

struct exec_fake_options {
	uint64_t seed;
	int64_t delay_min_ms,
		delay_max_ms;	   // from submit to end, where an answer leaves it to chance
	unsigned lost_per_mille;   // ends with EXEC_LOST instead
	unsigned busy_per_mille;   // submit says ERR_BUSY
	unsigned down_per_mille;   // any operation says ERR_UNAVAILABLE
	unsigned silent_per_mille; // `started` is never told
	unsigned room;		   // jobs at once, then ERR_BUSY; 0 = no bound
	uint32_t cpu_millis;	   // what it says it has; 0 = 4000
	uint32_t gpus;
	const char *const *devices; // borrowed; that it tells of, NULL = it only counts GPUs
	size_t device_count;
	struct exec_fake_world *world; // borrowed; NULL = one of its own
	// Decides what a job does; NULL = zeroed answer. Called inside submit(); must not call the driver.
	void (*rule)(void *owner, const struct exec_spec *s, struct exec_fake_answer *out);
	void *rule_owner;
};

must_check int exec_fake_open(struct exec_driver **out, const struct exec_fake_options *o,
			      const struct exec_events *ev, struct err *e);

// What tests want to know.
struct exec_fake_counts {
	unsigned submitted, ended, cancelled, running;
};
void exec_fake_counts(struct exec_driver *d, struct exec_fake_counts *out);
