// SPDX-License-Identifier: Apache-2.0
#include "codec/soname.h"

#include "base/file.h"

#include <elf.h>

enum { HEADERS_MAX = 64, ENTRIES_MAX = 1024 };

static bool read_at(int fd, void *p, size_t n, uint64_t at)
{
	struct err unused = { 0 };

	return at <= INT64_MAX && file_pread_full(fd, p, n, (off_t)at, &unused) == (ssize_t)n;
}

static bool read_headers(int fd, Elf64_Phdr out[static HEADERS_MAX], unsigned *count)
{
	Elf64_Ehdr h;

	if (!read_at(fd, &h, sizeof(h), 0) || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 ||
	    h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB ||
	    h.e_phentsize != sizeof(*out) || h.e_phnum > HEADERS_MAX)
		return false;
	*count = h.e_phnum;
	return read_at(fd, out, *count * sizeof(*out), h.e_phoff);
}

// Where in the file an address of the loaded library lies.
static bool offset_of(const Elf64_Phdr *headers, unsigned count, uint64_t address, uint64_t *out)
{
	for (unsigned i = 0; i < count; i++) {
		const Elf64_Phdr *h = &headers[i];

		if (h->p_type != PT_LOAD || address < h->p_vaddr ||
		    address - h->p_vaddr >= h->p_filesz)
			continue;
		return !__builtin_add_overflow(h->p_offset, address - h->p_vaddr, out);
	}
	return false;
}

static bool find_name(int fd, const Elf64_Phdr *dynamic, uint64_t *strings, uint64_t *name)
{
	uint64_t n = dynamic->p_filesz / sizeof(Elf64_Dyn), at = dynamic->p_offset;
	bool has_strings = false, has_name = false;

	for (uint64_t i = 0; i < n && i < ENTRIES_MAX; i++, at += sizeof(Elf64_Dyn)) {
		Elf64_Dyn d;

		if (!read_at(fd, &d, sizeof(d), at) || d.d_tag == DT_NULL)
			break;
		if (d.d_tag == DT_STRTAB) {
			*strings = d.d_un.d_ptr;
			has_strings = true;
		} else if (d.d_tag == DT_SONAME) {
			*name = d.d_un.d_val;
			has_name = true;
		}
	}
	return has_strings && has_name;
}

// At the end of a file fewer bytes follow than a name may have.
static bool read_text(int fd, uint64_t at, char out[static SONAME_MAX])
{
	struct err unused = { 0 };
	ssize_t n = at > INT64_MAX ? -1 : file_pread_full(fd, out, SONAME_MAX, (off_t)at, &unused);

	return n > 1 && out[0] && memchr(out, '\0', (size_t)n);
}

bool soname_read(int fd, char out[static SONAME_MAX])
{
	Elf64_Phdr headers[HEADERS_MAX];
	uint64_t strings = 0, name = 0, at;
	unsigned count;

	if (!read_headers(fd, headers, &count))
		return false;
	for (unsigned i = 0; i < count; i++)
		if (headers[i].p_type == PT_DYNAMIC)
			return find_name(fd, &headers[i], &strings, &name) &&
			       !__builtin_add_overflow(strings, name, &name) &&
			       offset_of(headers, count, name, &at) && read_text(fd, at, out) &&
			       file_path_is_plain(span_of(out)) && !strchr(out, '/');
	return false;
}
