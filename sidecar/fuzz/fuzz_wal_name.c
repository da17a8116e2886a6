// SPDX-License-Identifier: Apache-2.0
/* Names of WAL objects, as a hostile bucket may list them: the first byte chooses the segment size,
 * the rest is the name. What is accepted is exactly what would be written. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/keys.h"
#include "sidecar/wal_archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_history(const char *name)
{
    char again[WAL_ARCHIVE_NAME_MAX];
    uint32_t timeline;
    if (!wal_archive_parse_history_name(name, &timeline))
        return;
    const char *id = name + strlen(name) - (KEY_ID_TEXT_BYTES - 1);
    snprintf(again, sizeof(again), "wal/%08" PRIX32 ".history-%s", timeline, id);
    if (timeline == 0 || strcmp(name, again) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint32_t segment_bytes = UINT32_C(1) << (20 + data[0] % 11);
    CLEANUP(own_freep) char *name = own_alloc(size);
    memcpy(name, data + 1, size - 1);
    check_history(name);
    struct wal_piece piece;
    if (wal_archive_parse_name(name, segment_bytes, &piece) < 0)
        return 0;
    char again[WAL_ARCHIVE_NAME_MAX];
    wal_archive_format_name(&piece, name + strlen(name) - (KEY_ID_TEXT_BYTES - 1), again);
    if (strcmp(name, again) != 0 || piece.from >= piece.to || piece.to > segment_bytes ||
        piece.segment_lsn % segment_bytes != 0)
        abort();
    return 0;
}
