// schema: the tables of all modules, as the list of migrations that db_open() applies. Tables belong to the
// module named beside them in schema.c; no other module writes them.
// Changing the schema: append a script; never edit one that was released. A database with more scripts than
// the program knows is refused.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>

extern const char *const schema_migrations[];
extern const size_t schema_migration_count;
