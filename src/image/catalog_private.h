// catalog_private: what the files of the catalogue share: catalog.c reads, catalog_change.c writes manifests and tags,
// catalog_blob.c keeps the blobs. Private.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "db/db.h"
#include "image/catalog.h"

// "repo:tag", as the table of images names it, in `out`, which the value points into.
struct db_val catalog_tag_name(char out[static IMAGE_NAME_MAX], struct span repo, struct span tag);

// The text of a column, cut at `size`.
void catalog_text(struct span s, char *out, size_t size);

// catalog_find() within a transaction.
must_check int catalog_find_in(struct db_conn *c, struct span repo, struct span which,
			       struct catalog_manifest *out, struct err *e);
