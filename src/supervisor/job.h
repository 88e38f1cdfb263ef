// job: the place where one run happens: its temporary directories, its event, its script, its variables.
// Owner: main. Threads: one (it changes the environment).
// Errors: those of fdl/event.h and base/file.h; which exit status they mean is main's to say.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "fdl/event.h"
#include "supervisor/stop.h"

enum { JOB_EVENT_MAX = 16 << 20 };

struct job {
	struct arena mem;
	const char *dir;   // NULL until it was made; removed by job_release()
	const char *input; // directories below it
	const char *output;
	const char *script;
	struct buf payload; // the event as it came
	struct fdl_event event;
};

// Makes the directories below the first of TMPDIR, /tmp, /var/tmp, /dev/shm that takes them.
must_check int job_init(struct job *j, struct err *e);
must_check int job_release(struct job *j, struct err *e); // accepts a zeroed struct

// Reads the event from `fd` to its end.
must_check int job_read_event(struct job *j, struct stop *stop, int fd, struct err *e);

// SCRIPT (base64) of the environment, else the file of the configuration. ERR_NOT_FOUND when there is none.
must_check int job_find_script(struct job *j, struct err *e);

// A new file in the input directory, under the name that the event gives it.
must_check int job_input_create(struct job *j, const char **path, struct err *e);

// Sets what the script is promised. `input_path` NULL = there is no input.
void job_export(const struct job *j, const char *input_path);

// A file without a name below the job's directory.
must_check int job_temp_file(const struct job *j, struct err *e);
