// exec/joblog: the log format as users of exec see it. The format lives in runner/, which lies below exec,
// because the shim writes it.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "runner/joblog.h" // IWYU pragma: export
