/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "keyring.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of keyutils.h: what the possessor may. Nobody else may anything; root owns the key and needs no bits for itself. */
#define POSSESSOR_VIEW 0x01000000u
#define POSSESSOR_READ 0x02000000u
#define POSSESSOR_SEARCH 0x08000000u
#define OWNER_ALL 0x003f0000u
#define PERMISSIONS (POSSESSOR_VIEW | POSSESSOR_READ | POSSESSOR_SEARCH | OWNER_ALL)
#define DESCRIPTION 512

static long key_control(int operation, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    return syscall(SYS_keyctl, operation, a, b, c, d);
}

static bool describe(const char *name, char *description, size_t size)
{
    int length = snprintf(description, size, "xos:%s", name);

    if (length < 0 || (size_t)length >= size) {
        errno = ENAMETOOLONG;
        return false;
    }
    return true;
}

/* Whether this process has a session keyring that is not shared with all of its user's (as pam_keyinit asks too). */
static bool session_of_its_own(void)
{
    long session = key_control(KEYCTL_GET_KEYRING_ID, (unsigned long)KEY_SPEC_SESSION_KEYRING, 0, 0, 0);
    long user = key_control(KEYCTL_GET_KEYRING_ID, (unsigned long)KEY_SPEC_USER_SESSION_KEYRING, 0, 0, 0);

    return session >= 0 && session != user;
}

bool xos_keyring_put(const char *name, const void *payload, size_t length, unsigned seconds)
{
    char description[DESCRIPTION];
    long key;

    if (!describe(name, description, sizeof description))
        return false;
    if (!session_of_its_own() && key_control(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) < 0)
        return false;
    key = syscall(SYS_add_key, "user", description, payload, length, KEY_SPEC_SESSION_KEYRING);
    if (key < 0)
        return false;
    if (key_control(KEYCTL_SET_TIMEOUT, (unsigned long)key, seconds, 0, 0) < 0 ||
        key_control(KEYCTL_SETPERM, (unsigned long)key, PERMISSIONS, 0, 0) < 0) {
        int error = errno;

        (void)key_control(KEYCTL_UNLINK, (unsigned long)key, (unsigned long)KEY_SPEC_SESSION_KEYRING, 0, 0);
        errno = error;
        return false;
    }
    return true;
}

static long find(const char *name)
{
    char description[DESCRIPTION];

    if (!describe(name, description, sizeof description))
        return -1;
    return key_control(KEYCTL_SEARCH, (unsigned long)KEY_SPEC_SESSION_KEYRING, (unsigned long)"user",
                       (unsigned long)description, 0);
}

/* Whether *key* is one of ours, called *description*; keyctl_describe(3): "type;uid;gid;perm;description". */
static bool made_by_root(long key, const char *description)
{
    char text[DESCRIPTION + 64];
    long length = key_control(KEYCTL_DESCRIBE, (unsigned long)key, (unsigned long)text, sizeof text, 0);
    unsigned uid, permissions;
    int at = 0;

    if (length <= 0 || (size_t)length > sizeof text)
        return false;
    text[sizeof text - 1] = '\0';
    if (sscanf(text, "user;%u;%*d;%x;%n", &uid, &permissions, &at) != 2 || at == 0)
        return false;
    return uid == 0 && (permissions & ~PERMISSIONS) == 0 && strcmp(text + at, description) == 0;
}

unsigned char *xos_keyring_read(int32_t key, size_t *length)
{
    long size = key_control(KEYCTL_READ, (unsigned long)key, 0, 0, 0);
    unsigned char *payload;

    if (size <= 0 || (payload = malloc((size_t)size)) == NULL)
        return NULL;
    if (key_control(KEYCTL_READ, (unsigned long)key, (unsigned long)payload, (unsigned long)size, 0) != size) {
        free(payload);
        errno = EIO;
        return NULL;
    }
    *length = (size_t)size;
    return payload;
}

unsigned char *xos_keyring_get(const char *name, size_t *length)
{
    char description[DESCRIPTION];
    long key = find(name);

    if (key < 0 || !describe(name, description, sizeof description))
        return NULL;
    if (!made_by_root(key, description)) {
        errno = EPERM;
        return NULL;
    }
    return xos_keyring_read((int32_t)key, length);
}

/* proc_keys(5): "ID FLAGS USAGE TIMEOUT PERMISSIONS UID GID TYPE DESCRIPTION: …"; 0: not a living key of root's called
 * *description*. */
static int32_t listed(const char *line, const char *description)
{
    char timeout[16], type[16];
    unsigned id, uid;
    int at = 0;

    if (sscanf(line, "%x %*s %*d %15s %*x %u %*d %15s %n", &id, timeout, &uid, type, &at) != 4 || at == 0)
        return 0;
    if (uid != 0 || strcmp(type, "user") != 0 || strcmp(timeout, "expd") == 0)
        return 0;
    if (strncmp(line + at, description, strlen(description)) != 0 || line[(size_t)at + strlen(description)] != ':')
        return 0;
    return (int32_t)id;
}

size_t xos_keyring_others(const char *name, int32_t keys[XOS_KEYRING_OTHERS])
{
    char description[DESCRIPTION], line[DESCRIPTION + 256];
    size_t count = 0;
    FILE *file;

    if (!describe(name, description, sizeof description) || (file = fopen("/proc/keys", "re")) == NULL)
        return 0;
    while (count < XOS_KEYRING_OTHERS && fgets(line, sizeof line, file) != NULL) {
        int32_t key = listed(line, description);

        /* Descriptions are anybody's words, line ends included: the key itself must say the same. */
        if (key != 0 && made_by_root(key, description))
            keys[count++] = key;
    }
    fclose(file);
    return count;
}

bool xos_keyring_renew(int32_t key, const void *payload, size_t length, unsigned seconds)
{
    if (key_control(KEYCTL_UPDATE, (unsigned long)key, (unsigned long)payload, length, 0) < 0)
        return false;
    if (key_control(KEYCTL_SET_TIMEOUT, (unsigned long)key, seconds, 0, 0) == 0)
        return true;
    (void)key_control(KEYCTL_INVALIDATE, (unsigned long)key, 0, 0, 0); /* an update takes the end away */
    return false;
}

bool xos_keyring_drop(const char *name)
{
    long key = find(name);

    return key >= 0 && key_control(KEYCTL_UNLINK, (unsigned long)key, (unsigned long)KEY_SPEC_SESSION_KEYRING, 0, 0) == 0;
}
