// SPDX-License-Identifier: Apache-2.0
#include "runner/template.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/span.h"
#include "runner/dev.h"
#include "runner/nat.h"
#include "runner/sys.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

// Of the host's /etc, what programs need to run and what no secret is kept in. Only what everybody may read
// is copied; a name with '*' stands for all names that begin so.
static const char *const etc_names[] = {
	"ImageMagick*", "OpenCL",	  "R",
	"X11",		"alternatives",	  "ca-certificates*",
	"fonts",	"gai.conf",	  "ghostscript",
	"glvnd",	"host.conf",	  "java*",
	"ld.so.cache",	"ld.so.conf*",	  "locale.alias",
	"localtime",	"magic*",	  "mime.types",
	"octave*",	"openal",	  "openmpi*",
	"os-release",	"debian_version", "papersize",
	"perl",		"protocols",	  "pulse",
	"python*",	"services",	  "ssl",
	"texmf",	"timezone",	  "vulkan",
};
static const char *const etc_never[] = { "private", "ssl-cert-snakeoil.key" };

static const struct {
	const char *name, *text;
} etc_made[] = {
	{ "passwd", "root:x:0:0:root:/tmp:/bin/sh\n"
		    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" },
	{ "group", "root:x:0:\nnogroup:x:65534:\n" },
	{ "nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n"
			   "protocols: files\n" },
	{ "hosts", "127.0.0.1 localhost oscar\n::1 localhost oscar\n" },
	{ "hostname", "oscar\n" },
	{ "resolv.conf", "" },
	{ "resolv.nat", NAT_RESOLV_CONF },
};

static const char *const stamped[] = { "/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs" };

static const char *const shown[] = {
	"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "opt"
};
static const char *const empty_dirs[] = { "dev",  "proc", "sys", "tmp",	  "oscar", "run", "home",
					  "root", "srv",  "mnt", "media", "var",   "etc" };

enum { COPY_FILES_MAX = 20000, COPY_DEPTH_MAX = 8 };
static const off_t copy_bytes_max = 64 << 20;

struct copy {
	unsigned files;
	off_t bytes;
};

static int make_dir(const char *path, struct err *e)
{
	return mkdir(path, 0755) < 0 && errno != EEXIST
		       ? err_sys(e, ERR_IO, errno, "mkdir %s", path)
		       : 0;
}

static int make_file(int dir, const char *name, struct span text, struct err *e)
{
	auto_fd int fd = file_open(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644, e);

	return fd < 0 ? -1 : file_write_all(fd, text.p, text.n, e);
}

static int copy_file(int from, int to, const char *name, struct copy *c, struct err *e)
{
	auto_buf struct buf b;

	buf_init(&b, (size_t)(copy_bytes_max - c->bytes));
	// What cannot be read is left out: only a program that wants it will miss it.
	if (file_read_path(from, name, &b, e) < 0)
		return 0;
	c->bytes += (off_t)b.n;
	return make_file(to, name, buf_span(&b), e);
}

static bool never(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(etc_never); i++)
		if (strcmp(name, etc_never[i]) == 0)
			return true;
	return false;
}

static int copy_any(int from, int to, const char *name, unsigned depth, struct copy *c,
		    struct err *e);

static int copy_folder(int from, int to, const char *name, unsigned depth, struct copy *c,
		       struct err *e)
{
	auto_fd int out = -1;
	int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), bad = 0;
	DIR *list = in < 0 ? NULL : fdopendir(in);
	struct dirent *d;

	if (!list) {
		file_close(in);
		return 0;
	}
	if (mkdirat(to, name, 0755) < 0 || (out = file_open(to, name, O_DIRECTORY, 0, e)) < 0)
		bad = err_sys(e, ERR_IO, errno, "mkdir %s", name);
	while (!bad && (d = readdir(list)))
		if (d->d_name[0] != '.')
			bad = copy_any(in, out, d->d_name, depth + 1, c, e);
	closedir(list);
	return bad;
}

static int copy_any(int from, int to, const char *name, unsigned depth, struct copy *c,
		    struct err *e)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || never(name) ||
	    depth > COPY_DEPTH_MAX || ++c->files > COPY_FILES_MAX)
		return 0;
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(from, name, target, sizeof(target) - 1);
		if (n <= 0)
			return 0;
		target[n] = '\0';
		return symlinkat(target, to, name) < 0
			       ? err_sys(e, ERR_IO, errno, "symlink %s", name)
			       : 0;
	}
	if (S_ISDIR(st.st_mode) && (st.st_mode & 5) == 5)
		return copy_folder(from, to, name, depth, c, e);
	if (S_ISREG(st.st_mode) && (st.st_mode & 4) && st.st_size <= copy_bytes_max - c->bytes)
		return copy_file(from, to, name, c, e);
	return 0;
}

static bool wanted(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(etc_names); i++) {
		const char *star = strchr(etc_names[i], '*');

		if (star ? strncmp(name, etc_names[i], (size_t)(star - etc_names[i])) == 0
			 : strcmp(name, etc_names[i]) == 0)
			return true;
	}
	return false;
}

static int make_etc(const char *path, struct err *e)
{
	auto_fd int to = file_open(AT_FDCWD, path, O_DIRECTORY, 0, e);
	auto_fd int from = file_open(AT_FDCWD, "/etc", O_DIRECTORY, 0, e);
	int again = from < 0 ? -1 : openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = again < 0 ? NULL : fdopendir(again);
	struct copy c = { 0 };
	struct dirent *d;
	int bad = 0;

	if (!list || to < 0) {
		file_close(again);
		return err_set(e, ERR_IO, "cannot read /etc");
	}
	while (!bad && (d = readdir(list)))
		if (wanted(d->d_name))
			bad = copy_any(from, to, d->d_name, 0, &c, e);
	closedir(list);
	for (size_t i = 0; i < ARRAY_LEN(etc_made) && !bad; i++)
		bad = make_file(to, etc_made[i].name, span_of(etc_made[i].text), e);
	return bad;
}

static int bind_read_only(const char *from, const char *to, uint64_t flags, struct err *e)
{
	auto_fd int tree =
		open_tree(AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	struct mount_attr a = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | flags };

	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof(a)) < 0 ||
	    move_mount(tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, ERR_IO, errno, "bind %s", from);
	return 0;
}

static int make_dev(bool real, struct err *e)
{
	auto_fd int dev = file_open(AT_FDCWD, "/tmp/dev", O_RDONLY | O_DIRECTORY, 0, e);

	return dev < 0 ? -1 : dev_fill(dev, real, e);
}

// Shows one folder of the host's root as it is there: a link stays a link.
static int show(const char *top, const char *name, struct err *e)
{
	auto_free char *from = mem_printf("/%s", name);
	auto_free char *to = mem_printf("%s/host/%s", top, name);
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (lstat(from, &st) < 0)
		return 0;
	if (S_ISLNK(st.st_mode)) {
		n = readlink(from, target, sizeof(target) - 1);
		if (n <= 0)
			return 0;
		target[n] = '\0';
		return symlink(target, to) < 0 ? err_sys(e, ERR_IO, errno, "symlink %s", to) : 0;
	}
	if (!S_ISDIR(st.st_mode))
		return 0;
	return make_dir(to, e) < 0 ? -1 : bind_read_only(from, to, MOUNT_ATTR_NODEV, e);
}

// A data directory below /usr or /opt would be shown with them.
static int hide_data(const char *top, const char *data_dir, struct err *e)
{
	auto_free char *path = mem_printf("%s/host%s", top, data_dir);

	if (strncmp(data_dir, "/usr/", 5) != 0 && strncmp(data_dir, "/opt/", 5) != 0)
		return 0;
	if (mount("none", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "size=4k") < 0)
		return err_sys(e, ERR_IO, errno, "hide %s", path);
	return 0;
}

static int make_host(const char *top, const char *data_dir, struct err *e)
{
	auto_free char *etc = mem_printf("%s/host/etc", top);

	for (size_t i = 0; i < ARRAY_LEN(empty_dirs); i++) {
		auto_free char *path = mem_printf("%s/host/%s", top, empty_dirs[i]);

		if (make_dir(path, e) < 0)
			return -1;
	}
	auto_free char *var_tmp = mem_printf("%s/host/var/tmp", top);
	auto_free char *var_run = mem_printf("%s/host/var/run", top);

	if (symlink("/tmp", var_tmp) < 0 || symlink("/run", var_run) < 0)
		return err_sys(e, ERR_IO, errno, "symlink %s", var_tmp);
	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		if (show(top, shown[i], e) < 0)
			return -1;
	return make_etc(etc, e) < 0 ? -1 : hide_data(top, data_dir, e);
}

// Runs in a namespace of its own. The tree is put together on a tmpfs over /tmp, which every
// machine has, and then becomes the root; the host's mounts are let go.
static int build(const char *data_dir, bool real, struct err *e)
{
	static const char *const dirs[] = {
		"host", "dev", "proc", "new", "etc", "empty", "layers"
	};

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, ERR_IO, errno, "make mounts private");
	if (mount("oscar", "/tmp", "tmpfs", MS_NOSUID, "mode=755,size=128m") < 0)
		return err_sys(e, ERR_IO, errno, "mount a tmpfs");
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		auto_free char *path = mem_printf("/tmp/%s", dirs[i]);

		if (make_dir(path, e) < 0)
			return -1;
	}
	if (make_dev(real, e) < 0 || make_host("/tmp", data_dir, e) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(etc_made); i++) {
		auto_free char *path = mem_printf("/tmp/etc/%s", etc_made[i].name);

		if (make_file(AT_FDCWD, path, span_of(etc_made[i].text), e) < 0)
			return -1;
	}
	if (mount("/proc", "/tmp/proc", NULL, MS_BIND | MS_REC, NULL) < 0)
		return err_sys(e, ERR_IO, errno, "bind /proc");
	if (mount(NULL, "/tmp", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL) < 0 ||
	    chdir("/tmp") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_sys(e, ERR_IO, errno, "change the root");
	return 0;
}

int template_make(const char *data_dir, bool real, struct err *e)
{
	int out[2], in[2], status, fd = -1;
	ssize_t n;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0)
		return err_sys(e, ERR_IO, errno, "pipe");
	if (pipe2(in, O_CLOEXEC) < 0) {
		close(out[0]);
		close(out[1]);
		return err_sys(e, ERR_IO, errno, "pipe");
	}
	pid = fork();
	if (pid == 0) {
		struct err bad = { 0 };
		char c;

		umask(022);
		close(out[0]);
		close(in[1]);
		if (unshare(CLONE_NEWNS) < 0)
			err_sys(&bad, ERR_UNSUPPORTED, errno, "make a mount namespace");
		else if (build(data_dir, real, &bad) == 0)
			bad.code = ERR_NONE;
		n = write(out[1], &bad, sizeof(bad));
		// Stays until the namespace has been opened.
		_exit(n == sizeof(bad) && read(in[0], &c, 1) == 0 ? 0 : 1);
	}
	close(out[1]);
	close(in[0]);
	if (pid < 0) {
		err_sys(e, ERR_IO, errno, "fork");
	} else {
		struct err bad = { 0 };

		n = read(out[0], &bad, sizeof(bad));
		if (n != sizeof(bad)) {
			err_set(e, ERR_IO, "the maker of the root file system died");
		} else if (bad.code) {
			*e = bad;
		} else {
			char path[64];

			snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
			fd = file_open(AT_FDCWD, path, O_RDONLY, 0, e);
		}
	}
	close(in[1]);
	close(out[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return fd;
}

void template_stamps(int64_t out[static 3])
{
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(stamped); i++)
		out[i] = stat(stamped[i], &st) < 0
				 ? 0
				 : st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec;
}
