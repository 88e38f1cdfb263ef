// fuzz_cdi: a specification of devices. What is accepted has only paths and names of one spelling, none of them a
// place that a sandbox has of its own.
// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "codec/cdi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(const char *path)
{
	check(path[0] == '/' && path[1] && strlen(path) < CDI_PATH_MAX && !strstr(path, "//") &&
	      !strstr(path, "/../") && !span_ends(span_of(path), SPAN("/..")));
}

static void check_edits(const struct cdi_edits *x)
{
	for (size_t i = 0; i < x->node_count; i++) {
		check_path(x->nodes[i].path);
		check_path(x->nodes[i].host_path);
		check(strncmp(x->nodes[i].path, "/dev/", 5) == 0);
	}
	for (size_t i = 0; i < x->mount_count; i++) {
		check_path(x->mounts[i].path);
		check_path(x->mounts[i].host_path);
		check(!span_path_overlap(span_of(x->mounts[i].path), SPAN("/proc")));
	}
	for (size_t i = 0; i < x->link_count; i++)
		check_path(x->links[i].path);
	for (size_t i = 0; i < x->folder_count; i++)
		check_path(x->folders[i]);
	for (size_t i = 0; i < x->env_count; i++)
		check(strchr(x->env[i], '=') > x->env[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = { 0 };
	struct cdi_spec s;
	struct err e = { 0 };

	if (cdi_parse(&a, span_make(data, size), &s, &e) < 0)
		return 0;
	check(s.device_count && cdi_kind_ok(span_of(s.kind)));
	check_edits(&s.edits);
	for (size_t i = 0; i < s.device_count; i++) {
		const char *name = arena_printf(&a, "%s=%s", s.kind, s.devices[i].name);

		check(cdi_name_ok(span_of(name)) && strlen(name) < CDI_NAME_MAX);
		check_edits(&s.devices[i].edits);
	}
	return 0;
}
