// SPDX-License-Identifier: Apache-2.0
#include "dispatch/fair.h"

#include "base/clock.h"
#include "base/mem.h"

#define KEEP_NS (60 * NS_PER_S)
#define HORIZON_S 1.0 // for so long a party is taken to keep what it holds
#define CREDIT_S                                                                                   \
	30.0 // what a party that was held back may catch up with, in seconds of the whole machine

void fair_init(struct fair *f, const struct fair_size *all, unsigned slots)
{
	*f = (struct fair){ .all = *all, .slots = slots };
}

static void drop(struct map *m)
{
	size_t at = 0;
	void *value;

	while (map_next(m, &at, NULL, &value))
		mem_free(value);
	map_release(m);
}

void fair_release(struct fair *f)
{
	drop(&f->services);
	drop(&f->users);
}

static struct fair_party *find(struct map *m, struct span key, int64_t id, int64_t now_ns)
{
	struct fair_party *p = map_get(m, key);

	if (p)
		return p;
	p = mem_zalloc(sizeof(*p));
	*p = (struct fair_party){ .id = id, .weight = 1, .at_ns = now_ns, .idle = true };
	map_put(m, key, p);
	return p;
}

struct fair_party *fair_party(struct fair *f, int64_t user, int64_t service, int64_t now_ns)
{
	int64_t key[2] = { user, service };
	struct fair_party *p =
		find(&f->services, span_make((const char *)key, sizeof(key)), service, now_ns);

	p->user = find(&f->users, span_make((const char *)&user, sizeof(user)), user, now_ns);
	return p;
}

static double part(double held, double all)
{
	return all > 0 ? held / all : 0;
}

static double larger(double a, double b)
{
	return a > b ? a : b;
}

static double share_of(const struct fair *f, const struct fair_party *p)
{
	double s = part(p->running, f->slots);

	s = larger(s, part(p->held.cpu_millis, f->all.cpu_millis));
	s = larger(s, part((double)p->held.memory_bytes, (double)f->all.memory_bytes));
	return larger(s, part(p->held.gpus, f->all.gpus));
}

static void advance(struct fair_party *p, int64_t now_ns)
{
	if (now_ns > p->at_ns)
		p->served += p->share / p->weight * ((double)(now_ns - p->at_ns) / NS_PER_S);
	p->at_ns = now_ns;
}

void fair_take(struct fair *f, struct fair_party *p, const struct fair_size *s, int64_t now_ns)
{
	for (; p; p = p->user) {
		advance(p, now_ns);
		p->running++;
		p->held.cpu_millis += s->cpu_millis;
		p->held.memory_bytes += s->memory_bytes;
		p->held.gpus += s->gpus;
		p->share = share_of(f, p);
	}
}

void fair_give_back(struct fair *f, struct fair_party *p, const struct fair_size *s, int64_t now_ns)
{
	for (; p; p = p->user) {
		advance(p, now_ns);
		p->running--;
		p->held.cpu_millis -= s->cpu_millis;
		p->held.memory_bytes -= s->memory_bytes;
		p->held.gpus -= s->gpus;
		p->share = share_of(f, p);
	}
}

static void begin_map(struct map *m, int64_t now_ns)
{
	struct span key;
	size_t at = 0;
	void *value;

	while (map_next(m, &at, &key, &value)) {
		struct fair_party *p = value;

		if (p->running || p->waits) {
			advance(p, now_ns);
			p->idle = false;
			p->waits = false;
		} else if (now_ns - p->at_ns > KEEP_NS) {
			map_remove(m, key);
			mem_free(p);
		} else {
			p->idle = true;
		}
	}
}

void fair_begin(struct fair *f, int64_t now_ns)
{
	begin_map(&f->services, now_ns); // first: they point to their users
	begin_map(&f->users, now_ns);
}

void fair_waits(struct fair_party *p, unsigned user_weight, unsigned weight)
{
	p->waits = true;
	p->weight = weight ? weight : 1;
	p->user->waits = true;
	p->user->weight = user_weight ? user_weight : 1;
}

// Notes where those stand that were busy before this round, among all users or among the services of one.
static void note(struct fair_stand *s, const struct fair_party *p)
{
	if (p->idle || !(p->running || p->waits))
		return;
	if (!s->any || p->served < s->least)
		s->least = p->served;
	if (!s->any || p->served > s->most)
		s->most = p->served;
	s->any = true;
}

static void catch_up(const struct fair_stand *s, struct fair_party *p)
{
	if (!p->waits || !s->any)
		return;
	if (p->idle)
		p->served = larger(p->served, s->least);
	p->served = larger(p->served, s->most - CREDIT_S);
}

void fair_settle(struct fair *f)
{
	struct fair_stand users = { 0 };
	size_t at = 0;
	void *value;

	while (map_next(&f->users, &at, NULL, &value)) {
		((struct fair_party *)value)->below = (struct fair_stand){ 0 };
		note(&users, value);
	}
	for (at = 0; map_next(&f->services, &at, NULL, &value);)
		if (((struct fair_party *)value)->waits || ((struct fair_party *)value)->running)
			note(&((struct fair_party *)value)->user->below, value);
	for (at = 0; map_next(&f->users, &at, NULL, &value);)
		catch_up(&users, value);
	for (at = 0; map_next(&f->services, &at, NULL, &value);)
		if (((struct fair_party *)value)->waits)
			catch_up(&((struct fair_party *)value)->user->below, value);
}

static double standing(const struct fair_party *p)
{
	return p->served + p->share / p->weight * HORIZON_S;
}

bool fair_before(const struct fair_party *a, const struct fair_party *b)
{
	double x = standing(a), y = standing(b);

	return x < y || (x <= y && a->id < b->id);
}
