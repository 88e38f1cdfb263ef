// SPDX-License-Identifier: Apache-2.0
// keptturn: what the driver's thread does for kept sandboxes: calls go to them, what they say is heard, idle ones are
// frozen and ended.
#include "exec/sandbox/keptone.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "exec/sandbox/box.h"
#include "runner/warm.h"

#include <stdio.h>

void kept_ready(struct kept_pool *p, const char *id)
{
	auto_lock held = lock_hold(&p->lock);
	struct kept *k = kept_of_id(p, id);

	if (k)
		k->ready = true;
}

// What came on a connection, told without the lock.
struct news {
	enum warm_kind kind;
	char name[JOBDIR_NAME_MAX];
	struct jobdir_exit exit;
};

// With the lock held: 1 = news, 0.
static int hear(struct kept *k, struct news *out)
{
	struct warm_message m;
	struct err e = { 0 };
	int got = warm_receive(k->conn, &m, NULL, 0, &e);

	if (got < 0) {
		file_close(k->conn); // then it ends, and tells so in its folder
		k->conn = -1;
		k->retire = k->unusable = true;
	}
	if (got > 0 && m.kind == WARM_FROZEN)
		k->frozen = !k->name[0]; // else it was thawed meanwhile
	if (got <= 0 || k->over || !k->name[0] || (m.kind != WARM_STARTED && m.kind != WARM_ENDED))
		return 0;
	*out = (struct news){ .kind = (enum warm_kind)m.kind, .exit = m.exit };
	memcpy(out->name, k->name, sizeof(out->name));
	if (m.kind == WARM_ENDED) {
		k->over = true;
		k->cancel = false;
		k->unusable = k->unusable || !m.reusable;
		k->retire = k->retire || !m.reusable;
	}
	return 1;
}

static void tell_lost(struct kept_pool *p, const char *name, const struct jobdir_exit *x)
{
	struct jobdir_exit lost = { .outcome = JOBDIR_LOST, .ended_wall_ns = clock_wall_ns() };

	snprintf(lost.reason, sizeof(lost.reason), "lost: the kept sandbox ended");
	p->ended(p->owner, name, x->outcome == JOBDIR_SETUP_FAILED ? x : &lost);
}

static void tell(struct kept_pool *p, const struct news *news, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (news[i].kind == WARM_STARTED)
			p->started(p->owner, news[i].name, news[i].exit.started_wall_ns);
		else
			p->ended(p->owner, news[i].name, &news[i].exit);
}

bool kept_gone(struct kept_pool *p, const char *id, const struct jobdir_exit *x)
{
	char name[JOBDIR_NAME_MAX] = "", folder[JOBDIR_NAME_MAX] = "";
	struct news news[2]; // a start and an end
	size_t heard = 0;
	struct kept *k;

	pthread_mutex_lock(&p->lock);
	k = kept_of_id(p, id);
	while (k && k->conn >= 0 && heard < ARRAY_LEN(news) && hear(k, &news[heard]))
		heard++; // it may have told the end of its call before its own
	if (k) {
		k->gone = k->retire = k->unusable = true;
		file_close(k->conn);
		k->conn = -1;
	}
	if (k && !k->name[0])
		kept_let_go(p, k, folder);
	else if (k && !k->over) {
		memcpy(name, k->name, sizeof(name));
		k->over = true;
	}
	pthread_mutex_unlock(&p->lock);
	tell(p, news, heard);
	if (name[0])
		tell_lost(p, name, x);
	return folder[0];
}

size_t kept_poll(struct kept_pool *p, struct pollfd out[static KEPT_MAX])
{
	auto_lock held = lock_hold(&p->lock);
	size_t n = 0;

	for (const struct kept *k = p->first; k; k = k->next)
		if (k->conn >= 0)
			out[n++] = (struct pollfd){ .fd = k->conn, .events = POLLIN };
	return n;
}

// With the lock held. At the first call: that may be laid out before the sandbox is ready, or after.
static bool connected(struct kept *k, struct err *e)
{
	if (k->conn < 0)
		k->conn = box_connect(k->dir, WARM_SOCKET, e);
	return k->conn >= 0;
}

static int64_t freeze_due_of(const struct kept *k)
{
	return k->name[0] || k->ordered || k->retire || k->conn < 0 || !k->key.freeze_ms
		       ? INT64_MAX
		       : k->idle_ns + k->key.freeze_ms * NS_PER_MS;
}

// With the lock held. The call of one that is not to be used any more is told when that has ended.
static void say(struct kept *k, int64_t now)
{
	struct warm_message m = { .magic = WARM_MAGIC, .kind = WARM_CALL };
	struct err e = { 0 };
	int bad = 0;

	if (k->ready && !k->unusable && k->send) {
		bad = connected(k, &e) ? warm_send(k->conn, &m, k->fds, 3, &e) : -1;
		k->send = false;
		kept_close_fds(k);
	}
	if (!bad && k->conn >= 0 && k->cancel && !k->send && !k->over) {
		m.kind = WARM_CANCEL;
		bad = warm_send(k->conn, &m, NULL, 0, &e);
		k->cancel = false;
	}
	if (!bad && now >= freeze_due_of(k)) {
		m.kind = WARM_FREEZE;
		bad = warm_send(k->conn, &m, NULL, 0, &e);
		k->ordered = true;
	}
	if (bad) {
		log_warn("exec", "%s: %s", k->id, e.msg);
		k->retire = k->unusable = true;
	}
}

static bool is_polled(const struct pollfd *polled, size_t n, int fd)
{
	for (size_t i = 0; i < n; i++)
		if (polled[i].fd == fd && polled[i].revents)
			return true;
	return false;
}

void kept_turn(struct kept_pool *p, const struct pollfd *polled, size_t n)
{
	struct news news[KEPT_MAX];
	size_t heard = 0;

	pthread_mutex_lock(&p->lock);
	for (struct kept *k = p->first; k; k = k->next) {
		say(k, clock_mono_ns());
		if (k->conn >= 0 && is_polled(polled, n, k->conn))
			heard += (size_t)hear(k, &news[heard]);
	}
	pthread_mutex_unlock(&p->lock);
	tell(p, news, heard);
}

static int64_t due_of(const struct kept *k)
{
	return k->name[0] ? INT64_MAX : k->retire ? 0 : k->idle_ns + k->key.idle_ms * NS_PER_MS;
}

void kept_count(struct kept_pool *p, struct exec_kept *out)
{
	auto_lock held = lock_hold(&p->lock);

	*out = (struct exec_kept){ 0 };
	for (const struct kept *k = p->first; k; k = k->next) {
		out->busy += k->name[0] && !k->gone;
		out->frozen += k->frozen;
		out->idle += !k->name[0] && !k->frozen;
	}
}

bool kept_ending(struct kept_pool *p, char id[static PROTO_JOB_MAX])
{
	auto_lock held = lock_hold(&p->lock);

	for (struct kept *k = p->first; k; k = k->next) {
		// One that lost its connection with a call in it has to end, or the call would never.
		bool stuck = k->unusable && !k->over;

		if (k->told || k->gone || (!stuck && due_of(k) > clock_mono_ns()))
			continue;
		k->told = k->retire = k->unusable = true;
		memcpy(id, k->id, PROTO_JOB_MAX);
		return true;
	}
	return false;
}

int64_t kept_due(struct kept_pool *p)
{
	auto_lock held = lock_hold(&p->lock);
	int64_t least = INT64_MAX;

	for (const struct kept *k = p->first; k; k = k->next) {
		int64_t due = due_of(k) < freeze_due_of(k) ? due_of(k) : freeze_due_of(k);

		if (!k->told && !k->gone && due < least)
			least = due;
	}
	return least == INT64_MAX ? 0 : least ? least : 1;
}
