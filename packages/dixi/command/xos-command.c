/* SPDX-License-Identifier: BSD-3-Clause
 *
 * xos-command: runs an XtreemOS command in the user's xos-agent, on this process's terminal.
 *
 * Installed under the name of each command (xsub, xps, ...) as a symbolic link; also `xos-command NAME ARGUMENT...`.
 * Where no agent answers, it becomes Python and runs the command here: `python3 -P -m xos.dixi NAME ARGUMENT...`.
 * What travels over the socket is described in xos/dixi/agent/protocol.py.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef XOS_PYTHON
#define XOS_PYTHON "/usr/bin/python3"
#endif

enum { HEADER = 8, LONGEST = 4 << 20, DESCRIPTORS = 3, ATTEMPTS = 3, RUN_HERE = -1, AGAIN = -2, REFUSED_AGAIN = 4 };

extern char **environ;

static int agent = -1;
static volatile sig_atomic_t caught;

struct buffer {
    char *data;
    size_t used, size;
    bool failed;
};

/* Add a field with the NUL byte that ends it. */
static void add(struct buffer *b, const char *field)
{
    size_t length = strlen(field) + 1;

    if (b->failed || length > LONGEST || b->used + length > (size_t)LONGEST + HEADER) {
        b->failed = true;
        return;
    }
    if (b->used + length > b->size) {
        size_t size = (b->used + length) * 2;
        char *data = realloc(b->data, size);

        if (!data) {
            b->failed = true;
            return;
        }
        b->data = data;
        b->size = size;
    }
    memcpy(b->data + b->used, field, length);
    b->used += length;
}

/* Whether an environment variable is sent: those of PASSED in protocol.py. */
static bool passed(const char *entry)
{
    static const char *const names[] = {"TERM=", "COLUMNS=", "NO_COLOR=", "LANG=", "TZ=", "HOME=", "USER=", "EDITOR=",
                                        "PAGER=", "XOS_", "LC_"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strncmp(entry, names[i], strlen(names[i])))
            return strchr(entry, '=') != NULL;
    return false;
}

static bool request(struct buffer *b, const char *name, int argc, char **argv)
{
    char cwd[PATH_MAX], number[16];
    mode_t mask = umask(077);
    uint32_t length;

    umask(mask);
    if (!getcwd(cwd, sizeof cwd) || cwd[0] != '/')
        return false;
    add(b, "XOS1\1\1\1"); /* room for the header: 8 bytes with the NUL */
    add(b, name);
    snprintf(number, sizeof number, "%o", (unsigned)mask);
    add(b, number);
    add(b, cwd);
    snprintf(number, sizeof number, "%d", argc);
    add(b, number);
    for (int i = 0; i < argc; i++)
        add(b, argv[i]);
    for (char **e = environ; *e; e++)
        if (passed(*e))
            add(b, *e);
    if (b->failed)
        return false;
    length = htonl((uint32_t)(b->used - HEADER));
    memcpy(b->data + 4, &length, sizeof length);
    return true;
}

/* A connection to the agent, if it is there and our own. */
static int reach(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *given = getenv("XOS_AGENT_SOCK"), *xos = getenv("XOS_HOME"), *home = getenv("HOME");
    struct ucred peer;
    socklen_t size = sizeof peer;
    int length, fd;

    if (given && *given)
        length = snprintf(address.sun_path, sizeof address.sun_path, "%s", given);
    else if (xos && *xos)
        length = snprintf(address.sun_path, sizeof address.sun_path, "%s/agent.sock", xos);
    else
        length = snprintf(address.sun_path, sizeof address.sun_path, "%s/.xos/agent.sock", home ? home : "");
    if (length < 0 || (size_t)length >= sizeof address.sun_path)
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (!connect(fd, (struct sockaddr *)&address, sizeof address) &&
        !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.uid == getuid())
        return fd;
    close(fd);
    return -1;
}

/* Send the request, and our standard input, output and error with its first byte. */
static bool send_all(const struct buffer *b)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = b->data, .iov_len = b->used};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    const int fds[DESCRIPTORS] = {0, 1, 2};

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(c), fds, sizeof fds);
    while (part.iov_len) {
        ssize_t sent = sendmsg(agent, &message, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        part.iov_base = (char *)part.iov_base + sent;
        part.iov_len -= (size_t)sent;
        message.msg_control = NULL; /* the descriptors went with the first part */
        message.msg_controllen = 0;
    }
    return true;
}

/* The first signal is passed on, so that the agent cancels the command; the second ends this process. */
static void on_signal(int number)
{
    const unsigned char message[2] = {'K', (unsigned char)number};
    int before = errno;

    if (caught)
        _exit(128 + number);
    caught = number;
    if (send(agent, message, sizeof message, MSG_NOSIGNAL) != (ssize_t)sizeof message)
        _exit(128 + number);
    errno = before;
}

static void catch_signals(void (*handler)(int))
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!sigaction(numbers[i], NULL, &before) && before.sa_handler != SIG_IGN) /* nohup stays nohup */
            sigaction(numbers[i], &action, NULL);
}

/* Wait for the end. Returns the exit status, or RUN_HERE, or AGAIN if the agent starts anew: then ask it again. */
static int attend(const char *name)
{
    unsigned char answer[2];
    bool started = false;

    for (;;) {
        ssize_t got = recv(agent, answer, sizeof answer, MSG_WAITALL);

        if (got < 0 && errno == EINTR)
            continue;
        if (got == (ssize_t)sizeof answer && answer[0] == 'S') {
            started = true;
            continue;
        }
        if (got == (ssize_t)sizeof answer && answer[0] == 'E')
            break;
        if (!started)
            return got == (ssize_t)sizeof answer && answer[0] == 'R' && answer[1] == REFUSED_AGAIN ? AGAIN : RUN_HERE;
        fprintf(stderr, "%s: xos-agent went away; whether the command was carried out is not known\n", name);
        return 1;
    }
    if (caught && answer[1] == 128 + caught) { /* let the shell see what ended us */
        catch_signals(SIG_DFL);
        raise((int)caught);
    }
    return answer[1];
}

/* Become Python: the one beside this program (a virtual environment has one), else the system's. */
static int run_here(const char *name, int argc, char **argv)
{
    char python[PATH_MAX + sizeof "/python3"];
    char **args = calloc((size_t)argc + 6, sizeof *args);
    ssize_t length = readlink("/proc/self/exe", python, PATH_MAX);
    char *slash;

    if (!args) {
        perror(name);
        return 126;
    }
    python[length > 0 ? length : 0] = '\0';
    slash = strrchr(python, '/');
    if (slash)
        strcpy(slash, "/python3");
    if (!slash || access(python, X_OK))
        strcpy(python, XOS_PYTHON);
    args[0] = python;
    args[1] = "-P"; /* the working directory holds nothing that we import */
    args[2] = "-m";
    args[3] = "xos.dixi";
    args[4] = (char *)name;
    for (int i = 0; i < argc; i++)
        args[5 + i] = argv[i];
    setenv("XOS_NO_AGENT", "1", 1);
    execv(python, args);
    fprintf(stderr, "%s: cannot run %s: %s\n", name, python, strerror(errno));
    return 126;
}

int main(int argc, char **argv)
{
    struct buffer b = {0};
    const char *name = argc > 0 && strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argc > 0 ? argv[0] : "";
    int status = AGAIN;

    argc--, argv++;
    if (!strcmp(name, "xos-command")) {
        if (argc < 1) {
            fputs("usage: xos-command COMMAND [ARGUMENT ...]\n", stderr);
            return 2;
        }
        name = argv[0];
        argc--, argv++;
    }
    for (int fd = 0; fd < DESCRIPTORS; fd++) /* descriptors that are closed would be given to the next file opened */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return 126;
    if (!getenv("XOS_NO_AGENT") && request(&b, name, argc, argv))
        for (int i = 0; i < ATTEMPTS && status == AGAIN && (agent = reach()) >= 0; i++) {
            status = RUN_HERE;
            if (send_all(&b)) {
                catch_signals(on_signal);
                status = attend(name);
                catch_signals(SIG_DFL);
            }
            close(agent);
        }
    free(b.data);
    return status >= 0 ? status : run_here(name, argc, argv);
}
