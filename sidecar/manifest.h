// SPDX-License-Identifier: Apache-2.0
/*
 * The manifest of a backup: a JSON document (at most 1 MiB) inside a container. Its existence in a
 * bucket is the commit there. It is a complete description: restore needs no other manifest.
 * Fields: docs/repository-format.md. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"
#include "sidecar/backup_id.h"
#include "sidecar/wal_gap.h"

enum {
    MANIFEST_BYTES_MAX = 1 << 20,
    MANIFEST_LIST_MAX = 1 << 16, /* elements of each list but the next */
    MANIFEST_PAGE_ERRORS_MAX = 32,
};

struct manifest_wal_range {
    uint32_t timeline;
    uint64_t start_lsn, stop_lsn;
};

struct manifest_packs { /* packs first..last of one backup */
    char backup[BACKUP_ID_BYTES];
    uint32_t first, last;
};

struct manifest_index { /* one index frame; in the manifest's own packs */
    uint32_t pack, frame;
};

struct manifest_page_error {
    char *path;
    uint32_t block;
};

struct manifest_witness {
    char backup[BACKUP_ID_BYTES];
    uint8_t sha256[32]; /* of the manifest object */
};

struct manifest {
    char id[BACKUP_ID_BYTES];
    enum backup_type type; /* full also where the id was given for another type and no parent was
                              found */
    char parent[BACKUP_ID_BYTES]; /* "" for none */
    char *policy_namespace, *policy_name;
    uint64_t system_identifier;
    uint32_t version_num, wal_segment_bytes;
    bool checksums;
    char *bootstrap_superuser;
    char *source_pod, *source_region; /* NULL outside Kubernetes */
    bool from_standby;
    char *backup_name, *backup_uid; /* of the Backup resource; NULL without */
    int64_t started_ms, finished_ms;
    uint64_t start_lsn, stop_lsn;
    struct manifest_wal_range *wal;
    size_t wal_count;
    uint64_t files, bytes_read, bytes_stored,
        bytes_reused;     /* read: from PGDATA; stored: objects put, WAL included */
    uint64_t bytes_total; /* sum of file sizes */
    uint64_t page_error_count;
    struct manifest_page_error *page_errors; /* the first ones, at most MANIFEST_PAGE_ERRORS_MAX */
    size_t page_error_shown;
    char *change_source; /* "all", "walSummaries", "pageLsn" */
    char *fallback;      /* why it is not of the type or parent that was asked for; NULL */
    struct manifest_packs *packs;
    size_t pack_count;
    struct manifest_index *index;
    size_t index_count;
    struct manifest_witness *witnesses;
    size_t witness_count;
    uint8_t sha256[32]; /* of its object in a bucket, once it is there; no part of the document */
};

void manifest_done(struct manifest *manifest);
/* The WAL of a range as a restore takes it: whole segments from the first on. */
struct wal_span manifest_wal_span(const struct manifest *manifest, size_t index);
/* The document, the caller's reference (json_auto_t). Also what 'show -o json' prints. NULL if a
 * text is not UTF-8, which what was parsed always is. */
json_t *manifest_to_json(const struct manifest *manifest);
/* The document as text (own_freep); PERMANENT if it is larger than MANIFEST_BYTES_MAX, or a text is
 * not UTF-8. */
MUST_CHECK int manifest_format(const struct manifest *manifest, char **ret_text, struct error *err);
/* CORRUPT: anything but a valid document; PERMANENT: a newer format. */
MUST_CHECK int manifest_parse(const void *text, size_t size, struct manifest *ret_manifest,
                              struct error *err);
