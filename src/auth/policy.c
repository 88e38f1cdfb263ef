// SPDX-License-Identifier: Apache-2.0
// policy: the document, its statements, principals, actions and resources.
#include "auth/glob.h"
#include "auth/policy_private.h"
#include "base/mem.h"

enum { STATEMENTS_MAX = 1000 };

static const char s3_arn[] = "arn:aws:s3:::";

// ---- values --------------------------------------------------------------------------------------------

size_t policy_item_count(const json_t *v)
{
	return json_is_array(v) ? json_array_size(v) : v ? 1 : 0;
}

struct span policy_item(const json_t *v, size_t i, char scratch[static 32])
{
	if (json_is_array(v))
		v = json_array_get(v, i);
	if (json_is_string(v))
		return span_make(json_string_value(v), json_string_length(v));
	if (json_is_boolean(v))
		return json_is_true(v) ? SPAN("true") : SPAN("false");
	if (json_is_integer(v))
		snprintf(scratch, 32, "%lld", (long long)json_integer_value(v));
	else
		snprintf(scratch, 32, "%.17g", json_number_value(v));
	return span_of(scratch);
}

static bool add_marked(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (!buf_add_char(out, GLOB_LITERAL) || !buf_add_char(out, text.p[i]))
			return false;
	return true;
}

// One ${…}: its value, or what stands behind the comma.
static bool add_variable(const struct policy_request *r, struct span name, bool pattern,
			 struct buf *out)
{
	struct span value, fallback = name;

	if (name.n == 1 && strchr("*?$", name.p[0]))
		return pattern ? add_marked(out, name) : buf_add_span(out, name);
	name = span_trim(span_cut(&fallback, ','));
	fallback = span_trim(fallback);
	if (r->values(r->owner, name, &value, 1) != 1) {
		if (fallback.n < 2 || fallback.p[0] != '\'' || fallback.p[fallback.n - 1] != '\'')
			return false;
		value = span_make(fallback.p + 1, fallback.n - 2);
	}
	return pattern ? add_marked(out, value) : buf_add_span(out, value);
}

bool policy_expand(const struct policy *p, const struct policy_request *r, struct span text,
		   bool pattern, struct buf *out)
{
	while (text.n) {
		struct span before = text, after;
		ptrdiff_t end;

		if (!p->variables || text.n < 2 || text.p[0] != '$' || text.p[1] != '{') {
			buf_add_char(out, text.p[0]);
			text = span_from(text, 1);
			continue;
		}
		end = span_find(before, '}');
		if (end < 0)
			return false;
		after = span_from(text, (size_t)end + 1);
		if (!add_variable(r, span_from(span_head(text, (size_t)end), 2), pattern, out))
			return false;
		text = after;
	}
	return !out->over;
}

// ---- principals ----------------------------------------------------------------------------------------

static bool is_one_of(struct span text, const struct policy_who *who)
{
	return !who->anonymous && text.n &&
	       (span_eq(text, who->canonical) || span_eq(text, who->number) ||
		span_eq(text, who->name));
}

// "arn:aws:iam::ACCOUNT:root" or "arn:aws:iam::ACCOUNT:user/PATH/NAME"
static bool arn_is(struct span arn, const struct policy_who *who)
{
	struct span account, last;
	ptrdiff_t slash;

	if (!span_is(span_cut(&arn, ':'), "arn") ||
	    !span_starts(span_cut(&arn, ':'), SPAN("aws")) ||
	    !span_is(span_cut(&arn, ':'), "iam") || span_cut(&arn, ':').n)
		return false;
	account = span_cut(&arn, ':');
	if (span_is(arn, "root"))
		return is_one_of(account, who);
	if (!span_starts(arn, SPAN("user/")) || (account.n && !is_one_of(account, who)))
		return false;
	slash = span_rfind(arn, '/');
	last = span_from(arn, (size_t)slash + 1);
	return is_one_of(last, who);
}

static bool principal_is(const json_t *principal, const struct policy_who *who)
{
	const json_t *aws = json_object_get(principal, "AWS");
	const json_t *canonical = json_object_get(principal, "CanonicalUser");
	char scratch[32];

	if (json_is_string(principal))
		return true; // "*", the only word that is taken
	for (size_t i = 0; i < policy_item_count(aws); i++) {
		struct span one = policy_item(aws, i, scratch);

		if (span_is(one, "*") || arn_is(one, who) ||
		    (!who->anonymous &&
		     (span_eq(one, who->canonical) || span_eq(one, who->number))))
			return true;
	}
	for (size_t i = 0; i < policy_item_count(canonical); i++)
		if (!who->anonymous && span_eq(policy_item(canonical, i, scratch), who->canonical))
			return true;
	return false;
}

static bool principal_is_anybody(const json_t *principal)
{
	const json_t *aws = json_object_get(principal, "AWS");
	char scratch[32];

	if (json_is_string(principal))
		return true;
	for (size_t i = 0; i < policy_item_count(aws); i++)
		if (span_is(policy_item(aws, i, scratch), "*"))
			return true;
	return false;
}

// ---- asking --------------------------------------------------------------------------------------------

static bool action_is(const json_t *actions, struct span action)
{
	char scratch[32];

	for (size_t i = 0; i < policy_item_count(actions); i++)
		if (glob_match_nocase(policy_item(actions, i, scratch), action))
			return true;
	return false;
}

static bool resource_is(const struct policy *p, const json_t *resources,
			const struct policy_request *r)
{
	char scratch[32];

	for (size_t i = 0; i < policy_item_count(resources); i++) {
		auto_buf struct buf pattern = { 0 };

		buf_init(&pattern, POLICY_EXPANDED_MAX);
		if (policy_expand(p, r, policy_item(resources, i, scratch), true, &pattern) &&
		    glob_match(buf_span(&pattern), r->resource))
			return true;
	}
	return false;
}

// An element or its negation, whichever the statement has; one of them was checked to be there.
static bool statement_fits(const struct policy *p, const json_t *s, const struct policy_request *r)
{
	const json_t *v;

	v = json_object_get(s, "Action");
	if (v ? !action_is(v, r->action) : action_is(json_object_get(s, "NotAction"), r->action))
		return false;
	v = json_object_get(s, "Principal");
	if (v && !principal_is(v, &r->who))
		return false;
	v = json_object_get(s, "NotPrincipal");
	if (v && principal_is(v, &r->who))
		return false;
	v = json_object_get(s, "Resource");
	if (v && !resource_is(p, v, r))
		return false;
	v = json_object_get(s, "NotResource");
	if (v && resource_is(p, v, r))
		return false;
	return policy_conditions_hold(p, json_object_get(s, "Condition"), r);
}

static const json_t *statement(const struct policy *p, size_t i)
{
	const json_t *all = json_object_get(p->doc, "Statement");

	return json_is_array(all) ? json_array_get(all, i) : i ? NULL : all;
}

static bool allows(const json_t *s)
{
	return strcmp(json_string_value(json_object_get(s, "Effect")), "Allow") == 0;
}

enum policy_effect policy_decide(const struct policy *p, const struct policy_request *r)
{
	enum policy_effect so_far = POLICY_NONE;
	const json_t *s;

	for (size_t i = 0; (s = statement(p, i)); i++) {
		bool allow = allows(s);

		if ((allow && so_far == POLICY_ALLOW) || !statement_fits(p, s, r))
			continue;
		if (!allow)
			return POLICY_DENY;
		so_far = POLICY_ALLOW;
	}
	return so_far;
}

const char *policy_unknown_key(const struct policy *p, bool (*known)(struct span key))
{
	const char *unknown = NULL;
	const json_t *s;

	for (size_t i = 0; !unknown && (s = statement(p, i)); i++)
		unknown = policy_conditions_unknown(json_object_get(s, "Condition"), known);
	return unknown;
}

bool policy_is_public(const struct policy *p)
{
	return p->is_public;
}

// ---- checking a document -------------------------------------------------------------------------------

static int check_strings(const json_t *v, const char *what, struct err *e)
{
	if (!policy_item_count(v))
		return err_set(e, ERR_INVALID, "%s is empty", what);
	for (size_t i = 0; i < policy_item_count(v); i++) {
		const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;

		if (!json_is_string(one) || !json_string_length(one))
			return err_set(e, ERR_INVALID, "%s holds something that is no text", what);
		for (size_t k = 0; k < json_string_length(one); k++)
			if ((unsigned char)json_string_value(one)[k] < ' ')
				return err_set(e, ERR_INVALID, "%s holds a control character",
					       what);
	}
	return 0;
}

static int check_principal(const json_t *v, struct err *e)
{
	const char *kind;
	json_t *list;

	if (json_is_string(v))
		return strcmp(json_string_value(v), "*") == 0
			       ? 0
			       : err_set(e, ERR_INVALID, "Invalid principal in policy");
	if (!json_is_object(v) || !json_object_size(v))
		return err_set(e, ERR_INVALID, "Invalid principal in policy");
	json_object_foreach((json_t *)(uintptr_t)v, kind, list)
	{
		if (strcmp(kind, "AWS") != 0 && strcmp(kind, "CanonicalUser") != 0 &&
		    strcmp(kind, "Federated") != 0 && strcmp(kind, "Service") != 0)
			return err_set(e, ERR_INVALID, "Invalid principal in policy");
		if (check_strings(list, "Principal", e) < 0)
			return -1;
	}
	return 0;
}

static int check_actions(const json_t *v, struct err *e)
{
	char scratch[32];

	if (check_strings(v, "Action", e) < 0)
		return -1;
	for (size_t i = 0; i < policy_item_count(v); i++) {
		struct span one = policy_item(v, i, scratch);

		if (!span_is(one, "*") && !span_starts_nocase(one, SPAN("s3:")))
			return err_set(e, ERR_INVALID, "Policy has invalid action");
	}
	return 0;
}

static int check_resources(const json_t *v, const char *bucket, struct err *e)
{
	char scratch[32];

	if (check_strings(v, "Resource", e) < 0)
		return -1;
	for (size_t i = 0; i < policy_item_count(v); i++) {
		struct span one = policy_item(v, i, scratch), name;

		if (span_is(one, "*"))
			continue;
		if (!span_starts(one, span_of(s3_arn)))
			return err_set(e, ERR_INVALID, "Policy has invalid resource");
		one = span_from(one, sizeof(s3_arn) - 1);
		name = span_cut(&one, '/');
		if (bucket && span_find(name, '$') < 0 && !glob_match(name, span_of(bucket)))
			return err_set(e, ERR_INVALID, "Policy has invalid resource");
	}
	return 0;
}

// Exactly one of an element and its negation.
static int one_of(const json_t *s, const char *plain, const char *negated, struct err *e)
{
	if (!json_object_get(s, plain) == !json_object_get(s, negated))
		return err_set(e, ERR_INVALID, "A statement needs either %s or %s", plain, negated);
	return 0;
}

static int check_names(json_t *object, const char *const *names, size_t n, struct err *e)
{
	const char *name;
	json_t *v;
	size_t i;

	json_object_foreach(object, name, v)
	{
		for (i = 0; i < n && strcmp(names[i], name) != 0; i++)
			;
		if (i == n)
			return err_set(e, ERR_INVALID, "Unknown field %.64s", name);
	}
	return 0;
}

static int check_who(const json_t *s, const char *bucket, struct err *e)
{
	const json_t *yes = json_object_get(s, "Principal");
	const json_t *no = json_object_get(s, "NotPrincipal");

	if (!bucket)
		return yes || no
			       ? err_set(e, ERR_INVALID, "A user's policy must not name principals")
			       : 0;
	if (one_of(s, "Principal", "NotPrincipal", e) < 0)
		return -1;
	if (no && allows(s))
		return err_set(e, ERR_INVALID, "Allow with NotPrincipal is not allowed");
	return check_principal(yes ? yes : no, e);
}

static int check_statement(json_t *s, const char *bucket, struct err *e)
{
	static const char *const names[] = {
		"Sid",	     "Effect",	 "Principal",	"NotPrincipal", "Action",
		"NotAction", "Resource", "NotResource", "Condition",
	};
	const char *effect = json_string_value(json_object_get(s, "Effect"));
	const json_t *sid = json_object_get(s, "Sid"), *v;

	if (!json_is_object(s))
		return err_set(e, ERR_INVALID, "Statement holds something that is no statement");
	if (check_names(s, names, ARRAY_LEN(names), e) < 0)
		return -1;
	if (sid && !json_is_string(sid))
		return err_set(e, ERR_INVALID, "Sid is no text");
	if (!effect || (strcmp(effect, "Allow") != 0 && strcmp(effect, "Deny") != 0))
		return err_set(e, ERR_INVALID, "Effect must be Allow or Deny");
	if (check_who(s, bucket, e) < 0 || one_of(s, "Action", "NotAction", e) < 0 ||
	    one_of(s, "Resource", "NotResource", e) < 0)
		return -1;
	v = json_object_get(s, "Action");
	if (check_actions(v ? v : json_object_get(s, "NotAction"), e) < 0)
		return -1;
	v = json_object_get(s, "Resource");
	if (check_resources(v ? v : json_object_get(s, "NotResource"), bucket, e) < 0)
		return -1;
	return policy_conditions_check(json_object_get(s, "Condition"), e);
}

static int check_document(struct policy *p, const char *bucket, struct err *e)
{
	static const char *const names[] = { "Version", "Id", "ID", "Statement" };
	json_t *all = json_object_get(p->doc, "Statement");
	const json_t *version = json_object_get(p->doc, "Version");
	const char *text = version ? json_string_value(version) : "2008-10-17";

	if (!json_is_object(p->doc))
		return err_set(e, ERR_INVALID,
			       "Policies must be valid JSON and the first byte must be '{'");
	if (check_names(p->doc, names, ARRAY_LEN(names), e) < 0)
		return -1;
	if (!text || (strcmp(text, "2012-10-17") != 0 && strcmp(text, "2008-10-17") != 0))
		return err_set(e, ERR_INVALID, "The policy must contain a valid version string");
	p->variables = strcmp(text, "2012-10-17") == 0;
	if (!policy_item_count(all) || policy_item_count(all) > STATEMENTS_MAX)
		return err_set(e, ERR_INVALID, "Missing required field Statement");
	for (size_t i = 0; i < policy_item_count(all); i++) {
		json_t *s = json_is_array(all) ? json_array_get(all, i) : all;

		if (check_statement(s, bucket, e) < 0)
			return -1;
		if (bucket && allows(s) && principal_is_anybody(json_object_get(s, "Principal")) &&
		    !policy_conditions_bound(json_object_get(s, "Condition")))
			p->is_public = true;
	}
	return 0;
}

int policy_parse(struct policy **out, struct span text, const char *bucket, struct err *e)
{
	struct policy *p;

	if (text.n > POLICY_TEXT_MAX)
		return err_set(e, ERR_INVALID, "A policy may have %d bytes", POLICY_TEXT_MAX);
	p = mem_zalloc(sizeof(*p));
	atomic_init(&p->refs, 1);
	if (codec_json_parse(text, POLICY_TEXT_MAX, &p->doc, e) < 0 ||
	    check_document(p, bucket, e) < 0) {
		policy_free(p);
		e->code = ERR_INVALID;
		return -1;
	}
	*out = p;
	return 0;
}

struct policy *policy_share(struct policy *p)
{
	atomic_fetch_add(&p->refs, 1);
	return p;
}

void policy_free(struct policy *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) > 1)
		return;
	json_decref(p->doc);
	mem_free(p);
}
