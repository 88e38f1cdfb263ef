// SPDX-License-Identifier: Apache-2.0
#include "app/app.h"

const char *place_database(struct arena *mem, const struct place *p)
{
	return arena_printf(mem, "%s/oscar.db", p->db ? p->db : p->data);
}

bool place_option(struct place *p, struct arena *mem, int option, const char *arg)
{
	switch (option) {
	case 'd':
		p->data = absolute_path(mem, arg);
		return true;
	case 'b':
		p->db = absolute_path(mem, arg);
		return true;
	case 'c':
		if (p->content_count == STORE_DIRS_MAX)
			return false;
		p->content[p->content_count++] = absolute_path(mem, arg);
		return true;
	case 'u':
		p->user = arg;
		return true;
	default:
		return false;
	}
}
