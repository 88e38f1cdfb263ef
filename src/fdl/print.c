// print: services as JSON, with what the server adds and without what a reader may not see. Owner: trees
// are new references. Threads: no shared state.
// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "fdl/private.h"
#include "fdl/schema.h"

#include <stdlib.h>

static const char HIDDEN[] = "hidden";

static void blank_values(json_t *words)
{
	const char *name;
	json_t *value;

	json_object_foreach(words, name, value)
	{
		json_string_set(value, "");
	}
}

static void hide(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	if (json_is_string(value) && json_string_length(value) > 0)
		json_string_set(value, HIDDEN);
}

static void hide_credentials(json_t *service)
{
	static const char *const keys[] = { "access_key",	 "secret_key",	  "token",
					    "password",		 "refresh_token", "auth_password",
					    "oidc_refresh_token" };
	json_t *providers = json_object_get(service, "storage_providers"), *kind, *one;
	const char *name, *id;

	json_object_foreach(providers, name, kind)
	{
		json_object_foreach(kind, id, one)
		{
			for (size_t i = 0; i < ARRAY_LEN(keys); i++)
				hide(one, keys[i]);
		}
	}
	json_object_foreach(json_object_get(service, "clusters"), id, one)
	{
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			hide(one, keys[i]);
	}
}

// storage_providers with minio.default, in the order s3, minio, onedata, …
static void put_own_store(json_t *service, const struct fdl_own_store *own)
{
	json_t *providers = json_object_get(service, "storage_providers");
	json_t *minio = json_deep_copy(json_object_get(providers, "minio"));
	auto_json json_t *with = json_copy(providers);

	if (!minio)
		minio = json_object();
	json_object_set_new(minio, "default",
			    json_pack("{s:s,s:b,s:s,s:s,s:s}", "endpoint", own->endpoint, "verify",
				      own->verify, "access_key", HIDDEN, "secret_key", HIDDEN,
				      "region", own->region ? own->region : ""));
	json_object_set_new(with, "minio", minio);
	json_object_set_new(service, "storage_providers",
			    fdl_schema_print(fdl_provider_fields, with));
}

json_t *fdl_service_json(const struct fdl_service *s, unsigned print,
			 const struct fdl_own_store *own)
{
	json_t *out = fdl_schema_print(fdl_service_fields, s->doc);

	if (!(print & FDL_PRINT_SECRETS))
		blank_values(json_object_get(json_object_get(out, "environment"), "secrets"));
	if (!(print & FDL_PRINT_CREDENTIALS))
		hide_credentials(out);
	if (own && own->endpoint)
		put_own_store(out, own);
	return out;
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

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The same members, sorted by name. Takes the reference.
static json_t *sorted(json_t *words)
{
	size_t n = json_object_size(words), at = 0;
	auto_free const char **names = mem_zalloc((n + 1) * sizeof(*names));
	json_t *out = json_object(), *value;
	const char *name;

	json_object_foreach(words, name, value)
	{
		names[at++] = name;
	}
	qsort(names, n, sizeof(*names), compare_names);
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
