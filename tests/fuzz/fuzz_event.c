// fuzz_event: events of strangers, as they come by /job, a queue or a nested service. What is taken as an object has a
// file name that can be one, and its records are no more than were asked for.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/event.h"

enum { RECORDS_MAX = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_file(const char *name)
{
	check(*name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
}

static void one(struct span payload)
{
	auto_arena struct arena a = { 0 };
	struct fdl_event ev;
	struct err e = { 0 };

	if (fdl_event_parse(payload, &a, &ev, &e) < 0) {
		check(e.code == ERR_INVALID || e.code == ERR_LIMIT);
		return;
	}
	if (ev.kind == FDL_EVENT_STORAGE)
		check_file(ev.file_name);
	for (size_t i = 0; i < ev.var_count; i++)
		check(*ev.vars[i].name && ev.vars[i].value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = { 0 };
	struct fdl_record records[RECORDS_MAX];
	struct err e = { 0 };
	size_t n;

	one(span_make(data, size));
	if (fdl_event_records(span_make(data, size), &a, RECORDS_MAX, records, &n, &e) < 0) {
		check(e.code == ERR_INVALID || e.code == ERR_LIMIT);
		return 0;
	}
	check(n <= RECORDS_MAX);
	for (size_t i = 0; i < n; i++) {
		check(records[i].bucket && *records[i].key);
		check_file(records[i].file_name);
	}
	return 0;
}
