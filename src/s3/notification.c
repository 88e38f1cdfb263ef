// SPDX-License-Identifier: Apache-2.0
// Which events of a bucket go where, and the events of reads.
#include "notify/notify.h"

#include "base/clock.h"
#include "s3/request.h"

void s3_notification_get(struct s3_req *q)
{
	struct notification l = { 0 };
	struct span doc = SPAN("");
	auto_buf struct buf b = { 0 };
	struct err e = { 0 };

	if (notify_rules_get(q->s3->o.notify, q->bucket_name, q->mem, &doc, &e) < 0 ||
	    (doc.n && notification_parse(q->mem, doc, &l, &e) < 0)) {
		s3_fail_store(q, &e);
		return;
	}
	s3_xml_begin(&b, "NotificationConfiguration");
	notification_write(&l, &b);
	s3_xml_send(q, &b, "NotificationConfiguration");
}

void s3_notification_put(struct s3_req *q)
{
	struct err e = { 0 };

	if (notify_rules_set(q->s3->o.notify, q->bucket_name, buf_span(&q->body.small), &e) == 0)
		s3_empty(q, 200);
	else if (e.code == ERR_INVALID && e.sys == NOTIFICATION_ARGUMENT)
		s3_failf(q, S3_INVALID_ARGUMENT, "%s", e.msg);
	else if (e.code == ERR_INVALID && e.sys == NOTIFICATION_MALFORMED)
		s3_fail(q, S3_MALFORMED_XML);
	else
		s3_fail_store(q, &e);
}

void s3_accessed(struct s3_req *q, const struct store_object *o, bool head)
{
	struct store_event ev;

	if (!notify_wants(q->s3->o.notify, q->bucket.id,
			  head ? NOTIFICATION_HEAD : NOTIFICATION_GET))
		return;
	ev = store_event_about(q->bucket.id, q->bucket_name, o);
	ev.name = head ? "s3:ObjectAccessed:Head" : "s3:ObjectAccessed:Get";
	ev.time_ns = clock_wall_ns();
	ev.cause = &q->cause;
	notify_accessed(q->s3->o.notify, &ev);
}
