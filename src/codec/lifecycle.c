// SPDX-License-Identifier: Apache-2.0
#include "codec/lifecycle.h"

#include "base/attr.h"
#include "base/clock.h"
#include "codec/url.h"
#include "codec/xml.h"

#define DAY_NS (INT64_C(86400) * NS_PER_S)
enum { KEEP_MAX = 100 };

static int fault(struct err *e, enum lifecycle_fault what, const char *text)
{
	err_set(e, ERR_INVALID, "%s", text);
	e->sys = what;
	return -1;
}

static int malformed(struct err *e)
{
	return fault(e, LIFECYCLE_MALFORMED,
		     "The XML you provided was not well-formed or did not validate against our "
		     "published schema");
}

// ---- values --------------------------------------------------------------------------------------------

// A count of days or versions, min to INT32_MAX; *out stays when the element is absent.
static int take_number(const struct xml_node *n, const char *name, unsigned min, unsigned max,
		       unsigned *out, struct err *e)
{
	struct span text = xml_text(n, name);
	uint64_t v;

	if (!text.p)
		return 0;
	text = span_trim(text);
	if (!span_to_u64(text, &v)) {
		if (span_starts(text, SPAN("-")) && span_to_u64(span_from(text, 1), &v))
			v = 0;
		else
			return malformed(e);
	}
	if (v < min || v > max) {
		err_set(e, ERR_INVALID, "'%s' must be a number from %u to %u", name, min, max);
		e->sys = LIFECYCLE_ARGUMENT;
		return -1;
	}
	*out = (unsigned)v;
	return 0;
}

static int take_date(struct arena *mem, struct span text, int64_t *out, struct err *e)
{
	*out = clock_parse_iso(arena_strndup(mem, text.p, text.n));
	if (*out < 0)
		return malformed(e);
	if (*out % DAY_NS)
		return fault(e, LIFECYCLE_ARGUMENT, "'Date' must be at midnight GMT");
	return 0;
}

// Days or Date, not both.
static int take_when(struct arena *mem, const struct xml_node *n, const char *days, unsigned min,
		     struct lifecycle_when *out, struct err *e)
{
	struct span date = xml_text(n, "Date");
	bool by_days = xml_text(n, days).p != NULL;

	if (by_days && date.p)
		return malformed(e);
	out->set = by_days || date.p;
	out->by_date = date.p != NULL;
	if (date.p)
		return take_date(mem, date, &out->date_ns, e);
	return take_number(n, days, min, INT32_MAX, &out->days, e);
}

static bool known_class(struct span class)
{
	static const char *const known[] = { "GLACIER",	   "STANDARD_IA",	  "ONEZONE_IA",
					     "GLACIER_IR", "INTELLIGENT_TIERING", "DEEP_ARCHIVE" };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (span_is(class, known[i]))
			return true;
	return false;
}

// ---- filters -------------------------------------------------------------------------------------------

static int take_tags(struct arena *mem, const struct xml_node *n, struct lifecycle_rule *r,
		     struct err *e)
{
	for (struct xml_node *t = xml_child(n, "Tag"); t; t = xml_again(t)) {
		struct lifecycle_tag tag = { xml_text(t, "Key"), xml_text(t, "Value") };

		if (!tag.key.n || !tag.value.p)
			return malformed(e);
		if (!r->tags)
			r->tags = arena_alloc(mem, LIFECYCLE_TAGS_MAX * sizeof(*r->tags));
		if (r->tag_count == LIFECYCLE_TAGS_MAX)
			return malformed(e);
		for (size_t i = 0; i < r->tag_count; i++)
			if (span_eq(r->tags[i].key, tag.key))
				return fault(e, LIFECYCLE_REQUEST,
					     "Duplicate Tag Keys are not allowed.");
		r->tags[r->tag_count++] = tag;
	}
	return 0;
}

static int take_size(const struct xml_node *n, const char *name, bool *has, uint64_t *out,
		     struct err *e)
{
	struct span text = xml_text(n, name);

	*has = text.p != NULL;
	return !text.p || span_to_u64(span_trim(text), out) ? 0 : malformed(e);
}

static int take_filter(struct arena *mem, const struct xml_node *rule, struct lifecycle_rule *r,
		       struct err *e)
{
	const struct xml_node *filter = xml_child(rule, "Filter"), *both;

	r->prefix = xml_text(rule, "Prefix");
	if (!filter) {
		r->form = r->prefix.p ? LIFECYCLE_PREFIX : LIFECYCLE_ALL;
		return 0;
	}
	if (r->prefix.p)
		return malformed(e);
	both = xml_child(filter, "And");
	r->form = both ? LIFECYCLE_AND : LIFECYCLE_FILTER;
	if (both && filter->first->next)
		return malformed(e);
	filter = both ? both : filter;
	r->prefix = xml_text(filter, "Prefix");
	if (take_size(filter, "ObjectSizeGreaterThan", &r->has_over, &r->over, e) < 0 ||
	    take_size(filter, "ObjectSizeLessThan", &r->has_under, &r->under, e) < 0)
		return -1;
	if (r->has_over && r->has_under && r->under <= r->over)
		return fault(e, LIFECYCLE_REQUEST,
			     "'ObjectSizeLessThan' has to be a value greater than "
			     "'ObjectSizeGreaterThan'.");
	return take_tags(mem, filter, r, e);
}

// ---- actions -------------------------------------------------------------------------------------------

static int take_expiration(struct arena *mem, const struct xml_node *rule, struct lifecycle_rule *r,
			   struct err *e)
{
	const struct xml_node *n = xml_child(rule, "Expiration");
	struct span markers;

	if (!n)
		return 0;
	if (take_when(mem, n, "Days", 1, &r->expire, e) < 0)
		return -1;
	markers = xml_text(n, "ExpiredObjectDeleteMarker");
	if (!markers.p)
		return r->expire.set ? 0 : malformed(e);
	if (r->expire.set || (!span_is(markers, "true") && !span_is(markers, "false")))
		return malformed(e);
	r->expire_markers = span_is(markers, "true");
	if (r->tag_count || r->has_over || r->has_under)
		return fault(e, LIFECYCLE_REQUEST,
			     "ExpiredObjectDeleteMarker cannot be specified with tags or sizes.");
	return 0;
}

static int take_noncurrent(const struct xml_node *rule, struct lifecycle_rule *r, struct err *e)
{
	const struct xml_node *n = xml_child(rule, "NoncurrentVersionExpiration");

	if (!n)
		return 0;
	if (take_number(n, "NoncurrentDays", 1, INT32_MAX, &r->noncurrent_days, e) < 0 ||
	    take_number(n, "NewerNoncurrentVersions", 1, KEEP_MAX, &r->noncurrent_keep, e) < 0)
		return -1;
	return r->noncurrent_days ? 0 : malformed(e);
}

static int take_abort(const struct xml_node *rule, struct lifecycle_rule *r, struct err *e)
{
	const struct xml_node *n = xml_child(rule, "AbortIncompleteMultipartUpload");

	if (!n)
		return 0;
	if (take_number(n, "DaysAfterInitiation", 1, INT32_MAX, &r->abort_days, e) < 0)
		return -1;
	if (!r->abort_days)
		return malformed(e);
	if (r->tag_count || r->has_over || r->has_under)
		return fault(e, LIFECYCLE_REQUEST,
			     "AbortIncompleteMultipartUpload cannot be specified with tags or "
			     "sizes.");
	return 0;
}

static size_t count(const struct xml_node *n, const char *name)
{
	size_t c = 0;

	for (struct xml_node *x = xml_child(n, name); x; x = xml_again(x))
		c++;
	return c;
}

static int take_transitions(struct arena *mem, const struct xml_node *rule, const char *name,
			    bool noncurrent, struct lifecycle_rule *r, struct err *e)
{
	for (struct xml_node *n = xml_child(rule, name); n; n = xml_again(n)) {
		struct lifecycle_transition *t = &r->transitions[r->transition_count++];

		t->noncurrent = noncurrent;
		t->storage_class = xml_text(n, "StorageClass");
		if (take_when(mem, n, noncurrent ? "NoncurrentDays" : "Days", 0, &t->when, e) < 0 ||
		    take_number(n, "NewerNoncurrentVersions", 1, KEEP_MAX, &t->keep, e) < 0)
			return -1;
		if (!t->when.set || (noncurrent && t->when.by_date) ||
		    !known_class(t->storage_class))
			return malformed(e);
		if (!noncurrent && r->expire.set && !r->expire.by_date && !t->when.by_date &&
		    r->expire.days <= t->when.days)
			return fault(e, LIFECYCLE_ARGUMENT,
				     "'Days' in the Expiration action must be greater than 'Days' "
				     "in the Transition action");
	}
	return 0;
}

static int take_rule(struct arena *mem, const struct xml_node *n, struct lifecycle_rule *r,
		     struct err *e)
{
	struct span status = xml_text(n, "Status");
	size_t transitions = count(n, "Transition") + count(n, "NoncurrentVersionTransition");

	r->id = xml_text(n, "ID");
	if (!r->id.p)
		r->id = SPAN("");
	if (r->id.n > LIFECYCLE_ID_MAX)
		return fault(e, LIFECYCLE_ARGUMENT,
			     "ID length should not exceed allowed limit of 255");
	r->enabled = span_is(status, "Enabled");
	if (!r->enabled && !span_is(status, "Disabled"))
		return malformed(e);
	r->transitions = arena_alloc(mem, transitions * sizeof(*r->transitions));
	if (take_filter(mem, n, r, e) < 0 || take_expiration(mem, n, r, e) < 0 ||
	    take_noncurrent(n, r, e) < 0 || take_abort(n, r, e) < 0 ||
	    take_transitions(mem, n, "Transition", false, r, e) < 0 ||
	    take_transitions(mem, n, "NoncurrentVersionTransition", true, r, e) < 0)
		return -1;
	if (!xml_child(n, "Expiration") && !r->noncurrent_days && !r->abort_days && !transitions)
		return fault(e, LIFECYCLE_REQUEST,
			     "At least one action needs to be specified in a rule");
	return 0;
}

int lifecycle_parse(struct arena *mem, struct span xml, struct lifecycle *out, struct err *e)
{
	struct xml_node *root, *n;
	size_t rules;

	*out = (struct lifecycle){ 0 };
	if (xml_parse(mem, xml, NULL, &root, e) < 0)
		return malformed(e);
	rules = count(root, "Rule");
	if (!span_is(root->name, "LifecycleConfiguration") || !rules || rules > LIFECYCLE_RULES_MAX)
		return malformed(e);
	out->rules = arena_alloc(mem, rules * sizeof(*out->rules));
	for (n = xml_child(root, "Rule"); n; n = xml_again(n)) {
		struct lifecycle_rule *r = &out->rules[out->n];

		if (take_rule(mem, n, r, e) < 0)
			return -1;
		for (size_t i = 0; i < out->n && r->id.n; i++)
			if (span_eq(out->rules[i].id, r->id))
				return fault(e, LIFECYCLE_ARGUMENT,
					     "Rule ID must be unique. Found same ID for more than "
					     "one rule");
		out->n++;
	}
	return 0;
}

// ---- printing ------------------------------------------------------------------------------------------

static void write_predicates(const struct lifecycle_rule *r, struct buf *b)
{
	if (r->prefix.p)
		xml_add(b, "Prefix", r->prefix);
	for (size_t i = 0; i < r->tag_count; i++) {
		xml_open(b, "Tag");
		xml_add(b, "Key", r->tags[i].key);
		xml_add(b, "Value", r->tags[i].value);
		xml_close(b, "Tag");
	}
	if (r->has_over)
		xml_add_u64(b, "ObjectSizeGreaterThan", r->over);
	if (r->has_under)
		xml_add_u64(b, "ObjectSizeLessThan", r->under);
}

static void write_filter(const struct lifecycle_rule *r, struct buf *b)
{
	if (r->form == LIFECYCLE_PREFIX)
		xml_add(b, "Prefix", r->prefix);
	if (r->form != LIFECYCLE_FILTER && r->form != LIFECYCLE_AND)
		return;
	xml_open(b, "Filter");
	if (r->form == LIFECYCLE_AND)
		xml_open(b, "And");
	write_predicates(r, b);
	if (r->form == LIFECYCLE_AND)
		xml_close(b, "And");
	xml_close(b, "Filter");
}

static void write_when(const struct lifecycle_when *w, const char *days, struct buf *b)
{
	char text[CLOCK_TEXT_MAX];

	if (w->set && w->by_date)
		xml_add(b, "Date", span_of(clock_iso_ms(w->date_ns, text)));
	else if (w->set)
		xml_add_u64(b, days, w->days);
}

static void write_transitions(const struct lifecycle_rule *r, struct buf *b)
{
	for (size_t i = 0; i < r->transition_count; i++) {
		const struct lifecycle_transition *t = &r->transitions[i];
		const char *name = t->noncurrent ? "NoncurrentVersionTransition" : "Transition";

		xml_open(b, name);
		write_when(&t->when, t->noncurrent ? "NoncurrentDays" : "Days", b);
		if (t->keep)
			xml_add_u64(b, "NewerNoncurrentVersions", t->keep);
		xml_add(b, "StorageClass", t->storage_class);
		xml_close(b, name);
	}
}

static void write_rule(const struct lifecycle_rule *r, struct buf *b)
{
	xml_open(b, "Rule");
	xml_add(b, "ID", r->id);
	write_filter(r, b);
	xml_add(b, "Status", r->enabled ? SPAN("Enabled") : SPAN("Disabled"));
	if (r->expire.set || r->expire_markers) {
		xml_open(b, "Expiration");
		write_when(&r->expire, "Days", b);
		if (r->expire_markers)
			xml_add_bool(b, "ExpiredObjectDeleteMarker", true);
		xml_close(b, "Expiration");
	}
	write_transitions(r, b);
	if (r->noncurrent_days) {
		xml_open(b, "NoncurrentVersionExpiration");
		xml_add_u64(b, "NoncurrentDays", r->noncurrent_days);
		if (r->noncurrent_keep)
			xml_add_u64(b, "NewerNoncurrentVersions", r->noncurrent_keep);
		xml_close(b, "NoncurrentVersionExpiration");
	}
	if (r->abort_days) {
		xml_open(b, "AbortIncompleteMultipartUpload");
		xml_add_u64(b, "DaysAfterInitiation", r->abort_days);
		xml_close(b, "AbortIncompleteMultipartUpload");
	}
	xml_close(b, "Rule");
}

void lifecycle_write(const struct lifecycle *l, struct buf *b)
{
	for (size_t i = 0; i < l->n; i++)
		write_rule(&l->rules[i], b);
}

// ---- what a rule is about ------------------------------------------------------------------------------

static bool prefix_fits(const struct lifecycle_rule *r, struct span key)
{
	return r->enabled && (!r->prefix.n || span_starts(key, r->prefix));
}

static bool tag_fits(const struct lifecycle_tag *t, struct span tags)
{
	auto_arena struct arena mem = { 0 };
	struct span value;

	return url_query_get(&mem, tags, arena_strndup(&mem, t->key.p, t->key.n), &value) &&
	       span_eq(value, t->value);
}

bool lifecycle_fits_key(const struct lifecycle_rule *r, struct span key)
{
	return prefix_fits(r, key) && !r->tag_count && !r->has_over && !r->has_under;
}

bool lifecycle_fits(const struct lifecycle_rule *r, struct span key, uint64_t size,
		    struct span tags)
{
	if (!prefix_fits(r, key) || (r->has_over && size <= r->over) ||
	    (r->has_under && size >= r->under))
		return false;
	for (size_t i = 0; i < r->tag_count; i++)
		if (!tag_fits(&r->tags[i], tags))
			return false;
	return true;
}
