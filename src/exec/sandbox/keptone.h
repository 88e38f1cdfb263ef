// exec/sandbox/keptone: one kept sandbox, as the two parts of the pool see it: kept.c, what a call needs, from any thread;
// keptturn.c, the driver's thread. Private to them. What follows is called with the pool's lock held.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "exec/sandbox/kept.h"

struct kept {
	struct kept *next;
	char id[PROTO_JOB_MAX];
	struct exec_keep key;
	char name[JOBDIR_NAME_MAX];  // of its call until that is forgotten, "" = idle
	char input[PROTO_NAME_MAX];  // what lies in its input folder, "" = nothing
	int conn, dir;		     // -1 = not yet
	int fds[3];		     // of the call that is to be sent
	int64_t idle_ns;	     // since when, monotonic
	bool ready;		     // its sandbox takes a connection, and calls by it
	bool send, cancel;	     // the thread shall do so
	bool over;		     // its call has ended …
	bool closed;		     // … and what it left is being taken away
	bool ordered, frozen;	     // since it is idle: to freeze; it is so
	bool gone;		     // its sandbox has ended; stays until its call is forgotten
	bool retire, told, unusable; // shall end; the driver was told; serves no more
};

struct kept *kept_of_id(const struct kept_pool *p, const char *id);
void kept_close_fds(struct kept *k);
// It has no call any more. The folder of one that has ended is the caller's then, else "".
void kept_let_go(struct kept_pool *p, struct kept *k, char folder[static JOBDIR_NAME_MAX]);
