// Fuzz target: messages to the runner, and the names of job folders. What passes the check must be usable as it is.
// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "runner/jobdir.h"
#include "runner/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_start(const struct proto_start *m, size_t size)
{
	struct err e = { 0 };
	char name[JOBDIR_NAME_MAX], job[PROTO_JOB_MAX];
	unsigned attempt;

	if (proto_check_start(m, size, &e) < 0)
		return;
	check(strlen(m->job) < sizeof(m->job) && !strchr(m->image, '/'));
	check(jobdir_parse(jobdir_name(name, m->job, m->attempt), job, sizeof(job), &attempt));
	check(strcmp(job, m->job) == 0 && attempt == m->attempt);
	check(m->group_count <= PROTO_GROUPS_MAX && m->uid <= INT32_MAX && m->gid <= INT32_MAX);
	for (uint32_t i = 0; i < m->input_count; i++) {
		check(!strchr(m->input[i].name, '/') && strcmp(m->input[i].name, "..") != 0);
		check(m->input[i].content[0] != '/' && !strstr(m->input[i].content, "/../"));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free void *packet = mem_alloc(size);
	auto_free char *text = mem_strndup((const char *)data, size);
	struct err e = { 0 };
	char job[PROTO_JOB_MAX];
	unsigned attempt;

	memcpy(packet, data, size);
	if (jobdir_parse(text, job, sizeof(job), &attempt))
		check(attempt && strlen(job) && !strchr(job, '/'));
	if (proto_check_head(packet, size, &e) < 0 && size < sizeof(struct proto_head))
		return 0;
	((struct proto_head *)packet)->version = PROTO_VERSION; // a corpus outlives versions
	if (proto_check_head(packet, size, &e) < 0)
		return 0;
	check_start(packet, size);
	if (proto_check_about(packet, size, &e) == 0)
		check(strlen(((struct proto_about *)packet)->text) < PROTO_TEXT_MAX);
	if (proto_check_give(packet, size, &e) == 0)
		check(!strchr(((struct proto_give *)packet)->name, '/') &&
		      !strchr(((struct proto_give *)packet)->later, '/'));
	if (proto_check_welcome(packet, size, &e) == 0)
		check(strlen(((struct proto_welcome *)packet)->limits) < PROTO_TEXT_MAX);
	return 0;
}
