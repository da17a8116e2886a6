// SPDX-License-Identifier: Apache-2.0
#include "sidecar/timeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/lsn.h"

enum { SPANS_MAX = 4096 };

static void add_span(struct timeline *timeline, uint32_t id, uint64_t end_lsn)
{
    uint64_t begin_lsn = timeline->count > 0 ? timeline->spans[timeline->count - 1].end_lsn : 0;
    timeline->spans = own_resize(timeline->spans, timeline->count + 1, sizeof(timeline->spans[0]));
    timeline->spans[timeline->count++] =
        (struct timeline_span){.timeline = id, .begin_lsn = begin_lsn, .end_lsn = end_lsn};
}

/* "<timeline> <LSN where it was left> <reason>"; the line is cut into its words. */
static bool parse_line(struct timeline *timeline, uint32_t id, char *line)
{
    char *end, *lsn;
    uint64_t end_lsn;
    errno = 0;
    unsigned long parent = strtoul(line, &end, 10);
    if (*line < '0' || *line > '9' || errno != 0 || parent == 0 || parent >= id ||
        (*end != '\t' && *end != ' '))
        return false;
    lsn = end + strspn(end, " \t");
    lsn[strcspn(lsn, " \t")] = '\0';
    if (!lsn_parse(lsn, &end_lsn) || timeline->count == SPANS_MAX)
        return false;
    const struct timeline_span *last =
        timeline->count > 0 ? &timeline->spans[timeline->count - 1] : NULL;
    if (last && (last->timeline >= parent || last->end_lsn > end_lsn))
        return false;
    add_span(timeline, (uint32_t)parent, end_lsn);
    return true;
}

const struct timeline_span *timeline_find(const struct timeline *timeline, uint32_t id)
{
    for (size_t i = 0; i < timeline->count; i++)
        if (timeline->spans[i].timeline == id)
            return &timeline->spans[i];
    return NULL;
}

void timeline_done(struct timeline *timeline)
{
    free(timeline->spans);
    *timeline = (struct timeline){0};
}

int timeline_parse(uint32_t id, const void *text, size_t size, struct timeline *ret_timeline,
                   struct error *err)
{
    CLEANUP(timeline_done) struct timeline timeline = {0};
    CLEANUP(own_freep) char *copy = own_alloc(size + 1);
    if (size > 0)
        memcpy(copy, text, size);
    bool valid = strlen(copy) == size;
    for (char *line = copy, *next; valid && *line != '\0'; line = next) {
        size_t length = strcspn(line, "\n");
        next = line[length] == '\n' ? line + length + 1 : line + length;
        line[length] = '\0';
        line += strspn(line, " \t\r");
        if (*line != '\0' && *line != '#')
            valid = parse_line(&timeline, id, line);
    }
    if (!valid)
        return error_set(err, ERROR_CORRUPT, "the history of timeline %u is malformed", id);
    add_span(&timeline, id, UINT64_MAX);
    *ret_timeline = timeline;
    timeline = (struct timeline){0};
    return 0;
}
