// SPDX-License-Identifier: Apache-2.0
// The one place that names the kinds of senders.
#include "notify/sender.h"

int sender_open(const struct sender_options *o, struct sender **out, struct err *e)
{
	return strcmp(o->kind, "nats") == 0 ? nats_open(o, out, e) : webhook_open(o, out, e);
}
