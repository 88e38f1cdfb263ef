// SPDX-License-Identifier: Apache-2.0
// Object lock: the bucket's configuration, retention and legal hold of versions, and the headers for both.
#include "base/clock.h"
#include "s3/request.h"

enum { DAYS_MAX = 36500, YEARS_MAX = 100 };
#define DAY_NS (INT64_C(86400) * NS_PER_S)

static const char *mode_name(enum store_lock_mode mode)
{
	return mode == STORE_LOCK_COMPLIANCE ? "COMPLIANCE" : "GOVERNANCE";
}

static bool parse_mode(struct span text, enum store_lock_mode *out)
{
	*out = span_is(text, "GOVERNANCE")   ? STORE_LOCK_GOVERNANCE
	       : span_is(text, "COMPLIANCE") ? STORE_LOCK_COMPLIANCE
					     : STORE_LOCK_NONE;
	return *out != STORE_LOCK_NONE;
}

static int64_t parse_time(struct s3_req *q, struct span text)
{
	return clock_parse_iso(arena_strndup(q->mem, text.p, text.n));
}

static enum store_hold parse_hold(struct span text)
{
	return span_is(text, "ON")    ? STORE_HOLD_ON
	       : span_is(text, "OFF") ? STORE_HOLD_OFF
				      : STORE_HOLD_UNSET;
}

static bool in_future(struct s3_req *q, int64_t ns)
{
	return ns > clock_wall_ns() ||
	       s3_failf(q, S3_INVALID_ARGUMENT, "The retain until date must be in the future!");
}

bool s3_lock_bypass(struct s3_req *q, struct span key)
{
	return span_eq_nocase(s3_header(q, "x-amz-bypass-governance-retention"), SPAN("true")) &&
	       s3_allowed(q, "s3:BypassGovernanceRetention", key, 0);
}

// ---- conditions of policies ----------------------------------------------------------------------------

// Of the body, else of headers as far as they can be read.
static struct store_lock asked(struct s3_req *q)
{
	struct span until = s3_field(q, "x-amz-object-lock-retain-until-date");
	struct store_lock l = q->lock;

	if (l.mode != STORE_LOCK_NONE || l.hold != STORE_HOLD_UNSET)
		return l;
	l.hold = parse_hold(s3_field(q, "x-amz-object-lock-legal-hold"));
	l.until_ns = until.p ? parse_time(q, until) : -1;
	if (!parse_mode(s3_field(q, "x-amz-object-lock-mode"), &l.mode) || l.until_ns < 0)
		l.mode = STORE_LOCK_NONE;
	return l;
}

size_t s3_lock_value(struct s3_req *q, struct span key, struct span *out)
{
	struct store_lock l = asked(q);
	int64_t left_ns = l.until_ns - clock_wall_ns();
	char text[CLOCK_TEXT_MAX];

	if (span_eq_nocase(key, SPAN("legal-hold"))) {
		*out = l.hold == STORE_HOLD_ON ? SPAN("ON") : SPAN("OFF");
		return l.hold != STORE_HOLD_UNSET;
	}
	if (l.mode == STORE_LOCK_NONE)
		return 0;
	if (span_eq_nocase(key, SPAN("mode")))
		*out = span_of(mode_name(l.mode));
	else if (span_eq_nocase(key, SPAN("retain-until-date")))
		*out = arena_span(q->mem, span_of(clock_iso_s(l.until_ns, text)));
	else if (span_eq_nocase(key, SPAN("remaining-retention-days"))) // begun ones count
		*out = span_of(
			arena_printf(q->mem, "%lld", (long long)((left_ns + DAY_NS - 1) / DAY_NS)));
	else
		return 0;
	return 1;
}

// ---- headers -------------------------------------------------------------------------------------------

// Who may write may not therefore lock what he writes.
static bool may_lock(struct s3_req *q, const struct store_lock *l)
{
	return ((l->mode == STORE_LOCK_NONE || s3_allowed(q, "s3:PutObjectRetention", q->key, 0)) &&
		(l->hold == STORE_HOLD_UNSET ||
		 s3_allowed(q, "s3:PutObjectLegalHold", q->key, 0))) ||
	       s3_fail(q, S3_ACCESS_DENIED);
}

bool s3_lock_take(struct s3_req *q, struct store_lock *out)
{
	struct span mode = s3_field(q, "x-amz-object-lock-mode");
	struct span until = s3_field(q, "x-amz-object-lock-retain-until-date");
	struct span hold = s3_field(q, "x-amz-object-lock-legal-hold");

	*out = (struct store_lock){ 0 };
	if (!mode.p && !until.p && !hold.p)
		return true;
	if (!q->bucket.lockable)
		return s3_failf(q, S3_INVALID_REQUEST,
				"Bucket is missing Object Lock Configuration");
	if (!mode.p != !until.p)
		return s3_failf(q, S3_INVALID_ARGUMENT,
				"x-amz-object-lock-retain-until-date and x-amz-object-lock-mode "
				"must both be supplied");
	if (mode.p) {
		if (!parse_mode(mode, &out->mode))
			return s3_failf(q, S3_INVALID_ARGUMENT, "Unknown wormMode directive.");
		out->until_ns = parse_time(q, until);
		if (out->until_ns < 0)
			return s3_failf(q, S3_INVALID_ARGUMENT,
					"The retain until date must be provided in ISO 8601 "
					"format");
		if (!in_future(q, out->until_ns))
			return false;
	}
	out->hold = parse_hold(hold);
	if (hold.p && out->hold == STORE_HOLD_UNSET)
		return s3_failf(q, S3_INVALID_ARGUMENT,
				"Legal Hold must be either of 'ON' or 'OFF'");
	return may_lock(q, out);
}

void s3_lock_send(struct s3_req *q, const struct store_object *o)
{
	char text[CLOCK_TEXT_MAX];

	if (o->lock.mode != STORE_LOCK_NONE) {
		http_reply_header(q->http, "x-amz-object-lock-mode",
				  span_of(mode_name(o->lock.mode)));
		http_reply_header(q->http, "x-amz-object-lock-retain-until-date",
				  span_of(clock_iso_ms(o->lock.until_ns, text)));
	}
	if (o->lock.hold != STORE_HOLD_UNSET)
		http_reply_header(q->http, "x-amz-object-lock-legal-hold",
				  o->lock.hold == STORE_HOLD_ON ? SPAN("ON") : SPAN("OFF"));
}

// ---- buckets -------------------------------------------------------------------------------------------

void s3_lock_config_get(struct s3_req *q)
{
	const struct store_lock_default *d = &q->bucket.retention;
	auto_buf struct buf b = { 0 };

	if (!q->bucket.lockable) {
		s3_fail(q, S3_NO_OBJECT_LOCK);
		return;
	}
	s3_xml_begin(&b, "ObjectLockConfiguration");
	xml_add(&b, "ObjectLockEnabled", SPAN("Enabled"));
	if (d->mode != STORE_LOCK_NONE) {
		xml_open(&b, "Rule");
		xml_open(&b, "DefaultRetention");
		xml_add(&b, "Mode", span_of(mode_name(d->mode)));
		xml_add_u64(&b, d->years ? "Years" : "Days", d->years ? d->years : d->days);
		xml_close(&b, "DefaultRetention");
		xml_close(&b, "Rule");
	}
	s3_xml_send(q, &b, "ObjectLockConfiguration");
}

static bool take_period(struct s3_req *q, struct span text, unsigned max, unsigned *out)
{
	uint64_t n;

	if (!text.p)
		return true;
	if (!span_to_u64(span_trim(text), &n)) { // a negative one is a number all the same
		struct span digits = span_from(span_trim(text), 1);

		return span_starts(span_trim(text), SPAN("-")) && span_to_u64(digits, &n)
			       ? s3_failf(q, S3_INVALID_RETENTION,
					  "Default retention period must be a positive integer "
					  "value.")
			       : s3_fail(q, S3_MALFORMED_XML);
	}
	if (!n)
		return s3_failf(q, S3_INVALID_RETENTION,
				"Default retention period must be a positive integer value.");
	if (n > max)
		return s3_failf(q, S3_INVALID_RETENTION,
				"Default retention period too large. Maximum is %u", max);
	*out = (unsigned)n;
	return true;
}

// Without them a document could mean less than it says, or nothing.
static bool no_event_hold(struct s3_req *q, const struct xml_node *n, const char *name)
{
	return !n || !xml_child(n, name) ||
	       s3_failf(q, S3_NOT_IMPLEMENTED, "Event holds are not implemented");
}

static bool take_config(struct s3_req *q, struct store_lock_default *out)
{
	struct xml_node *root = NULL, *rule, *period;
	struct span days, years;

	if (!s3_body_xml(q, "ObjectLockConfiguration", &root))
		return false;
	if (!span_is(xml_text(root, "ObjectLockEnabled"), "Enabled"))
		return s3_fail(q, S3_MALFORMED_XML);
	rule = xml_child(root, "Rule");
	if (!rule)
		return true;
	period = xml_child(rule, "DefaultRetention");
	if (!no_event_hold(q, period, "DefaultEventHold"))
		return false;
	days = xml_text(period, "Days");
	years = xml_text(period, "Years");
	if (!period || !parse_mode(xml_text(period, "Mode"), &out->mode) || !days.p == !years.p)
		return s3_fail(q, S3_MALFORMED_XML);
	return take_period(q, days, DAYS_MAX, &out->days) &&
	       take_period(q, years, YEARS_MAX, &out->years);
}

void s3_lock_config_put(struct s3_req *q)
{
	struct store_lock_default d = { 0 };
	struct err e = { 0 };

	if (!take_config(q, &d))
		return;
	if (store_bucket_set_retention(q->s3->o.store, q->bucket_name, &d, &e) == 0)
		s3_empty(q, 200);
	else if (e.code == ERR_CONFLICT)
		s3_failf(q, S3_INVALID_BUCKET_STATE,
			 "Versioning must be 'Enabled' on the bucket to apply a Object Lock "
			 "configuration");
	else
		s3_fail_store(q, &e);
}

// ---- versions ------------------------------------------------------------------------------------------

static bool lockable(struct s3_req *q)
{
	return q->bucket.lockable ||
	       s3_failf(q, S3_INVALID_REQUEST, "Bucket is missing Object Lock Configuration");
}

static bool find(struct s3_req *q, struct store_object *o)
{
	struct err e = { 0 };
	int64_t version;

	if (!lockable(q) || !s3_param_version(q, s3_param(q, "versionId"), &version))
		return false;
	return store_object_get(q->s3->o.store, q->bucket_name, q->key, version, q->mem, o, &e) ==
		       0 ||
	       s3_fail_store(q, &e);
}

void s3_retention_get(struct s3_req *q)
{
	struct store_object o = { 0 };
	auto_buf struct buf b = { 0 };

	if (!find(q, &o))
		return;
	if (o.lock.mode == STORE_LOCK_NONE) {
		s3_fail(q, S3_NO_RETENTION);
		return;
	}
	s3_xml_begin(&b, "Retention");
	xml_add(&b, "Mode", span_of(mode_name(o.lock.mode)));
	s3_xml_time(&b, "RetainUntilDate", o.lock.until_ns);
	s3_xml_send(q, &b, "Retention");
}

// An empty document takes the retention away.
static bool take_retention(struct s3_req *q, struct store_lock *out)
{
	struct xml_node *root = NULL;
	struct span mode, until;

	if (!s3_body_xml(q, "Retention", &root) || !no_event_hold(q, root, "EventHold") ||
	    !no_event_hold(q, root, "EventHoldDuration"))
		return false;
	mode = xml_text(root, "Mode");
	until = xml_text(root, "RetainUntilDate");
	if (!mode.p && !until.p)
		return true;
	if (!mode.p || !until.p)
		return s3_fail(q, S3_MALFORMED_XML);
	out->until_ns = parse_time(q, until);
	if (!parse_mode(mode, &out->mode) || out->until_ns < 0)
		return s3_fail(q, S3_MALFORMED_XML);
	return in_future(q, out->until_ns);
}

static void answer(struct s3_req *q, int result, const struct err *e)
{
	if (result < 0)
		s3_fail_store(q, e);
	else
		s3_empty(q, 200);
}

void s3_retention_put(struct s3_req *q)
{
	struct store_lock l = { 0 };
	struct err e = { 0 };
	int64_t version;

	if (!s3_param_version(q, s3_param(q, "versionId"), &version) || !take_retention(q, &l))
		return;
	q->lock = l;
	if (s3_admit_late(q) && lockable(q))
		answer(q,
		       store_retention_set(q->s3->o.store, q->bucket_name, q->key, version, &l,
					   s3_lock_bypass(q, q->key), &q->cause, &e),
		       &e);
}

void s3_hold_get(struct s3_req *q)
{
	struct store_object o = { 0 };
	auto_buf struct buf b = { 0 };

	if (!find(q, &o))
		return;
	if (o.lock.hold == STORE_HOLD_UNSET) {
		s3_fail(q, S3_NO_RETENTION);
		return;
	}
	s3_xml_begin(&b, "LegalHold");
	xml_add(&b, "Status", o.lock.hold == STORE_HOLD_ON ? SPAN("ON") : SPAN("OFF"));
	s3_xml_send(q, &b, "LegalHold");
}

void s3_hold_put(struct s3_req *q)
{
	struct xml_node *root = NULL;
	struct err e = { 0 };
	int64_t version;

	if (!s3_param_version(q, s3_param(q, "versionId"), &version) ||
	    !s3_body_xml(q, "LegalHold", &root))
		return;
	q->lock.hold = parse_hold(xml_text(root, "Status"));
	if (q->lock.hold == STORE_HOLD_UNSET)
		s3_fail(q, S3_MALFORMED_XML);
	else if (s3_admit_late(q) && lockable(q))
		answer(q,
		       store_hold_set(q->s3->o.store, q->bucket_name, q->key, version,
				      q->lock.hold == STORE_HOLD_ON, &q->cause, &e),
		       &e);
}
