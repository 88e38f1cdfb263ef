// runner/nat: a job's own network with a way out by address translation (`network: nat`). slirp4netns of Debian, a process of
// the shim's beside the sandbox, is what the job's packets go through: it needs neither root rights nor rules of the host's
// firewall, and ends with the shim. What the job must not reach has no route in its network, and no job can change routes:
// link-local addresses (cloud metadata), the machine's own, and by slirp4netns the machine's loopback.
// Owner: struct nat is the shim's. Threads: one. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <sys/types.h>

// As the script's /etc/resolv.conf says it: slirp4netns passes questions on to the machine's own server.
#define NAT_RESOLV_CONF "nameserver 10.0.2.3\noptions edns0\n"

struct nat {
	pid_t pid; // 0 = none
	int exit;  // it ends when this is closed
};

// For an empty network namespace, of the process that is in the host's: when it returns, the network is up.
// ERR_UNSUPPORTED when slirp4netns is not installed, ERR_IO, ERR_TIMEOUT with what it said.
must_check int nat_start(struct nat *n, int net, struct err *e);
void nat_stop(struct nat *n); // accepts a zeroed struct; waits for its end
