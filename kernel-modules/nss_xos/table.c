/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "table.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_SIZE 128u
#define VERSION 1u
#define PROBES 32u
#define MAX_RECORD (64u * 1024u)
#define RECORD_HEAD 24u

/* Where the fields of the header are. */
enum {
    AT_VERSION = 8,
    AT_HEAD_SIZE = 12,
    AT_CRC = 16,
    AT_REPLACED = 20,
    AT_FILE_SIZE = 24,
    AT_FLAGS = 40,
    AT_RANGES = 44,
    AT_SUFFIXES = 52,
    AT_INDEXES = 60,
    AT_USERS = 92,
    AT_GROUPS = 100,
};

static const uint32_t crc_of[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

/* CRC-32 (IEEE 802.3), as zlib's; four bits at a time, for little data and a small cache. */
static uint32_t crc32_more(uint32_t crc, const uint8_t *data, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ crc_of[crc & 15];
        crc = crc >> 4 ^ crc_of[crc & 15];
    }
    return ~crc;
}

/* Adler-32 (RFC 1950), as zlib's: a fifth of the time, and enough to know a record that was damaged. */
static uint32_t adler32(const uint8_t *data, size_t size)
{
    uint32_t low = 1, high = 0;
    while (size > 0) {
        size_t part = size < 5552 ? size : 5552; /* the sums still fit */
        size -= part;
        for (; part > 0; part--) {
            low += *data++;
            high += low;
        }
        low %= 65521;
        high %= 65521;
    }
    return high << 16 | low;
}

/* Whether a checksum is right; a fuzzer is let through to what lies behind. */
static bool sums_agree(uint32_t told, uint32_t found)
{
#ifdef XOS_FUZZING
    (void)told, (void)found;
    return true;
#else
    return told == found;
#endif
}

static uint32_t u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static uint64_t u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

static uint32_t id_hash(uint32_t id)
{
    uint32_t mixed = id * 0x9E3779B1u;
    return mixed ^ mixed >> 15;
}

/* Whether *count* things of *each* bytes at *offset* lie in *size* bytes. */
static bool fits(size_t size, uint32_t offset, uint64_t count, uint32_t each)
{
    return offset <= size && count <= (size - offset) / each;
}

/* Whether what the header points to lies in the file: the readers below rely on it. */
static bool parts_fit(const uint8_t *base, size_t size, uint32_t head)
{
    if (!fits(head, u32(base + AT_RANGES + 4), u32(base + AT_RANGES), 8) ||
        !fits(head, u32(base + AT_SUFFIXES + 4), u32(base + AT_SUFFIXES), 1))
        return false;
    for (unsigned index = 0; index < XOS_INDEXES; index++) {
        const uint8_t *at = base + AT_INDEXES + 8 * index;
        uint64_t buckets = (uint64_t)u32(at) + 1;
        if ((buckets & (buckets - 1)) != 0 || !fits(size, u32(at + 4), buckets, 8))
            return false;
    }
    return fits(size, u32(base + AT_USERS + 4), u32(base + AT_USERS), 4) &&
           fits(size, u32(base + AT_GROUPS + 4), u32(base + AT_GROUPS), 4);
}

bool xos_table_check(const uint8_t *base, size_t size)
{
    static const uint8_t zero[8];
    if (size < HEADER_SIZE || memcmp(base, "XOSTABLE", 8) != 0 || u32(base + AT_VERSION) != VERSION ||
        u64(base + AT_FILE_SIZE) != size)
        return false;
    uint32_t head = u32(base + AT_HEAD_SIZE);
    if (head < HEADER_SIZE || head > size)
        return false;
    /* CRC and *replaced* themselves count as zero. */
    uint32_t crc = crc32_more(0, base, AT_CRC);
    crc = crc32_more(crc, zero, sizeof zero);
    crc = crc32_more(crc, base + AT_FILE_SIZE, head - AT_FILE_SIZE);
    return sums_agree(u32(base + AT_CRC), crc) && parts_fit(base, size, head);
}

bool xos_table_map(struct xos_table *table, const char *path)
{
    struct stat found;
    bool done = false;
    void *base = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) || found.st_size < (off_t)HEADER_SIZE ||
        (uint64_t)found.st_size > UINT32_MAX)
        goto out;
    base = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        goto out;
    if (!xos_table_check(base, (size_t)found.st_size)) {
        munmap(base, (size_t)found.st_size);
        goto out;
    }
    *table = (struct xos_table){base, (size_t)found.st_size, found.st_dev, found.st_ino};
    done = true;
out:
    close(fd);
    return done;
}

void xos_table_unmap(struct xos_table *table)
{
    if (table->base != NULL)
        munmap((void *)(uintptr_t)table->base, table->size);
    *table = (struct xos_table){0};
}

bool xos_table_replaced(const struct xos_table *table)
{
    return *(const volatile uint32_t *)(const void *)(table->base + AT_REPLACED) != 0;
}

uint32_t xos_table_flags(const struct xos_table *table)
{
    return u32(table->base + AT_FLAGS);
}

bool xos_table_in_range(const struct xos_table *table, uint32_t number)
{
    uint32_t count = u32(table->base + AT_RANGES);
    const uint8_t *at = table->base + u32(table->base + AT_RANGES + 4);
    for (uint32_t i = 0; i < count; i++, at += 8) {
        if (u32(at) <= number && number <= u32(at + 4))
            return true;
    }
    return false;
}

bool xos_table_serves(const struct xos_table *table, const char *name, size_t length)
{
    const uint8_t *at = table->base + u32(table->base + AT_SUFFIXES + 4);
    const uint8_t *end = at + u32(table->base + AT_SUFFIXES);
    while (at < end) {
        const uint8_t *stop = memchr(at, 0, (size_t)(end - at));
        if (stop == NULL)
            return false;
        size_t suffix = (size_t)(stop - at);
        if (length > suffix + 1 && strchr(".@", name[length - suffix - 1]) != NULL &&
            name[length - suffix - 1] != '\0' && memcmp(name + length - suffix, at, suffix) == 0)
            return true;
        at = stop + 1;
    }
    return false;
}

/* The next string of a record that ends before *end*; NULL when there is none. */
static const char *next_string(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *start = *at;
    const uint8_t *stop = start < end ? memchr(start, 0, (size_t)(end - start)) : NULL;
    if (stop == NULL)
        return NULL;
    *at = stop + 1;
    return (const char *)start;
}

/* Read the record at *offset*. False when there is no sound one. */
static bool read_record(const struct xos_table *table, uint32_t offset, struct xos_entry *entry)
{
    if (offset % 8 != 0 || offset < HEADER_SIZE || !fits(table->size, offset, 1, RECORD_HEAD))
        return false;
    const uint8_t *record = table->base + offset;
    uint32_t size = u32(record + 4), kind = u32(record + 8), n_gids = u32(record + 12);
    if (size < RECORD_HEAD || size > MAX_RECORD || !fits(table->size, offset, size, 1) ||
        n_gids > (size - RECORD_HEAD) / 4 || (kind != XOS_USER && kind != XOS_GROUP) ||
        !sums_agree(u32(record), adler32(record + 4, size - 4)))
        return false;
    const uint8_t *at = record + RECORD_HEAD + 4 * n_gids, *end = record + size;
    *entry = (struct xos_entry){
        .kind = (enum xos_kind)kind,
        .id = u32(record + 16),
        .n_gids = n_gids,
        .gids = record + RECORD_HEAD,
        .name = next_string(&at, end),
    };
    if (entry->name == NULL || kind == XOS_GROUP)
        return entry->name != NULL;
    entry->own_group = next_string(&at, end);
    entry->home = next_string(&at, end);
    entry->shell = next_string(&at, end);
    return entry->own_group != NULL && entry->home != NULL && entry->shell != NULL;
}

/* What a look-up compares. */
struct wanted {
    enum xos_index index;
    const char *name; /* NULL: by id */
    uint32_t id;
};

/* Whether *entry* is the one; the own group of a user is found among groups under that group's name. */
static bool matches(const struct wanted *wanted, struct xos_entry *entry)
{
    bool groups = wanted->index == XOS_GROUPS_BY_NAME || wanted->index == XOS_GROUPS_BY_GID;
    if (!groups && entry->kind != XOS_USER)
        return false;
    if (groups && entry->kind == XOS_USER)
        *entry = (struct xos_entry){.kind = XOS_GROUP, .id = entry->id, .name = entry->own_group};
    return wanted->name != NULL ? strcmp(wanted->name, entry->name) == 0 : wanted->id == entry->id;
}

static bool find(const struct xos_table *table, const struct wanted *wanted, uint32_t hash, struct xos_entry *entry)
{
    const uint8_t *header = table->base + AT_INDEXES + 8 * (unsigned)wanted->index;
    uint32_t mask = u32(header);
    const uint8_t *buckets = table->base + u32(header + 4);
    for (uint32_t step = 0; step < PROBES && step <= mask; step++) {
        const uint8_t *bucket = buckets + (size_t)8 * ((hash + step) & mask);
        uint32_t offset = u32(bucket + 4);
        if (offset == 0)
            return false;
        if (u32(bucket) == hash && read_record(table, offset, entry) && matches(wanted, entry))
            return xos_table_in_range(table, entry->id);
    }
    return false;
}

bool xos_table_by_name(const struct xos_table *table, enum xos_index index, const char *name, struct xos_entry *entry)
{
    struct wanted wanted = {index, name, 0};
    return find(table, &wanted, crc32_more(0, (const uint8_t *)name, strlen(name)), entry);
}

bool xos_table_by_id(const struct xos_table *table, enum xos_index index, uint32_t id, struct xos_entry *entry)
{
    struct wanted wanted = {index, NULL, id};
    return find(table, &wanted, id_hash(id), entry);
}

bool xos_table_next(const struct xos_table *table, enum xos_kind kind, bool first, uint32_t after,
                    struct xos_entry *entry)
{
    const uint8_t *header = table->base + (kind == XOS_USER ? AT_USERS : AT_GROUPS);
    uint32_t low = 0, count = u32(header), high = count;
    const uint8_t *offsets = table->base + u32(header + 4);
    while (!first && low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (read_record(table, u32(offsets + (size_t)4 * middle), entry) && entry->id <= after)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < count; low++) {
        if (read_record(table, u32(offsets + (size_t)4 * low), entry) && entry->kind == kind &&
            (first || entry->id > after) && xos_table_in_range(table, entry->id))
            return true;
    }
    return false;
}
