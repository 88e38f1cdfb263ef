// settle: an unpacked image is used before the disk has all of it, for the disk may take longer than the unpacking. Its
// blobs and documents are on disk, so all of it can be had from them again: until the rest is as well, its folder holds
// a mark with the id of this boot. A folder that another boot marked is not believed but unpacked anew.
// Threads: safe. Errors: ERR_IO, ERR_FULL; of settle_open() only those of the folder of all images.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

struct images;

// What is in the folder `dir` (rootfs and documents) need not be on disk when it is published: settle_later() follows.
// Waits for the disk at once where the machine does not tell its boots apart.
must_check int settle_mark(int dir, struct err *e);
// Published images with a mark are written to disk, and their marks go. By a thread of its own, soon.
void settle_later(struct images *m);

// Unpacks what an earlier boot left, before anything runs on it, and starts the thread.
must_check int settle_open(struct images *m, struct err *e);
// Waits for the disk.
void settle_close(struct images *m);
