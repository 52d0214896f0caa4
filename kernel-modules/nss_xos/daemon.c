/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "daemon.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef XOS_SOCKET_PATH
#define XOS_SOCKET_PATH "/run/xos/amsd.sock"
#endif
#define PATIENCE_MS 250
#define PAUSE_MS 5000 /* after a daemon that did not answer in time, so that `ls` does not wait for every number */
#define REQUEST_SIZE 512

static atomic_llong quiet_until;

static const char *socket_path(void)
{
#ifdef XOS_TESTING
    const char *path = secure_getenv("XOS_NSS_SOCKET");
    if (path != NULL)
        return path;
#endif
    return XOS_SOCKET_PATH;
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A connection, not one of the descriptors 0 to 2, which the process may have closed on purpose; -1: none. */
static int connect_daemon(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = socket_path();
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && fd < 3) {
        int higher = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        close(fd);
        fd = higher;
    }
    /* Not blocking: when too many wait already it fails at once. */
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool wait_until(int fd, long long deadline)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    for (;;) {
        long long left = deadline - now_ms();
        int ready = poll(&one, 1, left > 0 ? (int)left : 0);
        if (ready > 0)
            return true;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

/* The bytes of the answer; -1: none came in time, or a longer one than we take. */
static ssize_t talk(const char *request, size_t size, char *answer)
{
    long long deadline = now_ms() + PATIENCE_MS;
    ssize_t got = -1;
    int fd = connect_daemon();
    if (fd < 0)
        return -1;
    if (send(fd, request, size, MSG_NOSIGNAL) == (ssize_t)size) {
        if (wait_until(fd, deadline))
            got = recv(fd, answer, XOS_ANSWER_SIZE, MSG_TRUNC);
        else
            atomic_store(&quiet_until, now_ms() + PAUSE_MS);
    }
    close(fd);
    return got > 0 && got < (ssize_t)XOS_ANSWER_SIZE ? got : -1;
}

/* The number in all of *text*; false: there is none below 2**32 - 1. */
static bool read_number(const char *text, uint32_t *number)
{
    uint64_t value = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value >= UINT32_MAX)
            return false;
    }
    *number = (uint32_t)value;
    return true;
}

/* The numbers in *text*, parted by commas, as the table has them. */
static bool read_gids(struct xos_answer *answer, char *text)
{
    char *rest = NULL;
    for (char *word = strtok_r(text, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        uint32_t gid;
        if (answer->entry.n_gids >= XOS_MAX_GIDS || !read_number(word, &gid))
            return false;
        gid = htole32(gid);
        memcpy(answer->gids + (size_t)4 * answer->entry.n_gids++, &gid, 4);
    }
    return true;
}

/* Take one field into the entry. False: it cannot be right. */
static bool take_field(struct xos_answer *answer, const char *field, char *value)
{
    struct xos_entry *entry = &answer->entry;
    const struct {
        const char *field;
        const char **to;
    } texts[] = {
        {"name", &entry->name},
        {"own_group", &entry->own_group},
        {"home", &entry->home},
        {"shell", &entry->shell},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(field, texts[i].field) == 0) {
            *texts[i].to = value;
            return strpbrk(value, ":\n") == NULL;
        }
    }
    if (strcmp(field, "kind") == 0)
        entry->kind = strcmp(value, "group") == 0 ? XOS_GROUP : XOS_USER;
    if (strcmp(field, "id") == 0)
        return read_number(value, &entry->id);
    if (strcmp(field, "gids") == 0)
        return read_gids(answer, value);
    return true; /* a newer daemon may say more */
}

enum xos_reply xos_daemon_read(struct xos_answer *answer, size_t size)
{
    struct xos_entry *entry = &answer->entry;
    char *end = answer->text + size;
    *entry = (struct xos_entry){.gids = answer->gids};
    *end = '\0'; /* so that the last field ends, whatever was sent */
    for (char *field = answer->text; field < end;) {
        char *value = strchr(field, '=');
        if (value == NULL)
            return XOS_AWAY;
        *value++ = '\0';
        char *next = value + strlen(value) + 1;
        if (field == answer->text && strcmp(field, "error") == 0)
            return strcmp(value, "node.unknown-account") == 0 ? XOS_UNKNOWN : XOS_AWAY;
        if (field == answer->text && strcmp(field, "ok") != 0)
            return XOS_AWAY;
        if (!take_field(answer, field, value))
            return XOS_AWAY;
        field = next;
    }
    if (entry->name == NULL || entry->id == 0)
        return XOS_AWAY;
    if (entry->kind == XOS_GROUP)
        return XOS_FOUND;
    entry->kind = XOS_USER;
    return entry->own_group != NULL && entry->home != NULL && entry->shell != NULL ? XOS_FOUND : XOS_AWAY;
}

enum xos_reply xos_daemon_ask(struct xos_answer *answer, const char *field, const char *value)
{
    char request[REQUEST_SIZE];
    int size = snprintf(request, sizeof request, "op=lookup%c%s=%s", 0, field, value);
    if (size < 0 || (size_t)size + 1 > sizeof request || now_ms() < atomic_load(&quiet_until))
        return XOS_AWAY;
    ssize_t got = talk(request, (size_t)size + 1, answer->text);
    return got < 0 ? XOS_AWAY : xos_daemon_read(answer, (size_t)got);
}
