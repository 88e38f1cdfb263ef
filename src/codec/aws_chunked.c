// SPDX-License-Identifier: Apache-2.0
#include "codec/aws_chunked.h"

#include "base/mem.h"
#include "codec/text.h"

enum { LINE_MAX_BYTES = 4096, TRAILER_MAX_BYTES = 16384, SIZE_DIGITS = 16 };

static bool is_signed(const struct aws_chunked *c)
{
	return c->o.form != AWS_CHUNKED_TRAILER;
}

void aws_chunked_init(struct aws_chunked *c, const struct aws_chunked_options *o)
{
	*c = (struct aws_chunked){ .o = *o };
	buf_init(&c->line, LINE_MAX_BYTES);
	buf_init(&c->trailer_text, TRAILER_MAX_BYTES);
	if (is_signed(c) && o->seed.n == SIGV4_HEX - 1)
		memcpy(c->previous, o->seed.p, o->seed.n);
}

void aws_chunked_release(struct aws_chunked *c)
{
	buf_release(&c->line);
	buf_release(&c->trailer_text);
}

static int verify(struct aws_chunked *c, struct span text, struct span given, struct err *e)
{
	char wanted[SIGV4_HEX];

	sigv4_sign((const uint8_t *)c->o.key.p, text, wanted);
	if (given.n != SIGV4_HEX - 1 || !mem_equal_secret(wanted, given.p, SIGV4_HEX - 1))
		return err_set(e, ERR_UNAUTH, "the signature of a chunk does not match");
	memcpy(c->previous, wanted, SIGV4_HEX);
	return 0;
}

static struct span scoped(struct aws_chunked *c, const char *kind, const char *sums)
{
	const struct sigv4_scope *s = &c->o.scope;

	return span_of(arena_printf(c->o.arena,
				    "%s\n" SPAN_FMT "\n" SPAN_FMT "/" SPAN_FMT "/" SPAN_FMT
				    "/aws4_request\n%s\n%s",
				    kind, SPAN_ARG(c->o.time), SPAN_ARG(s->date),
				    SPAN_ARG(s->region), SPAN_ARG(s->service), c->previous, sums));
}

static int verify_chunk(struct aws_chunked *c, struct err *e)
{
	uint8_t sum[DIGEST_MAX];
	char hex[SIGV4_HEX], sums[2 * SIGV4_HEX];
	struct arena *outer = c->o.arena;
	auto_arena struct arena own = { 0 }; // many chunks must not fill the request's memory
	int done;

	if (!is_signed(c))
		return 0;
	digest_final(&c->sum, sum);
	snprintf(sums, sizeof(sums), "%s\n%s", SIGV4_EMPTY_SHA256, text_hex(hex, sum, 32));
	c->o.arena = &own;
	done = verify(c, scoped(c, "AWS4-HMAC-SHA256-PAYLOAD", sums), span_of(c->announced), e);
	c->o.arena = outer;
	return done;
}

static int bad_frame(struct err *e, const char *what)
{
	return err_set(e, ERR_PROTOCOL, "aws-chunked body: %s", what);
}

static int parse_size(struct span digits, uint64_t *out, struct err *e)
{
	return text_hex_number(digits, SIZE_DIGITS, out) ? 0 : bad_frame(e, "no chunk size");
}

// "1000;chunk-signature=…" or "1000".
static int take_chunk_line(struct aws_chunked *c, struct span line, struct err *e)
{
	struct span digits = span_cut(&line, ';');

	if (parse_size(span_trim(digits), &c->left, e) < 0)
		return -1;
	if (c->o.size != UINT64_MAX && c->left > c->o.size - c->total)
		return bad_frame(e, "more than x-amz-decoded-content-length says");
	if (is_signed(c)) {
		line = span_trim(line);
		if (!span_starts(line, SPAN("chunk-signature=")) || line.n != 16 + SIGV4_HEX - 1)
			return bad_frame(e, "no chunk signature");
		memcpy(c->announced, line.p + 16, SIGV4_HEX - 1);
		digest_init(&c->sum, DIGEST_SHA256);
	}
	if (c->left) {
		c->state = AWS_CHUNKED_DATA;
		return 0;
	}
	c->state = AWS_CHUNKED_TAIL;
	return verify_chunk(c, e);
}

static int take_trailer(struct aws_chunked *c, struct span line, struct err *e)
{
	struct sigv4_header *t = &c->trailers[c->trailer_count];
	struct span value = line, name = span_cut(&value, ':');
	uint8_t sum[DIGEST_MAX];
	char hex[SIGV4_HEX];

	name = span_trim(name);
	value = span_trim(value);
	if (!name.n || name.n == line.n)
		return bad_frame(e, "a trailer without a name");
	if (c->o.form == AWS_CHUNKED_SIGNED)
		return bad_frame(e, "a trailer that was not announced");
	if (span_eq_nocase(name, SPAN("x-amz-trailer-signature"))) {
		if (!is_signed(c) || c->trailer_signed)
			return bad_frame(e, "an unexpected trailer signature");
		digest_once(DIGEST_SHA256, buf_span(&c->trailer_text), sum);
		c->trailer_signed = true;
		return verify(c, scoped(c, "AWS4-HMAC-SHA256-TRAILER", text_hex(hex, sum, 32)),
			      value, e);
	}
	if (c->trailer_signed)
		return bad_frame(e, "a trailer behind its signature");
	if (c->trailer_count == AWS_CHUNKED_TRAILERS)
		return err_set(e, ERR_LIMIT, "too many trailers");
	t->name = arena_span(c->o.arena, name);
	t->value = arena_span(c->o.arena, value);
	c->trailer_count++;
	if (!buf_printf(&c->trailer_text, SPAN_FMT ":" SPAN_FMT "\n", SPAN_ARG(name),
			SPAN_ARG(value)))
		return err_set(e, ERR_LIMIT, "the trailers are too long");
	return 0;
}

// Takes bytes up to a line end; *done tells whether the line is whole. The text is in c->line.
static int take_line(struct aws_chunked *c, struct span *in, bool *done, struct err *e)
{
	ptrdiff_t at = span_find(*in, '\n');
	size_t n = at < 0 ? in->n : (size_t)at;

	if (!buf_add(&c->line, in->p, n))
		return bad_frame(e, "a line is too long");
	*done = at >= 0;
	*in = span_from(*in, at < 0 ? n : n + 1);
	return 0;
}

static int take_head(struct aws_chunked *c, struct span *in, struct err *e)
{
	struct span line;
	bool done = false;
	int result;

	if (take_line(c, in, &done, e) < 0)
		return -1;
	if (!done)
		return 0;
	line = buf_span(&c->line);
	if (!line.n || line.p[line.n - 1] != '\r')
		return bad_frame(e, "a chunk line does not end in CR LF");
	result = take_chunk_line(c, span_head(line, line.n - 1), e);
	buf_clear(&c->line);
	return result;
}

static int take_data(struct aws_chunked *c, struct span *in, struct err *e)
{
	struct span piece = span_head(*in, c->left < in->n ? (size_t)c->left : in->n);

	if (is_signed(c))
		digest_update(&c->sum, piece);
	c->left -= piece.n;
	c->total += piece.n;
	*in = span_from(*in, piece.n);
	if (!c->left)
		c->state = AWS_CHUNKED_DATA_CR;
	if (c->o.sink(c->o.owner, piece, e) < 0)
		return -1;
	return c->left ? 0 : verify_chunk(c, e);
}

static int take_byte(struct aws_chunked *c, struct span *in, char wanted, struct err *e)
{
	if (in->p[0] != wanted)
		return bad_frame(e, "a chunk is longer than its size");
	*in = span_from(*in, 1);
	c->state = wanted == '\r' ? AWS_CHUNKED_DATA_LF : AWS_CHUNKED_HEAD;
	return 0;
}

// Empty lines between the trailers and their signature, and several at the end, do occur.
static int take_tail(struct aws_chunked *c, struct span *in, struct err *e)
{
	struct span line;
	bool done = false;
	int result = 0;

	if (take_line(c, in, &done, e) < 0)
		return -1;
	if (!done)
		return 0;
	line = span_trim(buf_span(&c->line));
	if (!line.n)
		c->ended = true;
	else if (c->ended && c->o.form != AWS_CHUNKED_SIGNED_TRAILER)
		result = bad_frame(e, "bytes behind its end");
	else
		result = take_trailer(c, line, e);
	buf_clear(&c->line);
	return result;
}

int aws_chunked_feed(struct aws_chunked *c, struct span in, struct err *e)
{
	int result = 0;

	while (in.n && result == 0) {
		switch (c->state) {
		case AWS_CHUNKED_HEAD:
			result = take_head(c, &in, e);
			break;
		case AWS_CHUNKED_DATA:
			result = take_data(c, &in, e);
			break;
		case AWS_CHUNKED_DATA_CR:
			result = take_byte(c, &in, '\r', e);
			break;
		case AWS_CHUNKED_DATA_LF:
			result = take_byte(c, &in, '\n', e);
			break;
		case AWS_CHUNKED_TAIL:
			result = take_tail(c, &in, e);
			break;
		}
	}
	return result;
}

int aws_chunked_end(struct aws_chunked *c, struct err *e)
{
	if (c->state != AWS_CHUNKED_TAIL)
		return bad_frame(e, "it ends before its last chunk");
	if (c->line.n || !c->ended)
		return bad_frame(e, "it ends inside its trailer");
	if (c->o.form == AWS_CHUNKED_SIGNED_TRAILER && !c->trailer_signed)
		return bad_frame(e, "its trailer is not signed");
	if (c->o.size != UINT64_MAX && c->total != c->o.size)
		return bad_frame(e, "less than x-amz-decoded-content-length says");
	return 0;
}

struct span aws_chunked_trailer(const struct aws_chunked *c, const char *name)
{
	for (size_t i = 0; i < c->trailer_count; i++)
		if (span_eq_nocase(c->trailers[i].name, span_of(name)))
			return c->trailers[i].value;
	return span_make(NULL, 0);
}
