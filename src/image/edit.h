// edit: what one more layer changes in an image's configuration. Pure. Errors: ERR_INVALID, ERR_LIMIT.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <jansson.h>

// The object of that key, made when it is missing. Borrowed.
json_t *edit_object(json_t *parent, const char *key);
// `layers`: how many the image has now.
must_check int edit_add_layer(json_t *config, size_t layers, const char *diff_id, const char *by,
			      struct err *e);
