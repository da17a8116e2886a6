// SPDX-License-Identifier: Apache-2.0
#include "sidecar/page_check.h"

#include <assert.h>
#include <stdbool.h>

#include "common/cancel.h"
#include "common/own.h"
#include "sidecar/pg_page.h"

/* Before each further look, for all failing pages of a frame together: a file that is bad from end
 * to end must not take hours. */
static const int waits_ms[] = {0, 10, 50};

static bool is_sound(const struct page_check *check, const uint8_t *pages, size_t index)
{
    return pg_page_is_sound(pages + index * PG_PAGE_BYTES, check->block + (uint32_t)index,
                            check->start_lsn);
}

/* Reads the bad pages again and keeps those that still are. */
static int look_again(const struct page_check *check, uint8_t *pages,
                      struct page_check_result *result, struct error *err)
{
    size_t still = 0;
    for (size_t i = 0; i < result->count; i++) {
        size_t index = result->bad[i];
        if (check->reread(check->arg, index, pages + index * PG_PAGE_BYTES, err) < 0)
            return -1;
        if (!is_sound(check, pages, index))
            result->bad[still++] = (uint32_t)index;
    }
    result->count = still;
    return 0;
}

int page_check_run(const struct page_check *check, uint8_t *pages, size_t count,
                   struct page_check_result *ret_result, struct error *err)
{
    assert(count <= FRAME_PIECES);
    ret_result->count = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_sound(check, pages, i))
            ret_result->bad[ret_result->count++] = (uint32_t)i;
    for (size_t i = 0; ret_result->count > 0 && i < ARRAY_SIZE(waits_ms); i++)
        if (cancel_sleep(check->cancel, waits_ms[i], err) < 0 ||
            look_again(check, pages, ret_result, err) < 0)
            return -1;
    return 0;
}
