// SPDX-License-Identifier: Apache-2.0
#include "sidecar/backup_index.h"

#include <string.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/backup_table.h"
#include "sidecar/entry.h"
#include "sidecar/frame.h"
#include "sidecar/index.h"
#include "sidecar/manifest.h"
#include "sidecar/packer.h"
#include "sidecar/scan.h"
#include "sidecar/source.h"

/* Where the merge of the three sorted rows stands. */
struct merge {
    const struct backup_index *index;
    struct entry file; /* the next file of the scan; without a path at its end */
    size_t next_file, next_other, next_content;
};

static void next_file(struct merge *merge)
{
    const struct backup_index *index = merge->index;
    merge->file = (struct entry){0};
    while (merge->next_file < index->source->file_count)
        if (scan_entry(index->scan, merge->next_file++, &merge->file))
            return;
}

static const struct entry *smaller(const struct entry *a, const struct entry *b)
{
    if (!a || !b)
        return a ? a : b;
    return strcmp(a->path, b->path) <= 0 ? a : b;
}

/* The entry with the smallest path that was not given yet, or NULL. */
static const struct entry *peek(const struct merge *merge)
{
    const struct backup_index *index = merge->index;
    const struct entry *other = merge->next_other < index->source->other_count
                                    ? &index->source->others[merge->next_other]
                                    : NULL;
    const struct entry *content =
        merge->next_content < index->content_count ? &index->content[merge->next_content] : NULL;
    return smaller(smaller(other, content), merge->file.path ? &merge->file : NULL);
}

static void advance(struct merge *merge, const struct entry *given)
{
    if (given == &merge->file)
        next_file(merge);
    else if (given->type == ENTRY_FILE)
        merge->next_content++;
    else
        merge->next_other++;
}

static int write_frame(struct index_writer *writer, struct packer *packer,
                       struct manifest *manifest, struct error *err)
{
    CLEANUP(buf_done) struct buf plain = BUF(FRAME_PLAIN_MAX);
    struct place place;
    index_writer_take(writer, &plain);
    if (plain.size == 0)
        return 0;
    if (packer_add_frame(packer, FRAME_INDEX, &plain, &place, err) < 0)
        return -1;
    manifest->index =
        own_resize(manifest->index, manifest->index_count + 1, sizeof(manifest->index[0]));
    manifest->index[manifest->index_count++] =
        (struct manifest_index){.pack = place.pack, .frame = place.frame};
    return 0;
}

int backup_index_write(const struct backup_index *index, struct packer *packer,
                       struct manifest *manifest, struct error *err)
{
    CLEANUP(index_writer_freep)
    struct index_writer *writer = index_writer_new(scan_table(index->scan));
    struct merge merge = {.index = index};
    next_file(&merge);
    for (const struct entry *entry; (entry = peek(&merge)); advance(&merge, entry)) {
        while (index_writer_add(writer, entry) == 1)
            if (write_frame(writer, packer, manifest, err) < 0)
                return -1;
        manifest->files += entry->type == ENTRY_FILE;
        manifest->bytes_total += entry->type == ENTRY_FILE ? entry->size : 0;
    }
    return write_frame(writer, packer, manifest, err);
}
