// SPDX-License-Identifier: Apache-2.0
/* Heartbeats from a hostile bucket. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/heartbeat_note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heartbeat_note note, again;
    struct error err;
    if (heartbeat_note_parse(data, size, &note, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT);
        return 0;
    }
    if (note.timeline == 0)
        return 0;
    CLEANUP(own_freep) char *text = heartbeat_note_format(&note, 0);
    expect(heartbeat_note_parse(text, strlen(text), &again, &err) == 0);
    expect(strcmp(note.parent, again.parent) == 0 && note.timeline == again.timeline &&
           note.start_lsn == again.start_lsn);
    return 0;
}
