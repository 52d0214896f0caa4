/* SPDX-License-Identifier: BSD-3-Clause */
/* A session: credential in the kernel, home, environment, limits. */
#define _GNU_SOURCE
#include "amsd.h"
#include "helper.h"
#include "home.h"
#include "keyring.h"
#include "limits.h"
#include "login.h"

#include <errno.h>
#include <security/pam_ext.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#define VOLUME_PATIENCE_MS 15000
#define SLICE_PATIENCE_MS 5000
#define CLOSE_PATIENCE_MS 2000
#define NO_MEMORY "This machine has no memory left for a session; try again later."
#define NO_VOLUME 1 /* exit status of the helper: the user has none */

/* Tells why, as errno has it; the code for PAM. */
static int failed(const struct xos_login *login, const char *what, const char *line)
{
    int code = errno == ENOMEM ? PAM_BUF_ERR : PAM_SESSION_ERR;

    pam_syslog(login->pam, LOG_ERR, "%s: %s: %m", login->user, what);
    xos_login_say(login, line);
    return code;
}

/* Asks the helper, if there is one, to mount the user's volume. Where that fails the local home has to do: somebody who
 * comes to see why must be able to log in. */
static void mount_volume(const struct xos_login *login)
{
    char uid[16], gid[16];
    char *argv[] = {(char *)login->options.volume, (char *)login->user, uid, gid, login->account->pw_dir, NULL};
    int status;

    snprintf(uid, sizeof uid, "%u", (unsigned)login->account->pw_uid);
    snprintf(gid, sizeof gid, "%u", (unsigned)login->account->pw_gid);
    status = xos_helper_run(argv, VOLUME_PATIENCE_MS);
    if (status == 0 || status == NO_VOLUME || (status < 0 && errno == ENOENT))
        return;
    if (status > 0)
        errno = EIO;
    (void)failed(login, login->options.volume,
                 "Your home volume cannot be mounted at the moment: this is a home on this machine alone.");
}

static int make_home(const struct xos_login *login)
{
    const struct passwd *account = login->account;

    if (!login->options.home)
        return PAM_SUCCESS;
    mount_volume(login);
    switch (xos_home_make(account->pw_dir, login->options.skeleton, account->pw_uid, account->pw_gid)) {
    case XOS_HOME_READY:
        return PAM_SUCCESS;
    case XOS_HOME_FOREIGN:
        errno = EEXIST;
        return failed(login, account->pw_dir, "What lies at the place of your home directory is not yours.");
    case XOS_HOME_UNSAFE:
        errno = EACCES;
        return failed(login, account->pw_dir, "Your home directory cannot be made: others could change it.");
    default:
        return failed(login, account->pw_dir, "Your home directory cannot be made on this machine.");
    }
}

/* Credentials that this user's other sessions hold, as they are shown to the daemon: it says which of them the new one
 * takes the place of. */
struct others {
    int32_t keys[XOS_KEYRING_OTHERS];
    size_t count;
};

static void show_others(const struct xos_login *login, struct others *others, struct xos_message *request)
{
    errno = 0;
    others->count = login->options.keyring ? xos_keyring_others(login->user, others->keys) : 0;
    if (errno == ENOMEM)
        request->failed = ENOMEM;
    for (size_t i = 0; i < others->count; i++) {
        char field[32];
        size_t length = 0;
        unsigned char *payload = xos_keyring_read(others->keys[i], &length);

        if (payload == NULL && errno == ENOMEM)
            request->failed = ENOMEM;
        snprintf(field, sizeof field, "held.%zu", i);
        if (payload != NULL && request->used + 2 * length < XOS_MESSAGE_MAX / 2)
            xos_message_add_base64(request, field, payload, length);
        free(payload);
    }
}

/* *list*: their places, with commas. One that expired or ended meanwhile needs none. */
static void renew_others(const struct others *others, const char *list, const void *payload, size_t length,
                         unsigned seconds)
{
    while (list != NULL && *list != '\0') {
        char *end;
        unsigned long place = strtoul(list, &end, 10);

        if (end == list)
            return;
        if (place < others->count)
            (void)xos_keyring_renew(others->keys[place], payload, length, seconds);
        list = *end == ',' ? end + 1 : end;
    }
}

/* Puts what the daemon gave into the session keyring, and into those of other sessions whose credential was renewed by
 * it. A kernel without keyrings is logged, and no reason to refuse. */
static int keep_credential(const struct xos_login *login, const char *answer, size_t size, const struct others *others)
{
    const char *payload = xos_message_get(answer, size, "keyring"), *expires = xos_message_get(answer, size, "expires");
    unsigned long long until = 0;
    unsigned char *data;
    size_t length = 0;
    time_t now = time(NULL);
    unsigned seconds;

    if (!login->options.keyring || payload == NULL || !xos_number(expires, (unsigned long long)now + UINT32_MAX, &until) ||
        until <= (unsigned long long)now)
        return PAM_SUCCESS;
    errno = EPROTO;
    if ((data = xos_base64(payload, &length)) == NULL && errno == ENOMEM)
        return failed(login, "credential", NO_MEMORY);
    seconds = (unsigned)(until - (unsigned long long)now);
    if (data == NULL || !xos_keyring_put(login->user, data, length, seconds))
        pam_syslog(login->pam, LOG_WARNING, "%s: no credential in the kernel keyring: %m", login->user);
    if (data != NULL)
        renew_others(others, xos_message_get(answer, size, "renews"), data, length, seconds);
    free(data);
    return PAM_SUCCESS;
}

/* `env.NAME=value`: names in capitals, and none that makes programs load something else. */
static bool set_environment(const struct xos_login *login, const char *field)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    size_t length = strspn(field, letters);

    if (length == 0 || field[length] != '=' || strncmp(field, "LD_", 3) == 0 || strncmp(field, "PATH=", 5) == 0)
        return false;
    return pam_putenv(login->pam, field) == PAM_SUCCESS;
}

/* What pam_systemd, which comes after us, gives the session's cgroup (pam_systemd(8)); *known is whether it can. False: no
 * memory. */
static bool set_cgroup(const struct xos_login *login, const char *name, const char *value, bool *known)
{
    static const char *const names[] = {"systemd.memory_max", "systemd.tasks_max", "systemd.cpu_weight",
                                        "systemd.io_weight", "systemd.runtime_max_sec"};
    char *kept;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i] + strlen("systemd."), name) != 0)
            continue;
        *known = true;
        if ((kept = strdup(value)) == NULL)
            return false;
        if (pam_set_data(login->pam, names[i], kept, xos_login_forget) == PAM_SUCCESS)
            return true;
        free(kept);
        errno = ENOMEM;
        return false;
    }
    return *known = false;
}

/* `limit.NAME=VALUE`: NAME as in limits.conf(5), VALUE `SOFT:HARD` or one number for both; or one of the cgroup's. */
static bool set_limit(const struct xos_login *login, const char *field)
{
    size_t length = strcspn(field, "=");
    struct rlimit limit;
    char name[32];
    bool known, fine;
    int resource;

    errno = 0;
    if (length >= sizeof name)
        return false;
    memcpy(name, field, length);
    name[length] = '\0';
    fine = set_cgroup(login, name, field + length + 1, &known);
    if (known)
        return fine;
    resource = xos_resource(name);
    return resource >= 0 && xos_limit(field + length + 1, &limit) &&
           setrlimit((__rlimit_resource_t)resource, &limit) == 0;
}

/* Has systemd limit the slice that all sessions of the user are in; before logind starts it, or while it runs. What the
 * policy limits must not run without: if that fails the user is told. */
static int limit_slice(const struct xos_login *login, const char *answer, size_t size)
{
    enum { FIXED = 5, MOST = 16 };
    char unit[40];
    char *argv[FIXED + MOST + 1] = {(char *)login->options.systemctl, "set-property", "--runtime", "--", unit};
    size_t count = 0;
    int status;

    for (const char *field = NULL; (field = xos_message_next(answer, size, field)) != NULL;) {
        if (strncmp(field, "slice.", 6) != 0)
            continue;
        if (count == MOST) {
            errno = E2BIG;
            return failed(login, "slice", "The limits of your session cannot be set on this machine.");
        }
        argv[FIXED + count++] = (char *)field + 6;
    }
    if (count == 0)
        return PAM_SUCCESS;
    snprintf(unit, sizeof unit, "user-%u.slice", (unsigned)login->account->pw_uid);
    status = xos_helper_run(argv, SLICE_PATIENCE_MS);
    if (status == 0)
        return PAM_SUCCESS;
    if (status > 0)
        errno = EIO;
    return failed(login, unit, "The limits of your session cannot be set on this machine.");
}

/* What cannot be is passed over; but nobody goes without a limit because there was no memory to set it. */
static int apply(const struct xos_login *login, const char *answer, size_t size)
{
    for (const char *field = NULL; (field = xos_message_next(answer, size, field)) != NULL;) {
        bool fine = true;

        if (strncmp(field, "env.", 4) == 0)
            fine = set_environment(login, field + 4);
        else if (strncmp(field, "limit.", 6) == 0 && !(fine = set_limit(login, field + 6)) && errno == ENOMEM)
            return failed(login, "limit", "The limits of your session cannot be set on this machine.");
        if (!fine)
            pam_syslog(login->pam, LOG_WARNING, "%s: %.*s cannot be set", login->user, (int)strcspn(field, "="), field);
    }
    return PAM_SUCCESS;
}

/* Whether the daemon speaks of the account that the program has looked up already. */
static bool same_account(const struct xos_login *login, const char *answer, size_t size)
{
    unsigned long long uid = 0;

    if (xos_number(xos_message_get(answer, size, "uid"), UINT32_MAX - 1, &uid) && uid == login->account->pw_uid)
        return true;
    pam_syslog(login->pam, LOG_ERR, "%s is %u here, and %.20s for xos-amsd: refused", login->user,
               (unsigned)login->account->pw_uid, xos_message_get(answer, size, "uid"));
    xos_login_say(login, "Your account was being made just now: log in once more.");
    return false;
}

/* The session's number, for its end. */
static int remember_session(const struct xos_login *login, const char *session)
{
    char *kept;

    if (session == NULL)
        return PAM_SUCCESS;
    if ((kept = strdup(session)) != NULL && pam_set_data(login->pam, XOS_DATA_SESSION, kept, xos_login_forget) == PAM_SUCCESS)
        return PAM_SUCCESS;
    free(kept);
    errno = ENOMEM;
    return failed(login, "session", NO_MEMORY);
}

/* Nobody waits for an answer: there is nothing to be done about one. PAM_BUF_ERR: no memory to tell it. */
static int tell_end(const struct xos_login *login, const char *session)
{
    struct xos_message request = {0};
    int code;

    xos_message_add(&request, "op", "close");
    xos_message_add(&request, "session", session);
    code = request.failed == ENOMEM ? PAM_BUF_ERR : PAM_SUCCESS;
    if (!xos_amsd_tell(login->options.socket, &request, CLOSE_PATIENCE_MS))
        pam_syslog(login->pam, LOG_WARNING, "%s: xos-amsd was not told of the session's end: %m", login->user);
    xos_message_free(&request);
    return code;
}

/* Puts what the daemon says into effect. */
static int begin_session(const struct xos_login *login, const char *answer, size_t size, const struct others *others)
{
    int code = limit_slice(login, answer, size);

    if (code != PAM_SUCCESS)
        return code;
    /* First: the helper that mounts a volume may need it. */
    if ((code = keep_credential(login, answer, size, others)) != PAM_SUCCESS)
        return code;
    if ((code = make_home(login)) == PAM_SUCCESS && (code = apply(login, answer, size)) == PAM_SUCCESS)
        code = remember_session(login, xos_message_get(answer, size, "session"));
    if (code != PAM_SUCCESS && login->options.keyring)
        (void)xos_keyring_drop(login->user);
    return code;
}

int xos_session_open(struct xos_login *login)
{
    char *certificate = xos_login_certificate(login), *answer;
    const char *session;
    struct xos_message request;
    struct others others = {.count = 0};
    int code = PAM_SESSION_ERR, error;
    size_t size = 0;

    if (certificate == NULL && errno == ENOMEM)
        return PAM_BUF_ERR;
    /* Without one the daemon judges by the service: where root has vouched (su, cron), or not at all. */
    request = xos_login_request(login, "open");
    if (certificate != NULL) {
        xos_message_add(&request, "certificate", certificate);
        show_others(login, &others, &request);
    }
    free(certificate);
    if ((answer = xos_login_ask(login, &request, &size, &error)) == NULL)
        return xos_login_code(error, PAM_SESSION_ERR, PAM_SESSION_ERR);
    if (same_account(login, answer, size))
        code = begin_session(login, answer, size, &others);
    if (code != PAM_SUCCESS && (session = xos_message_get(answer, size, "session")) != NULL)
        (void)tell_end(login, session);
    xos_answer_free(answer, size);
    return code;
}

int xos_session_close(struct xos_login *login)
{
    const void *session = NULL;
    int code;

    if (pam_get_data(login->pam, XOS_DATA_SESSION, &session) != PAM_SUCCESS || session == NULL)
        return PAM_SUCCESS;
    code = tell_end(login, session);
    if (login->options.keyring)
        (void)xos_keyring_drop(login->user);
    return code;
}
