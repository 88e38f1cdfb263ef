// SPDX-License-Identifier: Apache-2.0
// ociinit: from the shim to pid 1 of a container and back to what runner/init starts from.
#include "base/file.h"
#include "base/mem.h"
#include "runner/jobdir.h"
#include "runner/oci.h"
#include "runner/sandbox.h"
#include "runner/sys.h"

#include <linux/close_range.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

enum { SPEC_MAGIC = 0x4f434931 };

// Followed by struct proto_start without what is of variable length, and the environment. Written and read by the
// same program.
struct spec {
	uint32_t magic;
	uint32_t groups;
	uint64_t env_bytes;
	bool watch_memory, limit_pids, limit_cpu;
};

int oci_spec_write(const struct sandbox *s, unsigned groups, struct err *e)
{
	struct spec head = { SPEC_MAGIC,      groups,	     s->env_size,
			     s->watch_memory, s->limit_pids, s->limit_cpu };
	auto_fd int fd = memfd_create("spec", MFD_CLOEXEC);

	if (fd < 0)
		return err_sys(e, ERR_IO, errno, "memory for the container's pid 1");
	if (file_write_all(fd, &head, sizeof(head), e) < 0 ||
	    file_write_all(fd, s->start, sizeof(*s->start), e) < 0 ||
	    file_write_all(fd, s->env_text, s->env_size, e) < 0)
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, ERR_IO, errno, "rewind");
	return file_take(&fd);
}

static bool read_all(void *p, size_t n)
{
	struct err ignored = { 0 };

	return file_read_full(OCI_FD_SPEC, p, n, &ignored) == (ssize_t)n;
}

// False when it is not what oci_spec_write() wrote.
static bool read_spec(struct sandbox *s, struct proto_start *start, unsigned *groups)
{
	struct spec head;

	if (!read_all(&head, sizeof(head)) || head.magic != SPEC_MAGIC ||
	    !read_all(start, sizeof(*start)) || head.env_bytes > JOBDIR_ENV_BYTES_MAX)
		return false;
	s->env_text = mem_alloc(head.env_bytes + 1);
	if (!read_all(s->env_text, head.env_bytes))
		return false;
	s->env = sandbox_env(s->env_text, head.env_bytes);
	s->start = start;
	s->watch_memory = head.watch_memory;
	s->limit_pids = head.limit_pids;
	s->limit_cpu = head.limit_cpu;
	*groups = head.groups;
	return true;
}

// The descriptors were opened with rights that this process does not have: that is what counts.
static void enter_groups(unsigned count, const struct sandbox *s)
{
	struct sandbox_report r = { .kind = REPORT_FAILED, .text = "enter the control group" };

	for (unsigned i = 0; i < count; i++)
		if (write(OCI_FD_GROUPS + (int)i, "0", 1) != 1) {
			inside_report(s, &r);
			_exit(1);
		}
}

// The shim is the parent by now; if it died before the kernel knew whose death is ours, its pipe has no reader.
static void bind_to_shim(void)
{
	struct pollfd reader = { .fd = OCI_FD_REPORT };
	char c;

	if (read(OCI_FD_GO, &c, 1) != 1 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
	    (poll(&reader, 1, 0) > 0 && reader.revents & POLLERR))
		_exit(1);
}

no_return void oci_init(void)
{
	struct sandbox s = { .report = OCI_FD_REPORT, .calls = -1, .env_file = -1 };
	struct proto_start start;
	unsigned groups = 0;

	prctl(PR_SET_NAME, "oscar-init", 0, 0, 0);
	umask(022);
	if (close_range(OCI_FD_SPEC, ~0u, CLOSE_RANGE_CLOEXEC) < 0 ||
	    !read_spec(&s, &start, &groups))
		_exit(1);
	bind_to_shim();
	enter_groups(groups, &s);
	for (int i = 0; i < 3; i++)
		s.std[i] = sandbox_waits(&start) ? -1 : OCI_FD_STD + i;
	if (sandbox_waits(&start))
		s.calls = OCI_FD_STD;
	close(OCI_FD_SPEC);
	close(OCI_FD_GO);
	close(OCI_FD_SELF);
	close_range(OCI_FD_GROUPS, ~0u, 0);
	init_run(&s);
}
