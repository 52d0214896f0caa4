/* SPDX-License-Identifier: BSD-3-Clause
 *
 * For libFuzzer: the first byte says which parser gets the rest. Besides what the sanitizers notice, it is checked that
 * what is written can be read again.
 */
#define _GNU_SOURCE
#include "limits.h"
#include "message.h"
#include "ssh_info.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void read_message(const char *data, size_t size)
{
    static const char *const names[] = {"ok", "error", "message", "uid", "keyring", "expires", ""};
    size_t fields = 0;

    if (!xos_message_valid(data, size))
        return;
    for (const char *field = NULL; (field = xos_message_next(data, size, field)) != NULL; fields++)
        must(strchr(field, '=') != NULL);
    must(fields > 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = xos_message_get(data, size, names[i]);
        unsigned long long number;

        must(value == NULL || (value > data && value < data + size));
        (void)xos_number(value, UINT32_MAX, &number);
    }
}

static void write_message(const uint8_t *data, size_t size)
{
    struct xos_message message = {0};
    const char *value;
    unsigned char *back;
    size_t length = 0;

    xos_message_add_base64(&message, "binary", data, size);
    must(!message.failed);
    value = xos_message_get(message.data, message.used, "binary");
    back = xos_base64(value, &length);
    must(back != NULL && length == size && memcmp(back, data, size) == 0);
    free(back);
    xos_message_free(&message);
}

static void read_text(const char *text)
{
    unsigned long long number;
    struct rlimit limit;
    size_t length = 0;
    const char *found = xos_ssh_certificate(text, &length);
    unsigned char *bytes;

    must(found == NULL || (length > 0 && found + length <= text + strlen(text)));
    if (xos_number(text, 1000, &number))
        must(number <= 1000);
    if (xos_limit(text, &limit))
        must(limit.rlim_cur <= limit.rlim_max);
    bytes = xos_base64(text, &length);
    must(bytes == NULL || length <= strlen(text));
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;

    if (size == 0)
        return 0;
    /* A copy of exactly that length, so that reading beyond it is noticed. */
    if ((text = malloc(size)) == NULL)
        return 0;
    memcpy(text, data + 1, size - 1);
    if (data[0] % 3 == 0)
        read_message(text, size - 1);
    else if (data[0] % 3 == 1)
        write_message(data + 1, size - 1);
    else {
        text[size - 1] = '\0';
        read_text(text);
    }
    free(text);
    return 0;
}
