// SPDX-License-Identifier: Apache-2.0
#include "codec/cdi_folder.h"

static bool same_kind(const struct cdi_entry *a, const struct cdi_entry *b)
{
	return strcmp(a->spec->kind, b->spec->kind) == 0;
}

static bool has_node(const struct cdi_entry *x, const char *host_path)
{
	for (size_t i = 0; i < x->device->edits.node_count; i++)
		if (strcmp(x->device->edits.nodes[i].host_path, host_path) == 0)
			return true;
	return false;
}

static bool had_by(const struct cdi_set *set, const bool *taken, const struct cdi_entry *x,
		   const char *host_path)
{
	for (size_t i = 0; i < set->count; i++)
		if (taken[i] && same_kind(&set->at[i], x) && has_node(&set->at[i], host_path))
			return true;
	return false;
}

static bool is_new(const struct cdi_set *set, const bool *taken, const struct cdi_entry *x)
{
	const struct cdi_edits *edits = &x->device->edits;

	for (size_t i = 0; i < edits->node_count; i++)
		if (!had_by(set, taken, x, edits->nodes[i].host_path))
			return true;
	return !edits->node_count && strcmp(x->device->name, "all") != 0;
}

size_t cdi_units(const struct cdi_set *set, const struct cdi_entry **out)
{
	bool taken[CDI_ALL_MAX] = { false };
	size_t most = 0, n = 0;

	for (size_t i = 0; i < set->count; i++)
		if (set->at[i].device->edits.node_count > most)
			most = set->at[i].device->edits.node_count;
	for (size_t nodes = 0; nodes <= most; nodes++)
		for (size_t i = 0; i < set->count; i++)
			if (set->at[i].device->edits.node_count == nodes)
				taken[i] = is_new(set, taken, &set->at[i]);
	for (size_t i = 0; i < set->count; i++)
		if (taken[i])
			out[n++] = &set->at[i];
	return n;
}
