// runner/template: a mount namespace that holds nothing but what every sandbox needs, so that cloning it is cheap
// and nothing of the host has to be unmounted in the child:
//   /host   root file system of image "host": /usr and the like read-only, a chosen part of /etc
//   /dev    device nodes   /proc  the host's (the kernel wants to see one before it mounts another)
//   /new    empty, where the root of a sandbox is put together   /empty  /etc  small generated files
//   /layers empty, for runner/layer
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

// A descriptor of a new namespace of this kind. `data_dir` (absolute) is hidden should it lie in a folder that
// is shown. `nodes`: device nodes can be made here (else the host's are bound).
must_check int template_make(const char *data_dir, bool nodes, struct err *e);

// Times of change of what the template copies; different numbers = worth making it again.
void template_stamps(int64_t out[static 3]);
