// SPDX-License-Identifier: Apache-2.0
/* Reads any text as a message; what is accepted means the same when written and read again. */
#include <stdlib.h>
#include <string.h>

#include "common/message.h"
#include "common/own.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    CLEANUP(message_clear) struct message message = {0}, again = {0};
    CLEANUP(own_freep) char *text = NULL, *second = NULL;
    if (message_parse(&message, (const char *)data, size, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT);
        return 0;
    }
    if (message_format(&message, &text, &err) < 0) { /* defaults were added, or escapes */
        expect(err.kind == ERROR_PERMANENT);
        return 0;
    }
    expect(message_parse(&again, text, strlen(text), &err) == 0);
    expect(message_format(&again, &second, &err) == 0);
    expect(strcmp(text, second) == 0);
    return 0;
}
