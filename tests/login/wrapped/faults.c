/* SPDX-License-Identifier: BSD-3-Clause */
/* Linked into pam_xos.so by the linker's --wrap: the one named in XOS_FAIL fails, as no machine can be made to fail. */
#define _GNU_SOURCE
#include <errno.h>
#include <security/pam_modules.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

ssize_t __real_getrandom(void *buffer, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *buffer, size_t size, unsigned flags);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
int __real_pam_putenv(pam_handle_t *pam, const char *text);
int __wrap_pam_putenv(pam_handle_t *pam, const char *text);

static int fails(const char *what)
{
    const char *told = getenv("XOS_FAIL");

    return told != NULL && strcmp(told, what) == 0;
}

ssize_t __wrap_getrandom(void *buffer, size_t size, unsigned flags)
{
    if (!fails("getrandom"))
        return __real_getrandom(buffer, size, flags);
    errno = ENOSYS;
    return -1;
}

void *__wrap_malloc(size_t size)
{
    if (!fails("malloc"))
        return __real_malloc(size);
    errno = ENOMEM;
    return NULL;
}

int __wrap_pam_putenv(pam_handle_t *pam, const char *text)
{
    return fails("pam_putenv") ? PAM_BUF_ERR : __real_pam_putenv(pam, text);
}
