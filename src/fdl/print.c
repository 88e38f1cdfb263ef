// print: services as JSON, with the cluster's own store and without what a reader may not see. Owner: trees
// are new references. Threads: no shared state.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/fdl.h"
#include "fdl/schema.h"

static const char HIDDEN[] = "hidden";

static json_t *print_object(const struct fdl_field *fields, const json_t *doc);

static json_t *print_list(const struct fdl_field *fields, const json_t *list)
{
	json_t *out = json_array();

	for (size_t i = 0; i < json_array_size(list); i++)
		json_array_append_new(out, print_object(fields, json_array_get(list, i)));
	return out;
}

static json_t *print_named(const struct fdl_field *fields, const json_t *all)
{
	json_t *out = json_object(), *member;
	const char *name;

	json_object_foreach((json_t *)all, name, member)
	{
		json_object_set_new(out, name, print_object(fields, member));
	}
	return out;
}

static json_t *empty_of(enum fdl_type type)
{
	switch (type) {
	case FDL_STRING:
		return json_string("");
	case FDL_BOOL:
		return json_false();
	case FDL_INT:
	case FDL_PORTS:
		return json_integer(0);
	case FDL_STRINGS:
	case FDL_OBJECTS:
		return json_array();
	case FDL_WORDS:
	case FDL_OBJECT:
	case FDL_NAMED:
	case FDL_ANY:
		return json_object();
	}
	return json_null();
}

static json_t *print_field(const struct fdl_field *f, json_t *value)
{
	if (f->type == FDL_OBJECT)
		return print_object(f->fields, value);
	if (!value)
		return empty_of(f->type);
	if (f->type == FDL_OBJECTS)
		return print_list(f->fields, value);
	if (f->type == FDL_NAMED)
		return print_named(f->fields, value);
	return json_deep_copy(value);
}

static json_t *print_object(const struct fdl_field *fields, const json_t *doc)
{
	json_t *out = json_object();

	for (const struct fdl_field *f = fields; f->name; f++) {
		json_t *value = json_object_get(doc, f->name);

		if (value || f->unset == FDL_EMPTY)
			json_object_set_new(out, f->name, print_field(f, value));
	}
	return out;
}

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
	json_object_set_new(service, "storage_providers", print_object(fdl_provider_fields, with));
}

json_t *fdl_service_json(const struct fdl_service *s, unsigned print,
			 const struct fdl_own_store *own)
{
	json_t *out = print_object(fdl_service_fields, s->doc);

	if (!(print & FDL_PRINT_SECRETS))
		blank_values(json_object_get(json_object_get(out, "environment"), "secrets"));
	if (!(print & FDL_PRINT_CREDENTIALS))
		hide_credentials(out);
	if (own && own->endpoint)
		put_own_store(out, own);
	return out;
}
