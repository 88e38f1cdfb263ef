// dns: the questions and answers of the name system, and the files that say whom to ask, as pure functions.
// A static program cannot load the C library's name services of a foreign image, so we ask ourselves.
// Source: RFC 1035 4, hosts(5), resolv.conf(5). Owner: the caller. Threads: no state.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

enum {
	DNS_QUERY_MAX = 300,
	DNS_ANSWER_MAX = 1232, // what a datagram carries unbroken
	DNS_ADDRESSES_MAX = 8,
	DNS_NAME_MAX = 253,
	DNS_SERVERS_MAX = 3,
	DNS_SEARCH_MAX = 8,
};

enum dns_type { DNS_A = 1, DNS_AAAA = 28 };

struct dns_address {
	int family; // AF_INET, AF_INET6
	uint8_t bytes[16];
};

struct dns_addresses {
	struct dns_address at[DNS_ADDRESSES_MAX];
	size_t n;
};

// An address in figures; false when it is none.
bool dns_address_parse(struct span text, struct dns_address *out);

// Writes a question; its length, or -1 when the name cannot be asked (empty or long labels).
ptrdiff_t dns_query(uint16_t id, struct span name, enum dns_type type,
		    uint8_t out[static DNS_QUERY_MAX]);

// Adds the addresses of an answer to *out, as many as there is room for. ERR_NOT_FOUND: no such name.
// ERR_UNAVAILABLE: the server cannot say. ERR_PROTOCOL: not an answer to this question; go on waiting.
must_check int dns_answer(struct span packet, uint16_t id, enum dns_type type,
			  struct dns_addresses *out, struct err *e);

// Adds the addresses that a hosts file gives a name.
void dns_hosts_find(struct span hosts, struct span name, struct dns_addresses *out);

struct dns_config {
	struct dns_address servers[DNS_SERVERS_MAX];
	size_t server_count;
	struct span search[DNS_SEARCH_MAX]; // point into the text
	size_t search_count;
	unsigned ndots;
};

// Reads resolv.conf. Without a server it is 127.0.0.1, as the C library has it.
void dns_config_parse(struct span text, struct dns_config *out);
