/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a login's certificate comes from. Nothing is verified here: that is the daemon's. */
#define _GNU_SOURCE
#include "keyring.h"
#include "login.h"
#include "ssh_info.h"

#include <errno.h>
#include <fcntl.h>
#include <security/pam_ext.h>
#include <security/pam_modutil.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#define LONGEST_FILE (128 * 1024)

static char *encoded(const void *data, size_t length)
{
    struct xos_message text = {0};
    char *found;

    xos_message_add_base64(&text, "c", data, length);
    found = text.failed != 0 ? NULL : strdup(text.data + 2);
    if (text.failed != 0)
        errno = text.failed;
    xos_message_free(&text);
    return found;
}

char *xos_login_from_keyring(const struct xos_login *login)
{
    const struct passwd *caller;
    unsigned char *payload;
    size_t length = 0;
    char *text;

    errno = 0;
    /* A daemon that was started in somebody's session has that session's keyring, and must not take its callers for
     * that somebody: only who called us as the user (sudo, su) is them. */
    if (!login->options.keyring || login->rhost[0] != '\0' || login->ruser[0] == '\0')
        return NULL;
    caller = pam_modutil_getpwnam(login->pam, login->ruser);
    if (caller == NULL || caller->pw_uid != login->account->pw_uid)
        return NULL;
    if ((payload = xos_keyring_get(login->user, &length)) == NULL)
        return NULL;
    text = encoded(payload, length);
    free(payload);
    return text;
}

/* The pattern with %u and %h replaced. */
static bool file_name(const struct xos_login *login, char *name, size_t size)
{
    size_t used = 0;

    for (const char *c = login->options.file; *c != '\0'; c++) {
        const char *part = c;
        size_t length = 1;

        if (c[0] == '%' && (c[1] == 'u' || c[1] == 'h')) {
            part = c[1] == 'u' ? login->user : login->account->pw_dir;
            length = strlen(part);
            c++;
        }
        if (used + length >= size)
            return false;
        memcpy(name + used, part, length);
        used += length;
    }
    name[used] = '\0';
    return true;
}

/* The content of *name* as text, to be freed; NULL when it is no plain file of moderate length. */
static char *read_text(const char *name)
{
    int fd = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    char *text = NULL;
    struct stat found;
    size_t used = 0;
    ssize_t got = 0;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) || found.st_size > LONGEST_FILE)
        goto out;
    if ((text = malloc((size_t)found.st_size + 1)) == NULL)
        goto out;
    while (used < (size_t)found.st_size && (got = read(fd, text + used, (size_t)found.st_size - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';

out:
    close(fd);
    return text;
}

/* The base64 of the first certificate in PEM *text* (RFC 7468), in place; NULL: there is none. */
static char *first_certificate(char *text)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    char *from = strstr(text, begin), *end, *to;

    if (from == NULL || (end = strstr(from, "-----END CERTIFICATE-----")) == NULL)
        return NULL;
    from += sizeof begin - 1;
    to = text;
    for (; from < end; from++)
        if (strchr(" \t\r\n", *from) == NULL)
            *to++ = *from;
    *to = '\0';
    return to == text ? NULL : text;
}

char *xos_login_from_file(const struct xos_login *login)
{
    PAM_MODUTIL_DEF_PRIVS(before);
    char name[4096], *text;
    int error;

    errno = 0;
    if (!file_name(login, name, sizeof name))
        return NULL;
    /* As the user: the name may lead anywhere, and root must not read it for them. */
    if (pam_modutil_drop_priv(login->pam, &before, login->account) != 0)
        return NULL;
    text = read_text(name);
    error = text == NULL ? errno : 0;
    if (pam_modutil_regain_priv(login->pam, &before) != 0) {
        pam_syslog(login->pam, LOG_CRIT, "cannot become root again: %m");
        free(text);
        return NULL;
    }
    if (text != NULL && first_certificate(text) == NULL) {
        free(text);
        text = NULL;
    }
    errno = error;
    return text;
}

char *xos_login_certificate(const struct xos_login *login)
{
    const void *kept = NULL;
    const char *info, *found;
    size_t length = 0;

    if (pam_get_data(login->pam, XOS_DATA_CERTIFICATE, &kept) == PAM_SUCCESS && kept != NULL)
        return strdup(kept);
    /* Elsewhere the user may have had a say in the environment (pam_env). */
    info = strcmp(login->service, "sshd") == 0 ? pam_getenv(login->pam, "SSH_AUTH_INFO_0") : NULL;
    if (info != NULL && (found = xos_ssh_certificate(info, &length)) != NULL)
        return strndup(found, length);
    return xos_login_from_keyring(login);
}
