/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "home.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEEPEST 16 /* of a skeleton: what is deeper is a loop or a mistake */

struct copy {
    uid_t uid;
    gid_t gid;
    int depth;
};

static bool copy_tree(int from, int to, struct copy copy);

static bool copy_bytes(int from, int to)
{
    char buffer[16384];

    for (;;) {
        ssize_t got = read(from, buffer, sizeof buffer);

        if (got <= 0)
            return got == 0;
        for (ssize_t done = 0; done < got;) {
            ssize_t put = write(to, buffer + done, (size_t)(got - done));

            if (put < 0)
                return false;
            done += put;
        }
    }
}

static bool copy_file(int from, int to, const char *name, mode_t mode, struct copy copy)
{
    int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int target = -1;
    bool fine = false;

    if (source < 0)
        return false;
    target = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (target < 0)
        goto out;
    fine = copy_bytes(source, target) && fchown(target, copy.uid, copy.gid) == 0 && fchmod(target, mode & 0755) == 0 &&
           fsync(target) == 0;

out:
    close(source);
    if (target >= 0)
        close(target);
    return fine;
}

static bool copy_link(int from, int to, const char *name, struct copy copy)
{
    char text[PATH_MAX];
    ssize_t length = readlinkat(from, name, text, sizeof text - 1);

    if (length < 0)
        return false;
    text[length] = '\0';
    return symlinkat(text, to, name) == 0 && fchownat(to, name, copy.uid, copy.gid, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool copy_directory(int from, int to, const char *name, mode_t mode, struct copy copy)
{
    int source = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int target = -1;
    bool fine = false;

    if (source < 0)
        return false;
    if (copy.depth >= DEEPEST) {
        errno = ELOOP;
        goto out;
    }
    copy.depth++;
    if (mkdirat(to, name, 0700) != 0 ||
        (target = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        goto out;
    fine = copy_tree(source, target, copy) && fchown(target, copy.uid, copy.gid) == 0 && fchmod(target, mode & 0755) == 0;

out:
    close(source);
    if (target >= 0)
        close(target);
    return fine;
}

static bool copy_entry(int from, int to, const char *name, struct copy copy)
{
    struct stat found;

    if (fstatat(from, name, &found, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    if (S_ISREG(found.st_mode))
        return copy_file(from, to, name, found.st_mode, copy);
    if (S_ISLNK(found.st_mode))
        return copy_link(from, to, name, copy);
    if (S_ISDIR(found.st_mode))
        return copy_directory(from, to, name, found.st_mode, copy);
    return true; /* sockets, devices: not a user's */
}

/* All that is in directory *from*, into *to*. */
static bool copy_tree(int from, int to, struct copy copy)
{
    int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = again < 0 ? NULL : fdopendir(again);
    bool fine = true;

    if (directory == NULL) {
        if (again >= 0)
            close(again);
        return false;
    }
    while (fine) {
        struct dirent *entry;

        errno = 0;
        if ((entry = readdir(directory)) == NULL) {
            fine = errno == 0;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            fine = copy_entry(from, to, entry->d_name, copy);
    }
    closedir(directory);
    return fine;
}

/* Remove what a copy left. *name* was made by us a moment ago, in a directory that only root may write. */
static void remove_tree(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);

    if (directory == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(directory), entry->d_name, 0) != 0)
            remove_tree(dirfd(directory), entry->d_name);
    }
    closedir(directory);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

/* The directory above *home*, and its last part in *name*. -1 with errno. */
static int open_parent(const char *home, const char **name)
{
    const char *slash = strrchr(home, '/');
    char above[PATH_MAX];
    size_t length;

    if (home[0] != '/' || slash == home || slash[1] == '\0' || strlen(home) >= sizeof above) {
        errno = EINVAL;
        return -1;
    }
    *name = slash + 1;
    length = (size_t)(slash - home);
    memcpy(above, home, length);
    above[length] = '\0';
    if (strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0) {
        errno = EINVAL;
        return -1;
    }
    return open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static enum xos_home judge(int parent, const char *name, uid_t uid)
{
    struct stat found;

    if (fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW) != 0)
        return XOS_HOME_FAILED;
    return S_ISDIR(found.st_mode) && found.st_uid == uid ? XOS_HOME_READY : XOS_HOME_FOREIGN;
}

static bool fill(int parent, const char *draft, const char *skeleton, struct copy copy)
{
    int to = openat(parent, draft, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int from = -1;
    bool fine = to >= 0;

    if (fine && skeleton != NULL && (from = open(skeleton, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0)
        fine = copy_tree(from, to, copy);
    fine = fine && fchown(to, copy.uid, copy.gid) == 0 && fchmod(to, 0700) == 0 && fsync(to) == 0;
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return fine;
}

enum xos_home xos_home_make(const char *home, const char *skeleton, uid_t uid, gid_t gid)
{
    enum xos_home result = XOS_HOME_FAILED;
    char draft[NAME_MAX + 1];
    const char *name = NULL;
    struct stat above;
    unsigned long long chance;
    int parent = open_parent(home, &name), error;

    if (parent < 0)
        return XOS_HOME_FAILED;
    result = judge(parent, name, uid);
    if (result != XOS_HOME_FAILED || errno != ENOENT)
        goto out;
    if (fstat(parent, &above) != 0)
        goto out;
    if (above.st_uid != 0 || (above.st_mode & 022) != 0) {
        result = XOS_HOME_UNSAFE;
        goto out;
    }
    if (getrandom(&chance, sizeof chance, 0) != sizeof chance)
        goto out;
    snprintf(draft, sizeof draft, ".%.200s.%016llx", name, chance);
    if (mkdirat(parent, draft, 0700) != 0)
        goto out;
    if (!fill(parent, draft, skeleton, (struct copy){.uid = uid, .gid = gid}) ||
        renameat2(parent, draft, parent, name, RENAME_NOREPLACE) != 0) {
        error = errno;
        remove_tree(parent, draft);
        errno = error;
        /* Another login of the same user may have been first. */
        if (errno == EEXIST)
            result = judge(parent, name, uid);
        goto out;
    }
    result = fsync(parent) == 0 ? XOS_HOME_READY : XOS_HOME_FAILED;

out:
    error = errno;
    close(parent);
    errno = error;
    return result;
}
