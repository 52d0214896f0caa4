/* SPDX-License-Identifier: BSD-3-Clause */
/* libnss_xos.so.2: VO users and groups for getpwnam(3) and its like. It answers for names that end with the suffix of a
 * VO that this node serves and for numbers in those VOs' ranges, and for nothing else; nothing is answered for id 0.
 *
 * What is known comes from a table (table.h, cache.h); xos-amsd is only asked for what that does not hold. Nothing is
 * allocated but by initgroups, which must; errno is kept. */
#define _GNU_SOURCE
#include "cache.h"
#include "daemon.h"

#include <endian.h>
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <shadow.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define LONGEST_NAME 255

EXPORT enum nss_status _nss_xos_getpwnam_r(const char *name, struct passwd *result, char *buffer, size_t size, int *err);
EXPORT enum nss_status _nss_xos_getpwuid_r(uid_t uid, struct passwd *result, char *buffer, size_t size, int *err);
EXPORT enum nss_status _nss_xos_getgrnam_r(const char *name, struct group *result, char *buffer, size_t size, int *err);
EXPORT enum nss_status _nss_xos_getgrgid_r(gid_t gid, struct group *result, char *buffer, size_t size, int *err);
EXPORT enum nss_status _nss_xos_getspnam_r(const char *name, struct spwd *result, char *buffer, size_t size, int *err);
EXPORT enum nss_status _nss_xos_initgroups_dyn(const char *user, gid_t group, long *start, long *size, gid_t **groups,
                                               long limit, int *err);
EXPORT enum nss_status _nss_xos_setpwent(int stay_open);
EXPORT enum nss_status _nss_xos_getpwent_r(struct passwd *result, char *buffer, size_t size, int *err);
EXPORT enum nss_status _nss_xos_endpwent(void);
EXPORT enum nss_status _nss_xos_setgrent(int stay_open);
EXPORT enum nss_status _nss_xos_getgrent_r(struct group *result, char *buffer, size_t size, int *err);
EXPORT enum nss_status _nss_xos_endgrent(void);

/* What a look-up found, and what has to stay until the caller has a copy. */
struct found {
    struct xos_hold hold;
    bool held;
    struct xos_entry entry;
    struct xos_answer answer;
};

/* What is looked for: a name, or an id. */
struct query {
    enum xos_index index;
    const char *name; /* NULL: by id */
    uint32_t id;
};

static enum nss_status not_found(int *err)
{
    *err = ENOENT;
    return NSS_STATUS_NOTFOUND;
}

/* The daemon itself, and the first process, on which it depends, must not wait for the daemon. */
static bool may_ask(void)
{
    return getpid() != 1 && secure_getenv("XOS_NSS_TABLE_ONLY") == NULL;
}

static enum xos_reply ask(struct found *found, const struct query *query)
{
    char number[16];
    bool group = query->index == XOS_GROUPS_BY_NAME || query->index == XOS_GROUPS_BY_GID;
    if (!may_ask())
        return XOS_AWAY;
    if (query->name != NULL)
        return xos_daemon_ask(&found->answer, group ? "group" : "name", query->name);
    snprintf(number, sizeof number, "%u", query->id);
    return xos_daemon_ask(&found->answer, group ? "gid" : "uid", number);
}

/* Whether the daemon's entry is an answer to the question: a wrong one must not become anybody's identity. */
static bool fits_query(const struct found *found, const struct query *query)
{
    const struct xos_entry *entry = &found->answer.entry;
    bool group = query->index == XOS_GROUPS_BY_NAME || query->index == XOS_GROUPS_BY_GID;
    return entry->kind == (group ? XOS_GROUP : XOS_USER) && xos_table_in_range(&found->hold.table, entry->id) &&
           (query->name != NULL ? strcmp(entry->name, query->name) == 0 : entry->id == query->id);
}

/* Find it; release() afterwards in every case. */
static enum nss_status look_up(struct found *found, const struct query *query)
{
    found->held = false;
    if (query->name == NULL && query->id == 0)
        return NSS_STATUS_NOTFOUND;
    if (query->name != NULL && (strpbrk(query->name, ".@") == NULL || strlen(query->name) > LONGEST_NAME))
        return NSS_STATUS_NOTFOUND;
    found->held = xos_cache_take(&found->hold);
    if (!found->held)
        return NSS_STATUS_UNAVAIL;
    const struct xos_table *table = &found->hold.table;
    if (query->name != NULL ? !xos_table_serves(table, query->name, strlen(query->name))
                            : !xos_table_in_range(table, query->id))
        return NSS_STATUS_NOTFOUND;
    if (query->name != NULL ? xos_table_by_name(table, query->index, query->name, &found->entry)
                            : xos_table_by_id(table, query->index, query->id, &found->entry))
        return NSS_STATUS_SUCCESS;
    switch (ask(found, query)) {
    case XOS_FOUND:
        found->entry = found->answer.entry;
        return fits_query(found, query) ? NSS_STATUS_SUCCESS : NSS_STATUS_NOTFOUND;
    case XOS_UNKNOWN:
        return NSS_STATUS_NOTFOUND;
    default:
        return NSS_STATUS_UNAVAIL;
    }
}

static void release(struct found *found)
{
    if (found->held)
        xos_cache_release(&found->hold);
}

/* Copy *text* to where *buffer* points and move that on. NULL: no room. */
static char *put(char **buffer, size_t *size, const char *text)
{
    size_t length = strlen(text) + 1;
    if (length > *size)
        return NULL;
    char *copy = memcpy(*buffer, text, length);
    *buffer += length;
    *size -= length;
    return copy;
}

static enum nss_status no_room(int *err)
{
    *err = ERANGE;
    return NSS_STATUS_TRYAGAIN;
}

static enum nss_status fill_passwd(const struct xos_entry *entry, struct passwd *result, char *buffer, size_t size,
                                   int *err)
{
    result->pw_uid = entry->id;
    result->pw_gid = entry->id;
    if ((result->pw_name = put(&buffer, &size, entry->name)) == NULL ||
        (result->pw_passwd = put(&buffer, &size, "*")) == NULL ||
        (result->pw_gecos = put(&buffer, &size, entry->own_group)) == NULL ||
        (result->pw_dir = put(&buffer, &size, entry->home)) == NULL ||
        (result->pw_shell = put(&buffer, &size, entry->shell)) == NULL)
        return no_room(err);
    return NSS_STATUS_SUCCESS;
}

/* Members are not listed: nobody needs them who asks for a user's groups, and there may be a hundred thousand. */
static enum nss_status fill_group(const struct xos_entry *entry, struct group *result, char *buffer, size_t size,
                                  int *err)
{
    size_t padding = -(uintptr_t)buffer % sizeof(char *);
    if (size < padding + sizeof(char *))
        return no_room(err);
    result->gr_mem = (char **)(void *)(buffer + padding);
    result->gr_mem[0] = NULL;
    buffer += padding + sizeof(char *);
    size -= padding + sizeof(char *);
    result->gr_gid = entry->id;
    if ((result->gr_name = put(&buffer, &size, entry->name)) == NULL ||
        (result->gr_passwd = put(&buffer, &size, "*")) == NULL)
        return no_room(err);
    return NSS_STATUS_SUCCESS;
}

static enum nss_status give_passwd(const struct query *query, struct passwd *result, char *buffer, size_t size,
                                   int *err)
{
    struct found found;
    int before = errno;
    enum nss_status status = look_up(&found, query);
    status = status == NSS_STATUS_SUCCESS ? fill_passwd(&found.entry, result, buffer, size, err) : (not_found(err), status);
    release(&found);
    errno = before;
    return status;
}

static enum nss_status give_group(const struct query *query, struct group *result, char *buffer, size_t size, int *err)
{
    struct found found;
    int before = errno;
    enum nss_status status = look_up(&found, query);
    status = status == NSS_STATUS_SUCCESS ? fill_group(&found.entry, result, buffer, size, err) : (not_found(err), status);
    release(&found);
    errno = before;
    return status;
}

enum nss_status _nss_xos_getpwnam_r(const char *name, struct passwd *result, char *buffer, size_t size, int *err)
{
    struct query query = {XOS_USERS_BY_NAME, name, 0};
    return give_passwd(&query, result, buffer, size, err);
}

enum nss_status _nss_xos_getpwuid_r(uid_t uid, struct passwd *result, char *buffer, size_t size, int *err)
{
    struct query query = {XOS_USERS_BY_UID, NULL, uid};
    return give_passwd(&query, result, buffer, size, err);
}

enum nss_status _nss_xos_getgrnam_r(const char *name, struct group *result, char *buffer, size_t size, int *err)
{
    struct query query = {XOS_GROUPS_BY_NAME, name, 0};
    return give_group(&query, result, buffer, size, err);
}

enum nss_status _nss_xos_getgrgid_r(gid_t gid, struct group *result, char *buffer, size_t size, int *err)
{
    struct query query = {XOS_GROUPS_BY_GID, NULL, gid};
    return give_group(&query, result, buffer, size, err);
}

/* No password is ever right, and none expires. */
enum nss_status _nss_xos_getspnam_r(const char *name, struct spwd *result, char *buffer, size_t size, int *err)
{
    struct query query = {XOS_USERS_BY_NAME, name, 0};
    struct found found;
    int before = errno;
    enum nss_status status = look_up(&found, &query);
    if (status != NSS_STATUS_SUCCESS) {
        *err = ENOENT;
    } else {
        *result = (struct spwd){
            .sp_lstchg = -1, .sp_min = -1, .sp_max = -1, .sp_warn = -1, .sp_inact = -1, .sp_expire = -1, .sp_flag = ~0ul,
        };
        if ((result->sp_namp = put(&buffer, &size, found.entry.name)) == NULL ||
            (result->sp_pwdp = put(&buffer, &size, "*")) == NULL)
            status = no_room(err);
    }
    release(&found);
    errno = before;
    return status;
}

/* The caller's list of numbers, as glibc hands it over: it may be grown up to *limit* (not above 0: as far as memory). */
struct list {
    long *start, *size;
    gid_t **groups;
    long limit;
};

static bool has_gid(const struct list *list, gid_t gid)
{
    for (long i = 0; i < *list->start; i++) {
        if ((*list->groups)[i] == gid)
            return true;
    }
    return false;
}

/* Make room for one more. False: there is no memory. */
static bool grow(const struct list *list)
{
    long larger = *list->size > 0 ? 2 * *list->size : 16;
    if (list->limit > 0 && larger > list->limit)
        larger = list->limit;
    gid_t *moved = realloc(*list->groups, (size_t)larger * sizeof **list->groups);
    if (moved == NULL)
        return false;
    *list->groups = moved;
    *list->size = larger;
    return true;
}

static enum nss_status add_gids(const struct list *list, const struct found *found, gid_t but, int *err)
{
    for (uint32_t i = 0; i < found->entry.n_gids; i++) {
        uint32_t gid;
        memcpy(&gid, found->entry.gids + (size_t)4 * i, 4);
        gid = le32toh(gid);
        if (gid == 0 || gid == but || !xos_table_in_range(&found->hold.table, gid) || has_gid(list, gid))
            continue;
        if (*list->start == *list->size) {
            if (list->limit > 0 && *list->size >= list->limit)
                break; /* the caller wants no more */
            if (!grow(list)) {
                *err = ENOMEM;
                return NSS_STATUS_TRYAGAIN;
            }
        }
        (*list->groups)[(*list->start)++] = gid;
    }
    return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_xos_initgroups_dyn(const char *user, gid_t group, long *start, long *size, gid_t **groups,
                                        long limit, int *err)
{
    struct query query = {XOS_USERS_BY_NAME, user, 0};
    struct list list = {start, size, groups, limit};
    struct found found;
    int before = errno;
    enum nss_status status = look_up(&found, &query);
    if (status == NSS_STATUS_SUCCESS)
        status = add_gids(&list, &found, group, err);
    else
        *err = ENOENT;
    release(&found);
    errno = before;
    return status;
}

/* Listing, for nodes that want it. glibc serialises these calls; a number says where we are, so that nothing that is
 * looked up in between moves it. */
struct listing {
    atomic_uint last;
    atomic_bool first;
};
static struct listing users = {0, true}, groups_listed = {0, true};

static enum nss_status begin(struct listing *listing)
{
    atomic_store(&listing->first, true);
    return NSS_STATUS_SUCCESS;
}

static enum nss_status following(struct listing *listing, enum xos_kind kind, struct found *found, int *err)
{
    found->held = xos_cache_take(&found->hold);
    if (!found->held || !(xos_table_flags(&found->hold.table) & XOS_TABLE_ENUMERATE) ||
        !xos_table_next(&found->hold.table, kind, atomic_load(&listing->first), atomic_load(&listing->last),
                        &found->entry))
        return not_found(err);
    return NSS_STATUS_SUCCESS;
}

static void advance(struct listing *listing, const struct found *found)
{
    atomic_store(&listing->last, found->entry.id);
    atomic_store(&listing->first, false);
}

enum nss_status _nss_xos_setpwent(int stay_open)
{
    (void)stay_open;
    return begin(&users);
}

enum nss_status _nss_xos_endpwent(void)
{
    return begin(&users);
}

enum nss_status _nss_xos_getpwent_r(struct passwd *result, char *buffer, size_t size, int *err)
{
    struct found found;
    int before = errno;
    enum nss_status status = following(&users, XOS_USER, &found, err);
    if (status == NSS_STATUS_SUCCESS) {
        status = fill_passwd(&found.entry, result, buffer, size, err);
        if (status == NSS_STATUS_SUCCESS)
            advance(&users, &found);
    }
    release(&found);
    errno = before;
    return status;
}

enum nss_status _nss_xos_setgrent(int stay_open)
{
    (void)stay_open;
    return begin(&groups_listed);
}

enum nss_status _nss_xos_endgrent(void)
{
    return begin(&groups_listed);
}

enum nss_status _nss_xos_getgrent_r(struct group *result, char *buffer, size_t size, int *err)
{
    struct found found;
    int before = errno;
    enum nss_status status = following(&groups_listed, XOS_GROUP, &found, err);
    if (status == NSS_STATUS_SUCCESS) {
        status = fill_group(&found.entry, result, buffer, size, err);
        if (status == NSS_STATUS_SUCCESS)
            advance(&groups_listed, &found);
    }
    release(&found);
    errno = before;
    return status;
}
