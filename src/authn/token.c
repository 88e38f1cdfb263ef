// SPDX-License-Identifier: Apache-2.0
#include "authn/authn.h"
#include "authn/keys.h"
#include "base/clock.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/text.h"

enum { MAC_HEX = 64 };

static void sign(const struct authn *a, struct span text, char out[static MAC_HEX + 1])
{
	uint8_t mac[DIGEST_MAX];

	digest_hmac(DIGEST_SHA256, span_make(a->token_key, sizeof(a->token_key)), text, mac);
	text_hex(out, mac, sizeof(mac));
}

// "oscar.USER.EXPIRY.MAC", with the seconds since 1970 at which it ends.
char *authn_token_make(struct authn *a, const struct auth_user *user, int64_t seconds,
		       char out[static AUTHN_TOKEN_MAX])
{
	char mac[MAC_HEX + 1];
	int n = snprintf(out, AUTHN_TOKEN_MAX - MAC_HEX - 1, "oscar.%lld.%lld", (long long)user->id,
			 (long long)(clock_wall_ns() / NS_PER_S + seconds));

	sign(a, span_make(out, (size_t)n), mac);
	snprintf(out + n, (size_t)(AUTHN_TOKEN_MAX - n), ".%s", mac);
	return out;
}

int authn_token_user(struct authn *a, struct span token, struct auth_user *out, struct err *e)
{
	ptrdiff_t dot = span_rfind(token, '.');
	struct span text = dot < 0 ? token : span_head(token, (size_t)dot), rest = text;
	struct span given = dot < 0 ? SPAN("") : span_from(token, (size_t)dot + 1);
	char mac[MAC_HEX + 1];
	uint64_t id = 0, until = 0;

	sign(a, text, mac);
	if (given.n != MAC_HEX || !mem_equal_secret(given.p, mac, MAC_HEX) ||
	    !span_is(span_cut(&rest, '.'), "oscar") || !span_to_u64(span_cut(&rest, '.'), &id) ||
	    !span_to_u64(rest, &until))
		return err_set(e, ERR_UNAUTH, "an unknown token");
	if ((int64_t)until < clock_wall_ns() / NS_PER_S)
		return err_set(e, ERR_UNAUTH, "the token is too old");
	if (auth_user_by_id(a->auth, (int64_t)id, out, e) < 0 || !out->enabled)
		return err_set(e, ERR_UNAUTH, "the token's user is gone");
	return 0;
}

int authn_password(struct authn *a, struct span name, struct span password, struct auth_user *out,
		   struct err *e)
{
	return auth_password(a->auth, name, password, out, e);
}
