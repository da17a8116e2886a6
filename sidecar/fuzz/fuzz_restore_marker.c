// SPDX-License-Identifier: Apache-2.0
/* The marker of a half restore, which lies where anybody who can write to the target can change it.
 * What is accepted is the same when it is written and read again. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/restore_marker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct restore_marker marker, again;
    struct error err;
    if (restore_marker_parse(data, size, &marker, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT || err.kind == ERROR_PERMANENT);
        return 0;
    }
    CLEANUP(own_freep) char *text = restore_marker_format(&marker);
    expect(restore_marker_parse(text, strlen(text), &again, &err) == 0);
    expect(strcmp(marker.backup, again.backup) == 0 &&
           memcmp(marker.repository, again.repository, sizeof(again.repository)) == 0);
    return 0;
}
