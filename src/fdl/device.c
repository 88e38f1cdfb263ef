// device: GPUs and other devices of the machine that each job has for itself. Owner: everything lives in the service's
// arena. Threads: no shared state. Errors: ERR_INVALID, ERR_LIMIT.
// SPDX-License-Identifier: Apache-2.0
#include "codec/cdi.h"
#include "fdl/check.h"

static int check_gpus(struct fdl_check *c)
{
	const json_t *enabled = json_object_get(c->s->doc, "enable_gpu");
	int64_t count = json_is_true(enabled);

	if (fdl_check_whole(c, NULL, "gpus", 0, FDL_DEVICES_MAX, &count) < 0)
		return -1;
	if (!count && json_is_true(enabled))
		return err_set(c->e, ERR_INVALID,
			       "0, and enable_gpu wants one: leave one of them out");
	c->s->gpus = (uint32_t)count;
	return 0;
}

static int read_one(struct fdl_check *c, const json_t *entry, struct fdl_device *out)
{
	const char *kind = json_string_value(json_object_get(entry, "kind"));
	const json_t *number = json_object_get(entry, "count");
	const json_int_t count = number ? json_integer_value(number) : 1;

	if (!kind || !cdi_kind_ok(span_of(kind)))
		return err_set(c->e, ERR_INVALID,
			       "kind: \"%.60s\": want one such as vendor.com/class",
			       kind ? kind : "");
	if (count < 1 || count > FDL_DEVICES_MAX)
		return err_set(c->e, ERR_INVALID, "count: want a number from 1 to %d",
			       FDL_DEVICES_MAX);
	*out = (struct fdl_device){ arena_strdup(c->a, kind), (uint32_t)count };
	return 0;
}

static int check_list(struct fdl_check *c, uint32_t *all)
{
	const json_t *list = json_object_get(c->s->doc, "devices");
	size_t n = json_array_size(list);
	struct fdl_device *devices = arena_alloc(c->a, (n + 1) * sizeof(*devices));

	fdl_check_at(c, "devices");
	if (n > FDL_DEVICES_MAX)
		return err_set(c->e, ERR_LIMIT, "%zu entries, allowed are %d", n, FDL_DEVICES_MAX);
	for (size_t i = 0; i < n; i++) {
		fdl_check_at(c, "devices[%zu]", i);
		if (read_one(c, json_array_get(list, i), &devices[i]) < 0)
			return -1;
		for (size_t k = 0; k < i; k++)
			if (strcmp(devices[i].kind, devices[k].kind) == 0)
				return err_set(c->e, ERR_INVALID,
					       "kind: %.100s is there twice: say its count",
					       devices[i].kind);
		*all += devices[i].count;
	}
	c->s->devices = devices;
	c->s->device_count = n;
	return 0;
}

int fdl_check_devices(struct fdl_check *c)
{
	uint32_t all;

	if (check_gpus(c) < 0)
		return -1;
	all = c->s->gpus;
	if (check_list(c, &all) < 0)
		return -1;
	fdl_check_at(c, "devices");
	return all > FDL_DEVICES_MAX
		       ? err_set(c->e, ERR_LIMIT, "with gpus %u in all, allowed are %d for one job",
				 all, FDL_DEVICES_MAX)
		       : 0;
}
