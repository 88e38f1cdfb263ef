// SPDX-License-Identifier: Apache-2.0
#include "../http/rig.h"
#include "authn/authn.h"
#include "base/clock.h"
#include "base/file.h"
#include "codec/text.h"
#include "db/db.h"
#include "db/schema.h"

#include <fcntl.h>

#define ACCESS "ADMINKEY"
#define SECRET "adminsecret"
#define HEX64 "0000000000000000000000000000000000000000000000000000000000000000"

struct place {
	char dir[32];
	struct db *db;
	struct auth *auth;
	struct authn *authn;
	struct http_server *server;
};

static struct place place;

// Answers with who it is, or with the number of the fault.
static void on_begin(void *owner unused_arg, struct http_req *r)
{
	struct err e = { 0 };

	if (span_starts(http_path(r), SPAN("/api"))) {
		struct authn_api api;
		char text[512];

		if (authn_api_request(place.authn, r, &api, &e) < 0) {
			http_reply_text(r, 401, e.msg);
			return;
		}
		snprintf(text, sizeof(text), "%d|%s|" SPAN_FMT, api.scheme,
			 api.scheme == AUTHN_BASIC ? api.user.name : "", SPAN_ARG(api.token));
		http_reply_text(r, 200, text);
	} else {
		struct authn_s3 who;
		char text[512];

		if (authn_s3_request(place.authn, r, SPAN(""), &who, &e) < 0)
			snprintf(text, sizeof(text), "fault %d", e.sys);
		else
			snprintf(text, sizeof(text), "%s|%s|%d|%d",
				 who.anonymous ? "anonymous" : "", who.access, who.payload,
				 who.presigned);
		http_reply_text(r, 200, text);
	}
}

static void on_finish(void *owner unused_arg, struct http_req *r)
{
	http_reply_text(r, 500, "not reached");
}

static int setup(void **state)
{
	static char path[64];
	struct db_options o = { .path = path,
				.migrations = schema_migrations,
				.migration_count = schema_migration_count };
	struct http_options ho = { .handler = { NULL, on_begin, NULL, on_finish, NULL, NULL } };
	struct err e = { 0 };

	memcpy(place.dir, "/tmp/oscar-authn-XXXXXX", 24);
	assert_non_null(mkdtemp(place.dir));
	snprintf(path, sizeof(path), "%s/oscar.db", place.dir);
	assert_int_equal(db_open(&place.db, &o, &e), 0);
	assert_int_equal(auth_open(&place.auth, place.db, &e), 0);
	assert_int_equal(auth_set_admin(place.auth, "boss", "s3cret:!", ACCESS, SECRET, &e), 0);
	authn_open(&place.authn, &(struct authn_options){ .auth = place.auth });
	place.server = rig_open(ho);
	*state = place.server;
	return 0;
}

static int teardown(void **state unused_arg)
{
	struct err e;

	http_server_close(place.server);
	authn_close(place.authn);
	auth_close(place.auth);
	db_close(place.db);
	return file_remove_tree(AT_FDCWD, place.dir, &e);
}

// A signed GET whose parts a test may change before it is sent.
struct shot {
	struct arena arena;
	struct sigv4_client client;
	struct sigv4_header headers[8];
	struct sigv4_request request;
	const char *extra; // header lines that are not signed
	char time[CLOCK_TEXT_MAX];
};

static void shot_init(struct shot *s)
{
	*s = (struct shot){ .client = { .access = SPAN(ACCESS),
					.secret = SPAN(SECRET),
					.time_ns = clock_wall_ns() },
			    .extra = "" };
	s->headers[0] = (struct sigv4_header){ SPAN("Host"), SPAN("h:9000") };
	s->headers[1] =
		(struct sigv4_header){ SPAN("x-amz-content-sha256"), SPAN(SIGV4_EMPTY_SHA256) };
	s->headers[2].name = SPAN("x-amz-date");
	s->request = (struct sigv4_request){ .method = SPAN("GET"),
					     .path = SPAN("/b/k%20x"),
					     .query = SPAN("uploads&prefix=a%2Fb"),
					     .headers = s->headers,
					     .header_count = 3 };
}

static void send_text(const char *text, const char *expected)
{
	struct rig_answer a;

	rig_once(place.server, text, &a);
	if (strcmp(a.body, expected) != 0)
		fail_msg("'%s' instead of '%s' for:\n%s", a.body, expected, text);
}

static void send_shot(struct shot *s, struct span authorization, const char *expected)
{
	auto_buf struct buf b;

	buf_init(&b, 8192);
	buf_printf(&b, SPAN_FMT " " SPAN_FMT "%s" SPAN_FMT " HTTP/1.1\r\n",
		   SPAN_ARG(s->request.method), SPAN_ARG(s->request.path),
		   s->request.query.n ? "?" : "", SPAN_ARG(s->request.query));
	for (size_t i = 0; i < s->request.header_count; i++)
		buf_printf(&b, SPAN_FMT ": " SPAN_FMT "\r\n", SPAN_ARG(s->headers[i].name),
			   SPAN_ARG(s->headers[i].value));
	if (authorization.n)
		buf_printf(&b, "Authorization: " SPAN_FMT "\r\n", SPAN_ARG(authorization));
	buf_printf(&b, "%s\r\n", s->extra);
	send_text(b.p, expected);
	arena_release(&s->arena);
}

static struct span sign(struct shot *s)
{
	s->headers[2].value = span_of(clock_basic(s->client.time_ns, s->time));
	s->request.payload = s->headers[1].value;
	return sigv4_authorization(&s->arena, &s->client, &s->request);
}

static void fault_is(struct shot *s, enum authn_fault fault)
{
	char text[32];

	snprintf(text, sizeof(text), "fault %d", fault);
	send_shot(s, sign(s), text);
}

static void a_good_header_signature_is_taken(void **state unused_arg)
{
	struct shot s;

	shot_init(&s);
	send_shot(&s, sign(&s), "|" ACCESS "|1|0");
	shot_init(&s); // what the client writes without escapes is signed with them
	s.request.path = SPAN("/b/k=x@y+z");
	send_shot(&s, sign(&s), "|" ACCESS "|1|0");
	shot_init(&s); // or as it stands
	s.request.path = SPAN("/b/k=x@y+z");
	s.request.path_as_is = true;
	send_shot(&s, sign(&s), "|" ACCESS "|1|0");
	shot_init(&s);
	s.headers[1].value = SPAN("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
	send_shot(&s, sign(&s), "|" ACCESS "|4|0");
	shot_init(&s); // a second time, by the cached key
	send_shot(&s, sign(&s), "|" ACCESS "|1|0");
}

static void nobody_is_anonymous(void **state unused_arg)
{
	send_text("GET /b/k HTTP/1.1\r\nHost: h\r\n\r\n", "anonymous||0|0");
}

static void each_wrong_thing_has_its_fault(void **state unused_arg)
{
	struct shot s;
	struct span text;

	shot_init(&s);
	s.client.secret = SPAN("adminsecreT");
	fault_is(&s, AUTHN_WRONG_SIGNATURE);
	shot_init(&s);
	s.client.access = SPAN("NOBODY");
	fault_is(&s, AUTHN_UNKNOWN_KEY);
	shot_init(&s);
	s.client.region = SPAN("eu-west-1");
	fault_is(&s, AUTHN_REGION);
	shot_init(&s);
	s.client.time_ns -= 3600 * NS_PER_S;
	fault_is(&s, AUTHN_SKEW);
	shot_init(&s);
	s.client.time_ns += 3600 * NS_PER_S;
	fault_is(&s, AUTHN_SKEW);
	shot_init(&s);
	s.extra = "x-amz-acl: public-read\r\n";
	fault_is(&s, AUTHN_UNSIGNED_HEADERS);
	shot_init(&s);
	s.headers[1].value = SPAN("abc");
	fault_is(&s, AUTHN_BAD_PAYLOAD_HASH);
	shot_init(&s);
	s.headers[1].value = SPAN("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD");
	fault_is(&s, AUTHN_UNSUPPORTED);
	shot_init(&s);
	s.headers[1].name = SPAN("x-amz-other");
	fault_is(&s, AUTHN_NO_PAYLOAD_HASH);
	shot_init(&s); // a changed query, path, method, header after signing
	text = sign(&s);
	s.request.query = SPAN("uploads&prefix=a%2Fc");
	send_shot(&s, text, "fault 11");
	shot_init(&s);
	text = sign(&s);
	s.request.path = SPAN("/b/k%20y");
	send_shot(&s, text, "fault 11");
	shot_init(&s);
	text = sign(&s);
	s.headers[0].value = SPAN("h:9001");
	send_shot(&s, text, "fault 11");
}

static void headers_that_are_no_signature_are_refused(void **state unused_arg)
{
	static const struct {
		const char *text;
		const char *fault;
	} cases[] = {
		{ "garbage", "fault 1" },
		{ "AWS ADMINKEY:c2ln", "fault 4" },
		{ "AWS4-HMAC-SHA256", "fault 1" },
		{ "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=" HEX64,
		  "fault 1" },
		{ "AWS4-HMAC-SHA256 Credential=a/20261123/us-east-1/ec2/aws4_request, "
		  "SignedHeaders=host, Signature=" HEX64,
		  "fault 1" },
		{ "AWS4-HMAC-SHA256 Credential=a/20261123/us-east-1/s3/aws4_request, "
		  "SignedHeaders=host, Signature=00",
		  "fault 1" },
		{ "AWS4-HMAC-SHA256 Credential=a/20261123/us-east-1/s3/aws4_request,"
		  "SignedHeaders=host,Signature=" HEX64,
		  "fault 6" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct shot s;

		shot_init(&s);
		s.request.header_count = 2;
		send_shot(&s, span_of(cases[i].text), cases[i].fault);
	}
	send_text("GET /?AWSAccessKeyId=x HTTP/1.1\r\nHost: h\r\nAuthorization: x\r\n\r\n",
		  "fault 3");
}

static void presigned(int64_t shift_s, unsigned expires_s, const char *expected)
{
	struct shot s;

	shot_init(&s);
	s.request.header_count = 1;
	s.client.time_ns += shift_s * NS_PER_S;
	s.request.query = sigv4_presign(&s.arena, &s.client, &s.request, expires_s);
	send_shot(&s, SPAN(""), expected);
}

static void presigned_requests_have_their_time(void **state unused_arg)
{
	presigned(0, 60, "|" ACCESS "|0|1");
	presigned(-3600, 7200, "|" ACCESS "|0|1");
	presigned(-3600, 60, "fault 8");
	presigned(3600, 60, "fault 8");
	presigned(0, 604801, "fault 9");
	presigned(0, 0, "fault 9");
}

static void nothing_can_be_added_to_a_presigned_request(void **state unused_arg)
{
	struct shot s;

	shot_init(&s);
	s.request.header_count = 1;
	s.request.query = sigv4_presign(&s.arena, &s.client, &s.request, 60);
	s.extra = "x-amz-acl: public-read\r\n";
	send_shot(&s, SPAN(""), "fault 12");
	shot_init(&s);
	s.request.header_count = 1;
	s.request.query = sigv4_presign(&s.arena, &s.client, &s.request, 60);
	s.request.query =
		span_of(arena_printf(&s.arena, SPAN_FMT "&versionId=1", SPAN_ARG(s.request.query)));
	send_shot(&s, SPAN(""), "fault 11");
}

static void version_2(int64_t expires_s, const char *add, const char *expected)
{
	struct shot s;
	char signature[32], until[24];

	shot_init(&s);
	s.request.header_count = 1;
	s.request.query = SPAN("");
	snprintf(until, sizeof(until), "%lld", (long long)(clock_wall_ns() / NS_PER_S + expires_s));
	sigv2_sign(SPAN(SECRET),
		   sigv2_string_to_sign(&s.arena, &s.request, SPAN(""), span_of(until)), signature);
	for (char *p = signature; *p; p++)
		*p = *p == '+' ? ' ' : *p; // as a form would carry it
	s.request.query = span_of(arena_printf(&s.arena, "AWSAccessKeyId=%s&Signature=", ACCESS));
	for (char *p = signature; *p; p++)
		s.request.query =
			span_of(arena_printf(&s.arena, *p == ' ' ? SPAN_FMT "%%2B" : SPAN_FMT "%c",
					     SPAN_ARG(s.request.query), *p));
	s.request.query = span_of(arena_printf(&s.arena, SPAN_FMT "&Expires=%s%s",
					       SPAN_ARG(s.request.query), until, add));
	send_shot(&s, SPAN(""), expected);
}

static void version_2_queries_are_taken(void **state unused_arg)
{
	version_2(60, "", "|" ACCESS "|0|1");
	version_2(-60, "", "fault 8");
	version_2(60, "&uploadId=x", "fault 11");
	version_2(60, "&x-amz-acl=public-read", "fault 11"); // it would be a header
	version_2(60, "&content-type=text%2Fhtml", "fault 11");
	version_2(60, "&x-amz-meta-a=b%0D%0Ac", "fault 2");
}

static void basic_and_bearer(void **state unused_arg)
{
	static const struct {
		const char *text, *answer;
	} cases[] = {
		{ "Basic Ym9zczpzM2NyZXQ6IQ==", "1|boss|" }, // boss:s3cret:!
		{ "basic  Ym9zczpzM2NyZXQ6IQ==", "1|boss|" },
		{ "Bearer abc.def", "2||abc.def" },
	};
	static const char *const bad[] = { "Basic Ym9zczp4", "Basic *", "Basic", "Digest x",
					   "Basic Ym9zcw==" };
	char text[256];
	struct rig_answer a;

	send_text("GET /api HTTP/1.1\r\nHost: h\r\n\r\n", "0||");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text),
			 "GET /api HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\n\r\n",
			 cases[i].text);
		send_text(text, cases[i].answer);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(text, sizeof(text),
			 "GET /api HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\n\r\n", bad[i]);
		assert_int_equal(rig_once(place.server, text, &a), 401);
	}
}

static void tokens_say_who_it_is_for_a_while(void **state unused_arg)
{
	struct auth_user admin = { .id = AUTH_ADMIN_ID }, gone = { .id = 999 }, got;
	char token[AUTHN_TOKEN_MAX], other[AUTHN_TOKEN_MAX];
	struct err e = { 0 };

	authn_token_make(place.authn, &admin, 60, token);
	assert_int_equal(authn_token_user(place.authn, span_of(token), &got, &e), 0);
	assert_int_equal(got.id, AUTH_ADMIN_ID);
	// Each single digit counts, the user's and the time's as well.
	for (size_t i = 0; token[i]; i++) {
		memcpy(other, token, sizeof(other));
		other[i] = other[i] == '1' ? '2' : '1';
		assert_int_equal(authn_token_user(place.authn, span_of(other), &got, &e), -1);
		assert_int_equal(e.code, ERR_UNAUTH);
	}
	clock_wall_shift(61 * NS_PER_S);
	assert_int_equal(authn_token_user(place.authn, span_of(token), &got, &e), -1);
	clock_wall_shift(0);
	authn_token_make(place.authn, &gone, 60, token);
	assert_int_equal(authn_token_user(place.authn, span_of(token), &got, &e), -1);
	assert_int_equal(authn_token_user(place.authn, SPAN(""), &got, &e), -1);
	assert_int_equal(authn_token_user(place.authn, SPAN("..."), &got, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_header_signature_is_taken),
		cmocka_unit_test(nobody_is_anonymous),
		cmocka_unit_test(each_wrong_thing_has_its_fault),
		cmocka_unit_test(headers_that_are_no_signature_are_refused),
		cmocka_unit_test(presigned_requests_have_their_time),
		cmocka_unit_test(nothing_can_be_added_to_a_presigned_request),
		cmocka_unit_test(version_2_queries_are_taken),
		cmocka_unit_test(basic_and_bearer),
		cmocka_unit_test(tokens_say_who_it_is_for_a_while),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
