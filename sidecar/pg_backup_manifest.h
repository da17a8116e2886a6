// SPDX-License-Identifier: Apache-2.0
/*
 * PostgreSQL's backup_manifest (its documentation, "Backup Manifest Format"): version 1 up to
 * PostgreSQL 16, version 2 from 17; CRC-32C checksums. pg_verifybackup checks a restored directory
 * with it. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct buf;
struct manifest;

struct pg_backup_manifest_file {
    const char *path;
    uint64_t size;
    int64_t mtime_s;
    uint32_t crc32c;
};

/* Appends the document to text, its own checksum included. */
MUST_CHECK int pg_backup_manifest_format(const struct manifest *manifest,
                                         const struct pg_backup_manifest_file *files, size_t count,
                                         struct buf *text, struct error *err);
