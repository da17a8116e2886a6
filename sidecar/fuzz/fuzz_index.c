// SPDX-License-Identifier: Apache-2.0
/* Index frames that somebody with the key made. No path that is accepted leaves the directory, all
 * ascend, and each entry is the same when it is written and read again. */
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static int check_entry(void *arg, const struct backup_table *table, struct entry *entry,
                       struct error *err)
{
    (void)err;
    char **previous = arg;
    expect(entry_path_valid(entry->path) && strcmp(*previous, entry->path) < 0);
    CLEANUP(buf_done) struct buf coded = BUF(ENTRY_BYTES_MAX), recoded = BUF(ENTRY_BYTES_MAX);
    CLEANUP(entry_done) struct entry again = {0};
    entry_format(entry, 0, &coded);
    struct reader reader = READER(coded.data, coded.size);
    entry_parse(&reader, "", table->count, &again);
    expect(!reader.bad && reader_left(&reader) == 0);
    entry_format(&again, 0, &recoded);
    expect(coded.size == recoded.size && memcmp(coded.data, recoded.data, coded.size) == 0);
    free(*previous);
    *previous = TAKE(entry->path);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(own_freep) char *previous = own_strdup("");
    struct error err;
    if (index_parse(data, size, check_entry, &previous, &err) < 0)
        expect(err.kind == ERROR_CORRUPT);
    return 0;
}
