// SPDX-License-Identifier: Apache-2.0
#include "sidecar/changes.h"

#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/source_name.h"
#include "sidecar/timeline.h"

enum { DEFAULT_TABLESPACE = 1663, GLOBAL_TABLESPACE = 1664, FIRST_SLOTS = 1024 };

struct changes_relation {
    struct changes_key key;
    uint32_t limit; /* UINT32_MAX: none */
    struct block_set blocks;
};

struct changes {
    struct changes_relation **slots; /* open addressing */
    size_t slot_count, count;        /* slots: a power of two, half of them free */
    struct changes_relation *last;   /* rows of a relation come together */
};

/* Every block of it is new. */
static const struct changes_relation all_new = {.limit = 0};

static bool same_key(const struct changes_key *a, const struct changes_key *b)
{
    return a->relfilenode == b->relfilenode && a->database == b->database &&
           a->tablespace == b->tablespace;
}

static size_t hash(const struct changes_key *key)
{
    uint64_t mixed = key->relfilenode * UINT64_C(0x9E3779B97F4A7C15) ^
                     key->database * UINT64_C(0xC2B2AE3D27D4EB4F) ^
                     key->tablespace * UINT64_C(0x165667B19E3779F9);
    return (size_t)(mixed ^ mixed >> 29);
}

/* Where the key is, or belongs. */
static struct changes_relation **slot_of(const struct changes *changes,
                                         const struct changes_key *key)
{
    for (size_t at = hash(key);; at++) {
        struct changes_relation **slot = &changes->slots[at & (changes->slot_count - 1)];
        if (!*slot || same_key(&(*slot)->key, key))
            return slot;
    }
}

static void grow(struct changes *changes)
{
    struct changes_relation **slots = changes->slots;
    size_t count = changes->slot_count;
    changes->slot_count = count ? 2 * count : FIRST_SLOTS;
    changes->slots = own_alloc(changes->slot_count * sizeof(changes->slots[0]));
    for (size_t i = 0; i < count; i++)
        if (slots[i])
            *slot_of(changes, &slots[i]->key) = slots[i];
    free(slots);
}

static struct changes_relation *relation_for(struct changes *changes, const struct changes_key *key)
{
    if (changes->last && same_key(&changes->last->key, key))
        return changes->last;
    if (2 * changes->count >= changes->slot_count)
        grow(changes);
    struct changes_relation **slot = slot_of(changes, key);
    if (!*slot) {
        *slot = own_alloc(sizeof(**slot));
        **slot = (struct changes_relation){.key = *key, .limit = UINT32_MAX};
        changes->count++;
    }
    return changes->last = *slot;
}

bool changes_has(const struct changes_relation *relation, uint32_t block)
{
    return relation && (block >= relation->limit || block_set_has(&relation->blocks, block));
}

const struct changes_relation *changes_find(const struct changes *changes,
                                            const struct changes_key *key)
{
    struct changes_key whole = {.tablespace = key->tablespace, .database = key->database};
    if (changes->count == 0)
        return NULL;
    return *slot_of(changes, &whole) ? &all_new : *slot_of(changes, key);
}

static uint32_t number(const char *text)
{
    return (uint32_t)strtoul(text, NULL, 10);
}

bool changes_key_of(const char *path, struct changes_key *ret_key)
{
    struct source_name name = source_name_of(path, false);
    const char *rest;
    if (name.relfilenode == 0 || name.relfilenode > UINT32_MAX)
        return false;
    *ret_key = (struct changes_key){.relfilenode = (uint32_t)name.relfilenode};
    if ((rest = source_name_after(path, "base/"))) {
        ret_key->tablespace = DEFAULT_TABLESPACE;
        ret_key->database = number(rest);
    } else if ((rest = source_name_after(path, "pg_tblspc/"))) {
        ret_key->tablespace = number(rest);
        ret_key->database = number(source_name_after(rest, "#/*/"));
    } else {
        ret_key->tablespace = GLOBAL_TABLESPACE;
    }
    return true;
}

size_t changes_plan(const struct timeline *timeline, uint32_t id, uint64_t start_lsn,
                    uint64_t end_lsn, struct changes_range *ret_ranges)
{
    size_t count = 0;
    for (size_t i = 0; i < timeline->count && count < CHANGES_RANGES_MAX; i++) {
        const struct timeline_span *span = &timeline->spans[i];
        struct changes_range range = {
            .timeline = span->timeline,
            .start_lsn = span->timeline == id ? start_lsn : span->begin_lsn,
            .end_lsn = span->end_lsn < end_lsn ? span->end_lsn : end_lsn,
        };
        if (span->timeline >= id && range.start_lsn < range.end_lsn)
            ret_ranges[count++] = range;
    }
    return count;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct changes_range *x = a, *y = b;
    if (x->timeline != y->timeline)
        return x->timeline < y->timeline ? -1 : 1;
    return (x->start_lsn > y->start_lsn) - (x->start_lsn < y->start_lsn);
}

bool changes_cover(struct changes_range *summaries, size_t count, const struct changes_range *range,
                   uint64_t *ret_missing_lsn)
{
    uint64_t covered = range->start_lsn;
    if (count > 0)
        qsort(summaries, count, sizeof(summaries[0]), compare_ranges);
    for (size_t i = 0; i < count && covered < range->end_lsn; i++)
        if (summaries[i].timeline == range->timeline && summaries[i].start_lsn <= covered &&
            summaries[i].end_lsn > covered)
            covered = summaries[i].end_lsn;
    *ret_missing_lsn = covered;
    return covered >= range->end_lsn;
}

void changes_add(struct changes *changes, const struct changes_row *row)
{
    struct changes_relation *relation = relation_for(changes, &row->key);
    if (!row->is_limit)
        block_set_add(&relation->blocks, row->block);
    else if (row->block < relation->limit)
        relation->limit = row->block;
}

void changes_freep(struct changes **changes)
{
    struct changes *c = TAKE(*changes);
    if (!c)
        return;
    for (size_t i = 0; i < c->slot_count; i++) {
        if (c->slots[i])
            block_set_done(&c->slots[i]->blocks);
        free(c->slots[i]);
    }
    free(c->slots);
    free(c);
}

struct changes *changes_new(void)
{
    struct changes *changes = own_alloc(sizeof(*changes));
    grow(changes);
    return changes;
}
