// runner/filter: the seccomp program of the sandbox, compiled once and loaded as bytes by every child.
// Everything that is not on the list is allowed, as Docker's default comes out for a process without
// capabilities; the list is what reaches outside a namespace or has a bad record.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "base/err.h"

#include <linux/filter.h>
#include <stddef.h>

struct filter {
	struct sock_filter *code;
	unsigned short count;
};

must_check int filter_build(struct filter *f, struct err *e);
void filter_release(struct filter *f);

// The same as the "seccomp" object of an OCI runtime's config.json (config-linux.md, "Seccomp").
must_check int filter_json(struct buf *out, struct err *e);

// For the calling process and its children from now on. Needs no_new_privs.
must_check int filter_load(const struct filter *f, struct err *e);
