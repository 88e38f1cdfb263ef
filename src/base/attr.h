// attr: the compiler attributes we use, behind names. The only place for GNU extensions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#define must_check __attribute__((warn_unused_result))
#define format_printf(fmt, args) __attribute__((format(printf, fmt, args)))
#define unused_arg __attribute__((unused))
#define no_return __attribute__((noreturn))
#define at_scope_exit(fn) __attribute__((cleanup(fn)))
#define returns_owned __attribute__((malloc, returns_nonnull))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
