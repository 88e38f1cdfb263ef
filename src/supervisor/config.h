// config: what the service's description says to the supervisor: outputs, storages, level of the log.
// Source: YAML with the keys of a service object. Owner: everything lives in the caller's arena.
// Threads: one. Errors: ERR_INVALID names the key, ERR_UNSUPPORTED names the provider, ERR_NOT_FOUND (a
//   storage without credentials). Secrets never stand in an error text.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "codec/json.h"
#include "fdl/fdl.h"
#include "supervisor/report.h"

struct config {
	const char *name; // of the service, "" = not said
	enum report_level level;
	bool skip_stage_in; // `file_stage_in`, whose meaning is inverted
	bool upload_on_failure;
	int64_t timeout_s; // of the script, 0 = none
	bool isolate_user; // isolation_level USER
	const char *const *buckets;
	size_t bucket_count; // bucket_list
	struct fdl_io *outputs;
	size_t output_count;
	json_t *doc;		 // owned: config_release()
	const char *secrets_dir; // folder of TYPE.ID folders with accessKey and secretKey
	struct arena *mem;
};

#define CONFIG_FILE "/oscar/config/function_config.yaml"
#define CONFIG_SECRETS "/var/run/secrets/providers"

// Reads a description. Every storage in it must be complete, whether it is used or not.
must_check int config_parse(struct span yaml, const char *secrets_dir, struct arena *mem,
			    struct config *out, struct err *e);

// As config_parse for FUNCTION_CONFIG (base64), else CONFIG_FILE; then lets LOG_LEVEL and DOWNLOAD_INPUT of
// the environment win.
must_check int config_load(struct arena *mem, struct config *out, struct err *e);
void config_release(struct config *c); // accepts a zeroed struct

enum config_kind {
	CONFIG_S3,
	CONFIG_WEBDAV,
	CONFIG_ONEDATA,
	CONFIG_RUCIO,
	CONFIG_REPLICA, // in no description: a WebDAV server that Rucio names, asked with Rucio's token
};

struct config_rucio {
	const char *account, *scope, *rse;
	const char *refresh, *token_endpoint, *client, *audience; // "" = not said
};

// A storage with what is needed to speak to it.
struct config_store {
	enum config_kind kind;
	const char *name; // "minio.default"
	const char *endpoint, *region;
	const char *access, *secret; // WebDAV: login and password
	const char
		*token; // S3: of a session, "" = none; Onedata's own; Rucio: of access, "" = none
	bool verify;
	struct config_rucio rucio;
};

// The path of the first input entry of that provider, without slashes at its ends; NULL when there is none.
const char *config_input_path(const struct config *c, const char *type, const char *id);
// The id of the Rucio storage that an event without one is of: "default", else that of the first input of Rucio, else the
// only one; NULL when there is none.
const char *config_rucio_id(const struct config *c);
// The id of the Onedata storage that holds the space; NULL when there is none.
const char *config_onedata_id(const struct config *c, struct span space);

// ERR_NOT_FOUND when nobody gave credentials, ERR_UNSUPPORTED for a type that is not spoken.
must_check int config_store(const struct config *c, const char *type, const char *id,
			    struct config_store *out, struct err *e);
