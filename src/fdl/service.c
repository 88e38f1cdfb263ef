// service: services made, changed by the server, and freed. Owner: see fdl.h. Threads: no shared state.
// Errors: ERR_INVALID, ERR_LIMIT, ERR_UNSUPPORTED with the field's name.
// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "fdl/check.h"
#include "fdl/private.h"
#include "fdl/schema.h"

int fdl_service_make(json_t *doc, const char *file, const struct codec_yaml_node *node,
		     struct fdl_service **out, struct err *e)
{
	auto_fdl_service struct fdl_service *s = mem_zalloc(sizeof(*s));
	struct fdl_check c = { .s = s, .e = e };

	s->doc = doc;
	s->unknown = json_array();
	s->memory = mem_zalloc(sizeof(*s->memory));
	c.a = &s->memory->a;
	if (fdl_check_service(&c) < 0) {
		err_wrap(e, "%s", c.path);
		fdl_schema_place(file, node, c.path, e);
		return -1;
	}
	*out = mem_take(&s);
	return 0;
}

int fdl_service_from(const json_t *object, struct fdl_service **out, struct err *e)
{
	auto_json json_t *unknown = json_array();
	struct fdl_reader r = { .unknown = unknown };
	struct fdl_service *s = NULL;
	json_t *doc = NULL;

	if (fdl_schema_read(&r, fdl_service_fields, (struct fdl_source){ .json = object }, &doc,
			    e) < 0 ||
	    fdl_service_make(doc, NULL, NULL, &s, e) < 0)
		return -1;
	check(s);
	json_array_extend(s->unknown, unknown);
	*out = s;
	return 0;
}

int fdl_service_parse(struct span json, struct fdl_service **out, struct err *e)
{
	auto_json json_t *object = NULL;

	if (codec_json_parse(json, FDL_DOCUMENT_MAX, &object, e) < 0)
		return -1;
	return fdl_service_from(object, out, e);
}

void fdl_service_free(struct fdl_service *s)
{
	if (!s)
		return;
	json_decref(s->doc);
	json_decref(s->unknown);
	arena_release(&s->memory->a);
	mem_free(s->memory);
	mem_free(s);
}

void fdl_service_set(struct fdl_service *s, const char *key, const char *value)
{
	const struct {
		const char *key;
		const char **field;
	} known[] = {
		{ "token", &s->token },
		{ "owner", &s->owner },
		{ "namespace", &s->namespace_name },
		{ "cluster_id", &s->cluster_id },
		{ "vo", &s->vo },
	};

	size_t i = 0;

	while (i < ARRAY_LEN(known) && strcmp(known[i].key, key) != 0)
		i++;
	check(i < ARRAY_LEN(known)); // only texts that the server decides
	*known[i].field = arena_strdup(&s->memory->a, value);
	json_object_set_new(s->doc, key, json_string(value));
}

// The same members, sorted by name. Takes the reference.
static json_t *sorted(json_t *words)
{
	json_t *out = json_object();
	size_t n;
	auto_free const char **names = fdl_source_names((struct fdl_source){ .json = words }, &n);

	for (size_t i = 0; i < n; i++)
		json_object_set(out, names[i], json_object_get(words, names[i]));
	json_decref(words);
	return out;
}

void fdl_service_set_labels(struct fdl_service *s, const char *owner_name)
{
	json_t *labels = json_copy(json_object_get(s->doc, "labels"));
	auto_free char *queue = mem_printf("root.oscar-queue.%s", s->name);
	auto_free char *owner = mem_strdup(owner_name);

	for (char *p = owner; *p; p++)
		if (*p == ' ')
			*p = '_';
	if (!labels)
		labels = json_object();
	json_object_set_new(labels, "applicationId", json_string(s->name));
	json_object_set_new(labels, "oscar.grycap/user-service", json_string("true"));
	json_object_set_new(labels, "oscar_service", json_string(s->name));
	json_object_set_new(labels, "owner_name", json_string(owner));
	json_object_set_new(labels, "queue", json_string(queue));
	if (*s->vo)
		json_object_set_new(labels, "vo", json_string(s->vo));
	json_object_set_new(s->doc, "labels", sorted(labels));
}

bool fdl_service_names_secrets(const struct fdl_service *s)
{
	return json_object_get(json_object_get(s->doc, "environment"), "secrets") != NULL;
}

void fdl_service_keep_secrets(struct fdl_service *s, const struct fdl_service *from)
{
	json_t *environment = json_object_get(s->doc, "environment");
	struct fdl_word *list =
		arena_alloc(&s->memory->a, (from->secret_count + 1) * sizeof(*list));
	json_t *secrets = json_object();

	for (size_t i = 0; i < from->secret_count; i++) {
		list[i].name = arena_strdup(&s->memory->a, from->secrets[i].name);
		list[i].value = arena_strdup(&s->memory->a, from->secrets[i].value);
		json_object_set_new(secrets, list[i].name, json_string(list[i].value));
	}
	if (!environment) {
		environment = json_object();
		json_object_set_new(s->doc, "environment", environment);
	}
	json_object_set_new(environment, "secrets", secrets);
	s->secrets = list;
	s->secret_count = from->secret_count;
}
