// minio: what the files of MinIO's administration calls share. Private to s3.
// Owner: JSON values as jansson has them; minio_send() takes its own. Threads: those of the request.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "codec/json.h"
#include "s3/request.h"

static inline struct auth *minio_auth(struct s3_req *q)
{
	return q->s3->o.auth;
}

// ---- what a call says ----------------------------------------------------------------------------------

const char *minio_text(struct s3_req *q, const char *param); // "" when it is missing
// The body, opened first when it is sealed. NULL when answered.
json_t *minio_take(struct s3_req *q, bool sealed);
// The sealed body as text, in the request's arena. False when answered.
bool minio_take_text(struct s3_req *q, struct span *out);

// ---- answers -------------------------------------------------------------------------------------------

// Answers in MinIO's words; `missing` is what ERR_NOT_FOUND means here. Returns false.
bool minio_fail(struct s3_req *q, enum s3_code missing, const struct err *e);
// So when bad < 0; else that it was done.
void minio_done(struct s3_req *q, int bad, enum s3_code missing, const struct err *e);
void minio_send(struct s3_req *q, json_t *v);
void minio_send_sealed(struct s3_req *q, json_t *v);
void minio_send_sealed_text(struct s3_req *q, struct span text);
json_t *minio_time(void);	       // now
json_t *minio_list(struct span names); // "a,b" as a list

// ---- the calls -----------------------------------------------------------------------------------------

void minio_user_add(struct s3_req *q);
void minio_user_remove(struct s3_req *q);
void minio_user_list(struct s3_req *q);
void minio_user_info(struct s3_req *q);
void minio_user_set_status(struct s3_req *q);

void minio_policy_add(struct s3_req *q);
void minio_policy_remove(struct s3_req *q);
void minio_policy_info(struct s3_req *q);
void minio_policy_list(struct s3_req *q);
void minio_policy_set(struct s3_req *q);
void minio_policy_attach(struct s3_req *q);
void minio_policy_detach(struct s3_req *q);

void minio_group_change(struct s3_req *q);
void minio_group_info(struct s3_req *q);
void minio_group_list(struct s3_req *q);
void minio_group_set_status(struct s3_req *q);

void minio_set_quota(struct s3_req *q);
void minio_get_quota(struct s3_req *q);
void minio_server_info(struct s3_req *q);
void minio_data_usage(struct s3_req *q);

void minio_config_set(struct s3_req *q);
void minio_config_get(struct s3_req *q);
void minio_config_delete(struct s3_req *q);
void minio_config_help(struct s3_req *q);
json_t *minio_arns(struct s3_req *q);
void minio_service(struct s3_req *q);
void minio_account(struct s3_req *q);
