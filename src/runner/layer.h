// runner/layer: places for mounts in a root file system that has none for them: an image is read-only and belongs to
// others, too. What is missing, and links, are made on a tmpfs, which overlayfs shows together with the folder where
// they belong. Links in the image lead to places in the image.
// Private to runner/. Threads: one. Errors: ERR_IO, ERR_UNSUPPORTED, with the path.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

#include <stddef.h>

enum { LAYER_ENTRIES_MAX = 1024 };

struct layer_entry {
	const char *path;   // absolute, below the root
	const char *target; // of a link, which replaces what is there; NULL = it is none
	int tree;	    // else a detached mount, of a folder or not
	bool folder;
	const char *base, *rest; // private
};

// The root is the working directory and stays it. `whole`: it is one mount, so that an overlay may cover all of it. In
// the template's mount namespace or a copy of it (runner/template.h), before anything else is mounted below the root.
must_check int layer_attach(struct layer_entry *entries, size_t n, bool whole, struct err *e);

// Makes the folders on the way to the last part of a relative path, following no link: the folder that holds it, and in
// *name the last part.
must_check int layer_parent(int dir, const char *path, const char **name, struct err *e);
