// SPDX-License-Identifier: Apache-2.0
/*
 * The files of a running cluster that belong into a base backup: a walk of PGDATA by PostgreSQL's
 * rules (its documentation, "Making a Base Backup Using the Low Level API", and what pg_basebackup
 * leaves out: backend/backup/basebackup.c). The database is hostile: no symbolic link is followed
 * but those of tablespaces.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/entry.h"

/* What a path is. Pure; path is relative to PGDATA. */
enum source_class {
    SOURCE_SKIP,         /* neither it nor what is below */
    SOURCE_SKIP_CONTENT, /* the directory, but nothing in it */
    SOURCE_PLAIN,
    SOURCE_RELATION,      /* main fork: pages with LSN and checksum */
    SOURCE_RELATION_AUX,  /* free space or visibility map: pages, but changes carry no reliable LSN
                           */
    SOURCE_RELATION_INIT, /* init fork: its relation is unlogged */
    SOURCE_CONTROL,       /* global/pg_control: read last, by the backup itself */
};

struct source_name {
    enum source_class class;
    uint64_t relfilenode; /* of relation forks */
    uint32_t segment;     /* of 1 GiB; its first block is segment × segment_blocks */
};
struct source_name source_classify(const char *path, bool is_directory);

struct source_file {
    char *path;
    uint64_t size; /* at the time of the walk */
    enum source_class class;
    uint32_t segment;
};

struct source {
    int pgdata;                /* directory file descriptor */
    struct source_file *files; /* regular files, sorted by path; without pg_control */
    size_t file_count;
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
 * out. */
MUST_CHECK int source_walk(struct source *source, struct error *err);
/* Opens a file of the walk for reading (tablespaces resolved, no symbolic link followed); NOT_FOUND
 * when it vanished. */
MUST_CHECK int source_open_file(const struct source *source, const char *path, int *ret_fd,
                                struct error *err);
