// SPDX-License-Identifier: Apache-2.0
/* What stands in names and in documents: LSNs, names of WAL segments, backup ids, and the names of
 * packs, of key objects and of choices. What is accepted is what would be written. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/backup_id.h"
#include "sidecar/key_names.h"
#include "sidecar/lsn.h"
#include "sidecar/repo.h"

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

static void check_pack(const char *text)
{
    char written[REPO_NAME_MAX];
    uint32_t number;
    if (!repo_parse_pack_name(text, &number))
        return;
    repo_pack_name("any", number, written);
    expect(strcmp(strrchr(text, '/'), strrchr(written, '/')) == 0);
}

static void check_key_object(const char *text)
{
    struct key_object object;
    if (!key_names_parse_object(text, &object))
        return;
    CLEANUP(own_freep) char *written = key_names_object(&object);
    expect(strcmp(text, written) == 0);
}

static void check_choice(const char *text)
{
    char key[KEY_ID_TEXT_BYTES];
    const uint32_t number = key_names_parse_choice(text, key);
    if (number == 0)
        return;
    struct key_object object;
    CLEANUP(own_freep) char *written = key_names_choice(number, key);
    expect(strcmp(text, written) == 0 && number <= KEY_NAMES_CHOICES_MAX);
    expect(!key_names_parse_object(text, &object));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(own_freep) char *text = own_alloc(size + 1);
    if (size > 0)
        memcpy(text, data, size);
    check_lsn(text);
    check_backup_id(text);
    check_pack(text);
    check_key_object(text);
    check_choice(text);
    for (unsigned i = 0; i < SIZES; i++)
        check_segment(text, UINT32_C(1) << (20 + i));
    return 0;
}
