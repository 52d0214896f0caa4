/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls libnss_xos as glibc does, for test_nss.py: `harness COMMAND ARGUMENT...`; what it found goes to standard output,
 * and the exit status is 1 when a rule was broken. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pthread.h>
#include <pwd.h>
#include <shadow.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum nss_status _nss_xos_getpwnam_r(const char *, struct passwd *, char *, size_t, int *);
enum nss_status _nss_xos_getpwuid_r(uid_t, struct passwd *, char *, size_t, int *);
enum nss_status _nss_xos_getgrnam_r(const char *, struct group *, char *, size_t, int *);
enum nss_status _nss_xos_getgrgid_r(gid_t, struct group *, char *, size_t, int *);
enum nss_status _nss_xos_getspnam_r(const char *, struct spwd *, char *, size_t, int *);
enum nss_status _nss_xos_initgroups_dyn(const char *, gid_t, long *, long *, gid_t **, long, int *);
enum nss_status _nss_xos_setpwent(int);
enum nss_status _nss_xos_getpwent_r(struct passwd *, char *, size_t, int *);
enum nss_status _nss_xos_endpwent(void);
enum nss_status _nss_xos_setgrent(int);
enum nss_status _nss_xos_getgrent_r(struct group *, char *, size_t, int *);
enum nss_status _nss_xos_endgrent(void);

#define ROOM 1024

static void die(const char *rule)
{
    fprintf(stderr, "broken: %s\n", rule);
    exit(1);
}

static const char *status_name(enum nss_status status)
{
    switch (status) {
    case NSS_STATUS_SUCCESS:
        return "success";
    case NSS_STATUS_NOTFOUND:
        return "not found";
    case NSS_STATUS_UNAVAIL:
        return "unavailable";
    case NSS_STATUS_TRYAGAIN:
        return "try again";
    default:
        return "?";
    }
}

static void show_passwd(enum nss_status status, const struct passwd *found)
{
    if (status != NSS_STATUS_SUCCESS)
        printf("%s\n", status_name(status));
    else
        printf("%s:%s:%u:%u:%s:%s:%s\n", found->pw_name, found->pw_passwd, found->pw_uid, found->pw_gid,
               found->pw_gecos, found->pw_dir, found->pw_shell);
}

static void show_group(enum nss_status status, const struct group *found)
{
    if (status != NSS_STATUS_SUCCESS)
        printf("%s\n", status_name(status));
    else
        printf("%s:%s:%u:%s\n", found->gr_name, found->gr_passwd, found->gr_gid, found->gr_mem[0] ? "?" : "");
}

/* One look-up of *what* called *text*. */
static void look(const char *what, const char *text)
{
    char buffer[ROOM];
    struct passwd user;
    struct group group;
    struct spwd shadow;
    int err = 0;
    errno = 4711;
    if (strcmp(what, "passwd") == 0)
        show_passwd(_nss_xos_getpwnam_r(text, &user, buffer, ROOM, &err), &user);
    else if (strcmp(what, "uid") == 0)
        show_passwd(_nss_xos_getpwuid_r((uid_t)strtoul(text, NULL, 10), &user, buffer, ROOM, &err), &user);
    else if (strcmp(what, "group") == 0)
        show_group(_nss_xos_getgrnam_r(text, &group, buffer, ROOM, &err), &group);
    else if (strcmp(what, "gid") == 0)
        show_group(_nss_xos_getgrgid_r((gid_t)strtoul(text, NULL, 10), &group, buffer, ROOM, &err), &group);
    else if (strcmp(what, "shadow") == 0) {
        enum nss_status status = _nss_xos_getspnam_r(text, &shadow, buffer, ROOM, &err);
        if (status == NSS_STATUS_SUCCESS)
            printf("%s:%s:%ld:%ld\n", shadow.sp_namp, shadow.sp_pwdp, shadow.sp_lstchg, shadow.sp_expire);
        else
            printf("%s\n", status_name(status));
    }
    if (errno != 4711)
        die("errno is kept");
}

static void look_groups(const char *user, long size, long limit)
{
    long start = 1;
    int err = 0;
    gid_t *groups = calloc((size_t)size, sizeof *groups);
    groups[0] = 4;
    enum nss_status status = _nss_xos_initgroups_dyn(user, 4, &start, &size, &groups, limit, &err);
    printf("%s", status_name(status));
    for (long i = 0; i < start; i++)
        printf(" %u", groups[i]);
    printf("\n");
    free(groups);
}

/* Whatever the size of the buffer: too small is told as such, nothing is written beyond it, and enough is enough. */
static void erange(const char *user, const char *group)
{
    bool fitted[3] = {false, false, false};
    for (size_t size = 0; size < 400; size++) {
        char *buffer = malloc(size ? size : 1);
        struct passwd pw;
        struct group gr;
        struct spwd sp;
        for (int kind = 0; kind < 3; kind++) {
            int err = 0;
            enum nss_status status = kind == 0   ? _nss_xos_getpwnam_r(user, &pw, buffer, size, &err)
                                     : kind == 1 ? _nss_xos_getgrnam_r(group, &gr, buffer, size, &err)
                                                 : _nss_xos_getspnam_r(user, &sp, buffer, size, &err);
            if (status == NSS_STATUS_SUCCESS)
                fitted[kind] = true;
            else if (status != NSS_STATUS_TRYAGAIN || err != ERANGE || fitted[kind])
                die("too small a buffer is NSS_STATUS_TRYAGAIN and ERANGE, and none is once it fits");
        }
        free(buffer);
    }
    if (!fitted[0] || !fitted[1] || !fitted[2])
        die("400 bytes are enough");
    puts("ok");
}

/* The linker puts these before libc's, so that memory can run out. */
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
static bool no_heap, no_maps;

void *__wrap_realloc(void *old, size_t size)
{
    if (!no_heap)
        return __real_realloc(old, size);
    errno = ENOMEM;
    return NULL;
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (!no_maps)
        return __real_mmap(at, size, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

/* Groups of *user* into a list with room for one that has one; the list stays the caller's, whatever happens. */
static enum nss_status groups_of(const char *user, long expected, int *err)
{
    long start = 1, size = 1;
    gid_t *groups = malloc(sizeof *groups);
    groups[0] = 4;
    errno = 4711;
    enum nss_status status = _nss_xos_initgroups_dyn(user, 4, &start, &size, &groups, 0, err);
    if (start != expected || size < start || groups[0] != 4 || errno != 4711)
        die("a list that cannot grow stays as it was");
    free(groups);
    return status;
}

/* Everything that is listed; a look-up in between must not begin it anew. */
static void list(void)
{
    char buffer[ROOM];
    struct passwd user, again;
    struct group group;
    int err;
    _nss_xos_setpwent(0);
    while (_nss_xos_getpwent_r(&user, buffer, ROOM, &err) == NSS_STATUS_SUCCESS) {
        char other[ROOM];
        show_passwd(NSS_STATUS_SUCCESS, &user);
        if (_nss_xos_getpwuid_r(user.pw_uid, &again, other, ROOM, &err) != NSS_STATUS_SUCCESS)
            die("what is listed is found");
    }
    _nss_xos_endpwent();
    _nss_xos_setgrent(0);
    while (_nss_xos_getgrent_r(&group, buffer, ROOM, &err) == NSS_STATUS_SUCCESS)
        show_group(NSS_STATUS_SUCCESS, &group);
    _nss_xos_endgrent();
}

/* No room for the table: nobody can be known. No room for groups: try again. With room all is well, and was not spoilt. */
static void memory(const char *user, const char *group)
{
    int err = 0;
    no_maps = true;
    look("passwd", user);
    look("group", group);
    look("shadow", user);
    list();
    printf("%s\n", status_name(groups_of(user, 1, &err)));
    no_maps = false;
    no_heap = true;
    printf("%s", status_name(groups_of(user, 1, &err)));
    printf(" %s\n", err == ENOMEM ? "ENOMEM" : "?");
    look("passwd", user); /* needs none */
    no_heap = false;
    printf("%s\n", status_name(groups_of(user, 3, &err)));
}

static atomic_bool stop;
static atomic_ulong looked;
static uint32_t first_uid, n_users;
static bool may_miss;

/* User n is called un.demo and has the number first_uid + n. */
static void *looker(void *seed)
{
    unsigned state = (unsigned)(uintptr_t)seed;
    while (!atomic_load(&stop)) {
        char name[32], buffer[ROOM];
        struct passwd user;
        int err = 0;
        uint32_t n = (uint32_t)rand_r(&state) % n_users;
        snprintf(name, sizeof name, "u%u.demo", n);
        enum nss_status status = n % 2 ? _nss_xos_getpwnam_r(name, &user, buffer, ROOM, &err)
                                       : _nss_xos_getpwuid_r(first_uid + n, &user, buffer, ROOM, &err);
        if (status == NSS_STATUS_SUCCESS) {
            if (strcmp(user.pw_name, name) != 0 || user.pw_uid != first_uid + n)
                die("nobody is taken for somebody else");
        } else if (!may_miss) {
            die("who is in the table is found");
        }
        if (atomic_fetch_add(&looked, 1) % 8 == 0)
            usleep(50000); /* so that a thousand of them leave the others a turn */
    }
    return NULL;
}

/* Threads that look up while the table is replaced by links to *files*, one after another, and while forks do the same. */
static void threads(int argc, char **argv)
{
    int count = atoi(argv[0]), seconds = atoi(argv[1]);
    first_uid = (uint32_t)strtoul(argv[2], NULL, 10);
    n_users = (uint32_t)strtoul(argv[3], NULL, 10);
    bool forking = strcmp(argv[4], "fork") == 0;
    may_miss = strcmp(argv[5], "miss") == 0;
    const char *table = argv[6];
    pthread_t *all = calloc((size_t)count, sizeof *all);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 * 1024);
    for (int i = 0; i < count; i++) {
        if (pthread_create(&all[i], &small, looker, (void *)(uintptr_t)(i + 1)) != 0)
            die("there are threads enough");
    }
    time_t until = time(NULL) + seconds;
    for (int round = 0; time(NULL) < until; round++) {
        char draft[4096];
        const char *source = argv[7 + round % (argc - 7)];
        snprintf(draft, sizeof draft, "%s.draft", table);
        if (link(source, draft) != 0 || rename(draft, table) != 0)
            die("the table can be replaced");
        unlink(draft); /* rename does nothing when both are links to one file */
        usleep(2000);
        if (!forking)
            continue;
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            char buffer[ROOM];
            struct passwd user;
            int err;
            for (uint32_t n = 0; n < 50; n++) {
                if (_nss_xos_getpwuid_r(first_uid + n % n_users, &user, buffer, ROOM, &err) != NSS_STATUS_SUCCESS)
                    _exit(1);
            }
            _exit(0);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            die("a child of a process with threads looks up as well");
    }
    atomic_store(&stop, true);
    for (int i = 0; i < count; i++)
        pthread_join(all[i], NULL);
    free(all);
    printf("ok %lu\n", atomic_load(&looked));
}

/* Nanoseconds of a look-up, each command in turn: `time ROUNDS WHAT TEXT...`. */
static void timed(int argc, char **argv)
{
    long rounds = atol(argv[0]);
    struct timespec begin, end;
    for (int i = 1; i + 1 < argc; i += 2) {
        char buffer[ROOM];
        struct passwd user;
        int err;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (long round = 0; round < rounds; round++) {
            if (strcmp(argv[i], "uid") == 0)
                _nss_xos_getpwuid_r((uid_t)strtoul(argv[i + 1], NULL, 10), &user, buffer, ROOM, &err);
            else
                _nss_xos_getpwnam_r(argv[i + 1], &user, buffer, ROOM, &err);
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        printf("%.0f\n", (double)((end.tv_sec - begin.tv_sec) * 1000000000L + end.tv_nsec - begin.tv_nsec) / (double)rounds);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    if (strcmp(argv[1], "threads") == 0)
        threads(argc - 2, argv + 2);
    else if (strcmp(argv[1], "time") == 0)
        timed(argc - 2, argv + 2);
    else if (strcmp(argv[1], "erange") == 0)
        erange(argv[2], argv[3]);
    else if (strcmp(argv[1], "memory") == 0)
        memory(argv[2], argv[3]);
    else if (strcmp(argv[1], "list") == 0)
        list();
    else if (strcmp(argv[1], "groups") == 0)
        look_groups(argv[2], atol(argv[3]), atol(argv[4]));
    else
        for (int i = 2; i + 1 <= argc - 1; i += 2)
            look(argv[i], argv[i + 1]);
    return 0;
}
