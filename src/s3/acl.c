// SPDX-License-Identifier: Apache-2.0
// Access lists on the wire: canned names, grant headers, XML; of buckets, objects and what is being written.
#include "s3/request.h"

static const struct {
	const char *uri;
	enum acl_grantee grantee;
} groups[] = {
	{ "http://acs.amazonaws.com/groups/global/AllUsers", ACL_EVERYONE },
	{ "http://acs.amazonaws.com/groups/global/AuthenticatedUsers", ACL_KNOWN },
	{ "http://acs.amazonaws.com/groups/s3/LogDelivery", ACL_LOG },
};

// In the order in which headers are taken.
static const struct {
	const char *name, *header;
	unsigned permission;
} permissions[] = {
	{ "READ", "x-amz-grant-read", ACL_READ },
	{ "WRITE", "x-amz-grant-write", ACL_WRITE },
	{ "READ_ACP", "x-amz-grant-read-acp", ACL_READ_ACP },
	{ "WRITE_ACP", "x-amz-grant-write-acp", ACL_WRITE_ACP },
	{ "FULL_CONTROL", "x-amz-grant-full-control", ACL_FULL_CONTROL },
};

// ---- grantees ------------------------------------------------------------------------------------------

bool s3_canonical_user(struct s3_req *q, struct span id, int64_t *user)
{
	char digits[65] = { 0 }, *end;
	struct auth_user u;
	struct err ignored = { 0 };

	if (id.n != 64 || span_find(id, '-') >= 0 || span_find(id, '+') >= 0)
		return false;
	memcpy(digits, id.p, 64);
	for (size_t i = 0; i < 48; i++)
		if (digits[i] != '0')
			return false;
	*user = (int64_t)strtoull(digits, &end, 16);
	return !*end && *user > 0 && auth_user_by_id(q->s3->o.auth, *user, &u, &ignored) == 0;
}

static bool full(struct s3_req *q)
{
	return s3_failf(q, S3_INVALID_REQUEST, "An access list holds at most %d grants",
			ACL_GRANTS_MAX);
}

static bool add_canonical(struct s3_req *q, struct acl *a, struct span id, unsigned permission)
{
	int64_t user;

	if (!s3_canonical_user(q, id, &user))
		return s3_failf(q, S3_INVALID_ARGUMENT, "Invalid id");
	return acl_add(a, ACL_USER, user, permission) || full(q);
}

static bool add_email(struct s3_req *q, struct acl *a, struct span email, unsigned permission)
{
	struct auth_user u;
	struct err e = { 0 };

	if (auth_user_by_email(q->s3->o.auth, email, &u, &e) < 0)
		return s3_fail(q, S3_UNRESOLVABLE_EMAIL);
	return acl_add(a, ACL_USER, u.id, permission) || full(q);
}

static bool add_group(struct s3_req *q, struct acl *a, struct span uri, unsigned permission)
{
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (span_is(uri, groups[i].uri))
			return acl_add(a, groups[i].grantee, 0, permission) || full(q);
	return s3_failf(q, S3_INVALID_ARGUMENT, "Invalid group uri");
}

// ---- headers -------------------------------------------------------------------------------------------

// id="…", emailAddress="…", uri="…", with or without the quotes.
static bool take_grants(struct s3_req *q, struct span list, unsigned permission, struct acl *out)
{
	while (list.n) {
		struct span value = span_trim(span_cut(&list, ',')), kind;
		bool good;

		if (!value.n)
			continue;
		kind = span_trim(span_cut(&value, '='));
		value = span_trim(value);
		if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
			value = span_make(value.p + 1, value.n - 2);
		if (span_eq_nocase(kind, SPAN("id")))
			good = add_canonical(q, out, value, permission);
		else if (span_eq_nocase(kind, SPAN("emailAddress")))
			good = add_email(q, out, value, permission);
		else if (span_eq_nocase(kind, SPAN("uri")))
			good = add_group(q, out, value, permission);
		else
			good = s3_failf(q, S3_INVALID_ARGUMENT, "Argument format not recognized");
		if (!good)
			return false;
	}
	return true;
}

// The list that the headers ask for; *given tells whether they ask for one. False when answered.
static bool take_headers(struct s3_req *q, int64_t owner, int64_t bucket_owner, struct acl *out,
			 bool *given)
{
	struct span canned = s3_field(q, q->form ? "acl" : "x-amz-acl");
	bool grants = false;

	*given = canned.p != NULL;
	*out = (struct acl){ .owner = owner };
	for (size_t i = 0; i < ARRAY_LEN(permissions); i++) {
		struct span v = s3_field(q, permissions[i].header);

		if (!v.p)
			continue;
		if (canned.p)
			return s3_failf(q, S3_INVALID_REQUEST,
					"Specifying both Canned ACLs and Header Grants is not "
					"allowed");
		grants = true;
		if (!take_grants(q, v, permissions[i].permission, out))
			return false;
	}
	*given |= grants;
	if (canned.p && !acl_canned(out, canned, owner, bucket_owner))
		return s3_failf(q, S3_INVALID_ARGUMENT, "Invalid canned ACL");
	return true;
}

// ---- XML -----------------------------------------------------------------------------------------------

static bool take_grant(struct s3_req *q, const struct xml_node *g, struct acl *out)
{
	const struct xml_node *who = xml_child(g, "Grantee");
	struct span word = xml_text(g, "Permission"), v;

	for (size_t i = 0; who && i < ARRAY_LEN(permissions); i++) {
		unsigned p = permissions[i].permission;

		if (!span_is(word, permissions[i].name))
			continue;
		if ((v = xml_text(who, "EmailAddress")).n)
			return add_email(q, out, v, p);
		if ((v = xml_text(who, "URI")).n)
			return add_group(q, out, v, p);
		return add_canonical(q, out, xml_text(who, "ID"), p);
	}
	return s3_fail(q, S3_MALFORMED_XML);
}

static bool take_xml(struct s3_req *q, int64_t owner, struct acl *out)
{
	struct xml_node *root = NULL, *list, *who;
	struct span id;
	int64_t said;

	*out = (struct acl){ .owner = owner };
	if (!s3_body_xml(q, "AccessControlPolicy", &root))
		return false;
	list = xml_child(root, "AccessControlList");
	who = xml_child(root, "Owner");
	if (!list || !who)
		return s3_fail(q, S3_MALFORMED_XML);
	id = xml_text(who, "ID");
	if (id.n && (!s3_canonical_user(q, id, &said) || said != owner))
		return s3_fail(q, S3_ACCESS_DENIED);
	for (struct xml_node *g = xml_child(list, "Grant"); g; g = xml_again(g))
		if (!take_grant(q, g, out))
			return false;
	return true;
}

static void add_grant(struct s3_req *q, struct buf *b, const struct acl_grant *g)
{
	bool user = g->grantee == ACL_USER;
	struct auth_user u = { .name = "" };
	struct err ignored = { 0 };

	xml_open(b, "Grant");
	buf_printf(b,
		   "<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
		   "xsi:type=\"%s\">",
		   user ? "CanonicalUser" : "Group");
	if (user) {
		if (auth_user_by_id(q->s3->o.auth, g->user, &u, &ignored) < 0)
			u.name[0] = '\0';
		buf_printf(b, "<ID>%064llx</ID>", (unsigned long long)g->user);
		xml_add(b, "DisplayName", span_of(u.name));
	}
	for (size_t i = 0; !user && i < ARRAY_LEN(groups); i++)
		if (groups[i].grantee == g->grantee)
			xml_add(b, "URI", span_of(groups[i].uri));
	xml_close(b, "Grantee");
	for (size_t i = 0; i < ARRAY_LEN(permissions); i++)
		if (permissions[i].permission == g->permission)
			xml_add(b, "Permission", span_of(permissions[i].name));
	xml_close(b, "Grant");
}

static void send_list(struct s3_req *q, const struct acl *a)
{
	auto_buf struct buf b = { 0 };

	s3_xml_begin(&b, "AccessControlPolicy");
	s3_xml_owner(q, &b, "Owner", a->owner);
	xml_open(&b, "AccessControlList");
	for (int users = 0; users < 2; users++) // groups first, as other servers list them
		for (size_t i = 0; i < a->n; i++)
			if ((a->grants[i].grantee == ACL_USER) == users)
				add_grant(q, &b, &a->grants[i]);
	xml_close(&b, "AccessControlList");
	s3_xml_send(q, &b, "AccessControlPolicy");
}

// ---- rules of the bucket -------------------------------------------------------------------------------

static bool not_supported(struct s3_req *q)
{
	return s3_fail(q, S3_NO_ACL_SUPPORT);
}

static bool not_blocked(struct s3_req *q, const struct acl *a)
{
	return !q->access->block.acls || !acl_is_public(a) || s3_fail(q, S3_ACCESS_DENIED);
}

// A list that gives the bucket's owner full control and nobody else anything.
static bool is_owners_alone(const struct s3_req *q, const struct acl *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->grants[i].grantee != ACL_USER || a->grants[i].user != q->bucket.owner ||
		    a->grants[i].permission != ACL_FULL_CONTROL)
			return false;
	return a->n > 0;
}

bool s3_acl_of_write(struct s3_req *q, struct store_put_options *o)
{
	struct span canned = s3_field(q, q->form ? "acl" : "x-amz-acl");
	bool to_owner = span_is(canned, "bucket-owner-full-control"), given;
	struct acl a;

	if (q->who.anonymous)
		o->owner = q->bucket.owner; // nobody could ever use what is nobody's
	if (!take_headers(q, o->owner, q->bucket.owner, &a, &given) ||
	    (given && !s3_not_denied(q, "s3:PutObjectAcl")))
		return false;
	if (q->access->ownership == S3_OWNER_ENFORCED) {
		o->owner = q->bucket.owner;
		return !given || to_owner || is_owners_alone(q, &a) || not_supported(q);
	}
	if (given && !not_blocked(q, &a))
		return false;
	if (q->access->ownership == S3_OWNER_PREFERRED && to_owner) {
		o->owner = q->bucket.owner;
		return true;
	}
	if (!given)
		acl_canned(&a, SPAN("private"), o->owner, q->bucket.owner);
	if (!acl_is_private(&a) || o->owner != q->bucket.owner)
		o->acl = acl_text(q->mem, &a);
	return true;
}

bool s3_acl_of_bucket(struct s3_req *q, struct span *text)
{
	struct acl a;
	bool given;

	*text = SPAN("");
	if (!take_headers(q, q->who.user.id, q->who.user.id, &a, &given))
		return false;
	if (given && !acl_is_private(&a))
		*text = acl_text(q->mem, &a);
	return true;
}

// ---- operations ----------------------------------------------------------------------------------------

// The new list of a thing, from headers or body. False when answered.
static bool take_list(struct s3_req *q, int64_t owner, struct acl *out)
{
	bool given;

	if (q->access->ownership == S3_OWNER_ENFORCED)
		return not_supported(q);
	if (!take_headers(q, owner, q->bucket.owner, out, &given))
		return false;
	if (given && q->body.small.n)
		return s3_failf(q, S3_UNEXPECTED_CONTENT, "This request does not support content");
	if (!given && !take_xml(q, owner, out))
		return false;
	return not_blocked(q, out);
}

void s3_bucket_acl_get(struct s3_req *q)
{
	struct acl a = q->access->acl;

	if (!q->access->has_acl || q->access->ownership == S3_OWNER_ENFORCED)
		acl_canned(&a, SPAN("private"), q->bucket.owner, q->bucket.owner);
	send_list(q, &a);
}

void s3_bucket_acl_put(struct s3_req *q)
{
	struct acl a;

	if (take_list(q, q->bucket.owner, &a))
		s3_doc_set(q, S3_DOC_ACL, acl_text(q->mem, &a), 200);
}

static bool find(struct s3_req *q, struct store_object *o)
{
	struct err e = { 0 };
	int64_t version;

	if (!s3_param_version(q, s3_param(q, "versionId"), &version))
		return false;
	if (store_object_get(q->s3->o.store, q->bucket_name, q->key, version, q->mem, o, &e) < 0)
		return s3_object_missing(q, &e);
	return s3_object_admit(q, o);
}

void s3_object_acl_get(struct s3_req *q)
{
	struct store_object o;
	struct acl a;

	if (!find(q, &o))
		return;
	if (q->access->ownership == S3_OWNER_ENFORCED)
		o.owner = q->bucket.owner;
	if (q->access->ownership == S3_OWNER_ENFORCED || !o.acl.n || !acl_parse(o.acl, &a))
		acl_canned(&a, SPAN("private"), o.owner, q->bucket.owner);
	send_list(q, &a);
}

void s3_object_acl_put(struct s3_req *q)
{
	struct store_object o;
	struct acl a;
	struct err e = { 0 };

	if (!find(q, &o) || !take_list(q, o.owner, &a))
		return;
	if (store_acl_set(q->s3->o.store, q->bucket_name, q->key, o.version, acl_text(q->mem, &a),
			  &q->cause, &e) < 0)
		s3_fail_store(q, &e);
	else
		s3_empty(q, 200);
}
