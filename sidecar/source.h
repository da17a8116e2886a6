// SPDX-License-Identifier: Apache-2.0
/*
 * The files of a running cluster that belong into a base backup: a walk of PGDATA by PostgreSQL's
 * rules (its documentation, "Making a Base Backup Using the Low Level API", and what pg_basebackup
 * leaves out: backend/backup/basebackup.c). The database is hostile: no symbolic link is followed
 * but those of tablespaces.
 *
 * Left out are also, below a tablespace's location, what belongs to other clusters, and symbolic
 * links that PostgreSQL did not make, with a warning; but where they stand for its own directories
 * (base, global, pg_xact …) the walk fails: a backup without these could not be restored.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/error.h"
#include "sidecar/entry.h"
#include "sidecar/source_name.h"

struct buf;
struct cancel;
struct pg_control;

struct source_file {
    char *path;    /* lent by the source */
    uint64_t size; /* at the time of the walk */
    enum source_class class;
    uint32_t segment;
};

struct source {
    int pgdata;                /* directory file descriptor */
    struct source_file *files; /* regular files, sorted by path; without pg_control */
    size_t file_count;
    struct arena paths; /* of files */
    struct entry
        *others; /* directories and tablespace links, sorted by path; "" is not among them */
    size_t other_count;
    uint64_t bytes; /* sum of sizes */
    struct source_tablespace {
        char *oid;     /* "16385" */
        int directory; /* opened location */
    } * tablespaces;
    size_t tablespace_count;
};

/* Opens PGDATA; PERMANENT: missing, not readable for us (names uid and owner), not a data
 * directory. */
MUST_CHECK int source_open(struct source *ret_source, const char *pgdata, struct error *err);
void source_done(struct source *source);
/* Walks it; after pg_backup_start. Special files and foreign symbolic links are logged and left
 * out, what vanishes meanwhile is normal. PERMANENT: unreadable directories (names uids), a
 * tablespace that is not mounted here, a link in place of PostgreSQL's own directories. */
MUST_CHECK int source_walk(struct source *source, const struct cancel *cancel, struct error *err);
/* Opens a file of the walk for reading (tablespaces resolved, no symbolic link followed); NOT_FOUND
 * when it vanished. */
MUST_CHECK int source_open_file(const struct source *source, const char *path, int *ret_fd,
                                struct error *err);
/* Reads global/pg_control until its CRC is right: the server writes it while we read. content
 * (cleared first) holds its bytes. */
MUST_CHECK int source_read_control(const struct source *source, const struct cancel *cancel,
                                   struct buf *content, struct pg_control *ret_control,
                                   struct error *err);
