/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void child(char *const argv[])
{
    static char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", NULL};
    int nothing = open("/dev/null", O_RDWR);
    sigset_t none;

    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(nothing, 1) < 0 || dup2(nothing, 2) < 0 ||
        syscall(SYS_close_range, 3u, ~0u, 0u) != 0 || setsid() < 0)
        _exit(127);
    execve(argv[0], argv, environment);
    _exit(127);
}

/* Waits for the end of process *pid*; kills it when the time is over. */
static int await_end(pid_t pid, int patience_ms)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0u), status = 0, ready = 0, error = errno;
    bool late;

    if (fd >= 0) {
        struct pollfd one = {.fd = fd, .events = POLLIN};

        while ((ready = poll(&one, 1, patience_ms)) < 0 && errno == EINTR)
            ;
        error = ready == 0 ? ETIMEDOUT : errno;
        close(fd);
    }
    late = ready <= 0;
    if (late)
        (void)kill(-pid, SIGKILL), (void)kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    if (late || !WIFEXITED(status)) {
        errno = late ? error : ECHILD;
        return -1;
    }
    return WEXITSTATUS(status);
}

int xos_helper_run(char *const argv[], int patience_ms)
{
    /* The program that we are in may reap every child of its process; not this one. */
    struct sigaction plain = {.sa_handler = SIG_DFL}, before;
    int result = -1, error;
    pid_t pid;

    if (access(argv[0], X_OK) != 0 || sigaction(SIGCHLD, &plain, &before) != 0)
        return -1;
    pid = fork();
    if (pid == 0)
        child(argv);
    if (pid > 0)
        result = await_end(pid, patience_ms);
    error = errno;
    (void)sigaction(SIGCHLD, &before, NULL);
    errno = error;
    return result;
}
