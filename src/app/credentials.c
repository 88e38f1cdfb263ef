// SPDX-License-Identifier: Apache-2.0
#include "app/app.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/json.h"

#include <fcntl.h>

static int take(const json_t *doc, const char *key, const char *env, char *out, size_t size,
		struct err *e)
{
	const char *value = getenv(env), *stored = NULL;

	if (codec_json_get_string(doc, key, &stored, e) < 0)
		return -1;
	if (!value || !*value)
		value = stored;
	if (!value || !*value)
		return err_set(e, ERR_INVALID, "%s is missing", key);
	if (strlen(value) >= size)
		return err_set(e, ERR_INVALID, "%s is over %zu characters", key, size - 1);
	snprintf(out, size, "%s", value);
	return 0;
}

static json_t *make_random(void)
{
	char password[25], access[21], secret[41];
	json_t *doc;

	rand_alnum(password, sizeof(password) - 1);
	rand_alnum(access, sizeof(access) - 1);
	rand_alnum(secret, sizeof(secret) - 1);
	doc = json_pack("{s:s,s:s,s:s,s:s}", "username", "oscar", "password", password,
			"access_key", access, "secret_key", secret);
	mem_wipe(password, sizeof(password));
	mem_wipe(secret, sizeof(secret));
	return doc;
}

static bool environment_has_all(void)
{
	static const char *const names[] = { "OSCAR_USERNAME", "OSCAR_PASSWORD", "MINIO_ACCESS_KEY",
					     "MINIO_SECRET_KEY" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!getenv(names[i]) || !*getenv(names[i]))
			return false;
	return true;
}

static int load_file(struct credentials *out, json_t **doc, struct err *e)
{
	auto_buf struct buf text;
	struct err missing = { 0 };

	buf_init(&text, 65536);
	if (file_read_path(AT_FDCWD, out->path, &text, &missing) == 0)
		return codec_json_parse(buf_span(&text), 65536, doc, e) < 0
			       ? err_wrap(e, "%s", out->path)
			       : 0;
	if (missing.code != ERR_NOT_FOUND) {
		*e = missing;
		return -1;
	}
	*doc = make_random();
	out->generated = true;
	auto_free char *json = codec_json_text(*doc, CODEC_JSON_INDENT);
	int bad = file_replace(AT_FDCWD, out->path, 0600, json, strlen(json), e);

	mem_wipe(json, strlen(json));
	return bad;
}

int credentials_load(const char *data, struct credentials *out, struct err *e)
{
	auto_json json_t *doc = NULL;

	*out = (struct credentials){ 0 };
	snprintf(out->path, sizeof(out->path), "%s/credentials.json", data);
	if (environment_has_all())
		doc = json_object();
	else if (load_file(out, &doc, e) < 0)
		return err_wrap(e, "credentials");
	if (take(doc, "username", "OSCAR_USERNAME", out->username, sizeof(out->username), e) < 0 ||
	    take(doc, "password", "OSCAR_PASSWORD", out->password, sizeof(out->password), e) < 0 ||
	    take(doc, "access_key", "MINIO_ACCESS_KEY", out->access_key, sizeof(out->access_key),
		 e) < 0 ||
	    take(doc, "secret_key", "MINIO_SECRET_KEY", out->secret_key, sizeof(out->secret_key),
		 e) < 0)
		return err_wrap(e, "credentials");
	return 0;
}
