// view: a folder of a bucket as a folder of the machine, for a job that mounts it or whose input it is. Private to dispatch.
// Of a directory served in place it is the folder itself. Else one is made below tmp/ whose files are further names of
// the objects' content, so that nothing is copied but what is no file of its own on that disk (objects in the database,
// joined parts, other content directories). It shows what there was when the job was staged.
// Threads: the worker that stages the job. Errors: ERR_LIMIT (more than view_objects_max, more to copy than
// view_copy_max), ERR_INVALID (a key that no file can have), those of store.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

struct dispatch;
struct fdl_io;
struct job;

enum view_kind { VIEW_MOUNT, VIEW_GROUP }; // what a job mounts; its input
enum { VIEW_NAME_MAX = 64, VIEW_KINDS = VIEW_GROUP + 1 };

// A descriptor of the folder, the caller's.
must_check int view_open(struct dispatch *d, const struct job *j, enum view_kind kind,
			 const struct fdl_io *mount, struct err *e);
// One of these objects of a bucket alone, each by its key without the first `skip` bytes. ERR_NOT_FOUND: one of them is gone.
struct fdl_member;
must_check int view_gather(struct dispatch *d, const struct job *j, const struct fdl_member *list,
			   size_t n, size_t skip, struct err *e);
// A new empty one below tmp/, and what it is called there.
must_check int view_make(struct dispatch *d, const struct job *j, enum view_kind kind,
			 struct err *e);
char *view_name(const struct job *j, enum view_kind kind, char out[static VIEW_NAME_MAX]);
// What is behind the prefix when a name below tmp/ is one of a view.
bool view_name_is(struct span name, struct span *rest);
// Removes what was made for a job; nothing is success.
void view_remove(struct dispatch *d, const struct job *j);
