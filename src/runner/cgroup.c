// SPDX-License-Identifier: Apache-2.0
#include "runner/cgroup.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[CGROUP_KINDS] = { "memory", "cpu", "cpuacct", "pids", "freezer" };

enum { TEXT_MAX = 1 << 20, CPU_PERIOD_US = 100000, VALUE_MAX = 4096, KEPT_BYTES_MAX = 1 << 20 };

static bool has_word(struct span list, char sep, const char *word)
{
	while (list.n)
		if (span_is(span_trim(span_cut(&list, sep)), word))
			return true;
	return false;
}

// The path of our own process in a hierarchy: "4:memory:/a/b"; controller "" is the unified one.
static struct span own_path(struct span self, const char *controller)
{
	while (self.n) {
		struct span line = span_cut(&self, '\n');

		span_cut(&line, ':');
		struct span list = span_cut(&line, ':');

		if (*controller ? has_word(list, ',', controller) : !list.n)
			return line;
	}
	return span_make(NULL, 0);
}

// One line of mountinfo (proc(5)): id parent dev root point options … - type source superoptions.
static bool mount_fields(struct span line, struct span *root, struct span *point, struct span *type,
			 struct span *super)
{
	for (int i = 0; i < 3; i++)
		span_cut(&line, ' ');
	*root = span_cut(&line, ' ');
	*point = span_cut(&line, ' ');
	while (line.n && !span_is(span_cut(&line, ' '), "-"))
		;
	*type = span_cut(&line, ' ');
	span_cut(&line, ' ');
	*super = line;
	return point->n && type->n;
}

// The directory of our own group in the hierarchy of `controller` ("" = unified), or -1.
static int open_own(struct span mountinfo, struct span self, const char *controller)
{
	struct span path = own_path(self, controller);

	if (!path.p)
		return -1;
	while (mountinfo.n) {
		struct span line = span_cut(&mountinfo, '\n'), root, point, type, super;
		struct span rest = path;

		if (!mount_fields(line, &root, &point, &type, &super))
			continue;
		if (*controller ? !span_is(type, "cgroup") || !has_word(super, ',', controller)
				: !span_is(type, "cgroup2"))
			continue;
		if (!span_is(root, "/")) { // a part of the tree is mounted, as in a container
			if (!span_starts(rest, root))
				continue;
			rest = span_from(rest, root.n);
		}
		auto_free char *full =
			mem_printf(SPAN_FMT "/" SPAN_FMT, SPAN_ARG(point), SPAN_ARG(rest));
		int fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			return fd;
	}
	return -1;
}

static int put(int dir, const char *file, const char *text)
{
	auto_fd int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);
	size_t n = strlen(text);

	if (fd < 0)
		return -1;
	return write(fd, text, n) == (ssize_t)n ? 0 : -1;
}

static int put_u64(int dir, const char *file, uint64_t v)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return put(dir, file, text);
}

static struct span get(int dir, const char *file, char text[static VALUE_MAX])
{
	auto_fd int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, VALUE_MAX);

	return span_make(text, n < 0 ? 0 : (size_t)n);
}

static uint64_t get_u64(int dir, const char *file)
{
	char text[VALUE_MAX];
	uint64_t v = 0;

	return span_to_u64(span_trim(get(dir, file, text)), &v) ? v : 0;
}

// The number after `key` in a file of lines "key number".
static uint64_t get_keyed(int dir, const char *file, const char *key)
{
	char text[VALUE_MAX];
	struct span all = get(dir, file, text);
	uint64_t v = 0;

	while (all.n) {
		struct span line = span_cut(&all, '\n');

		if (span_is(span_cut(&line, ' '), key))
			return span_to_u64(span_trim(line), &v) ? v : 0;
	}
	return 0;
}

static int make_dir(int parent, const char *name)
{
	if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
		return -1;
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool same_dir(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

static void use_unified(struct cgroup_base *b, enum cgroup_kind k, int mine)
{
	if (b->at[k].dir >= 0)
		return;
	b->at[k].dir = fcntl(mine, F_DUPFD_CLOEXEC, 3);
	b->at[k].v2 = true;
}

// Version 2: our group needs the controllers switched on in its parent, which must hold no processes of its
// own (unless it is the root of the tree); so the runner itself moves into a leaf first.
static void open_unified(struct cgroup_base *b, const char *name, struct span mountinfo,
			 struct span self)
{
	auto_fd int own = open_own(mountinfo, self, "");
	auto_fd int mine = -1;
	char text[VALUE_MAX];
	bool any = false;

	if (own < 0)
		return;
	for (int k = 0; k < CGROUP_KINDS; k++)
		if (b->at[k].dir < 0 &&
		    has_word(get(own, "cgroup.controllers", text), ' ', names[k]))
			any = true;
	if (!any && b->at[CGROUP_FREEZER].dir >= 0)
		return;
	mine = make_dir(own, name);
	if (mine < 0)
		return;
	for (int k = 0; k < CGROUP_KINDS; k++) {
		char on[32];

		if (b->at[k].dir >= 0 ||
		    !has_word(get(own, "cgroup.controllers", text), ' ', names[k]))
			continue;
		snprintf(on, sizeof(on), "+%s", names[k]);
		if (put(own, "cgroup.subtree_control", on) < 0 && errno == EBUSY) {
			auto_fd int leaf = make_dir(own, "oscar-runner");

			if (leaf < 0 || put(leaf, "cgroup.procs", "0") < 0 ||
			    put(own, "cgroup.subtree_control", on) < 0)
				continue;
		}
		if (put(mine, "cgroup.subtree_control", on) < 0)
			continue;
		use_unified(b, (enum cgroup_kind)k, mine);
	}
	// cpu.stat and cgroup.freeze are there in every group, with or without a controller.
	if (any)
		use_unified(b, CGROUP_CPUACCT, mine);
	if (faccessat(mine, "cgroup.freeze", W_OK, 0) == 0)
		use_unified(b, CGROUP_FREEZER, mine);
}

void cgroup_open(struct cgroup_base *b, const char *name, struct span mountinfo, struct span self)
{
	for (int k = 0; k < CGROUP_KINDS; k++) {
		auto_fd int own = open_own(mountinfo, self, names[k]);

		b->at[k].dir = own < 0 ? -1 : make_dir(own, name);
		b->at[k].v2 = false;
	}
	open_unified(b, name, mountinfo, self);
	for (int k = 0; k < CGROUP_KINDS; k++) {
		b->at[k].alias = k;
		for (int i = k - 1; i >= 0; i--)
			if (b->at[k].dir >= 0 && b->at[i].dir >= 0 &&
			    same_dir(b->at[i].dir, b->at[k].dir))
				b->at[k].alias = i;
	}
}

void cgroup_open_self(struct cgroup_base *b, const char *name)
{
	auto_buf struct buf mountinfo, self;
	struct err e = { 0 };

	buf_init(&mountinfo, TEXT_MAX);
	buf_init(&self, TEXT_MAX);
	if (file_read_path(AT_FDCWD, "/proc/self/mountinfo", &mountinfo, &e) < 0 ||
	    file_read_path(AT_FDCWD, "/proc/self/cgroup", &self, &e) < 0) {
		buf_clear(&mountinfo);
		buf_clear(&self);
	}
	cgroup_open(b, name, buf_span(&mountinfo), buf_span(&self));
}

void cgroup_close(struct cgroup_base *b)
{
	for (int k = 0; k < CGROUP_KINDS; k++) {
		char link[32], path[PATH_MAX];
		ssize_t n;

		if (b->at[k].dir < 0)
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%d", b->at[k].dir);
		n = readlink(link, path, sizeof(path) - 1);
		if (n > 0) {
			path[n] = '\0';
			rmdir(path); // stays while it holds jobs
		}
		close(b->at[k].dir);
		b->at[k].dir = -1;
	}
}

static int limit_memory(int dir, bool v2, uint64_t bytes)
{
	if (v2) {
		// One process over the limit ends the whole job at once, not a part of it. Swap is not
		// there on every machine.
		put(dir, "memory.oom.group", "1");
		put(dir, "memory.swap.max", "0");
		return put_u64(dir, "memory.max", bytes);
	}
	if (put_u64(dir, "memory.limit_in_bytes", bytes) < 0)
		return -1;
	return put_u64(dir, "memory.memsw.limit_in_bytes", bytes) < 0 && errno != ENOENT &&
			       errno != EOPNOTSUPP
		       ? -1
		       : 0;
}

static int limit_cpu(int dir, bool v2, uint32_t millis)
{
	uint64_t quota = (uint64_t)millis * CPU_PERIOD_US / 1000;
	char text[64];

	if (quota < 1000) // the kernel's smallest
		quota = 1000;
	if (!v2)
		return put_u64(dir, "cpu.cfs_period_us", CPU_PERIOD_US) < 0
			       ? -1
			       : put_u64(dir, "cpu.cfs_quota_us", quota);
	snprintf(text, sizeof(text), "%llu %d", (unsigned long long)quota, CPU_PERIOD_US);
	return put(dir, "cpu.max", text);
}

static int limit_one(const struct cgroup_base *b, const struct cgroup_job *j, enum cgroup_kind k,
		     const struct cgroup_limits *l)
{
	int dir = j->dir[b->at[k].alias];

	switch (k) {
	case CGROUP_MEMORY:
		return l->memory_bytes ? limit_memory(dir, b->at[k].v2, l->memory_bytes) : 0;
	case CGROUP_CPU:
		return l->cpu_millis ? limit_cpu(dir, b->at[k].v2, l->cpu_millis) : 0;
	case CGROUP_PIDS:
		return l->pids_max ? put_u64(dir, "pids.max", l->pids_max) : 0;
	case CGROUP_CPUACCT:
	case CGROUP_FREEZER:
	case CGROUP_KINDS:
		break;
	}
	return 0;
}

int cgroup_job_make(const struct cgroup_base *b, const char *name, const struct cgroup_limits *l,
		    struct cgroup_job *out, struct err *e)
{
	*out = (struct cgroup_job)CGROUP_JOB_NONE;
	out->limits = *l;
	snprintf(out->name, sizeof(out->name), "%s", name);
	for (int k = 0; k < CGROUP_KINDS; k++) {
		if (b->at[k].dir < 0 || (k == CGROUP_FREEZER && !l->freezer))
			continue;
		if (b->at[k].alias == k) {
			out->dir[k] = make_dir(b->at[k].dir, name);
			if (out->dir[k] < 0)
				goto fail;
			if (flock(out->dir[k], LOCK_EX | LOCK_NB) < 0) {
				cgroup_job_close(out);
				return err_set(e, ERR_BUSY, "control group %s is in use", name);
			}
			if (b->at[k].v2)
				out->unified = out->dir[k];
			else if ((out->enter[k] =
					  openat(out->dir[k], "tasks", O_WRONLY | O_CLOEXEC)) < 0)
				goto fail;
		}
		if (limit_one(b, out, (enum cgroup_kind)k, l) < 0)
			goto fail;
		continue;
	fail:
		err_sys(e, ERR_IO, errno, "set the %s limit of the job's control group", names[k]);
		cgroup_job_close(out);
		cgroup_remove(b, name);
		return -1;
	}
	return 0;
}

int cgroup_job_enter(const struct cgroup_job *j, struct err *e)
{
	for (int k = 0; k < CGROUP_KINDS; k++)
		if (j->enter[k] >= 0 && write(j->enter[k], "0", 1) != 1)
			return err_sys(e, ERR_IO, errno, "enter the %s control group", names[k]);
	return 0;
}

void cgroup_job_usage(const struct cgroup_base *b, const struct cgroup_job *j,
		      struct cgroup_usage *out)
{
	int m = j->dir[b->at[CGROUP_MEMORY].alias], c = j->dir[b->at[CGROUP_CPUACCT].alias];

	*out = (struct cgroup_usage){ 0 };
	if (b->at[CGROUP_MEMORY].dir >= 0 && b->at[CGROUP_MEMORY].v2) {
		out->memory_peak_bytes = get_u64(m, "memory.peak");
		out->oom_kills = get_keyed(m, "memory.events", "oom_kill");
	} else if (b->at[CGROUP_MEMORY].dir >= 0) {
		out->memory_peak_bytes = get_u64(m, "memory.max_usage_in_bytes");
		out->oom_kills = get_keyed(m, "memory.oom_control", "oom_kill");
	}
	if (b->at[CGROUP_CPUACCT].dir >= 0)
		out->cpu_us = b->at[CGROUP_CPUACCT].v2 ? get_keyed(c, "cpu.stat", "usage_usec")
						       : get_u64(c, "cpuacct.usage") / 1000;
}

// The folder that freezes the job, or -1.
static int freezer_of(const struct cgroup_base *b, const struct cgroup_job *j)
{
	if (!j->limits.freezer || b->at[CGROUP_FREEZER].dir < 0)
		return -1;
	return j->dir[b->at[CGROUP_FREEZER].alias];
}

static int set_frozen(const struct cgroup_base *b, int dir, bool on)
{
	return b->at[CGROUP_FREEZER].v2 ? put(dir, "cgroup.freeze", on ? "1" : "0")
					: put(dir, "freezer.state", on ? "FROZEN" : "THAWED");
}

int cgroup_job_freeze(const struct cgroup_base *b, const struct cgroup_job *j, struct err *e)
{
	int dir = freezer_of(b, j);

	if (dir < 0)
		return err_set(e, ERR_UNSUPPORTED, "there is no freezer control group");
	return set_frozen(b, dir, true) < 0 ? err_sys(e, ERR_IO, errno, "freeze") : 0;
}

void cgroup_job_thaw(const struct cgroup_base *b, const struct cgroup_job *j)
{
	int dir = freezer_of(b, j);

	if (dir >= 0)
		(void)set_frozen(b, dir, false);
}

bool cgroup_job_reset(const struct cgroup_base *b, const struct cgroup_job *j)
{
	char text[VALUE_MAX];

	for (int k = 0; k < CGROUP_KINDS; k++)
		if (b->at[k].dir >= 0 && (k != CGROUP_FREEZER || j->limits.freezer) &&
		    (b->at[k].v2 || (b->at[k].alias == k && get(j->dir[k], "tasks", text).n)))
			return false;
	if (b->at[CGROUP_MEMORY].dir >= 0) {
		int m = j->dir[b->at[CGROUP_MEMORY].alias];

		if (get_u64(m, "memory.usage_in_bytes") > KEPT_BYTES_MAX ||
		    get_keyed(m, "memory.oom_control", "oom_kill") ||
		    put(m, "memory.max_usage_in_bytes", "0") < 0)
			return false;
	}
	return b->at[CGROUP_CPUACCT].dir < 0 ||
	       put(j->dir[b->at[CGROUP_CPUACCT].alias], "cpuacct.usage", "0") == 0;
}

void cgroup_job_close(struct cgroup_job *j)
{
	for (int k = 0; k < CGROUP_KINDS; k++) {
		file_close(j->dir[k]);
		file_close(j->enter[k]);
		j->dir[k] = j->enter[k] = -1;
	}
	j->unified = -1;
}

// What a shim that was killed left frozen could not die.
static void thaw_left(const struct cgroup_base *b, const char *name)
{
	auto_fd int dir = b->at[CGROUP_FREEZER].dir < 0
				  ? -1
				  : openat(b->at[CGROUP_FREEZER].dir, name,
					   O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir >= 0)
		(void)set_frozen(b, dir, false);
}

bool cgroup_remove(const struct cgroup_base *b, const char *name)
{
	bool gone = true;

	for (int k = 0; k < CGROUP_KINDS; k++)
		if (b->at[k].dir >= 0 && b->at[k].alias == k &&
		    unlinkat(b->at[k].dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			gone = false;
	if (!gone)
		thaw_left(b, name);
	return gone;
}

static bool in_use(int parent, const char *name)
{
	auto_fd int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
}

bool cgroup_sweep(const struct cgroup_base *b)
{
	bool gone = true;

	for (int k = 0; k < CGROUP_KINDS; k++) {
		int fd = b->at[k].dir < 0 || b->at[k].alias != k
				 ? -1
				 : openat(b->at[k].dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *list = fd < 0 ? NULL : fdopendir(fd);
		struct dirent *d;

		if (!list) {
			file_close(fd);
			continue;
		}
		while ((d = readdir(list)))
			if (d->d_type == DT_DIR && d->d_name[0] != '.' && !in_use(fd, d->d_name))
				gone = cgroup_remove(b, d->d_name) && gone;
		closedir(list);
	}
	return gone;
}
