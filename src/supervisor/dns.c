// SPDX-License-Identifier: Apache-2.0
#include "supervisor/dns.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

enum { HEADER = 12, CLASS_IN = 1, LABEL_MAX = 63, NDOTS_MAX = 15 };

bool dns_address_parse(struct span text, struct dns_address *out)
{
	char copy[INET6_ADDRSTRLEN];

	if (text.n >= sizeof(copy))
		return false;
	snprintf(copy, sizeof(copy), SPAN_FMT, SPAN_ARG(text));
	*out = (struct dns_address){ .family = AF_INET };
	if (inet_pton(AF_INET, copy, out->bytes) == 1)
		return true;
	out->family = AF_INET6;
	return inet_pton(AF_INET6, copy, out->bytes) == 1;
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static unsigned get16(struct span s, size_t at)
{
	return (unsigned)((uint8_t)s.p[at] << 8 | (uint8_t)s.p[at + 1]);
}

ptrdiff_t dns_query(uint16_t id, struct span name, enum dns_type type,
		    uint8_t out[static DNS_QUERY_MAX])
{
	size_t at = HEADER;

	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	if (!name.n || name.n > DNS_NAME_MAX)
		return -1;
	memset(out, 0, HEADER);
	put16(out, id);
	out[2] = 1; // recursion desired
	out[5] = 1; // one question
	for (bool last = false; !last;) {
		struct span label;

		last = span_find(name, '.') < 0;
		label = span_cut(&name, '.');
		if (!label.n || label.n > LABEL_MAX)
			return -1;
		out[at++] = (uint8_t)label.n;
		memcpy(out + at, label.p, label.n);
		at += label.n;
	}
	out[at++] = 0;
	put16(out + at, type);
	put16(out + at + 2, CLASS_IN);
	return (ptrdiff_t)at + 4;
}

// Behind the name at `at`, or 0 when the packet ends within it. Pointers are not followed: nobody needs
// the names, a resolver answers what was asked.
static size_t skip_name(struct span packet, size_t at)
{
	while (at < packet.n) {
		uint8_t n = (uint8_t)packet.p[at];

		if (n == 0)
			return at + 1;
		if (n >= 0xc0)
			return at + 2 <= packet.n ? at + 2 : 0;
		if (n > LABEL_MAX)
			return 0;
		at += 1 + (size_t)n;
	}
	return 0;
}

static void add(struct dns_addresses *out, int family, const char *bytes, size_t n)
{
	if (out->n == DNS_ADDRESSES_MAX)
		return;
	out->at[out->n] = (struct dns_address){ .family = family };
	memcpy(out->at[out->n++].bytes, bytes, n);
}

static int check_head(struct span packet, uint16_t id, enum dns_type type, size_t *at,
		      struct err *e)
{
	unsigned code;

	if (packet.n < HEADER || get16(packet, 0) != id || !((uint8_t)packet.p[2] & 0x80) ||
	    get16(packet, 4) != 1)
		return err_set(e, ERR_PROTOCOL, "not the answer to what was asked");
	*at = skip_name(packet, HEADER);
	if (!*at || packet.n < *at + 4 || get16(packet, *at) != (unsigned)type)
		return err_set(e, ERR_PROTOCOL, "not the answer to what was asked");
	*at += 4;
	code = (uint8_t)packet.p[3] & 15;
	if (code == 3)
		return err_set(e, ERR_NOT_FOUND, "no such host");
	if (code != 0)
		return err_set(e, ERR_UNAVAILABLE, "the name server answers with code %u", code);
	return 0;
}

int dns_answer(struct span packet, uint16_t id, enum dns_type type, struct dns_addresses *out,
	       struct err *e)
{
	size_t at = 0, want = type == DNS_A ? 4 : 16;

	if (check_head(packet, id, type, &at, e) < 0)
		return -1;
	for (unsigned left = get16(packet, 6); left > 0; left--) {
		unsigned size;

		at = skip_name(packet, at);
		if (!at || packet.n < at + 10)
			break; // cut short: what came before still counts
		size = get16(packet, at + 8);
		if (packet.n < at + 10 + size)
			break;
		if (get16(packet, at) == (unsigned)type && get16(packet, at + 2) == CLASS_IN &&
		    size == want)
			add(out, type == DNS_A ? AF_INET : AF_INET6, packet.p + at + 10, want);
		at += 10 + size;
	}
	return 0;
}

// The next word of a line, blanks and tabs between; empty at the end.
static struct span next_word(struct span *line)
{
	size_t n = 0;
	struct span word;

	while (line->n && (line->p[0] == ' ' || line->p[0] == '\t' || line->p[0] == '\r'))
		*line = span_from(*line, 1);
	while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t' && line->p[n] != '\r')
		n++;
	word = span_head(*line, n);
	*line = span_from(*line, n);
	return word;
}

void dns_hosts_find(struct span hosts, struct span name, struct dns_addresses *out)
{
	while (hosts.n) {
		struct span line = span_cut(&hosts, '\n');
		struct span text = span_cut(&line, '#'), word;
		struct dns_address address;

		if (!dns_address_parse(next_word(&text), &address))
			continue;
		while ((word = next_word(&text)).n)
			if (span_eq_nocase(word, name)) {
				if (out->n < DNS_ADDRESSES_MAX)
					out->at[out->n++] = address;
				break;
			}
	}
}

static void read_options(struct span line, struct dns_config *out)
{
	struct span word;
	uint64_t n;

	while ((word = next_word(&line)).n)
		if (span_starts(word, SPAN("ndots:")) && span_to_u64(span_from(word, 6), &n))
			out->ndots = n < NDOTS_MAX ? (unsigned)n : NDOTS_MAX;
}

void dns_config_parse(struct span text, struct dns_config *out)
{
	*out = (struct dns_config){ .ndots = 1 };
	while (text.n) {
		struct span line = span_cut(&text, '\n'), word = next_word(&line), name;

		if (span_is(word, "nameserver") && out->server_count < DNS_SERVERS_MAX) {
			if (dns_address_parse(next_word(&line), &out->servers[out->server_count]))
				out->server_count++;
		} else if (span_is(word, "search") || span_is(word, "domain")) {
			out->search_count = 0; // the last line counts
			while ((name = next_word(&line)).n && out->search_count < DNS_SEARCH_MAX)
				out->search[out->search_count++] = name;
		} else if (span_is(word, "options")) {
			read_options(line, out);
		}
	}
	if (!out->server_count)
		out->server_count = dns_address_parse(SPAN("127.0.0.1"), &out->servers[0]);
}
