// SPDX-License-Identifier: Apache-2.0
/*
 * The plan of a restore: from the entries and maps of a backup to the directories and files to make
 * and, pack by pack, the spans of bytes to write. Every rule that the backup must keep is checked
 * here, before anything is written: order, parents, links, what the manifest lists, sizes. Compact:
 * 24 bytes per span, and a span is all that a file has in one pack in a row. Pure.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/backup_id.h"
#include "sidecar/index.h"

struct manifest;

/* Limits against a repository that lies; a plan at them needs about 2 GB. */
enum { RESTORE_ENTRIES_MAX = 1 << 22, RESTORE_SPANS_MAX = 1 << 26, RESTORE_MAPS_MAX = 1 << 22 };

struct restore_file {
    char *path;
    uint64_t size; /* bytes */
    int64_t mtime_s;
    uint32_t mode;
    uint32_t crc32c;        /* of the whole content, once restore_plan_sum was called */
    bool is_there;          /* the target has it, at its size and with zeros where they belong */
    bool has_no_data;       /* nothing of it is to be written; not is_there: it is one hole */
    atomic_uint spans_left; /* not written yet; whoever writes the last one finishes the file */
};

/* Bytes that lie in a row in a file and, from piece to piece and frame to frame, in a pack. */
struct restore_span {
    uint32_t file;       /* index */
    uint32_t file_piece; /* the first one, in the file */
    uint32_t pack;       /* position among all packs that the manifest lists */
    uint32_t piece;      /* the first one, in the pack: frame × FRAME_PIECES + piece */
    uint32_t length;     /* bytes */
    uint32_t crc32c;     /* of the bytes, set by whoever writes them */
};

struct restore_pack {
    uint32_t pack;
    uint32_t object_bytes; /* its size where only a part of it may be wanted; 0: fetch all */
    size_t first, count;   /* of spans */
};

struct restore_spans {
    struct restore_span *spans;
    size_t count;
};

/* A part of a file's map that lies in a map frame and is still to be read. */
struct restore_map {
    uint32_t file, file_piece;
    uint32_t pack, frame;
    uint64_t covers; /* bytes */
};

/* The pages of a file that were damaged in the source already: at most ENTRY_BAD_BLOCKS_MAX. */
struct restore_damage {
    uint32_t file;
    uint32_t *blocks; /* within the file, ascending */
    uint32_t count;   /* of blocks */
};

struct restore_range { /* manifest_packs with the position of its first pack */
    const char *backup;
    uint32_t first, last, position;
};

struct restore_plan {
    struct entry *directories; /* and tablespace links, sorted by path: parents first */
    size_t directory_count;
    struct restore_file *files; /* sorted by path */
    size_t file_count;
    struct restore_map *maps; /* sorted by pack and frame once restore_plan_sort_maps was called */
    size_t map_count;
    struct restore_span *spans; /* sorted by pack and piece once restore_plan_group was called */
    size_t span_count;
    struct restore_pack *packs; /* each once */
    size_t pack_count;
    struct restore_spans kept;    /* with their CRCs: what the target has already */
    struct restore_range *ranges; /* sorted by backup and first */
    size_t range_count;
    size_t control_file;              /* index of global/pg_control, which is written last … */
    struct restore_span control_span; /* … so its one span is not among the others */
    uint64_t bytes;                   /* sum of file sizes */
    struct restore_damage *damages;   /* sorted by file */
    size_t damage_count;
    uint64_t listed_files, listed_bytes; /* with those left out; what the manifest says */
    uint64_t listed_page_errors;
    size_t parent;         /* the directory that held the last entry */
    const char *last_path; /* of the last entry; lent from its directory or file */
};

/* Lends the manifest for the life of the plan. CORRUPT: overlapping or too many packs. */
MUST_CHECK int restore_plan_init(struct restore_plan *ret_plan, const struct manifest *manifest,
                                 struct error *err);
void restore_plan_done(struct restore_plan *plan);

/* In order, as an entry_each (arg is the plan). Leaves out what a restored directory must not have:
 * tablespace_map (the links are made), signal files (they tell what the source was doing), pid and
 * manifest files. CORRUPT. */
MUST_CHECK int restore_plan_add(void *plan, const struct backup_table *table, struct entry *entry,
                                struct error *err);
/* After the last entry: whether all is there that a data directory must have. CORRUPT. */
MUST_CHECK int restore_plan_check(const struct restore_plan *plan, struct error *err);
void restore_plan_sort_maps(struct restore_plan *plan);
/* The content of plan->maps[index]. CORRUPT. */
MUST_CHECK int restore_plan_add_map(struct restore_plan *plan, size_t index,
                                    const struct backup_table *table, const struct map *map,
                                    struct error *err);
/* After the last map: groups the spans by pack. */
void restore_plan_group(struct restore_plan *plan);
/* Sorts the spans by file instead, until they are grouped again: those of file i are first[i] to
 * first[i + 1]. The caller's (own_freep). */
size_t *restore_plan_sort_files(struct restore_plan *plan);
/* Takes both: wanted is what is left of the spans, kept what the target has. Groups. */
void restore_plan_keep(struct restore_plan *plan, struct restore_spans *wanted,
                       struct restore_spans *kept);
/* Appends, or lengthens the last one where it goes on in the same file and pack; CRCs are joined.
 */
void restore_spans_add(struct restore_spans *spans, const struct restore_span *span);
void restore_spans_done(struct restore_spans *spans);
uint64_t restore_spans_bytes(const struct restore_spans *spans);
/* After all was written: puts the CRCs of the files together from those of their spans; spans are
 * sorted by file then. */
void restore_plan_sum(struct restore_plan *plan);

/* The position of a pack. CORRUPT: the manifest does not list it. */
MUST_CHECK int restore_plan_find_pack(const struct restore_plan *plan, const char *backup,
                                      uint32_t number, uint32_t *ret_pack, struct error *err);
/* The backup that a pack belongs to (lent) and its number there. */
const char *restore_plan_pack(const struct restore_plan *plan, uint32_t pack, uint32_t *ret_number);
/* Whether the backup lists a page of a file as damaged; of a file with more of them than are listed
 * all behind the last one count. */
bool restore_plan_knows_damage(const struct restore_plan *plan, size_t file, uint32_t block);
struct restore_file *restore_plan_file(const struct restore_plan *plan,
                                       const char *path); /* NULL if there is none */
/* A directory or tablespace link; NULL if there is none. */
const struct entry *restore_plan_directory(const struct restore_plan *plan, const char *path);
