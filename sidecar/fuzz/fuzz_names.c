// SPDX-License-Identifier: Apache-2.0
/* What stands in names and in documents: LSNs, names of WAL segments, backup ids. What is accepted
 * is what would be written. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/backup_id.h"
#include "sidecar/lsn.h"

enum { SIZES = 11 }; /* of segments: 1 MiB to 1 GiB */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static void check_lsn(const char *text)
{
    char written[LSN_TEXT_BYTES];
    uint64_t lsn, again;
    if (!lsn_parse(text, &lsn))
        return;
    lsn_format(lsn, written);
    expect(lsn_parse(written, &again) && again == lsn);
}

static void check_segment(const char *text, uint32_t segment_bytes)
{
    char written[WAL_SEGMENT_NAME_BYTES];
    uint32_t timeline;
    uint64_t lsn;
    if (!wal_segment_parse(text, segment_bytes, &timeline, &lsn))
        return;
    wal_segment_name(timeline, lsn, segment_bytes, written);
    expect(strcmp(text, written) == 0);
}

static void check_backup_id(const char *text)
{
    enum backup_type type;
    int64_t start_ms;
    if (!backup_id_parse(text, &type, &start_ms))
        return;
    expect(strlen(text) < BACKUP_ID_BYTES && !strpbrk(text, "/.\n"));
    expect(strstr(text, backup_type_words[type]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(own_freep) char *text = own_alloc(size + 1);
    if (size > 0)
        memcpy(text, data, size);
    check_lsn(text);
    check_backup_id(text);
    for (unsigned i = 0; i < SIZES; i++)
        check_segment(text, UINT32_C(1) << (20 + i));
    return 0;
}
