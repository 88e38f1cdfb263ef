// group: files of an input that make one job together (`group: {count, wait}`).
// Purpose: an event of such an input becomes a member of the open group instead of a job; when the group has all its
//   files, or the first has waited for long enough, the same write takes it away and adds its job, whose payload has
//   the records of all. So an event is in one group or one job, whatever is killed when.
// Owner: struct services, which starts and stops the thread that closes what is due. Threads: safe.
// Errors: ERR_BUSY (the queue is full), db's. Private to service, but for service_groups().
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "service/service.h"

struct queue_new;

enum { GROUP_BYTES_MAX = 1 << 20 }; // of records; then it is closed with what it has

// `n` is the job that the event would make alone.
must_check int group_take_in(struct services *s, struct db_conn *c, const struct service_def *d,
			     size_t input, const struct queue_new *n, struct err *e);

// The definition changed: what is open is closed as it is, soon, by the new one. Or the service goes.
must_check int group_due_in(struct db_conn *c, int64_t service, struct err *e);
must_check int group_forget_in(struct db_conn *c, int64_t service, struct err *e);

// Closes what is due. ERR_BUSY when some has to wait.
must_check int group_step(struct services *s, struct err *e);

void group_run(struct services *s);
void group_halt(struct services *s);
