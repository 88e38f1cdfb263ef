// fuzz_xml: request bodies of a stranger. The text of each element survives being written and read again.
// SPDX-License-Identifier: Apache-2.0
#include "codec/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct xml_node *n)
{
	static const struct xml_limits wide = { .text = 1 << 20 };
	auto_arena struct arena a = { 0 };
	struct xml_node *root = NULL;
	struct err e = { 0 };
	auto_buf struct buf b;

	buf_init(&b, 1 << 20);
	xml_add(&b, "T", n->text);
	check(!b.over);
	check(xml_parse(&a, buf_span(&b), &wide, &root, &e) == 0);
	check(span_eq(root->text, n->text));
	for (const struct xml_node *c = n->first; c; c = c->next)
		again(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = { 0 };
	struct xml_node *root = NULL;
	struct err e = { 0 };

	if (xml_parse(&a, span_make(data, size), NULL, &root, &e) == 0)
		again(root);
	return 0;
}
