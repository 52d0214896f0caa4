/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "amsd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool wait_for(int fd, short events, long long deadline)
{
    struct pollfd one = {.fd = fd, .events = events};

    for (;;) {
        long long left = deadline - now_ms();
        int ready = poll(&one, 1, left > 0 ? (int)left : 0);

        if (ready > 0)
            return true;
        if (ready == 0)
            errno = ETIMEDOUT;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

/* Not one of the descriptors 0 to 2: the program may have closed those, and would print into the socket. */
static int open_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && fd < 3) {
        int higher = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        close(fd);
        fd = higher;
    }
    return fd;
}

/* A Unix socket connects at once, or says EAGAIN while too many wait: then again, until the time is over. */
static bool connect_to(int fd, const char *path, long long deadline)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(address.sun_path, path);
    while (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        if (errno != EAGAIN && errno != EINTR)
            return false;
        if (now_ms() >= deadline) {
            errno = ETIMEDOUT;
            return false;
        }
        nanosleep(&pause, NULL);
    }
    return true;
}

static bool send_all(int fd, const struct xos_message *request, long long deadline)
{
    for (;;) {
        if (send(fd, request->data, request->used, MSG_NOSIGNAL) == (ssize_t)request->used)
            return true;
        if (errno != EAGAIN && errno != EINTR)
            return false;
        if (!wait_for(fd, POLLOUT, deadline))
            return false;
    }
}

/* Make the buffer large enough for the request, of up to XOS_MESSAGE_MAX; the system's limit may still refuse it. */
static void make_room(int fd)
{
    int size = (int)XOS_MESSAGE_MAX + 4096;

    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

bool xos_amsd_tell(const char *path, const struct xos_message *request, int patience_ms)
{
    long long deadline = now_ms() + patience_ms;
    bool told = false;
    int fd, error;

    if (request->failed != 0) {
        errno = request->failed;
        return false;
    }
    if ((fd = open_socket()) < 0)
        return false;
    told = connect_to(fd, path, deadline) && send_all(fd, request, deadline);
    error = errno;
    close(fd);
    errno = error;
    return told;
}

char *xos_amsd_ask(const char *path, const struct xos_message *request, int patience_ms, size_t *size)
{
    long long deadline = now_ms() + patience_ms;
    char *answer = NULL;
    ssize_t got = -1;
    int fd, error;

    if (request->failed != 0) {
        errno = request->failed;
        return NULL;
    }
    /* First, so that no answer is lost: what the daemon has done we must hear of. */
    if ((answer = malloc(XOS_MESSAGE_MAX)) == NULL)
        return NULL;
    if ((fd = open_socket()) < 0) {
        free(answer);
        return NULL;
    }
    make_room(fd);
    if (!connect_to(fd, path, deadline) || !send_all(fd, request, deadline) || !wait_for(fd, POLLIN, deadline))
        goto out;
    got = recv(fd, answer, XOS_MESSAGE_MAX, MSG_TRUNC);
    if (got == 0)
        errno = ECONNRESET;
    else if (got > 0 && ((size_t)got > XOS_MESSAGE_MAX || !xos_message_valid(answer, (size_t)got))) {
        errno = EPROTO;
        got = -1;
    }

out:
    error = errno;
    close(fd);
    if (got <= 0) {
        free(answer);
        errno = error;
        return NULL;
    }
    *size = (size_t)got;
    return answer;
}

void xos_answer_free(char *answer, size_t size)
{
    if (answer != NULL)
        explicit_bzero(answer, size);
    free(answer);
}
