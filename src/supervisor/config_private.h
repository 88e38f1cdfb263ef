// config_private: what the files of config share. Private.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "supervisor/config.h"

// The text of a member, in the configuration's arena; "" when it is none.
const char *config_text(const struct config *c, const json_t *object, const char *key);
// "true" as text counts too, since environments and templates write it so.
bool config_truth(const json_t *v, bool otherwise);
struct span config_trim_slashes(struct span s);
// TYPE.ID; without a dot the id is "default". The type is compared without case.
void config_provider(const struct config *c, const char *text, struct fdl_io *out);

// config_store.c: whether every storage of the description is complete.
must_check int config_check_stores(const struct config *c, struct err *e);
