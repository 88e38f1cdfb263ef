// SPDX-License-Identifier: Apache-2.0
#include "runner/filter.h"

#include "base/file.h"
#include "base/mem.h"
#include "runner/sys.h"

#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

// Refused with EPERM whatever the arguments.
static const char *const refused[] = {
	"_sysctl",
	"acct",
	"add_key",
	"adjtimex",
	"bpf",
	"clock_adjtime",
	"clock_settime",
	"chroot",
	"create_module",
	"delete_module",
	"fanotify_init",
	"finit_module",
	"fsconfig",
	"fsmount",
	"fsopen",
	"fspick",
	"get_kernel_syms",
	"init_module",
	"ioperm",
	"iopl",
	"kcmp",
	"kexec_file_load",
	"kexec_load",
	"keyctl",
	"lookup_dcookie",
	"mount",
	"mount_setattr",
	"move_mount",
	"move_pages",
	"name_to_handle_at",
	"nfsservctl",
	"open_by_handle_at",
	"open_tree",
	"perf_event_open",
	"pidfd_getfd",
	"pivot_root",
	"process_madvise",
	"process_vm_readv",
	"process_vm_writev",
	"ptrace",
	"query_module",
	"quotactl",
	"quotactl_fd",
	"reboot",
	"request_key",
	"setns",
	"settimeofday",
	"stime",
	"swapoff",
	"swapon",
	"syslog",
	"umount",
	"umount2",
	"unshare",
	"uselib",
	"userfaultfd",
	"ustat",
	"vhangup",
	"vm86",
	"vm86old",
};

// Refused with ENOSYS, on which programs fall back to the older call. The filter cannot see clone3's flags,
// and io_uring does work that no filter sees.
static const char *const absent[] = { "clone3", "io_uring_setup", "io_uring_enter",
				      "io_uring_register" };

static const unsigned long clone_flags[] = { CLONE_NEWUSER,  CLONE_NEWNS,  CLONE_NEWPID,
					     CLONE_NEWNET,   CLONE_NEWIPC, CLONE_NEWUTS,
					     CLONE_NEWCGROUP };

// The only address families: the others are not confined by a network namespace or are rarely tended code.
static const unsigned families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

enum { FAMILY_LAST = 64, TYPE_MASK = 0xf };

static int rule(scmp_filter_ctx c, uint32_t action, const char *name, unsigned n,
		const struct scmp_arg_cmp *args)
{
	int nr = seccomp_syscall_resolve_name(name);

	// Names that this machine or library does not have need no rule.
	return nr < 0 ? 0 : seccomp_rule_add_array(c, action, nr, n, args);
}

static bool allowed_family(unsigned f)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (families[i] == f)
			return true;
	return false;
}

static int socket_rules(scmp_filter_ctx c, uint32_t eperm)
{
	const struct scmp_arg_cmp above = { 0, SCMP_CMP_GT, FAMILY_LAST, 0 };
	int bad = rule(c, eperm, "socket", 1, &above);

	for (unsigned f = 0; f <= FAMILY_LAST && !bad; f++) {
		const struct scmp_arg_cmp raw[] = {
			{ 0, SCMP_CMP_EQ, f, 0 }, { 1, SCMP_CMP_MASKED_EQ, TYPE_MASK, SOCK_RAW }
		};

		if (!allowed_family(f))
			bad = rule(c, eperm, "socket", 1, raw);
		else if (f == AF_INET || f == AF_INET6)
			bad = rule(c, eperm, "socket", 2, raw);
	}
	return bad;
}

static int all_rules(scmp_filter_ctx c)
{
	const uint32_t eperm = SCMP_ACT_ERRNO(EPERM), enosys = SCMP_ACT_ERRNO(ENOSYS);
	int bad = 0;

	for (size_t i = 0; i < ARRAY_LEN(refused) && !bad; i++)
		bad = rule(c, eperm, refused[i], 0, NULL);
	for (size_t i = 0; i < ARRAY_LEN(absent) && !bad; i++)
		bad = rule(c, enosys, absent[i], 0, NULL);
	for (size_t i = 0; i < ARRAY_LEN(clone_flags) && !bad; i++) {
		const struct scmp_arg_cmp flag = { 0, SCMP_CMP_MASKED_EQ, clone_flags[i],
						   clone_flags[i] };

		bad = rule(c, eperm, "clone", 1, &flag);
	}
	return bad ? bad : socket_rules(c, eperm);
}

// ---- the same for an OCI runtime -----------------------------------------------------------------------

static void json_names(struct buf *b, const char *const *list, size_t n, int code)
{
	const char *comma = "";

	buf_add_str(b, "{\"names\":[");
	for (size_t i = 0; i < n; i++) {
		if (seccomp_syscall_resolve_name(list[i]) < 0)
			continue;
		buf_printf(b, "%s\"%s\"", comma, list[i]);
		comma = ",";
	}
	buf_printf(b, "],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":%d}", code);
}

// `args`: JSON.
static void json_rule(struct buf *b, const char *name, const char *args)
{
	buf_printf(b,
		   ",{\"names\":[\"%s\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":%d,"
		   "\"args\":[%s]}",
		   name, EPERM, args);
}

static void json_sockets(struct buf *b)
{
	char args[256];

	snprintf(args, sizeof(args), "{\"index\":0,\"value\":%d,\"op\":\"SCMP_CMP_GT\"}",
		 FAMILY_LAST);
	json_rule(b, "socket", args);
	for (unsigned f = 0; f <= FAMILY_LAST; f++) {
		int n = snprintf(args, sizeof(args),
				 "{\"index\":0,\"value\":%u,\"op\":\"SCMP_CMP_EQ\"}", f);

		if (f == AF_INET || f == AF_INET6)
			snprintf(args + n, sizeof(args) - (size_t)n,
				 ",{\"index\":1,\"value\":%d,\"valueTwo\":%d,"
				 "\"op\":\"SCMP_CMP_MASKED_EQ\"}",
				 TYPE_MASK, SOCK_RAW);
		else if (allowed_family(f))
			continue;
		json_rule(b, "socket", args);
	}
}

int filter_json(struct buf *b, struct err *e)
{
	char args[128];

	buf_add_str(b, "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[");
	json_names(b, refused, ARRAY_LEN(refused), EPERM);
	buf_add_char(b, ',');
	json_names(b, absent, ARRAY_LEN(absent), ENOSYS);
	for (size_t i = 0; i < ARRAY_LEN(clone_flags); i++) {
		snprintf(args, sizeof(args),
			 "{\"index\":0,\"value\":%lu,\"valueTwo\":%lu,"
			 "\"op\":\"SCMP_CMP_MASKED_EQ\"}",
			 clone_flags[i], clone_flags[i]);
		json_rule(b, "clone", args);
	}
	json_sockets(b);
	buf_add_str(b, "]}");
	return b->over ? err_set(e, ERR_BUG, "the system call filter is too long") : 0;
}

static int read_code(struct filter *f, int fd, struct err *e)
{
	struct stat st;
	size_t size;

	if (fstat(fd, &st) < 0)
		return err_sys(e, ERR_IO, errno, "read the system call filter");
	size = (size_t)st.st_size;
	if (!size || size % sizeof(*f->code) || size / sizeof(*f->code) > BPF_MAXINSNS)
		return err_set(e, ERR_BUG, "the system call filter has %zu bytes", size);
	f->code = mem_alloc(size);
	f->count = (unsigned short)(size / sizeof(*f->code));
	return file_pread_full(fd, f->code, size, 0, e) < 0 ? -1 : 0;
}

int filter_build(struct filter *f, struct err *e)
{
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
	auto_fd int fd = memfd_create("filter", MFD_CLOEXEC);
	int bad;

	*f = (struct filter){ 0 };
	if (!c || fd < 0) {
		seccomp_release(c);
		return err_set(e, ERR_IO, "cannot make a system call filter");
	}
	// Foreign tables (32-bit on a 64-bit kernel) would go around every rule.
	bad = seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (!bad)
		bad = all_rules(c);
	if (!bad)
		bad = seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!bad)
		bad = seccomp_export_bpf(c, fd);
	seccomp_release(c);
	if (bad)
		return err_sys(e, ERR_BUG, -bad, "build the system call filter");
	return read_code(f, fd, e);
}

void filter_release(struct filter *f)
{
	mem_free(f->code);
	*f = (struct filter){ 0 };
}

int filter_load(const struct filter *f, struct err *e)
{
	struct sock_fprog prog = { f->count, f->code };

	if (sys_seccomp(SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return err_sys(e, ERR_IO, errno, "load the system call filter");
	return 0;
}
