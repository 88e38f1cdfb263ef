// SPDX-License-Identifier: Apache-2.0
#include "authn/authn.h"

#include "authn/keys.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/text.h"

enum { PASSWORD_MAX_BYTES = 1024, SKEW_S = 900 };

void authn_open(struct authn **out, const struct authn_options *o)
{
	struct authn *a = mem_zalloc(sizeof(*a));

	a->auth = o->auth;
	a->region = mem_strdup(o->region ? o->region : "us-east-1");
	a->skew_ns = (o->skew_s ? o->skew_s : SKEW_S) * NS_PER_S;
	rand_bytes(a->token_key, sizeof(a->token_key));
	pthread_mutex_init(&a->lock, NULL);
	*out = a;
}

void authn_close(struct authn *a)
{
	if (!a)
		return;
	keys_release(a);
	mem_wipe(a->token_key, sizeof(a->token_key));
	pthread_mutex_destroy(&a->lock);
	mem_free(a->region);
	mem_free(a);
}

const char *authn_region(const struct authn *a)
{
	return a->region;
}

// RFC 7617. The name ends at the first colon.
static int basic(struct authn *a, struct http_req *r, struct span text, struct authn_api *out,
		 struct err *e)
{
	char *plain;
	ptrdiff_t n;
	struct span password, name;
	int result;

	if (text.n > PASSWORD_MAX_BYTES)
		return err_set(e, ERR_UNAUTH, "the credentials are too long");
	plain = arena_alloc(http_arena(r), text.n + 1);
	n = text_unbase64(plain, text.n, text);
	if (n < 0)
		return err_set(e, ERR_UNAUTH, "the credentials are not base64");
	password = span_make(plain, (size_t)n);
	name = span_cut(&password, ':');
	result = auth_password(a->auth, name, password, &out->user, e);
	mem_wipe(plain, text.n);
	return result;
}

int authn_api_request(struct authn *a, struct http_req *r, struct authn_api *out, struct err *e)
{
	struct span value = http_header(r, "Authorization"), scheme;

	*out = (struct authn_api){ .scheme = AUTHN_NONE, .token = SPAN("") };
	if (!value.p)
		return 0;
	scheme = span_cut(&value, ' ');
	value = span_trim(value);
	if (span_eq_nocase(scheme, SPAN("Basic"))) {
		out->scheme = AUTHN_BASIC;
		return basic(a, r, value, out, e);
	}
	if (span_eq_nocase(scheme, SPAN("Bearer"))) {
		out->scheme = AUTHN_BEARER;
		out->token = value;
		return 0;
	}
	return err_set(e, ERR_UNAUTH, "unknown authorization scheme");
}
