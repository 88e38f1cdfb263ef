// SPDX-License-Identifier: Apache-2.0
#include "runner/proto.h"

#include "base/span.h"
#include "codec/cdi.h"

#include <string.h>

struct proto_head proto_head(enum proto_kind kind)
{
	return (struct proto_head){ PROTO_MAGIC, PROTO_VERSION, (uint16_t)kind };
}

// Length of a text field whose rest is all zeros, or -1.
static ptrdiff_t text_len(const char *p, size_t max)
{
	size_t n = strnlen(p, max);

	if (n == max)
		return -1;
	for (size_t i = n; i < max; i++)
		if (p[i])
			return -1;
	return (ptrdiff_t)n;
}

static bool small(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool proto_job_ok(const char job[static PROTO_JOB_MAX])
{
	ptrdiff_t n = text_len(job, PROTO_JOB_MAX);

	if (n < 1)
		return false;
	for (ptrdiff_t i = 0; i < n; i++)
		if (!small(job[i]) && job[i] != '-')
			return false;
	return true;
}

static bool image_ok(const char image[static PROTO_IMAGE_MAX])
{
	ptrdiff_t n = text_len(image, PROTO_IMAGE_MAX);

	if (n < 1)
		return false;
	for (ptrdiff_t i = 0; i < n; i++)
		if (!small(image[i]))
			return false;
	return true;
}

// One part of a path: not empty, no slash, not "." or "..".
static bool part_ok(const char *p, size_t n)
{
	if (!n || memchr(p, '/', n) || memchr(p, '\0', n))
		return false;
	return !(p[0] == '.' && (n == 1 || (n == 2 && p[1] == '.')));
}

static bool path_ok(const char *p, ptrdiff_t n)
{
	const char *end = p + n;

	if (n < 1)
		return false;
	for (;;) {
		const char *slash = memchr(p, '/', (size_t)(end - p));
		const char *stop = slash ? slash : end;

		if (!part_ok(p, (size_t)(stop - p)))
			return false;
		if (!slash)
			return true;
		p = slash + 1;
	}
}

static int bad(struct err *e, const char *field)
{
	return err_set(e, ERR_PROTOCOL, "message with a wrong %s", field);
}

int proto_check_head(const void *packet, size_t n, struct err *e)
{
	struct proto_head h;

	if (n < sizeof(h))
		return bad(e, "size");
	memcpy(&h, packet, sizeof(h));
	if (h.magic != PROTO_MAGIC)
		return bad(e, "magic");
	if (h.version != PROTO_VERSION)
		return err_set(e, ERR_PROTOCOL, "peer speaks version %u, this is version %u",
			       h.version, PROTO_VERSION);
	return 0;
}

int proto_check_hello(const struct proto_hello *m, size_t n, struct err *e)
{
	if (n != sizeof(*m))
		return bad(e, "size");
	return m->runtime > PROTO_RUNTIME_ANY || m->spare ? bad(e, "runtime") : 0;
}

int proto_check_about(const struct proto_about *m, size_t n, struct err *e)
{
	if (n != sizeof(*m))
		return bad(e, "size");
	if (!proto_job_ok(m->job))
		return bad(e, "job");
	if (!m->attempt)
		return bad(e, "attempt");
	return text_len(m->text, sizeof(m->text)) < 0 ? bad(e, "text") : 0;
}

int proto_check_give(const struct proto_give *m, size_t n, struct err *e)
{
	ptrdiff_t name, later;

	if (n != sizeof(*m))
		return bad(e, "size");
	name = text_len(m->name, sizeof(m->name));
	later = text_len(m->later, sizeof(m->later));
	return name < 1 || !part_ok(m->name, (size_t)name) || later < 0 ||
			       (later && !part_ok(m->later, (size_t)later))
		       ? bad(e, "name")
		       : 0;
}

int proto_check_take(const struct proto_take *m, size_t n, struct err *e)
{
	if (n != sizeof(*m))
		return bad(e, "size");
	if (!proto_job_ok(m->from) || !proto_job_ok(m->job))
		return bad(e, "job");
	return m->attempt && !m->spare ? 0 : bad(e, "attempt");
}

int proto_check_welcome(struct proto_welcome *m, size_t n, struct err *e)
{
	if (n != sizeof(*m))
		return bad(e, "size");
	return text_len(m->limits, sizeof(m->limits)) < 0 ? bad(e, "text") : 0;
}

// Times of up to a year and sizes of up to 2^60 leave room for sums without overflow.
static bool amounts_ok(const struct proto_start *m)
{
	const uint64_t size_max = UINT64_C(1) << 60;
	const int64_t year_ms = INT64_C(366) * 86400 * 1000;

	return m->memory_bytes <= size_max && m->output_bytes_max <= size_max &&
	       m->scratch_bytes_max <= size_max && m->log_bytes_max <= size_max &&
	       m->timeout_ms >= 0 && m->timeout_ms <= year_ms && m->grace_ms >= 0 &&
	       m->grace_ms <= year_ms && m->cpu_millis <= 1000u * 100000u &&
	       m->pids_max <= 4u << 20;
}

// The highest numbers stand for "none".
static bool ids_ok(const struct proto_start *m)
{
	bool ok = m->uid <= INT32_MAX && m->gid <= INT32_MAX && m->group_count <= PROTO_GROUPS_MAX;

	for (uint32_t i = 0; i < PROTO_GROUPS_MAX && ok; i++)
		ok = m->groups[i] <= (i < m->group_count ? INT32_MAX : 0u);
	return ok;
}

static bool mounts_ok(const struct proto_start *m)
{
	const struct proto_mount *mounts = proto_mounts(m);

	for (uint32_t i = 0; i < m->mount_count; i++) {
		const char *target = mounts[i].target;

		if (!path_ok(target, text_len(target, sizeof(mounts[i].target))))
			return false;
		for (uint32_t k = 0; k < i; k++)
			if (span_path_overlap(span_of(target), span_of(mounts[k].target)))
				return false;
	}
	return true;
}

// Each once: a device is not to be waited for by who has it.
static bool devices_ok(const struct proto_start *m)
{
	const struct proto_device *d = proto_devices(m);

	for (uint32_t i = 0; i < m->device_count; i++) {
		ptrdiff_t n = text_len(d[i].name, sizeof(d[i].name));

		if (n < 1 || !cdi_name_ok(span_make(d[i].name, (size_t)n)))
			return false;
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(d[k].name, d[i].name) == 0)
				return false;
	}
	return true;
}

int proto_check_start(const struct proto_start *m, size_t n, struct err *e)
{
	if (n < sizeof(*m) || m->input_count > PROTO_INPUTS_MAX ||
	    m->mount_count > PROTO_MOUNTS_MAX || m->device_count > PROTO_DEVICES_MAX ||
	    n != sizeof(*m) + m->input_count * sizeof(m->input[0]) +
			    m->mount_count * sizeof(struct proto_mount) +
			    m->device_count * sizeof(struct proto_device))
		return bad(e, "size");
	if (!proto_job_ok(m->job))
		return bad(e, "job");
	if (!m->attempt)
		return bad(e, "attempt");
	if (!image_ok(m->image))
		return bad(e, "image");
	if (text_len(m->workdir, sizeof(m->workdir)) < 0 || (m->workdir[0] && m->workdir[0] != '/'))
		return bad(e, "workdir");
	if (!ids_ok(m))
		return bad(e, "user or group");
	if (m->network > PROTO_NETWORK_NAT)
		return bad(e, "network");
	if (m->warm > 1 || (m->warm && m->input_count))
		return bad(e, "warm");
	if (m->port > UINT16_MAX || (m->port && (m->warm || m->network != PROTO_NETWORK_NONE)))
		return bad(e, "port");
	if (m->shell > 1 || (m->shell && (m->warm || m->port)))
		return bad(e, "shell");
	if (m->ahead > 1 || (m->ahead && (m->warm || m->port || m->shell || m->input_count)))
		return bad(e, "ahead");
	if (m->freezer > 1 || (m->freezer && !m->warm && !m->port))
		return bad(e, "freezer");
	if (!amounts_ok(m))
		return bad(e, "limit");
	for (uint32_t i = 0; i < m->input_count; i++) {
		const struct proto_input *in = &m->input[i];
		ptrdiff_t name = text_len(in->name, sizeof(in->name));

		if (name < 1 || !part_ok(in->name, (size_t)name))
			return bad(e, "input name");
		if (text_len(in->content, sizeof(in->content)) &&
		    !path_ok(in->content, text_len(in->content, sizeof(in->content))))
			return bad(e, "input path");
		if (in->content[0] && (in->size || in->mtime_ns))
			return bad(e, "input size or time");
	}
	if (!devices_ok(m))
		return bad(e, "device");
	return mounts_ok(m) ? 0 : bad(e, "mount");
}

const struct proto_mount *proto_mounts(const struct proto_start *m)
{
	return (const struct proto_mount *)(const void *)(m->input + m->input_count);
}

const struct proto_device *proto_devices(const struct proto_start *m)
{
	return (const struct proto_device *)(const void *)(proto_mounts(m) + m->mount_count);
}

uint32_t proto_files(const struct proto_start *m)
{
	return proto_input_files(m) + m->mount_count + (m->shell ? PROTO_STREAMS : 0);
}

uint32_t proto_input_files(const struct proto_start *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->input_count; i++)
		n += !m->input[i].content[0];
	return n;
}
