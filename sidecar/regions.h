// SPDX-License-Identifier: Apache-2.0
/*
 * The regions of a policy: one store each. What is put goes into every writable region; a region
 * that fails is lost for the rest of the job and named, and the job goes on while a quorum is left.
 * Whatever is under way in a region's store when it is lost ends at once: nobody waits for it any
 * longer. What is read comes from the first region that has it intact.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cancel.h"
#include "common/error.h"
#include "sidecar/store.h"

struct policy;
struct secrets;

enum { REGIONS_MAX = 8 };

struct region {
    struct store *store; /* NULL if it could not be opened: lost */
    const char *name;    /* lent from the policy */
    bool writable;
    bool lost; /* guarded by the lock of regions, as is error; read it with regions_usable */
    struct error error;             /* why it was lost, and … */
    int64_t lost_ms;                /* … when; written once */
    struct cancel cancel;           /* of its store: the job's, or that it is lost */
    struct error doubt;             /* guarded by the lock; see regions_doubted */
    _Atomic uint64_t fetched_bytes; /* of objects, and parts of them, that were taken from it */
};

struct regions;

struct regions_choice { /* by names */
    const char *only;   /* the one to use; NULL for all */
    const char
        *first; /* the one that comes before the others, whose order is the policy's; or NULL */
    const char *const *excluded;
    size_t excluded_count;
    int64_t patience_ms;       /* with regions that lag behind others; 0: FANOUT_PATIENCE_MS */
    const char *const *listed; /* those to use, in this order; none: all, as the policy has them */
    size_t listed_count;
};

/* choice NULL: all. PERMANENT: unknown region, or none is left; configuration or secrets of all
 * regions (where only some are wrong, those are lost). Lends policy, secrets and cancel. */
MUST_CHECK int regions_open(struct regions **ret_regions, const struct policy *policy,
                            const struct secrets *secrets, const struct regions_choice *choice,
                            const struct cancel *cancel, struct error *err);
void regions_closep(struct regions **regions);

size_t regions_count(const struct regions *regions);
struct region *regions_at(struct regions *regions, size_t index);
bool regions_usable(struct regions *regions, size_t index);
size_t regions_quorum(const struct regions *regions);
/* After an error of a region's store. Marks the region as lost and logs it with err, once; -1, with
 * err's kind, when fewer writable ones than the quorum remain, or the job was cancelled. */
MUST_CHECK int regions_lose(struct regions *regions, size_t index, struct error *err);
/* Marks a region as lost that the job can do without, and logs why; else leaves it as it is. */
void regions_drop(struct regions *regions, size_t index, const struct error *why);
/* The same whether or not the job can: the caller has all that it needs from others. */
void regions_give_up(struct regions *regions, size_t index, const struct error *why);
/* Ends what is under way in a region's store, and lets it be used again, once that has ended; only
 * while nobody else uses it. */
void regions_interrupt(struct regions *regions, size_t index);
void regions_resume(struct regions *regions, size_t index);
int64_t regions_patience_ms(const struct regions *regions);
/* Where a call of a region's store was ended because the region was lost meanwhile (CANCELED), err
 * becomes why that is; true: the job itself was cancelled. */
bool regions_cancelled(struct regions *regions, size_t index, struct error *err);
/* Notes after a call that read from a region whether it answered (err NULL: it did). One that did
 * not, after all attempts (TRANSIENT), is doubted until it answers again: asking it takes minutes,
 * so whoever has other regions asks them first. */
void regions_note_answer(struct regions *regions, size_t index, const struct error *err);
/* ret_why (may be NULL): what it failed of. */
bool regions_doubted(struct regions *regions, size_t index, struct error *ret_why);
/* The usable regions in the order in which one is asked after the other: those that are doubted
 * come last. Gives how many. */
size_t regions_order(struct regions *regions, size_t ret_order[REGIONS_MAX]);
/* For whoever writes: from now on a region that cannot be listed is lost too, as what is decided by
 * the listing would be put there. */
void regions_be_strict(struct regions *regions);
bool regions_strict(const struct regions *regions);
/* -1 and why the last one was lost when fewer writable regions than the quorum are left. */
MUST_CHECK int regions_check_quorum(struct regions *regions, struct error *err);
/* Whether any region is lost; err says why the first one is. */
bool regions_first_loss(struct regions *regions, struct error *err);
/* The writable regions that are not lost, or those that are, as a bit mask of indices, which are
 * those of spec.regions when all were opened. */
uint32_t regions_mask(struct regions *regions, bool lost);
/* The names of the writable regions that are not lost, or of those that are, "eu, us"; own_freep.
 */
char *regions_names(struct regions *regions, bool lost);

enum put_rule {
    PUT_NEW,  /* an object of that name is an error: CONFLICT */
    PUT_SAME, /* names that say their content: an object of that name is as good */
};
/* Asked right before a put by PUT_SAME, in each region for itself: whether the object is there
 * already. CONFLICT: it must not be put. */
struct region_guard {
    int (*look)(const struct region_guard *guard, struct store *store, const char *name,
                bool *ret_there, struct error *err);
};
struct region_object {
    const char *name; /* in a store; lent, as is bytes */
    const struct store_bytes *bytes;
    enum put_rule rule;
    const struct region_guard *guard; /* lent; NULL: none */
};
/* Into one region. 1: it is there; 0: the region is lost; -1: CONFLICT, CANCELED, or fewer regions
 * than the quorum are left. */
MUST_CHECK int regions_put_one(struct regions *regions, size_t index,
                               const struct region_object *object, struct error *err);
