// SPDX-License-Identifier: Apache-2.0
/* Any JSON as a Backup and as a RestoreJob: what is none is PERMANENT and nothing else; of what is
 * one, its place in a queue, its next status, its claim and its pod can be made. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "operator/backup_object.h"
#include "operator/backup_queue.h"
#include "operator/backup_result.h"
#include "operator/restore_object.h"
#include "operator/restore_pod.h"
#include "operator/run_status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static void change_status(const struct run *run, const json_t *summary)
{
    struct verdict verdict;
    json_auto_t *status = run_status_copy(run);
    verdict_set(&verdict, RUN_FAILED, "Failed", "%s", run->name);
    run_status_set_verdict(status, run, &verdict, 0);
    if (run_current(run))
        run_status_end_attempt(status, "Failed", run->name, 0);
    backup_result_put(status, summary);
    expect(json_array_size(json_object_get(status, "conditions")) == 3);
}

static void read_backup(json_t *object)
{
    struct backup_object backup;
    struct error err = {.kind = ERROR_NONE};
    json_auto_t *all = json_pack("[O]", object);
    struct backup_queue queue = backup_queue_read(all);
    if (backup_object_read(&backup, object, &err) < 0) {
        expect(err.kind == ERROR_PERMANENT && !queue.first);
        return;
    }
    expect((queue.first != NULL) == (backup.run.outcome == RUN_OPEN));
    expect(backup.run.attempt_count <= RUN_ATTEMPTS_READ_MAX && backup.policy);
    change_status(&backup.run, json_object_get(object, "status"));
}

static void read_restore(json_t *object)
{
    char id[RESTORE_OBJECT_ID_BYTES];
    struct restore_object restore;
    struct error err = {.kind = ERROR_NONE};
    if (restore_object_read(&restore, object, &err) < 0) {
        expect(err.kind == ERROR_PERMANENT);
        return;
    }
    if (restore.unsupported[0])
        return;
    json_auto_t *members = json_pack("[O]", object);
    const struct restore_pod_facts facts = {
        .restore = &restore, .policy = object, .members = members, .default_image = "x"};
    struct restore_pod pod;
    restore_object_next_id(&restore, id);
    json_auto_t *claim = restore_pod_format_claim(&restore, id);
    expect(claim != NULL);
    if (restore_pod_plan(&pod, &facts, &err) < 0)
        return;
    json_auto_t *made = restore_pod_format(&pod, id);
    expect(made != NULL && pod.user > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_error_t ignored;
    json_auto_t *object = json_loadb((const char *)data, size, 0, &ignored);
    if (!object)
        return 0;
    read_backup(object);
    read_restore(object);
    return 0;
}
