// SPDX-License-Identifier: Apache-2.0
#include "s3/form.h"

struct span s3_param(struct s3_req *q, const char *name)
{
	struct span v;

	return http_query(q->http, name, &v) ? v : SPAN("");
}

bool s3_param_number(struct s3_req *q, const char *name, uint64_t missing, uint64_t max,
		     uint64_t *out)
{
	struct span text = s3_param(q, name);

	*out = missing;
	if (!text.n)
		return true;
	if (!span_to_u64(text, out) || *out > INT32_MAX)
		return s3_failf(q, S3_INVALID_ARGUMENT, "%s must be a number from 0 to %d", name,
				INT32_MAX);
	if (*out > max)
		*out = max;
	return true;
}

bool s3_param_encoding(struct s3_req *q, bool *url)
{
	struct span text = s3_param(q, "encoding-type");

	*url = span_eq_nocase(text, SPAN("url"));
	if (text.n && !*url)
		return s3_failf(q, S3_INVALID_ARGUMENT,
				"Invalid Encoding Method specified in Request");
	return true;
}

struct span s3_header(struct s3_req *q, const char *name)
{
	struct span v = http_header(q->http, name);

	return v.p ? v : SPAN("");
}

struct span s3_field(struct s3_req *q, const char *name)
{
	return q->form ? s3_form_field(q->form, name) : http_header(q->http, name);
}

bool s3_field_next(struct s3_req *q, size_t *at, struct span *name, struct span *value)
{
	if (!q->form)
		return http_header_next(q->http, at, name, value);
	if (*at >= q->form->n)
		return false;
	*name = q->form->fields[*at].name;
	*value = q->form->fields[(*at)++].value;
	return true;
}
