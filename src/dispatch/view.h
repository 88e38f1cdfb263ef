// view: a folder of a bucket as a folder of the machine, for a job that mounts it. Private to dispatch.
// Of a directory served in place it is the folder itself. Else one is made below tmp/ whose files are further names of
// the objects' content, so that nothing is copied but what is no file of its own on that disk (objects in the database,
// joined parts, other content directories). It shows what there was when the job was staged.
// Threads: the worker that stages the job. Errors: ERR_LIMIT (more than view_objects_max, more to copy than
// view_copy_max), ERR_INVALID (a key that no file can have), those of store.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

struct dispatch;
struct fdl_io;
struct job;

// A descriptor of the folder, the caller's.
must_check int view_open(struct dispatch *d, const struct job *j, const struct fdl_io *mount,
			 struct err *e);
// Removes what was made for a job; nothing is success.
void view_remove(struct dispatch *d, const struct job *j);

enum { VIEW_NAME_MAX = 64 };
#define VIEW_PREFIX "view-"
