/* SPDX-License-Identifier: BSD-3-Clause */
/* Times look-ups through glibc: `nss_time WHAT COUNT USERS`; prints microseconds of one: the median of batches, so
 * that what else the machine does is in some of them only; of `cold` the median of all.
 * User n of USERS is called un.demo and has the number 1900000000 + n. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FIRST 1900000000u
#define ROOM 16384
#define BATCH 20

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void one(const char *what, unsigned n)
{
    static char buffer[ROOM];
    struct passwd user, *found = NULL;
    char name[64];
    snprintf(name, sizeof name, strcmp(what, "unknown") == 0 ? "nobody%u" : "u%u.demo", n);
    if (strcmp(what, "uid") == 0) {
        getpwuid_r(FIRST + n, &user, buffer, sizeof buffer, &found);
    } else if (strcmp(what, "groups") == 0) {
        gid_t groups[64];
        int count = 64;
        if (getgrouplist(name, FIRST + n, groups, &count) < 2)
            exit(3);
        return;
    } else {
        getpwnam_r(name, &user, buffer, sizeof buffer, &found);
    }
    if ((found == NULL) != (strcmp(what, "unknown") == 0))
        exit(3); /* not what is to be measured */
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* The first look-up of a process: the library is loaded, the table mapped. */
static double cold(long count, unsigned users)
{
    double *took = calloc((size_t)count, sizeof *took);
    for (long i = 0; i < count; i++) {
        int pipes[2];
        if (took == NULL || pipe(pipes) != 0)
            exit(2);
        pid_t child = fork();
        if (child == 0) {
            double began = now_us();
            one("name", (unsigned)(i * 7919) % users);
            double elapsed = now_us() - began;
            _exit(write(pipes[1], &elapsed, sizeof elapsed) == sizeof elapsed ? 0 : 1);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0 ||
            read(pipes[0], &took[i], sizeof took[i]) != sizeof took[i])
            exit(3);
        close(pipes[0]);
        close(pipes[1]);
    }
    qsort(took, (size_t)count, sizeof *took, compare);
    return took[count / 2];
}

static double warm(const char *what, long count, unsigned users)
{
    long batches = (count + BATCH - 1) / BATCH;
    double *took = calloc((size_t)batches, sizeof *took);
    unsigned state = 1;
    if (took == NULL)
        exit(2);
    for (long batch = 0; batch < batches; batch++) {
        long many = batch + 1 < batches ? BATCH : count - batch * BATCH;
        double began = now_us();
        for (long i = 0; i < many; i++)
            one(what, (unsigned)rand_r(&state) % users);
        took[batch] = (now_us() - began) / (double)many;
    }
    qsort(took, (size_t)batches, sizeof *took, compare);
    double median = took[batches / 2];
    free(took);
    return median;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    long count = atol(argv[2]);
    unsigned users = (unsigned)atol(argv[3]);
    if (strcmp(argv[1], "cold") == 0) {
        printf("%.3f\n", cold(count, users));
        return 0;
    }
    for (unsigned n = 0; n < 50 && n < (unsigned)count; n++) /* warm */
        one(argv[1], n % users);
    printf("%.3f\n", warm(argv[1], count, users));
    return 0;
}
