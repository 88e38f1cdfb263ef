// SPDX-License-Identifier: Apache-2.0
#include "codec/notification.h"

#include "base/attr.h"
#include "codec/xml.h"

enum { VALUE_MAX = 1024, ID_MAX = 255, NAMES_MAX = 4096 };

static int fault(struct err *e, enum notification_fault what, const char *text)
{
	err_set(e, ERR_INVALID, "%s", text);
	e->sys = what;
	return -1;
}

static int malformed(struct err *e)
{
	return fault(e, NOTIFICATION_MALFORMED,
		     "The XML you provided was not well-formed or did not validate against our "
		     "published schema");
}

// ---- events --------------------------------------------------------------------------------------------

static const struct name {
	const char *name; // without "s3:"
	uint32_t events;
} names[] = {
	{ "ObjectCreated:*", NOTIFICATION_CREATED | NOTIFICATION_RETENTION | NOTIFICATION_HOLD },
	{ "ObjectCreated:Put", NOTIFICATION_PUT },
	{ "ObjectCreated:Post", NOTIFICATION_POST },
	{ "ObjectCreated:Copy", NOTIFICATION_COPY },
	{ "ObjectCreated:CompleteMultipartUpload", NOTIFICATION_COMPLETE },
	{ "ObjectCreated:PutRetention", NOTIFICATION_RETENTION },
	{ "ObjectCreated:PutLegalHold", NOTIFICATION_HOLD },
	{ "ObjectCreated:PutTagging", NOTIFICATION_TAGS_PUT },
	{ "ObjectCreated:DeleteTagging", NOTIFICATION_TAGS_DELETE },
	{ "ObjectRemoved:*", NOTIFICATION_DELETE | NOTIFICATION_MARKER | NOTIFICATION_NOOP },
	{ "ObjectRemoved:Delete", NOTIFICATION_DELETE },
	{ "ObjectRemoved:DeleteMarkerCreated", NOTIFICATION_MARKER },
	{ "ObjectRemoved:NoOP", NOTIFICATION_NOOP },
	{ "ObjectAccessed:*", NOTIFICATION_GET | NOTIFICATION_HEAD },
	{ "ObjectAccessed:Get", NOTIFICATION_GET },
	{ "ObjectAccessed:Head", NOTIFICATION_HEAD },
	{ "ObjectTagging:*", NOTIFICATION_TAGS_PUT | NOTIFICATION_TAGS_DELETE },
	{ "ObjectTagging:Put", NOTIFICATION_TAGS_PUT },
	{ "ObjectTagging:Delete", NOTIFICATION_TAGS_DELETE },
	{ "ObjectAcl:Put", NOTIFICATION_ACL },
	{ "LifecycleExpiration:*", NOTIFICATION_EXPIRED | NOTIFICATION_EXPIRED_MARK },
	{ "LifecycleExpiration:Delete", NOTIFICATION_EXPIRED },
	{ "LifecycleExpiration:DeleteMarkerCreated", NOTIFICATION_EXPIRED_MARK },
	// What never happens here.
	{ "IntelligentTiering", 0 },
	{ "LifecycleDelMarkerExpiration:Delete", 0 },
	{ "LifecycleTransition", 0 },
	{ "ObjectAccessed:Attributes", 0 },
	{ "ObjectAccessed:GetLegalHold", 0 },
	{ "ObjectAccessed:GetRetention", 0 },
	{ "ObjectRemoved:DeleteAllVersions", 0 },
	{ "ObjectRestore:*", 0 },
	{ "ObjectRestore:Completed", 0 },
	{ "ObjectRestore:Delete", 0 },
	{ "ObjectRestore:Post", 0 },
	{ "ObjectTransition:*", 0 },
	{ "ObjectTransition:Complete", 0 },
	{ "ObjectTransition:Failed", 0 },
	{ "ReducedRedundancyLostObject", 0 },
	{ "Replication:*", 0 },
	{ "Replication:OperationCompletedReplication", 0 },
	{ "Replication:OperationFailedReplication", 0 },
	{ "Replication:OperationMissedThreshold", 0 },
	{ "Replication:OperationNotTracked", 0 },
	{ "Replication:OperationReplicatedAfterThreshold", 0 },
	{ "Scanner:*", 0 },
	{ "Scanner:BigPrefix", 0 },
	{ "Scanner:LargeVersions", 0 },
	{ "Scanner:ManyVersions", 0 },
};

bool notification_events(struct span name, uint32_t *out)
{
	if (!span_starts(name, SPAN("s3:")))
		return false;
	name = span_from(name, 3);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (span_is(name, names[i].name)) {
			*out = names[i].events;
			return true;
		}
	return false;
}

bool notification_fits(const struct notification_rule *r, uint32_t event, struct span key)
{
	return (r->events & event) && span_starts(key, r->prefix) && span_ends(key, r->suffix);
}

// ---- reading -------------------------------------------------------------------------------------------

static int take_filter(const struct xml_node *filter, struct notification_rule *r, struct err *e)
{
	const struct xml_node *key = xml_child(filter, "S3Key"), *rule;

	for (rule = xml_child(key, "FilterRule"); rule; rule = xml_again(rule)) {
		struct span name = xml_text(rule, "Name"), value = xml_text(rule, "Value");
		bool prefix;

		if (!name.p || !value.p)
			return malformed(e);
		prefix = span_eq_nocase(name, SPAN("prefix"));
		if (!prefix && !span_eq_nocase(name, SPAN("suffix")))
			return fault(e, NOTIFICATION_ARGUMENT,
				     "filter rule name must be either prefix or suffix");
		if (value.n > VALUE_MAX || !span_is_utf8(value))
			return fault(e, NOTIFICATION_ARGUMENT,
				     "Size of filter rule value cannot exceed 1024 bytes in UTF-8 "
				     "representation");
		if (prefix ? r->has_prefix : r->has_suffix)
			return fault(
				e, NOTIFICATION_ARGUMENT,
				prefix ? "Cannot specify more than one prefix rule in a filter."
				       : "Cannot specify more than one suffix rule in a "
					 "filter.");
		*(prefix ? &r->prefix : &r->suffix) = value;
		*(prefix ? &r->has_prefix : &r->has_suffix) = true;
	}
	return 0;
}

static int take_events(struct arena *mem, const struct xml_node *n, struct notification_rule *r,
		       struct err *e)
{
	auto_buf struct buf given = { .max = NAMES_MAX };

	for (const struct xml_node *v = xml_child(n, "Event"); v; v = xml_again(v)) {
		struct span name = span_trim(v->text);
		uint32_t bits;

		if (!notification_events(name, &bits))
			return fault(e, NOTIFICATION_ARGUMENT,
				     "A specified event is not supported for notifications.");
		r->events |= bits;
		if (given.n)
			buf_add_char(&given, ',');
		buf_add_span(&given, name);
	}
	if (!given.n || given.over)
		return malformed(e);
	r->names = arena_span(mem, buf_span(&given));
	return 0;
}

static int take_rule(struct arena *mem, const struct xml_node *n, struct notification_rule *r,
		     struct err *e)
{
	struct span arn = xml_text(n, "Queue"), id = xml_text(n, "Id");

	if (!arn.p)
		return malformed(e);
	*r = (struct notification_rule){ .id = id.p ? id : SPAN(""),
					 .arn = span_trim(arn),
					 .prefix = SPAN(""),
					 .suffix = SPAN("") };
	if (r->id.n > ID_MAX)
		return fault(e, NOTIFICATION_ARGUMENT, "An Id has at most 255 characters.");
	if (r->arn.n > NOTIFICATION_ARN_MAX)
		return fault(e, NOTIFICATION_ARGUMENT,
			     "A specified destination ARN does not exist or is not well-formed. "
			     "Verify the destination ARN.");
	if (take_events(mem, n, r, e) < 0)
		return -1;
	return take_filter(xml_child(n, "Filter"), r, e);
}

// Rules may overlap, as MinIO takes them: an object that fits several for one target makes one event. What is
// refused is the same rule twice.
static int check_twins(const struct notification *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++)
		for (size_t j = i + 1; j < l->n; j++) {
			const struct notification_rule *a = &l->rules[i], *b = &l->rules[j];

			if (a->id.n && span_eq(a->id, b->id))
				return fault(
					e, NOTIFICATION_ARGUMENT,
					"Same ID used for multiple configurations. IDs must be "
					"unique");
			if (span_eq(a->arn, b->arn) && (a->events & b->events) &&
			    span_eq(a->prefix, b->prefix) && span_eq(a->suffix, b->suffix))
				return fault(e, NOTIFICATION_ARGUMENT,
					     "Configurations overlap. Configurations on the same "
					     "bucket cannot share a common event type.");
		}
	return 0;
}

int notification_parse(struct arena *mem, struct span doc, struct notification *out, struct err *e)
{
	struct xml_node *root = NULL, *n;
	struct err ignored = { 0 };

	*out = (struct notification){ 0 };
	if (xml_parse(mem, doc, NULL, &root, &ignored) < 0 ||
	    !span_is(root->name, "NotificationConfiguration"))
		return malformed(e);
	out->rules = arena_alloc(mem, NOTIFICATION_RULES_MAX * sizeof(*out->rules));
	for (n = root->first; n; n = n->next) {
		if (span_is(n->name, "TopicConfiguration") ||
		    span_is(n->name, "CloudFunctionConfiguration") ||
		    span_is(n->name, "LambdaFunctionConfiguration") ||
		    span_is(n->name, "EventBridgeConfiguration"))
			return fault(e, NOTIFICATION_ARGUMENT,
				     "Only queue configurations are supported: topics, cloud "
				     "functions and event buses are not.");
		if (!span_is(n->name, "QueueConfiguration"))
			return malformed(e);
		if (out->n == NOTIFICATION_RULES_MAX)
			return fault(e, NOTIFICATION_ARGUMENT,
				     "A bucket has at most 100 notification rules.");
		if (take_rule(mem, n, &out->rules[out->n++], e) < 0)
			return -1;
	}
	return check_twins(out, e);
}

// ---- writing -------------------------------------------------------------------------------------------

static void write_filter(struct buf *b, const char *name, struct span value)
{
	xml_open(b, "FilterRule");
	xml_add(b, "Name", span_of(name));
	xml_add(b, "Value", value);
	xml_close(b, "FilterRule");
}

void notification_write(const struct notification *l, struct buf *b)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct notification_rule *r = &l->rules[i];
		struct span given = r->names;

		xml_open(b, "QueueConfiguration");
		if (r->id.n)
			xml_add(b, "Id", r->id);
		xml_add(b, "Queue", r->arn);
		while (given.n)
			xml_add(b, "Event", span_cut(&given, ','));
		if (r->has_prefix || r->has_suffix) {
			xml_open(b, "Filter");
			xml_open(b, "S3Key");
			if (r->has_prefix)
				write_filter(b, "prefix", r->prefix);
			if (r->has_suffix)
				write_filter(b, "suffix", r->suffix);
			xml_close(b, "S3Key");
			xml_close(b, "Filter");
		}
		xml_close(b, "QueueConfiguration");
	}
}
