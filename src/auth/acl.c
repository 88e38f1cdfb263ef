// SPDX-License-Identifier: Apache-2.0
#include "auth/acl.h"

#include "base/buf.h"

static const struct {
	char letter;
	unsigned permission;
} letters[] = { { 'F', ACL_FULL_CONTROL },
		{ 'R', ACL_READ },
		{ 'W', ACL_WRITE },
		{ 'r', ACL_READ_ACP },
		{ 'w', ACL_WRITE_ACP } };

enum { LETTERS = sizeof(letters) / sizeof(letters[0]) };

bool acl_add(struct acl *a, enum acl_grantee grantee, int64_t user, unsigned permission)
{
	if (a->n == ACL_GRANTS_MAX)
		return false;
	a->grants[a->n++] = (struct acl_grant){ grantee, user, permission };
	return true;
}

// Grants to groups come before those to users, as other servers list them.
bool acl_canned(struct acl *out, struct span name, int64_t owner, int64_t bucket_owner)
{
	*out = (struct acl){ .owner = owner };
	if (span_is(name, "public-read") || span_is(name, "public-read-write"))
		acl_add(out, ACL_EVERYONE, 0, ACL_READ);
	if (span_is(name, "public-read-write"))
		acl_add(out, ACL_EVERYONE, 0, ACL_WRITE);
	if (span_is(name, "authenticated-read"))
		acl_add(out, ACL_KNOWN, 0, ACL_READ);
	if (span_is(name, "log-delivery-write")) {
		acl_add(out, ACL_LOG, 0, ACL_WRITE);
		acl_add(out, ACL_LOG, 0, ACL_READ_ACP);
	}
	// EC2, which aws-exec-read lets in, has no account here.
	if (!out->n && !span_is(name, "private") && !span_is(name, "aws-exec-read") &&
	    !span_is(name, "bucket-owner-read") && !span_is(name, "bucket-owner-full-control"))
		return false;
	acl_add(out, ACL_USER, owner, ACL_FULL_CONTROL);
	if (owner != bucket_owner && span_is(name, "bucket-owner-read"))
		acl_add(out, ACL_USER, bucket_owner, ACL_READ);
	if (owner != bucket_owner && span_is(name, "bucket-owner-full-control"))
		acl_add(out, ACL_USER, bucket_owner, ACL_FULL_CONTROL);
	return true;
}

bool acl_is_private(const struct acl *a)
{
	return a->n == 1 && a->grants[0].grantee == ACL_USER && a->grants[0].user == a->owner &&
	       a->grants[0].permission == ACL_FULL_CONTROL;
}

struct span acl_text(struct arena *mem, const struct acl *a)
{
	static const char groups[] = { [ACL_EVERYONE] = 'A', [ACL_KNOWN] = 'U', [ACL_LOG] = 'L' };
	auto_buf struct buf b = { 0 };

	buf_init(&b, 64 + ACL_GRANTS_MAX * 24);
	buf_printf(&b, "%lld;", (long long)a->owner);
	for (size_t i = 0; i < a->n; i++) {
		const struct acl_grant *g = &a->grants[i];

		if (i)
			buf_add_char(&b, ',');
		if (g->grantee == ACL_USER)
			buf_printf(&b, "%lld", (long long)g->user);
		else
			buf_add_char(&b, groups[g->grantee]);
		for (size_t k = 0; k < LETTERS; k++)
			if (letters[k].permission == g->permission)
				buf_add_char(&b, letters[k].letter);
	}
	return arena_span(mem, buf_span(&b));
}

static bool parse_grant(struct span text, struct acl *out)
{
	enum acl_grantee who = ACL_USER;
	uint64_t user = 0;
	char letter;

	if (text.n < 2)
		return false;
	letter = text.p[text.n - 1];
	text = span_head(text, text.n - 1);
	if (span_is(text, "A"))
		who = ACL_EVERYONE;
	else if (span_is(text, "U"))
		who = ACL_KNOWN;
	else if (span_is(text, "L"))
		who = ACL_LOG;
	else if (!span_to_u64(text, &user) || user > INT64_MAX)
		return false;
	for (size_t k = 0; k < LETTERS; k++)
		if (letters[k].letter == letter)
			return acl_add(out, who, (int64_t)user, letters[k].permission);
	return false;
}

bool acl_parse(struct span text, struct acl *out)
{
	struct span owner = span_cut(&text, ';');
	uint64_t number;

	*out = (struct acl){ 0 };
	if (!span_to_u64(owner, &number) || number > INT64_MAX)
		return false;
	out->owner = (int64_t)number;
	while (text.n)
		if (!parse_grant(span_cut(&text, ','), out))
			return false;
	return true;
}

unsigned acl_rights(const struct acl *a, int64_t user, bool anonymous, bool public)
{
	unsigned has = !anonymous && user == a->owner ? ACL_READ_ACP | ACL_WRITE_ACP : 0;

	for (size_t i = 0; i < a->n; i++) {
		const struct acl_grant *g = &a->grants[i];

		if ((g->grantee == ACL_USER && !anonymous && g->user == user) ||
		    (g->grantee == ACL_EVERYONE && public) ||
		    (g->grantee == ACL_KNOWN && public && !anonymous))
			has |= g->permission;
	}
	return has;
}

bool acl_is_public(const struct acl *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->grants[i].grantee == ACL_EVERYONE || a->grants[i].grantee == ACL_KNOWN)
			return true;
	return false;
}
