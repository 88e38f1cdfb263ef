// SPDX-License-Identifier: Apache-2.0
#include "runner/program.h"

#include "base/attr.h"
#include "base/mem.h"

#include <unistd.h>

char *program_find(const char *name)
{
	static const char *const dirs[] = { "/usr/local/bin", "/usr/local/sbin",
					    "/usr/bin",	      "/usr/sbin",
					    "/bin",	      "/sbin" };

	if (name[0] == '/')
		return access(name, X_OK) == 0 ? mem_strdup(name) : NULL;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		auto_free char *path = mem_printf("%s/%s", dirs[i], name);

		if (access(path, X_OK) == 0)
			return mem_take(&path);
	}
	return NULL;
}

void program_said(int pipe, char *text, size_t size)
{
	ssize_t n = read(pipe, text, size - 1);

	n = n < 0 ? 0 : n;
	while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	text[n] = '\0';
	for (char *p = text; *p; p++)
		if (*p < ' ' || *p == 0x7f)
			*p = ' ';
}
