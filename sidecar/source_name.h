// SPDX-License-Identifier: Apache-2.0
/*
 * What a path below PGDATA is to a base backup, by PostgreSQL's rules: its documentation, "Making a
 * Base Backup Using the Low Level API", and what pg_basebackup leaves out
 * (backend/backup/basebackup.c). Pure. Whether a relation is unlogged and whether a tablespace's
 * directory is this cluster's can only be seen by the walk (source.h).
 *
 * Beyond pg_basebackup's list these are left out: standby.signal and recovery.signal, so that a
 * copy of a standby never starts as a standby by surprise (restore writes the one that is asked
 * for); *.old labels; and socket lock files.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

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

/* path is relative to PGDATA. */
struct source_name source_name_of(const char *path, bool is_directory);
/* What follows pattern at the start of text, or NULL. In patterns '#' stands for one or more
 * digits, '*' for one or more characters but '/'. */
const char *source_name_after(const char *text, const char *pattern);
