// SPDX-License-Identifier: Apache-2.0
#include "common/text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/own.h"

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The bytes of the UTF-8 character at s (RFC 3629), or 0 if there is none. */
static size_t character_size(const char *s)
{
    static const uint8_t lead_masks[] = {0x7F, 0x1F, 0x0F, 0x07};
    static const uint32_t lowest[] = {0, 0x80, 0x800, 0x10000};
    unsigned char lead = (unsigned char)*s;
    if (lead >= 0x80 && (lead < 0xC0 || lead >= 0xF8))
        return 0;
    size_t more = lead < 0x80 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    uint32_t point = lead & lead_masks[more];
    for (size_t i = 1; i <= more; i++) {
        if (((unsigned char)s[i] & 0xC0) != 0x80)
            return 0; /* also at the NUL */
        point = point << 6 | ((unsigned char)s[i] & 0x3F);
    }
    if (point < lowest[more] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
        return 0;
    return more + 1;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int base64_value(char c)
{
    const char *found = c ? strchr(base64_digits, c) : NULL;
    return found ? (int)(found - base64_digits) : -1;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* RFC 3986, 2.3 */
static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* Four characters, of which the last pad are '='; the bits that they leave over must be zero. */
static bool parse_quantum(const char *text, size_t pad, uint8_t ret_bytes[3])
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - pad ? base64_value(text[i]) : 0;
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
    }
    ret_bytes[0] = (uint8_t)(bits >> 16);
    ret_bytes[1] = (uint8_t)(bits >> 8);
    ret_bytes[2] = (uint8_t)bits;
    return (bits & ((1u << 8 * pad) - 1)) == 0;
}

bool text_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_is_word(const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return strspn(text, letters) > 0 && text[strspn(text, all)] == '\0';
}

void text_duration(int64_t ms, char ret_text[24])
{
    uint64_t tenths = ms > 0 ? ((uint64_t)ms + 50) / 100 : 0;
    uint64_t seconds = tenths / 10, minutes = seconds / 60, hours = minutes / 60;
    if (minutes == 0)
        snprintf(ret_text, 24, "%ju.%ju s", (uintmax_t)seconds, (uintmax_t)(tenths % 10));
    else if (hours == 0)
        snprintf(ret_text, 24, "%ju m %02ju s", (uintmax_t)minutes, (uintmax_t)(seconds % 60));
    else
        snprintf(ret_text, 24, "%ju h %02ju m", (uintmax_t)hours, (uintmax_t)(minutes % 60));
}

void text_age(int64_t ms, char ret_text[24])
{
    static const struct {
        const char *name;
        uint64_t seconds, enough; /* from twice the next unit on, that one says enough */
    } units[] = {
        {"s", 1, 120}, {"m", 60, 120 * 60}, {"h", 3600, 48 * 3600}, {"d", 86400, UINT64_MAX}};
    const uint64_t seconds = ms > 0 ? (uint64_t)ms / 1000 : 0;
    size_t unit = 0;
    while (seconds >= units[unit].enough)
        unit++;
    snprintf(ret_text, 24, "%ju %s", (uintmax_t)(seconds / units[unit].seconds), units[unit].name);
}

void text_size(uint64_t bytes, char ret_text[16])
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    if (bytes < 1000) {
        snprintf(ret_text, 16, "%u B", (unsigned)bytes);
        return;
    }
    size_t unit = 0;
    uint64_t one = 1000;
    /* the next unit as soon as this one would round up to four digits */
    while (unit + 1 < ARRAY_SIZE(units) && bytes >= one * 1000 - one / 2) {
        one *= 1000;
        unit++;
    }
    uint64_t tenths = bytes / (one / 10) + (bytes % (one / 10) >= one / 20);
    if (tenths < 1000)
        snprintf(ret_text, 16, "%u.%u %s", (unsigned)(tenths / 10), (unsigned)(tenths % 10),
                 units[unit]);
    else
        snprintf(ret_text, 16, "%u %s", (unsigned)(bytes / one + (bytes % one >= one / 2)),
                 units[unit]);
}

char *text_percent(const char *text, bool keep_slash)
{
    char *encoded = own_resize(NULL, strlen(text) + 1, 3), *to = encoded;
    for (; *text; text++) {
        if (is_unreserved(*text) || (keep_slash && *text == '/'))
            *to++ = *text;
        else
            to += snprintf(to, 4, "%%%02X", (unsigned char)*text);
    }
    *to = '\0';
    return encoded;
}

char *text_base64(const void *data, size_t size)
{
    const uint8_t *from = data;
    char *text = own_resize(NULL, size / 3 + 2, 4), *to = text;
    for (size_t i = 0; i < size; i += 3, to += 4) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)from[i] << 16 | (left > 1 ? (uint32_t)from[i + 1] << 8 : 0) |
                        (left > 2 ? from[i + 2] : 0u);
        to[0] = base64_digits[bits >> 18];
        to[1] = base64_digits[bits >> 12 & 63];
        to[2] = left > 1 ? base64_digits[bits >> 6 & 63] : '=';
        to[3] = left > 2 ? base64_digits[bits & 63] : '=';
    }
    *to = '\0';
    return text;
}

bool text_parse_base64(const char *text, size_t text_size, void *ret_data, size_t capacity,
                       size_t *ret_size)
{
    while (text_size > 0 && is_space(text[text_size - 1]))
        text_size--;
    if (text_size % 4 != 0)
        return false;
    size_t size = 0;
    for (size_t i = 0; i < text_size; i += 4) {
        size_t pad = 0;
        if (i + 4 == text_size && text[i + 3] == '=')
            pad = text[i + 2] == '=' ? 2 : 1;
        uint8_t bytes[3];
        if (!parse_quantum(text + i, pad, bytes) || 3 - pad > capacity - size)
            return false;
        memcpy((uint8_t *)ret_data + size, bytes, 3 - pad);
        size += 3 - pad;
    }
    *ret_size = size;
    return true;
}

bool text_parse_hex(const char *text, void *ret_data, size_t size)
{
    uint8_t *data = ret_data;
    for (size_t i = 0; i < size; i++, text += 2) {
        int high = hex_value(text[0]);
        int low = high < 0 ? -1 : hex_value(text[1]);
        if (low < 0)
            return false;
        data[i] = (uint8_t)(high << 4 | low);
    }
    return *text == '\0';
}

void text_hex(const void *data, size_t size, char *ret_text)
{
    const uint8_t *from = data;
    for (size_t i = 0; i < size; i++) {
        *ret_text++ = "0123456789abcdef"[from[i] >> 4];
        *ret_text++ = "0123456789abcdef"[from[i] & 15];
    }
    *ret_text = '\0';
}

char *text_escape(const char *text)
{
    char *escaped = own_resize(NULL, strlen(text) + 1, sizeof("\\xNN") - 1), *to = escaped;
    while (*text) {
        size_t size = character_size(text);
        if (size > 1 || (size == 1 && !iscntrl((unsigned char)*text))) {
            memcpy(to, text, size);
            to += size;
            text += size;
        } else {
            to += snprintf(to, sizeof("\\xNN"), "\\x%02x", (unsigned char)*text++);
        }
    }
    *to = '\0';
    return escaped;
}

void text_fit(const char *text, char *ret_text, size_t capacity)
{
    static const char ellipsis[] = "…";
    CLEANUP(own_freep) char *escaped = text_escape(text);
    size_t size = strlen(escaped);
    const char *end = "";
    if (size >= capacity) {
        end = ellipsis;
        size = capacity - sizeof(ellipsis);
        while (size > 0 && ((unsigned char)escaped[size] & 0xC0) == 0x80)
            size--; /* within a character */
    }
    memcpy(ret_text, escaped, size);
    memcpy(ret_text + size, end, strlen(end) + 1);
}

void text_append(char *text, size_t capacity, const char *format, ...)
{
    const size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, capacity - used, format, args);
    va_end(args);
}
