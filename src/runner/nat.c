// SPDX-License-Identifier: Apache-2.0
#include "runner/nat.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "runner/program.h"
#include "runner/sys.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/close_range.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
	READY_MS = 10000,
	FENCES_MAX = 256,
	FD_READY = 3, // as slirp4netns is told
	FD_EXIT,
	FD_NET,
	FD_ABOVE = 64,
	SAID_MAX = 512
};

struct fence {
	struct in_addr to;
	unsigned char bits;
};

struct fences {
	struct fence list[FENCES_MAX];
	unsigned count;
};

// What a job has no business with, whatever listens there.
static const struct {
	const char *to;
	unsigned char bits;
} always[] = { { "169.254.0.0", 16 } };

static int find_fences(struct fences *f, struct err *e)
{
	struct ifaddrs *all, *i;

	f->count = 0;
	for (size_t k = 0; k < ARRAY_LEN(always); k++) {
		struct fence *one = &f->list[f->count++];

		one->bits = always[k].bits;
		check(inet_pton(AF_INET, always[k].to, &one->to) == 1);
	}
	if (getifaddrs(&all) < 0)
		return err_sys(e, ERR_IO, errno, "look at the machine's addresses");
	for (i = all; i && f->count < FENCES_MAX; i = i->ifa_next) {
		const struct sockaddr_in *a = (const void *)i->ifa_addr;

		if (a && a->sin_family == AF_INET &&
		    (ntohl(a->sin_addr.s_addr) >> 24) != IN_LOOPBACKNET)
			f->list[f->count++] = (struct fence){ a->sin_addr, 32 };
	}
	freeifaddrs(all);
	return i ? err_set(e, ERR_LIMIT, "the machine has more than %d addresses", FENCES_MAX) : 0;
}

// rtnetlink(7): a route that refuses.
static int put_fence(int netlink, const struct fence *f, struct err *e)
{
	struct {
		struct nlmsghdr head;
		struct rtmsg route;
		struct rtattr to;
		struct in_addr address;
	} m = { .head = { .nlmsg_len = sizeof(m),
			  .nlmsg_type = RTM_NEWROUTE,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK },
		.route = { .rtm_family = AF_INET,
			   .rtm_dst_len = f->bits,
			   .rtm_table = RT_TABLE_MAIN,
			   .rtm_protocol = RTPROT_STATIC,
			   .rtm_scope = RT_SCOPE_UNIVERSE,
			   .rtm_type = RTN_PROHIBIT },
		.to = { RTA_LENGTH(sizeof(struct in_addr)), RTA_DST },
		.address = f->to };
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[256];
	} answer;

	if (send(netlink, &m, sizeof(m), 0) != sizeof(m) ||
	    recv(netlink, &answer, sizeof(answer), 0) <
		    (ssize_t)(sizeof(answer.head) + sizeof(answer.error)))
		return err_sys(e, ERR_IO, errno, "ask for a route");
	if (answer.head.nlmsg_type != NLMSG_ERROR || answer.error.error)
		return err_sys(e, ERR_IO, -answer.error.error, "make a route");
	return 0;
}

// A process of its own, since without the rights of real root one cannot come back from there.
static int put_fences(int net, const struct fences *f, struct err *e)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		int netlink;
		int bad = setns(net, CLONE_NEWNET) < 0;

		netlink = bad ? -1 : socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
		bad = netlink < 0;
		for (unsigned i = 0; i < f->count && !bad; i++)
			bad = put_fence(netlink, &f->list[i], e) < 0;
		_exit(bad);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid < 0 || status
		       ? err_set(e, ERR_IO, "cannot close the job's network to the machine")
		       : 0;
}

static no_return void become_slirp(const char *path, int net, int ready, int exit, int said)
{
	char *const argv[] = { (char *)"slirp4netns",
			       (char *)"--configure",
			       (char *)"--mtu=65520",
			       (char *)"--disable-host-loopback",
			       (char *)"--enable-sandbox",
			       (char *)"--enable-seccomp",
			       (char *)"--ready-fd=3",
			       (char *)"--exit-fd=4",
			       (char *)"--netns-type=path",
			       (char *)"/proc/self/fd/5",
			       (char *)"tap0",
			       NULL };
	static char *const env[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int high[] = { fcntl(ready, F_DUPFD_CLOEXEC, FD_ABOVE),
		       fcntl(exit, F_DUPFD_CLOEXEC, FD_ABOVE),
		       fcntl(net, F_DUPFD_CLOEXEC, FD_ABOVE) };
	sigset_t none;

	sigemptyset(&none);
	sys_signals_default();
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	umask(022);
	if (null < 0 || dup2(null, 0) < 0 || dup2(said, 1) < 0 || dup2(said, 2) < 0)
		_exit(126);
	for (size_t i = 0; i < ARRAY_LEN(high); i++)
		if (dup2(high[i], FD_READY + (int)i) < 0)
			_exit(126);
	if (close_range(FD_NET + 1, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
		execve(path, argv, env);
	_exit(127);
}

static int wait_ready(int ready, int said, struct err *e)
{
	struct pollfd p = { .fd = ready, .events = POLLIN };
	const int64_t by = clock_mono_ns() + READY_MS * NS_PER_MS;
	char text[SAID_MAX], c;
	int left;

	while ((left = (int)((by - clock_mono_ns()) / NS_PER_MS)) > 0 && poll(&p, 1, left) < 0 &&
	       errno == EINTR)
		;
	if (p.revents & POLLIN && read(ready, &c, 1) == 1)
		return 0;
	if (!p.revents)
		return err_set(e, ERR_TIMEOUT, "slirp4netns made no network within %d s",
			       READY_MS / 1000);
	program_said(said, text, sizeof(text));
	return err_set(e, ERR_IO, "slirp4netns: %.200s",
		       text[0] ? text : "it failed without a word");
}

int nat_start(struct nat *n, int net, struct err *e)
{
	auto_free char *path = program_find("slirp4netns");
	auto_fd int ready_in = -1, ready_out = -1, exit_in = -1, said_in = -1, said_out = -1;
	struct fences fences;
	int pair[2];

	*n = (struct nat){ .exit = -1 };
	if (!path)
		return err_set(
			e, ERR_UNSUPPORTED,
			"network: nat needs the program slirp4netns, which is not installed");
	if (find_fences(&fences, e) < 0 || put_fences(net, &fences, e) < 0)
		return -1;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, ERR_IO, errno, "pipe");
	ready_in = pair[0];
	ready_out = pair[1];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, ERR_IO, errno, "pipe");
	exit_in = pair[0];
	n->exit = pair[1];
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(e, ERR_IO, errno, "pipe");
	said_in = pair[0];
	said_out = pair[1];
	n->pid = fork();
	if (n->pid == 0)
		become_slirp(path, net, ready_out, exit_in, said_out);
	if (n->pid < 0) {
		n->pid = 0;
		return err_sys(e, ERR_BUSY, errno, "fork");
	}
	close(file_take(&ready_out));
	return wait_ready(ready_in, said_in, e);
}

void nat_stop(struct nat *n)
{
	if (!n->pid)
		return;
	file_close(n->exit);
	kill(n->pid, SIGKILL); // it has nothing to tidy up
	while (waitpid(n->pid, NULL, 0) < 0 && errno == EINTR)
		;
	*n = (struct nat){ .exit = -1 };
}
