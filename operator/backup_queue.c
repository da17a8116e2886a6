// SPDX-License-Identifier: Apache-2.0
#include "operator/backup_queue.h"

#include <string.h>

#include "operator/backup_object.h"

/* Creation times have seconds only; names make the order whole. */
static bool is_before(const struct run *a, const struct run *b)
{
    bool begun_a = a->attempt_count > 0, begun_b = b->attempt_count > 0;
    if (begun_a != begun_b)
        return begun_a;
    if (a->created_ms != b->created_ms)
        return a->created_ms < b->created_ms;
    return strcmp(a->name, b->name) < 0;
}

struct backup_queue backup_queue_read(const json_t *backups)
{
    struct backup_queue queue = {0};
    struct run first = {0};
    size_t index;
    json_t *object;
    json_array_foreach(backups, index, object)
    {
        struct error err;
        struct backup_object backup;
        if (backup_object_read(&backup, object, &err) < 0)
            continue; /* its own reconciler says so */
        const struct run *run = &backup.run;
        if (run->outcome != RUN_OPEN) {
            queue.ended_ms = run->ended_ms > queue.ended_ms ? run->ended_ms : queue.ended_ms;
            continue;
        }
        queue.running += run_current(run) != NULL;
        if (!first.name || is_before(run, &first))
            first = *run;
    }
    queue.first = first.name;
    return queue;
}

bool backup_queue_runs(const json_t *backups, const char *backup_id)
{
    size_t index;
    json_t *object;
    json_array_foreach(backups, index, object)
    {
        struct error err;
        struct backup_object backup;
        if (backup_object_read(&backup, object, &err) < 0 || backup.run.outcome != RUN_OPEN)
            continue;
        const struct run_attempt *attempt = run_current(&backup.run);
        if (attempt && attempt->id && strcmp(attempt->id, backup_id) == 0)
            return true;
    }
    return false;
}
