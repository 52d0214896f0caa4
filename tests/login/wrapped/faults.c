/* SPDX-License-Identifier: BSD-3-Clause */
/* Linked into pam_xos.so by the linker's --wrap: what the test says fails, as no machine can be made to fail. Calls for
 * memory, ours and those that libpam and libc make for us, ask the test one by one. */
#define _GNU_SOURCE
#include "faults.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pwd.h>
#include <security/pam_ext.h>
#include <security/pam_modutil.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

static bool fails(const char *what)
{
    if (xos_fault == NULL || !xos_fault(what))
        return false;
    errno = strcmp(what, "getrandom") == 0 ? ENOSYS : strcmp(what, "connect") == 0 ? ECONNREFUSED : ENOMEM;
    return true;
}

#define WRAPPED(type, name, arguments, call, failure) \
    type __real_##name arguments;                     \
    type __wrap_##name arguments;                     \
    type __wrap_##name arguments                      \
    {                                                 \
        return fails(#name) ? failure : __real_##name call; \
    }

WRAPPED(ssize_t, getrandom, (void *buffer, size_t size, unsigned flags), (buffer, size, flags), -1)
WRAPPED(int, connect, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size), -1)
WRAPPED(void *, malloc, (size_t size), (size), NULL)
WRAPPED(void *, calloc, (size_t count, size_t size), (count, size), NULL)
WRAPPED(char *, strdup, (const char *text), (text), NULL)
WRAPPED(char *, strndup, (const char *text, size_t size), (text, size), NULL)
WRAPPED(ssize_t, __getdelim, (char **line, size_t *size, int end, FILE *file), (line, size, end, file), -1) /* getline's */
WRAPPED(FILE *, fopen, (const char *name, const char *mode), (name, mode), NULL)
WRAPPED(DIR *, fdopendir, (int fd), (fd), NULL)
WRAPPED(void *, dlopen, (const char *name, int flags), (name, flags), NULL)
WRAPPED(pid_t, fork, (void), (), -1)
WRAPPED(int, pam_putenv, (pam_handle_t *pam, const char *text), (pam, text), PAM_BUF_ERR)
WRAPPED(int, pam_get_user, (pam_handle_t *pam, const char **user, const char *prompt), (pam, user, prompt), PAM_BUF_ERR)
WRAPPED(int, pam_set_data, (pam_handle_t *pam, const char *name, void *data, void (*end)(pam_handle_t *, void *, int)),
        (pam, name, data, end), PAM_BUF_ERR)
WRAPPED(struct passwd *, pam_modutil_getpwnam, (pam_handle_t *pam, const char *name), (pam, name), NULL)
WRAPPED(int, pam_modutil_drop_priv, (pam_handle_t *pam, struct pam_modutil_privs *before, const struct passwd *user),
        (pam, before, user), -1)

int __wrap_pam_prompt(pam_handle_t *pam, int style, char **answer, const char *format, ...);
int __wrap_pam_prompt(pam_handle_t *pam, int style, char **answer, const char *format, ...)
{
    va_list rest;
    int code;

    if (fails(style == PAM_ERROR_MSG ? "a line for the user" : "pam_prompt"))
        return PAM_BUF_ERR;
    va_start(rest, format);
    code = pam_vprompt(pam, style, answer, format, rest);
    va_end(rest);
    return code;
}
