// SPDX-License-Identifier: Apache-2.0
/* Names of WAL objects, as a hostile bucket may list them: the first byte chooses the segment size,
 * the rest is the name. What is accepted is exactly what would be written. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/keys.h"
#include "sidecar/wal_archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint32_t segment_bytes = UINT32_C(1) << (20 + data[0] % 11);
    CLEANUP(own_freep) char *name = own_alloc(size);
    memcpy(name, data + 1, size - 1);
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
