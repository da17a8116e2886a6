// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_completion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/regions.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/wal_archive.h"

enum { OBJECT_MAX = 1 << 22 };

static struct {
    const struct helper_repo *helper;
    char *part, *whole; /* names */
    struct buf part_object, whole_object;
    unsigned regions, call;
} completion;

static bool has(size_t region, const char *name)
{
    CLEANUP(own_freep) char *path = helper_repo_path(completion.helper, region, name);
    return access(path, F_OK) == 0;
}

static void drop(size_t region, const char *name)
{
    if (has(region, name))
        helper_repo_remove_object(completion.helper, region, name);
}

static bool takes_part(size_t region)
{
    return completion.regions & 1u << region;
}

void helper_completion_open(const struct helper_repo *helper, const struct wal_piece *whole,
                            const char *text, unsigned regions)
{
    CLEANUP(own_freep) uint8_t *wal = own_alloc(whole->segment_bytes);
    char prefix[WAL_ARCHIVE_NAME_MAX];
    uint64_t stored = 0;
    struct error err;
    wal_archive_segment_prefix(whole, prefix);
    completion.helper = helper;
    completion.regions = regions;
    completion.part = helper_repo_name(helper, prefix);
    memcpy(wal, text, strlen(text));
    if (wal_archive_put(helper->repo, whole, wal, &stored, &err) < 0)
        fail_msg("%s", err.text);
    CLEANUP(own_freep) char *of_whole = own_format("%s-", prefix);
    completion.whole = helper_repo_name(helper, of_whole);
    completion.part_object = completion.whole_object = BUF(OBJECT_MAX);
    helper_repo_read_object(helper, 0, completion.part, &completion.part_object);
    helper_repo_read_object(helper, 0, completion.whole, &completion.whole_object);
    for (size_t i = 0; i < regions_count(helper->regions); i++)
        drop(i, completion.whole);
}

void helper_completion_close(void)
{
    own_freep(&completion.part);
    own_freep(&completion.whole);
    buf_done(&completion.part_object);
    buf_done(&completion.whole_object);
}

void helper_completion_set(unsigned call)
{
    completion.call = call;
}

void helper_completion_watch(unsigned call)
{
    for (size_t i = 0; call == completion.call && i < regions_count(completion.helper->regions);
         i++) {
        if (!takes_part(i))
            continue;
        helper_repo_write_object(completion.helper, i, completion.whole, &completion.whole_object);
        helper_repo_remove_object(completion.helper, i, completion.part);
    }
}

void helper_completion_undo(void)
{
    for (size_t i = 0; i < regions_count(completion.helper->regions); i++) {
        if (!takes_part(i))
            continue;
        drop(i, completion.whole);
        helper_repo_write_object(completion.helper, i, completion.part, &completion.part_object);
    }
}

bool helper_completion_has_any(size_t region)
{
    return has(region, completion.part) || has(region, completion.whole);
}

void helper_completion_remove(size_t region)
{
    drop(region, completion.part);
    drop(region, completion.whole);
}
