// Shared by the parts of cdi. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "codec/cdi.h"
#include "codec/json.h"

// A text of at most `max` bytes without control characters; NULL where there is none, which fails when it is required.
must_check int cdi_text(struct arena *a, const json_t *object, const char *key, size_t max,
			bool required, const char **out, struct err *e);
// The same of one value.
must_check int cdi_text_value(struct arena *a, const json_t *v, size_t max, const char **out,
			      struct err *e);
// Only these keys, whatever their case, ending in NULL.
must_check int cdi_only(const json_t *object, const char *const *keys, struct err *e);
// A list's elements; none when it is absent.
must_check int cdi_list(const json_t *object, const char *key, json_t **out, size_t *n,
			struct err *e);

// An absolute path in one spelling: no "//", ".", "..", nor a slash at its end; not "/".
must_check int cdi_path_check(const char *path, struct err *e);
// One that may be shown to a sandbox: none of those that are its own.
must_check int cdi_place_check(const char *path, struct err *e);

// Notes what is left out, at most one for each mount and hook, and one more.
void cdi_skip(struct cdi_edits *out, const char *what);

must_check int cdi_edits_read(struct arena *a, const json_t *object, struct cdi_edits *out,
			      struct err *e);
must_check int cdi_hooks_read(struct arena *a, const json_t *edits, struct cdi_edits *out,
			      struct err *e);
