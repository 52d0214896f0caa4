/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of VO accounts that xos-amsd writes and every process maps; packages/node/src/xos/node/table.py tells its
 * form. Whatever the file holds, reading it never goes beyond it and never finds an entry whose checksum is wrong. */
#ifndef XOS_TABLE_H
#define XOS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XOS_TABLE_ENUMERATE 1u

enum xos_kind { XOS_USER = 1, XOS_GROUP = 2 };
enum xos_index { XOS_USERS_BY_NAME, XOS_USERS_BY_UID, XOS_GROUPS_BY_NAME, XOS_GROUPS_BY_GID, XOS_INDEXES };

/* A mapped file. All zero: none. */
struct xos_table {
    const uint8_t *base;
    size_t size;
    uint64_t device, inode; /* which file it is */
};

/* An entry; its strings and gids lie in the mapping, or wherever the entry was made from. */
struct xos_entry {
    enum xos_kind kind;
    uint32_t id;
    uint32_t n_gids;
    const uint8_t *gids; /* little-endian, not aligned */
    const char *name;
    const char *own_group; /* users only, as are home and shell */
    const char *home;
    const char *shell;
};

/* Map the file at *path*. False when it is missing, or no whole table of this version. */
bool xos_table_map(struct xos_table *table, const char *path);
void xos_table_unmap(struct xos_table *table);
/* Whether the bytes are a table: what xos_table_map asks of a file. */
bool xos_table_check(const uint8_t *base, size_t size);
/* Whether a newer file has taken, or is about to take, the name of this one. */
bool xos_table_replaced(const struct xos_table *table);

uint32_t xos_table_flags(const struct xos_table *table);
/* Whether *number* is in a range of some VO. */
bool xos_table_in_range(const struct xos_table *table, uint32_t number);
/* Whether *name* ends with a dot (accounts, groups) or an at (accounts' own groups) and the suffix of a VO served here. */
bool xos_table_serves(const struct xos_table *table, const char *name, size_t length);

bool xos_table_by_name(const struct xos_table *table, enum xos_index index, const char *name, struct xos_entry *entry);
bool xos_table_by_id(const struct xos_table *table, enum xos_index index, uint32_t id, struct xos_entry *entry);
/* The first entry with a number above *after*; *first*: the first of all. */
bool xos_table_next(const struct xos_table *table, enum xos_kind kind, bool first, uint32_t after,
                    struct xos_entry *entry);

#endif
