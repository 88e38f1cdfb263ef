// SPDX-License-Identifier: Apache-2.0
// fault: preloaded into the real daemon (LD_PRELOAD), makes calls on chosen files fail, leaves chosen libraries without
// memory and shifts the wall clock, as a test says through the file that FAULT names. Not thread-safe against the test changing it in the middle of a call.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	FAIL_READ = 1,
	FAIL_WRITE = 2,
	FAIL_SYNC = 4,
	FAIL_OPEN = 8,
	FAIL_MEMORY = 16,
	FAIL_MAP = 32
};

// What the test writes: struct.pack("<IiqI100sI", …).
struct order {
	uint32_t calls;	 // FAIL_…
	int32_t error;	 // errno
	int64_t shift_s; // of the wall clock
	uint32_t hits;	 // counted here
	char path[100];	 // part of the file's path; of the caller's, where memory fails
	uint32_t each;	 // of those that would fail so many-th does; 0 = each
};

static volatile struct order *order;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAULT");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED
			 : mmap(NULL, sizeof(struct order), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				0);

	order = p == MAP_FAILED ? NULL : p;
}

static int hit(const char *path)
{
	char part[sizeof(order->path)];

	memcpy(part, (const char *)order->path, sizeof(part));
	part[sizeof(part) - 1] = '\0';
	if (!strstr(path, part))
		return 0;
	if (__atomic_add_fetch(&order->hits, 1, __ATOMIC_RELAXED) % (order->each ? order->each : 1))
		return 0;
	errno = order->error;
	return 1;
}

static int fails(uint32_t call, int fd)
{
	char link[64], path[4096];
	ssize_t n;

	if (!order || !(order->calls & call))
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return 0;
	path[n] = '\0';
	return hit(path);
}

// Of the library or program that asks for memory.
static int starves(uint32_t call, const void *caller)
{
	Dl_info from;

	return order && (order->calls & call) && dladdr(caller, &from) && from.dli_fname &&
	       hit(from.dli_fname);
}

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);

void *(malloc)(size_t n)
{
	return starves(FAIL_MEMORY, __builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *(calloc)(size_t count, size_t n)
{
	return starves(FAIL_MEMORY, __builtin_return_address(0)) ? NULL : __libc_calloc(count, n);
}

void *(realloc)(void *p, size_t n)
{
	return starves(FAIL_MEMORY, __builtin_return_address(0)) ? NULL : __libc_realloc(p, n);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *p, size_t n)
{
	return fails(FAIL_WRITE, fd) ? -1 : REAL(write)(fd, p, n);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	return fails(FAIL_WRITE, fd) ? -1 : REAL(pwrite64)(fd, p, n, at);
}

ssize_t read(int fd, void *p, size_t n)
{
	return fails(FAIL_READ, fd) ? -1 : REAL(read)(fd, p, n);
}

ssize_t pread64(int fd, void *p, size_t n, off64_t at)
{
	return fails(FAIL_READ, fd) ? -1 : REAL(pread64)(fd, p, n, at);
}

int fsync(int fd)
{
	return fails(FAIL_SYNC, fd) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
	return fails(FAIL_SYNC, fd) ? -1 : REAL(fdatasync)(fd);
}

int openat64(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;

	if (flags & (O_CREAT | __O_TMPFILE)) {
		__builtin_va_list ap;

		__builtin_va_start(ap, flags);
		mode = __builtin_va_arg(ap, mode_t);
		__builtin_va_end(ap);
	}
	if (order && (order->calls & FAIL_OPEN) && hit(path))
		return -1;
	return REAL(openat64)(dir, path, flags, mode);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	int bad = REAL(clock_gettime)(id, t);

	if (!bad && id == CLOCK_REALTIME && order)
		t->tv_sec += order->shift_s;
	return bad;
}

static void *map(const void *caller, void *at, size_t n, int protection, int flags, int fd,
		 off64_t from)
{
	if ((flags & MAP_ANONYMOUS) && starves(FAIL_MAP, caller))
		return MAP_FAILED;
	return ((__typeof__(&mmap64))dlsym(RTLD_NEXT, "mmap64"))(at, n, protection, flags, fd,
								 from);
}

void *mmap64(void *at, size_t n, int protection, int flags, int fd, off64_t from)
{
	return map(__builtin_return_address(0), at, n, protection, flags, fd, from);
}

// The other name of the same.
void *plain_mmap(void *at, size_t n, int protection, int flags, int fd,
		 off64_t from) __asm__("mmap");
void *plain_mmap(void *at, size_t n, int protection, int flags, int fd, off64_t from)
{
	return map(__builtin_return_address(0), at, n, protection, flags, fd, from);
}
