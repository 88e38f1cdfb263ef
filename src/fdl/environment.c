// environment: the variables and secrets of a service. Owner: the service that is checked. Threads: no shared state.
// Errors: ERR_INVALID, ERR_LIMIT.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/check.h"

static bool is_variable_name(const char *name)
{
	if (!*name || (*name >= '0' && *name <= '9') || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0) // a secret is a file too
		return false;
	for (; *name; name++)
		if (!(*name >= 'a' && *name <= 'z') && !(*name >= 'A' && *name <= 'Z') &&
		    !(*name >= '0' && *name <= '9') && !strchr("_-.", *name))
			return false;
	return true;
}

static int check_words(struct fdl_check *c, const char *part, const struct fdl_word **out,
		       size_t *count)
{
	json_t *words = json_object_get(json_object_get(c->s->doc, "environment"), part), *value;
	size_t n = json_object_size(words), at = 0, bytes = 0;
	struct fdl_word *list = arena_alloc(c->a, (n + 1) * sizeof(*list));
	const char *name;

	fdl_check_at(c, "environment.%s", part);
	if (n > FDL_ENV_MAX)
		return err_set(c->e, ERR_LIMIT, "%zu entries, allowed are %d", n, FDL_ENV_MAX);
	json_object_foreach(words, name, value)
	{
		list[at].name = arena_strdup(c->a, name);
		list[at++].value = arena_strdup(c->a, json_string_value(value));
		bytes += strlen(name) + json_string_length(value);
		if (!is_variable_name(name))
			return err_set(
				c->e, ERR_INVALID,
				"\"%.60s\" cannot be the name of a variable (letters, digits, "
				"_ - . and no digit first)",
				name);
	}
	if (bytes > FDL_ENV_BYTES_MAX)
		return err_set(c->e, ERR_LIMIT, "%zu bytes in all, allowed are %d", bytes,
			       FDL_ENV_BYTES_MAX);
	*out = list;
	*count = n;
	return 0;
}

int fdl_check_environment(struct fdl_check *c)
{
	return check_words(c, "variables", &c->s->variables, &c->s->variable_count) < 0 ||
			       check_words(c, "secrets", &c->s->secrets, &c->s->secret_count) < 0
		       ? -1
		       : 0;
}
