// resolve: from a host's name to its addresses, by the image's own /etc/hosts and the servers of its
// /etc/resolv.conf with their search list. Owner: the caller. Threads: one.
// Errors: ERR_NOT_FOUND (no such host), ERR_UNAVAILABLE (no server answers), ERR_CANCELLED.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "supervisor/dns.h"
#include "supervisor/stop.h"

must_check int resolve_host(struct stop *stop, const char *host, struct dns_addresses *out,
			    struct err *e);
