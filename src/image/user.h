// user: which ids an image's USER means: "name", "uid", with ":group" or ":gid" behind it, looked up in the image's own
// /etc/passwd and /etc/group. Pure: bytes of strangers to numbers.
// Threads: no state. Errors: ERR_INVALID (a name that the files do not hold, a number that is none), ERR_LIMIT (more than
//   IMAGE_GROUPS_MAX further groups). Lines that are none are passed over, as every reader of these files does.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"
#include "image/image.h"

enum { USER_FILE_MAX = 1 << 20, USER_WORD_MAX = 256 };

// As container engines do it: a name goes before a number; a number that no line has is taken as it is, with group 0;
// without ":group" the group is the user's own, and the further groups are those whose lists name the user. "" = root.
must_check int user_find(struct span who, struct span passwd, struct span group,
			 struct image_user *out, struct err *e);
