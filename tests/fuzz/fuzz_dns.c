// fuzz_dns: answers of a name server, hosts files and resolv.conf of a foreign image.
// SPDX-License-Identifier: Apache-2.0
#include "supervisor/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	struct dns_addresses out = { 0 };
	struct dns_config c;
	struct err e = { 0 };
	uint16_t id = 0;
	uint8_t query[DNS_QUERY_MAX];

	if (size > 1)
		id = (uint16_t)(data[0] << 8 | data[1]);
	if (dns_answer(in, id, DNS_A, &out, &e) < 0)
		check(e.code == ERR_PROTOCOL || e.code == ERR_NOT_FOUND ||
		      e.code == ERR_UNAVAILABLE);
	if (dns_answer(in, id, DNS_AAAA, &out, &e) == 0)
		check(out.n <= DNS_ADDRESSES_MAX);
	dns_hosts_find(in, SPAN("a"), &out);
	check(out.n <= DNS_ADDRESSES_MAX);
	dns_config_parse(in, &c);
	check(c.server_count > 0 && c.server_count <= DNS_SERVERS_MAX);
	check(dns_query(id, in, DNS_A, query) <= DNS_QUERY_MAX);
	return 0;
}
