/* SPDX-License-Identifier: BSD-3-Clause */
/* libFuzzer: whatever a table holds, reading it stays inside of it. Checksums are passed over, so that what lies behind
 * them is reached too (-DXOS_FUZZING). */
#include "../../../kernel-modules/nss_xos/table.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* of just this size, so that a step beyond is seen */
    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    if (size >= HEADER_SIZE) { /* what any file would get right */
        uint64_t length = htole64(size);
        memcpy(copy, "XOSTABLE\1\0\0\0", 12);
        memcpy(copy + AT_FILE_SIZE, &length, 8);
    }
    if (xos_table_check(copy, size)) {
        struct xos_table table = {copy, size, 0, 0};
        struct xos_entry entry;
        xos_table_replaced(&table);
        xos_table_serves(&table, "alice.demo", 10);
        for (unsigned index = 0; index < XOS_INDEXES; index++) {
            xos_table_by_name(&table, index, "alice.demo", &entry);
            xos_table_by_name(&table, index, "users.demo", &entry);
            for (uint32_t id = 1900000000; id < 1900000008; id++)
                xos_table_by_id(&table, index, id, &entry);
        }
        bool more = xos_table_next(&table, XOS_USER, true, 0, &entry);
        for (int i = 0; more && i < 100; i++)
            more = xos_table_next(&table, XOS_USER, false, entry.id, &entry);
        more = xos_table_next(&table, XOS_GROUP, true, 0, &entry);
        for (int i = 0; more && i < 100; i++)
            more = xos_table_next(&table, XOS_GROUP, false, entry.id, &entry);
    }
    free(copy);
    return 0;
}
