// SPDX-License-Identifier: Apache-2.0
/*
 * What a heartbeat says, in clear (docs/repository-format.md): whoever prunes learns from it what
 * the backup that runs needs. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/backup_id.h"

enum { HEARTBEAT_NOTE_MAX = 4096 };

struct heartbeat_note {
    char parent[BACKUP_ID_BYTES]; /* "": none */
    uint32_t timeline;            /* 0: not said, with which start_lsn is unknown as well */
    uint64_t start_lsn;           /* it needs all WAL from there on */
};

/* own_freep */
char *heartbeat_note_format(const struct heartbeat_note *note, int64_t now_ms);
/* CORRUPT: anything but a heartbeat of format 1; fields that are not known are ignored. */
MUST_CHECK int heartbeat_note_parse(const void *text, size_t size, struct heartbeat_note *ret_note,
                                    struct error *err);
