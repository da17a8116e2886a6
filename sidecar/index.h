// SPDX-License-Identifier: Apache-2.0
/*
 * Index frames: the entries of a backup, sorted by path, as many as go into a frame. Pure. Coding:
 * docs/repository-format.md.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"
#include "sidecar/backup_table.h"
#include "sidecar/entry.h"

struct buf;

/* Entries must come sorted by path (bytes). Gives a frame's plaintext when it is full. */
struct index_writer;
struct index_writer *index_writer_new(const struct backup_table *table); /* lends; may grow */
void index_writer_freep(struct index_writer **writer);
/* 1 if the frame now takes no more: call index_writer_take, then add again; 0 added. */
int index_writer_add(struct index_writer *writer, const struct entry *entry);
/* The frame's plaintext (≤ FRAME_PLAIN_MAX) into buf (cleared first; its limit must allow that); 0
 * entries give an empty buf. The writer starts anew. */
void index_writer_take(struct index_writer *writer, struct buf *ret_plain);

/* Parses an index frame; entries come in order, valid during the call (it may TAKE members). An
 * error of the callback ends it. CORRUPT: any broken rule, also paths that are not valid or not
 * ascending; entries before the broken one have been given out then. */
typedef int (*entry_each)(void *arg, const struct backup_table *table, struct entry *entry,
                          struct error *err);
MUST_CHECK int index_parse(const void *plain, size_t size, entry_each each, void *arg,
                           struct error *err);
