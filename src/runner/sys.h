// runner/sys: system calls that the C library of Debian 12 has no function for. Private to runner/ and
// exec/sandbox. All descriptors are close-on-exec; -1 and errno as usual.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

// As the kernel has it (linux/sched.h cannot be included beside sched.h).
struct sys_clone_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal;
	uint64_t stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

#define SYS_CLONE_INTO_CGROUP UINT64_C(0x200000000)

// A fork with namespaces: the child goes on with a copy of the memory.
static inline pid_t sys_clone3(struct sys_clone_args *a)
{
	return (pid_t)syscall(SYS_clone3, a, sizeof(*a));
}

// Opens below `dir` whatever links stand in the way: none is followed, nothing outside is reached.
static inline int sys_open_beneath(int dir, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd, tries = 32;

	// EAGAIN: something was renamed meanwhile, so the kernel could not be sure.
	do
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR) && --tries);
	return fd;
}

// Every signal to its default, those too that the C library keeps for itself (32, 33) and that a parent may have
// ignored: what is ignored stays so through execve(). All zero is SIG_DFL for the kernel's own struct.
static inline void sys_signals_default(void)
{
	static const unsigned long zero[8];

	for (int i = 1; i <= 64; i++)
		syscall(SYS_rt_sigaction, i, zero, NULL, 8);
}

static inline int sys_pidfd_signal(int pidfd, int signal)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

static inline int sys_seccomp(unsigned op, unsigned flags, void *arg)
{
	return (int)syscall(SYS_seccomp, op, flags, arg);
}
