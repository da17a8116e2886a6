// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restore_claim.h"

#include <inttypes.h>
#include <string.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/pg_control.h"
#include "sidecar/restore_marker.h"
#include "sidecar/target.h"

static const char control_path[] = "global/pg_control";

static int read_control(const struct restore_claim *claim, struct buf *control, struct error *err)
{
    return target_read(claim->target, control_path, control, err);
}

/* A server that starts on a restored directory changes pg_control before anything else. */
static int check_not_started(const struct restore_claim *claim, struct error *err)
{
    CLEANUP(buf_done) struct buf control = BUF(2 * PG_CONTROL_BYTES);
    if (read_control(claim, &control, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : -1;
    if (control.size == PG_CONTROL_BYTES &&
        memcmp(control.data, claim->control_bytes, PG_CONTROL_BYTES) == 0)
        return 0;
    return error_set(err, ERROR_CONFLICT,
                     "'%s' has a database that was in use since a restore into it: to lose its "
                     "changes use --delta, to keep it remove '" RESTORE_MARKER_PATH "'",
                     target_path(claim->target));
}

static int check_marker(const struct restore_claim *claim, const struct restore_marker *found,
                        struct error *err)
{
    const struct restore_marker *wanted = claim->marker;
    if (memcmp(found->repository, wanted->repository, sizeof(found->repository)) != 0)
        return error_set(err, ERROR_CONFLICT,
                         "'%s' has half a restore of '%s' from another repository: go on with that "
                         "one, or empty the directory",
                         target_path(claim->target), found->backup);
    if (claim->delta)
        return 0;
    if (strcmp(found->backup, wanted->backup) != 0)
        return error_set(err, ERROR_CONFLICT,
                         "'%s' has half a restore of '%s': go on with --backup %s, make it this "
                         "one with --delta, or empty the directory",
                         target_path(claim->target), found->backup, found->backup);
    return check_not_started(claim, err);
}

static int check_database(const struct restore_claim *claim, struct error *err)
{
    CLEANUP(buf_done) struct buf bytes = BUF(2 * PG_CONTROL_BYTES);
    struct pg_control control;
    const char *path = target_path(claim->target);
    if (read_control(claim, &bytes, err) < 0)
        return err->kind == ERROR_NOT_FOUND
                   ? error_set(err, ERROR_CONFLICT,
                               "'%s' is not empty, and no data directory of PostgreSQL either (it "
                               "has no '%s'): name another one, or empty it",
                               path, control_path)
                   : -1;
    if (pg_control_parse(bytes.data, bytes.size, &control, err) < 0)
        return error_wrap(err, "whose data directory '%s' is cannot be told; empty it first", path);
    if (control.system_identifier == claim->system_identifier)
        return 0;
    return error_set(err, ERROR_CONFLICT,
                     "'%s' is the data directory of database system %" PRIu64 ", the backup is of "
                     "%" PRIu64 ": name another one, or empty it",
                     path, control.system_identifier, claim->system_identifier);
}

static int note_content(void *arg, const struct target_item *item, struct error *err)
{
    (void)err;
    if (strcmp(item->path, target_unfinished) != 0)
        *(bool *)arg = false;
    return 0;
}

int restore_claim_check(const struct restore_claim *claim, bool *ret_is_empty, struct error *err)
{
    struct restore_marker found;
    bool is_empty = true;
    if (restore_marker_load(claim->target, &found, err) == 0) {
        *ret_is_empty = false;
        return check_marker(claim, &found, err);
    }
    if (err->kind != ERROR_NOT_FOUND ||
        target_list(claim->target, "", note_content, &is_empty, err))
        return -1;
    if (!is_empty && !claim->delta) /* the marker was there a moment ago */
        return error_set(err, ERROR_CONFLICT, "'%s' is not empty", target_path(claim->target));
    *ret_is_empty = is_empty;
    return is_empty ? 0 : check_database(claim, err);
}
