/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "message.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Room for *length* more bytes; the old ones are overwritten when they move. */
static char *room(struct xos_message *message, size_t length)
{
    if (message->failed != 0)
        return NULL;
    if (length > XOS_MESSAGE_MAX - message->used) {
        message->failed = EMSGSIZE;
        return NULL;
    }
    if (message->used + length > message->size) {
        size_t size = (message->used + length) * 2;
        char *data = malloc(size);

        if (data == NULL) {
            message->failed = ENOMEM;
            return NULL;
        }
        if (message->data != NULL) {
            memcpy(data, message->data, message->used);
            explicit_bzero(message->data, message->size);
            free(message->data);
        }
        message->data = data;
        message->size = size;
    }
    message->used += length;
    return message->data + message->used - length;
}

static char *name_field(struct xos_message *message, const char *name, size_t length)
{
    size_t name_length = strlen(name);
    char *field;

    if (length > XOS_MESSAGE_MAX)
        message->failed = EMSGSIZE;
    if ((field = room(message, name_length + 1 + length + 1)) == NULL)
        return NULL;
    memcpy(field, name, name_length);
    field[name_length] = '=';
    field[name_length + 1 + length] = '\0';
    return field + name_length + 1;
}

void xos_message_add_bytes(struct xos_message *message, const char *name, const char *value, size_t length)
{
    char *place;

    if (memchr(value, '\0', length) != NULL) {
        message->failed = EINVAL;
        return;
    }
    place = name_field(message, name, length);
    if (place != NULL)
        memcpy(place, value, length);
}

void xos_message_add(struct xos_message *message, const char *name, const char *value)
{
    xos_message_add_bytes(message, name, value, strlen(value));
}

void xos_message_add_base64(struct xos_message *message, const char *name, const void *value, size_t length)
{
    const unsigned char *from = value;
    char *to = name_field(message, name, length > XOS_MESSAGE_MAX ? length : (length + 2) / 3 * 4);

    if (to == NULL)
        return;
    for (size_t i = 0; i < length; i += 3) {
        uint32_t three = (uint32_t)from[i] << 16;

        three |= i + 1 < length ? (uint32_t)from[i + 1] << 8 : 0;
        three |= i + 2 < length ? from[i + 2] : 0;
        *to++ = alphabet[three >> 18];
        *to++ = alphabet[three >> 12 & 63];
        *to++ = i + 1 < length ? alphabet[three >> 6 & 63] : '=';
        *to++ = i + 2 < length ? alphabet[three & 63] : '=';
    }
}

void xos_message_free(struct xos_message *message)
{
    if (message->data != NULL)
        explicit_bzero(message->data, message->size);
    free(message->data);
    *message = (struct xos_message){0};
}

bool xos_message_valid(const char *data, size_t size)
{
    if (size == 0 || size > XOS_MESSAGE_MAX || data[size - 1] != '\0')
        return false;
    for (const char *field = data; field < data + size; field += strlen(field) + 1) {
        const char *equals = strchr(field, '=');

        if (equals == NULL || equals == field)
            return false;
    }
    return true;
}

const char *xos_message_next(const char *data, size_t size, const char *field)
{
    const char *next = field == NULL ? data : field + strlen(field) + 1;

    return next < data + size ? next : NULL;
}

const char *xos_message_get(const char *data, size_t size, const char *name)
{
    size_t length = strlen(name);

    for (const char *field = NULL; (field = xos_message_next(data, size, field)) != NULL;)
        if (strncmp(field, name, length) == 0 && field[length] == '=')
            return field + length + 1;
    return NULL;
}

bool xos_number(const char *text, unsigned long long most, unsigned long long *number)
{
    unsigned long long value = 0;

    if (text == NULL || *text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        unsigned digit = (unsigned)(*text - '0');

        if (*text < '0' || *text > '9' || digit > most || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

unsigned char *xos_base64(const char *text, size_t *length)
{
    size_t size = strlen(text), used = 0;
    unsigned char *data;
    uint32_t four = 0;

    if (size % 4 != 0 || size > XOS_MESSAGE_MAX || (data = malloc(size / 4 * 3 + 1)) == NULL)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        const char *letter = memchr(alphabet, text[i], sizeof alphabet - 1);
        /* Padding: one or two at the very end, and then nothing else. */
        bool padding = text[i] == '=' && (i + 1 == size || (i + 2 == size && text[i + 1] == '='));

        if (letter == NULL && !padding)
            goto refused;
        four = four << 6 | (padding ? 0 : (uint32_t)(letter - alphabet));
        if (i % 4 == 3) {
            data[used++] = (unsigned char)(four >> 16);
            data[used++] = (unsigned char)(four >> 8);
            data[used++] = (unsigned char)four;
            four = 0;
        }
    }
    *length = used - (size > 0 && text[size - 1] == '=') - (size > 1 && text[size - 2] == '=');
    return data;

refused:
    free(data);
    return NULL;
}
