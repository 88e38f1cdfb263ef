// SPDX-License-Identifier: Apache-2.0
#include "image/user.h"

// As the kernel's and the engines' own bound: the highest ids mean "none".
static const uint64_t id_max = INT32_MAX;

static bool number(struct span s, uint32_t *out)
{
	uint64_t n;

	if (!span_to_u64(s, &n) || n > id_max)
		return false;
	*out = (uint32_t)n;
	return true;
}

// A line of either file, cut at its colons: NAME:x:ID:REST…
struct line {
	struct span name, rest;
	uint32_t id;
};

static bool next_line(struct span *file, struct line *out)
{
	while (file->n) {
		struct span rest = span_cut(file, '\n');

		out->name = span_cut(&rest, ':');
		span_cut(&rest, ':');
		if (out->name.n && number(span_cut(&rest, ':'), &out->id)) {
			out->rest = rest;
			return true;
		}
	}
	return false;
}

// The first line with this name, else the first with this number.
static bool find(struct span file, struct span word, struct line *out)
{
	bool by_id = false;
	struct line l;
	uint32_t id;

	if (!number(word, &id))
		id = UINT32_MAX;
	while (next_line(&file, &l)) {
		if (span_eq(l.name, word)) {
			*out = l;
			return true;
		}
		if (!by_id && l.id == id) {
			*out = l;
			by_id = true;
		}
	}
	return by_id;
}

static bool lists(struct span list, struct span name)
{
	while (list.n)
		if (span_eq(span_cut(&list, ','), name))
			return true;
	return false;
}

static int add_groups(struct image_user *out, struct span group, struct span name, struct err *e)
{
	struct line l;

	while (next_line(&group, &l)) {
		bool known = l.id == out->gid || !lists(l.rest, name);

		for (unsigned i = 0; i < out->group_count && !known; i++)
			known = out->groups[i] == l.id;
		if (known)
			continue;
		if (out->group_count == IMAGE_GROUPS_MAX)
			return err_set(e, ERR_LIMIT, "the image's user is in over %d groups",
				       IMAGE_GROUPS_MAX);
		out->groups[out->group_count++] = l.id;
	}
	return 0;
}

static int find_user(struct span who, struct span passwd, struct image_user *out, struct span *name,
		     struct err *e)
{
	struct line l;

	*name = SPAN("");
	if (find(passwd, who, &l)) {
		*name = l.name;
		out->uid = l.id;
		if (number(span_cut(&l.rest, ':'), &out->gid))
			return 0;
		return err_set(e, ERR_INVALID, "the image's /etc/passwd gives its user no group");
	}
	return number(who, &out->uid) ? 0
				      : err_set(e, ERR_INVALID,
						"the image runs as user \"" SPAN_FMT
						"\", whom its /etc/passwd does not have",
						SPAN_ARG(span_head(who, 60)));
}

static int find_group(struct span word, struct span group, struct image_user *out, struct err *e)
{
	struct line l;

	if (find(group, word, &l)) {
		out->gid = l.id;
		return 0;
	}
	return number(word, &out->gid) ? 0
				       : err_set(e, ERR_INVALID,
						 "the image runs in group \"" SPAN_FMT
						 "\", which its /etc/group does not have",
						 SPAN_ARG(span_head(word, 60)));
}

int user_find(struct span who, struct span passwd, struct span group, struct image_user *out,
	      struct err *e)
{
	struct span rest = who, user = span_cut(&rest, ':'), name;

	*out = (struct image_user){ 0 };
	if (who.n > USER_WORD_MAX)
		return err_set(e, ERR_INVALID, "the image's user has too long a name");
	if (user.n && find_user(user, passwd, out, &name, e) < 0)
		return -1;
	if (rest.n)
		return find_group(rest, group, out, e);
	return user.n && name.n ? add_groups(out, group, name, e) : 0;
}
