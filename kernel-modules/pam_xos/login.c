/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "login.h"

#include "amsd.h"

#include <dlfcn.h>
#include <errno.h>
#include <nss.h>
#include <security/pam_ext.h>
#include <security/pam_modutil.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#ifndef XOS_NSS_LIBRARY
#define XOS_NSS_LIBRARY "libnss_xos.so.2"
#endif
#ifndef XOS_LOCAL_USERS
#define XOS_LOCAL_USERS "/etc/passwd"
#endif
#define LOWEST_UID 60000u /* below are the machine's own (Debian Policy 9.2.2): never a VO account, whoever says so */
#define LONGEST_NAME 160

typedef enum nss_status look_up(const char *, struct passwd *, char *, size_t, int *);

static const char *item(pam_handle_t *pam, int which)
{
    const void *value = NULL;

    return pam_get_item(pam, which, &value) == PAM_SUCCESS && value != NULL ? value : "";
}

/* PAM_IGNORE: *name* stands in the machine's own list of users; when that cannot be read, every name does. PAM_SUCCESS: it
 * does not. PAM_BUF_ERR: no memory to read it. The lines are read as they are: fgetpwent_r(3) stays for ever before one that
 * is too long for it. */
static int pass_local(const char *name)
{
    FILE *file = fopen(XOS_LOCAL_USERS, "re");
    size_t length = strlen(name), size = 0;
    char *line = NULL;
    int code = PAM_SUCCESS;

    if (file == NULL)
        return errno == ENOMEM ? PAM_BUF_ERR : PAM_IGNORE;
    errno = 0;
    while (code == PAM_SUCCESS && getline(&line, &size, file) > 0)
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            code = PAM_IGNORE;
    if (code == PAM_SUCCESS && errno == ENOMEM)
        code = PAM_BUF_ERR;
    free(line);
    fclose(file);
    return code;
}

/* What libnss_xos says of *name*, whatever other sources say; errno is ENOMEM if there was no memory to ask it. */
static enum nss_status ask_nss(const char *name, uid_t *uid)
{
    enum nss_status status = NSS_STATUS_UNAVAIL;
    void *library = dlopen(XOS_NSS_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    struct passwd entry;
    char text[4096];
    look_up *function = NULL;
    int error;

    if (library == NULL)
        return status;
    *(void **)&function = dlsym(library, "_nss_xos_getpwnam_r"); /* POSIX, dlsym(3) */
    if (function != NULL)
        status = function(name, &entry, text, sizeof text, &error);
    if (status == NSS_STATUS_SUCCESS)
        *uid = entry.pw_uid;
    dlclose(library);
    return status;
}

static int whose(struct xos_login *login)
{
    uid_t uid = 0;
    enum nss_status status;
    int code;

    if (strchr(login->user, '.') == NULL || strlen(login->user) > LONGEST_NAME)
        return PAM_IGNORE;
    if ((code = pass_local(login->user)) != PAM_SUCCESS)
        return code;
    errno = 0;
    if ((login->account = pam_modutil_getpwnam(login->pam, login->user)) == NULL && errno == ENOMEM)
        return PAM_BUF_ERR;
    errno = 0;
    status = ask_nss(login->user, &uid);
    if (status == NSS_STATUS_NOTFOUND)
        return PAM_IGNORE;
    if (status == NSS_STATUS_UNAVAIL && errno == ENOMEM)
        return PAM_BUF_ERR;
    if (status != NSS_STATUS_SUCCESS) /* nobody to ask: if another source knows the name, it is theirs */
        return login->account != NULL ? PAM_IGNORE : PAM_AUTHINFO_UNAVAIL;
    if (login->account == NULL)
        return PAM_USER_UNKNOWN;
    if (login->account->pw_uid != uid) /* another source has the name, and comes first */
        return PAM_IGNORE;
    if (uid < LOWEST_UID) {
        pam_syslog(login->pam, LOG_CRIT, "libnss_xos gives %s the number %u: refused", login->user, (unsigned)uid);
        return PAM_USER_UNKNOWN;
    }
    return PAM_SUCCESS;
}

int xos_login_begin(struct xos_login *login, pam_handle_t *pam, int flags, int argc, const char **argv)
{
    const char *wrong = NULL;
    int code;

    *login = (struct xos_login){.pam = pam, .silent = (flags & PAM_SILENT) != 0};
    code = pam_get_user(pam, &login->user, NULL);
    if (code != PAM_SUCCESS || login->user == NULL)
        return code == PAM_CONV_AGAIN ? PAM_INCOMPLETE : code == PAM_BUF_ERR ? code : PAM_IGNORE;
    login->service = item(pam, PAM_SERVICE);
    login->tty = item(pam, PAM_TTY);
    login->rhost = item(pam, PAM_RHOST);
    login->ruser = item(pam, PAM_RUSER);
    login->options = xos_options_read(argc, argv, &wrong);
    code = whose(login);
    if (code != PAM_IGNORE && wrong != NULL)
        pam_syslog(pam, LOG_ERR, "option %.100s is not known or has a wrong value; see pam_xos(8)", wrong);
    if (login->options.debug)
        pam_syslog(pam, LOG_DEBUG, "%s: %s", login->user, code == PAM_SUCCESS ? "a VO account" : pam_strerror(pam, code));
    return code;
}

struct xos_message xos_login_request(const struct xos_login *login, const char *operation)
{
    struct xos_message request = {0};
    char uid[16];

    snprintf(uid, sizeof uid, "%u", (unsigned)login->account->pw_uid);
    xos_message_add(&request, "op", operation);
    xos_message_add(&request, "service", login->service);
    xos_message_add(&request, "user", login->user);
    xos_message_add(&request, "uid", uid);
    xos_message_add(&request, "tty", login->tty);
    xos_message_add(&request, "rhost", login->rhost);
    return request;
}

void xos_login_forget(pam_handle_t *pam, void *data, int status)
{
    (void)pam;
    (void)status;
    free(data);
}

void xos_login_say(const struct xos_login *login, const char *text)
{
    char line[256];
    size_t used = 0;

    if (login->silent)
        return;
    /* One line, and nothing that a terminal would obey. */
    for (; *text != '\0' && used + 1 < sizeof line; text++)
        line[used++] = (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text;
    line[used] = '\0';
    pam_error(login->pam, "%s", line);
}

char *xos_login_ask(const struct xos_login *login, struct xos_message *request, size_t *size, int *error)
{
    char *answer = xos_amsd_ask(login->options.socket, request, login->options.patience_ms, size);
    const char *refusal, *message, *hint;

    *error = errno;
    xos_message_free(request);
    if (answer == NULL) {
        errno = *error;
        pam_syslog(login->pam, LOG_ERR, "%s: xos-amsd at %s: %m", login->user, login->options.socket);
        xos_login_say(login, "This machine cannot check VO accounts at the moment; try again later.");
        return NULL;
    }
    refusal = xos_message_get(answer, *size, "error");
    if (refusal == NULL && xos_message_get(answer, *size, "ok") != NULL)
        return answer;
    *error = refusal != NULL ? 0 : EPROTO;
    message = xos_message_get(answer, *size, "message");
    hint = xos_message_get(answer, *size, "hint");
    pam_syslog(login->pam, LOG_NOTICE, "%s from %s refused: %s: %.300s (%.300s)", login->user,
               login->rhost[0] != '\0' ? login->rhost : "here", refusal != NULL ? refusal : "no ok",
               message != NULL ? message : "?", hint != NULL ? hint : "");
    xos_login_say(login, message != NULL ? message : "This machine refuses the login.");
    xos_answer_free(answer, *size);
    return NULL;
}

int xos_login_code(int error, int refused, int away)
{
    return error == 0 ? refused : error == ENOMEM ? PAM_BUF_ERR : away;
}
