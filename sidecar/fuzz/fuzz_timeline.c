// SPDX-License-Identifier: Apache-2.0
/* Timeline history files, as a hostile server may send them: the first byte is the timeline. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/own.h"
#include "sidecar/timeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(timeline_done) struct timeline timeline = {0};
    struct error err;
    if (size == 0)
        return 0;
    if (timeline_parse(data[0], data + 1, size - 1, &timeline, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT);
        return 0;
    }
    expect(timeline.count > 0 && timeline.spans[0].begin_lsn == 0);
    for (size_t i = 0; i + 1 < timeline.count; i++) {
        const struct timeline_span *span = &timeline.spans[i];
        expect(span->begin_lsn <= span->end_lsn && span[1].begin_lsn == span->end_lsn);
        expect(span->timeline < span[1].timeline);
    }
    expect(timeline.spans[timeline.count - 1].timeline == data[0]);
    expect(timeline.spans[timeline.count - 1].end_lsn == UINT64_MAX);
    return 0;
}
