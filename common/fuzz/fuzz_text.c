// SPDX-License-Identifier: Apache-2.0
/* Reads any text as base64, hexadecimal and times; what is accepted comes back when written. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/own.h"
#include "common/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static void read_base64(const char *text, size_t size)
{
    CLEANUP(own_freep) uint8_t *decoded = own_alloc(size);
    size_t decoded_size;
    if (!text_parse_base64(text, size, decoded, size, &decoded_size))
        return;
    CLEANUP(own_freep) char *encoded = text_base64(decoded, decoded_size);
    expect(strncmp(text, encoded, strlen(encoded)) == 0);
}

static void read_hex(const char *text)
{
    size_t size = strlen(text) / 2;
    CLEANUP(own_freep) uint8_t *decoded = own_alloc(size);
    if (!text_parse_hex(text, decoded, size))
        return;
    CLEANUP(own_freep) char *encoded = own_alloc(2 * size + 1);
    text_hex(decoded, size, encoded);
    expect(strcasecmp(text, encoded) == 0);
}

static void read_times(const char *text)
{
    char formatted[CLOCK_TEXT_BYTES];
    int64_t ms, again;
    if (clock_parse(text, &ms)) {
        clock_format_basic(ms, formatted);
        if (ms >= INT64_C(-62167219200000) && ms < INT64_C(253402300800000)) /* years 0 to 9999 */
            expect(clock_parse(formatted, &again) && again <= ms && ms - again < 1000);
    }
    (void)clock_parse_http(text, &ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(own_freep) char *text = own_alloc(size + 1);
    if (size > 0)
        memcpy(text, data, size);
    read_base64(text, size);
    read_hex(text);
    read_times(text);
    CLEANUP(own_freep) char *encoded = text_percent(text, size % 2 == 0);
    expect(strlen(encoded) >= strlen(text));
    return 0;
}
