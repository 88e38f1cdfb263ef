// SPDX-License-Identifier: Apache-2.0
#include "codec/reference.h"

#include <stdio.h>

enum { HEX_DIGITS = 64 };

static bool lower(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool alnum(char c)
{
	return lower(c) || (c >= 'A' && c <= 'Z');
}

bool reference_digest_ok(struct span digest)
{
	struct span hex = span_from(digest, 7);

	if (!span_starts(digest, SPAN("sha256:")) || hex.n != HEX_DIGITS)
		return false;
	for (size_t i = 0; i < hex.n; i++)
		if (!(hex.p[i] >= '0' && hex.p[i] <= '9') && !(hex.p[i] >= 'a' && hex.p[i] <= 'f'))
			return false;
	return true;
}

// Lower-case letters and digits; between them one '.', one or two '_', or any number of '-'.
static bool part_ok(struct span s)
{
	size_t i = 0;

	if (!s.n || !lower(s.p[0]) || !lower(s.p[s.n - 1]))
		return false;
	while (i < s.n) {
		size_t from = i;

		if (lower(s.p[i])) {
			i++;
			continue;
		}
		while (i < s.n && s.p[i] == s.p[from])
			i++;
		if (!(s.p[from] == '-' || (s.p[from] == '_' && i - from <= 2) ||
		      (s.p[from] == '.' && i - from == 1)) ||
		    !lower(s.p[i])) // the last one is a letter or digit, so i is inside
			return false;
	}
	return true;
}

static bool path_ok(struct span path)
{
	if (!path.n || path.n >= REFERENCE_PATH_MAX)
		return false;
	for (struct span rest = path, part;;) {
		part = span_cut(&rest, '/');
		if (!part_ok(part))
			return false;
		if (!rest.n)
			return part.p + part.n == path.p + path.n; // nothing after a final '/'
	}
}

static bool tag_ok(struct span tag)
{
	if (!tag.n || tag.n >= REFERENCE_TAG_MAX || tag.p[0] == '.' || tag.p[0] == '-')
		return false;
	for (size_t i = 0; i < tag.n; i++)
		if (!alnum(tag.p[i]) && tag.p[i] != '_' && tag.p[i] != '.' && tag.p[i] != '-')
			return false;
	return true;
}

static bool host_ok(struct span host)
{
	ptrdiff_t colon = span_rfind(host, ':');
	struct span name = host;
	uint64_t port;

	if (!host.n || host.n >= REFERENCE_HOST_MAX)
		return false;
	if (host.p[host.n - 1] != ']' && colon >= 0) {
		if (!span_to_u64(span_from(host, (size_t)colon + 1), &port) || !port ||
		    port > 65535)
			return false;
		name = span_head(host, (size_t)colon);
	}
	if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']') {
		for (size_t i = 1; i < name.n - 1; i++)
			if (span_find(SPAN("0123456789abcdefABCDEF:."), name.p[i]) < 0)
				return false;
		return true;
	}
	if (!name.n || !alnum(name.p[0]) || !alnum(name.p[name.n - 1]))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!alnum(name.p[i]) && name.p[i] != '.' && name.p[i] != '-')
			return false;
	return true;
}

static bool is_loopback(struct span host)
{
	ptrdiff_t colon = span_rfind(host, ':');
	struct span name = host;
	bool dotted = true;

	if (span_starts(host, SPAN("[")))
		return span_starts(host, SPAN("[::1]"));
	if (colon >= 0)
		name = span_head(host, (size_t)colon);
	if (span_eq_nocase(name, SPAN("localhost")))
		return true;
	for (size_t i = 0; i < name.n; i++) // a name like 127.example.org is somebody else's
		dotted = dotted && (name.p[i] == '.' || (name.p[i] >= '0' && name.p[i] <= '9'));
	return dotted && span_starts(name, SPAN("127."));
}

// The first part names a registry when it looks like a host; else all of it is a path on Docker's.
static struct span cut_host(struct span *rest)
{
	ptrdiff_t slash = span_find(*rest, '/');
	struct span first = span_head(*rest, slash < 0 ? 0 : (size_t)slash);
	bool is_host = span_is(first, "localhost");

	for (size_t i = 0; i < first.n; i++)
		is_host = is_host || first.p[i] == '.' || first.p[i] == ':' ||
			  (first.p[i] >= 'A' && first.p[i] <= 'Z');
	if (!is_host)
		return SPAN("docker.io");
	*rest = span_from(*rest, first.n + 1);
	return span_is(first, "index.docker.io") ? SPAN("docker.io") : first;
}

static int cut_digest(struct span *rest, struct reference *out, struct err *e)
{
	ptrdiff_t at = span_find(*rest, '@');
	struct span digest;

	if (at < 0)
		return 0;
	digest = span_from(*rest, (size_t)at + 1);
	*rest = span_head(*rest, (size_t)at);
	if (!reference_digest_ok(digest))
		return err_set(e,
			       span_starts(digest, SPAN("sha512:")) ? ERR_UNSUPPORTED : ERR_INVALID,
			       "a digest is sha256: and 64 digits 0-9, a-f");
	snprintf(out->digest, sizeof(out->digest), SPAN_FMT, SPAN_ARG(digest));
	return 0;
}

static int cut_tag(struct span *rest, struct reference *out, struct err *e)
{
	ptrdiff_t colon = span_rfind(*rest, ':');
	struct span tag = out->digest[0] ? SPAN("") : SPAN("latest");

	if (colon >= 0) {
		tag = span_from(*rest, (size_t)colon + 1);
		*rest = span_head(*rest, (size_t)colon);
		if (!tag_ok(tag))
			return err_set(
				e, ERR_INVALID,
				"an image's tag holds letters, digits, . _ and - only, at most %d",
				REFERENCE_TAG_MAX - 1);
	}
	snprintf(out->tag, sizeof(out->tag), SPAN_FMT, SPAN_ARG(tag));
	return 0;
}

int reference_parse(struct span text, struct reference *out, struct err *e)
{
	struct span rest = text, host;
	const char *library;

	*out = (struct reference){ .tag = "" };
	if (span_starts(rest, SPAN("docker://")))
		rest = span_from(rest, 9);
	if (span_starts(rest, SPAN("http://")) || span_starts(rest, SPAN("https://")))
		return err_set(e, ERR_INVALID,
			       "an image reference is written without http:// or https://");
	host = cut_host(&rest);
	if (!host_ok(host))
		return err_set(e, ERR_INVALID, "the registry's name is not a HOST or HOST:PORT");
	if (cut_digest(&rest, out, e) < 0 || cut_tag(&rest, out, e) < 0)
		return -1;
	if (!path_ok(rest))
		return err_set(
			e, ERR_INVALID,
			"an image reference is [HOST[:PORT]/]NAME[:TAG][@sha256:…], its name of "
			"lower-case letters and digits with . _ - / between them");
	library = span_is(host, "docker.io") && span_find(rest, '/') < 0 ? "library/" : "";
	if (rest.n + strlen(library) >= sizeof(out->path))
		return err_set(e, ERR_INVALID, "the image's name is too long");
	snprintf(out->path, sizeof(out->path), "%s" SPAN_FMT, library, SPAN_ARG(rest));
	snprintf(out->registry, sizeof(out->registry), SPAN_FMT, SPAN_ARG(host));
	snprintf(out->host, sizeof(out->host), "%s",
		 span_is(host, "docker.io") ? "registry-1.docker.io" : out->registry);
	out->loopback = is_loopback(host);
	return 0;
}
