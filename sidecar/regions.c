// SPDX-License-Identifier: Apache-2.0
#include "sidecar/regions.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/fanout.h"
#include "sidecar/policy.h"

enum { LARGE_BYTES = 64 * 1024 }; /* worth to be asked for before it is sent */

struct regions {
    struct region regions[REGIONS_MAX];
    size_t count;
    size_t quorum;
    bool strict;
    int64_t patience_ms;
    const struct policy_limits *limits; /* lent from the policy */
    const struct cancel *cancel;        /* of the job */
    pthread_mutex_t lock;               /* guards region.lost */
};

static size_t usable_writable(const struct regions *regions)
{
    size_t usable = 0;
    for (size_t i = 0; i < regions->count; i++)
        usable += regions->regions[i].writable && !regions->regions[i].lost;
    return usable;
}

/* Says why the loss of a region is too much, where that is not plain. */
static int explain_quorum(const struct regions *regions, struct error *err)
{
    return regions->quorum > 1
               ? error_wrap(err, "fewer than the %zu regions of spec.quorum are left",
                            regions->quorum)
               : -1;
}

/* With the lock. */
static void mark_lost(struct region *region, const struct error *why)
{
    region->error = *why;
    region->lost_ms = clock_now_ms();
    region->lost = true;
}

/* After the lock: what is under way in the region's store ends. */
static void close_region(struct region *region, const struct error *why)
{
    cancel_trigger(&region->cancel);
    log_error(why, "Lost a region for the rest of the job", S("region", region->name));
}

int regions_lose(struct regions *regions, size_t index, struct error *err)
{
    struct region *region = &regions->regions[index];
    if (err->kind == ERROR_CANCELED && cancel_requested(regions->cancel))
        return -1;
    pthread_mutex_lock(&regions->lock);
    bool news = !region->lost;
    if (news)
        mark_lost(region, err);
    else
        *err = region->error;
    bool enough = usable_writable(regions) >= regions->quorum;
    pthread_mutex_unlock(&regions->lock);
    if (news && enough)
        close_region(region, err);
    return enough ? 0 : explain_quorum(regions, err);
}

void regions_drop(struct regions *regions, size_t index, const struct error *why)
{
    struct region *region = &regions->regions[index];
    pthread_mutex_lock(&regions->lock);
    bool drop = !region->lost && region->writable && usable_writable(regions) > regions->quorum;
    if (drop)
        mark_lost(region, why);
    pthread_mutex_unlock(&regions->lock);
    if (drop)
        close_region(region, why);
}

void regions_give_up(struct regions *regions, size_t index, const struct error *why)
{
    struct region *region = &regions->regions[index];
    pthread_mutex_lock(&regions->lock);
    bool news = !region->lost;
    if (news)
        mark_lost(region, why);
    pthread_mutex_unlock(&regions->lock);
    if (news)
        close_region(region, why);
}

void regions_interrupt(struct regions *regions, size_t index)
{
    cancel_trigger(&regions->regions[index].cancel);
}

void regions_resume(struct regions *regions, size_t index)
{
    struct region *region = &regions->regions[index];
    struct error err;
    cancel_done(&region->cancel);
    if (cancel_init_below(&region->cancel, regions->cancel, &err) < 0)
        regions_give_up(regions, index, &err);
}

bool regions_cancelled(struct regions *regions, size_t index, struct error *err)
{
    if (err->kind != ERROR_CANCELED || cancel_requested(regions->cancel))
        return err->kind == ERROR_CANCELED;
    pthread_mutex_lock(&regions->lock);
    *err = regions->regions[index].error;
    pthread_mutex_unlock(&regions->lock);
    return false;
}

int regions_check_quorum(struct regions *regions, struct error *err)
{
    pthread_mutex_lock(&regions->lock);
    bool enough = usable_writable(regions) >= regions->quorum;
    for (size_t i = 0; i < regions->count && !enough; i++)
        if (regions->regions[i].writable && regions->regions[i].lost)
            *err = regions->regions[i].error;
    pthread_mutex_unlock(&regions->lock);
    return enough ? 0 : explain_quorum(regions, err);
}

bool regions_first_loss(struct regions *regions, struct error *err)
{
    bool lost = false;
    pthread_mutex_lock(&regions->lock);
    for (size_t i = 0; i < regions->count && !lost; i++) {
        lost = regions->regions[i].lost;
        if (lost)
            *err = regions->regions[i].error;
    }
    pthread_mutex_unlock(&regions->lock);
    return lost;
}

/* Large ones are not sent in vain: segments of WAL are in each backup that needs them. */
static int look_first(struct store *store, const struct region_object *object, bool *ret_there,
                      struct error *err)
{
    if (object->guard)
        return object->guard->look(object->guard, store, object->name, ret_there, err);
    return object->bytes->size < LARGE_BYTES ? 0 : store_has(store, object->name, ret_there, err);
}

static int put_same(struct store *store, const struct region_object *object, struct error *err)
{
    bool there = false;
    if (look_first(store, object, &there, err) < 0)
        return -1;
    if (there || store_put(store, object->name, object->bytes, err) == 0 ||
        err->kind == ERROR_CONFLICT)
        return 0;
    return -1;
}

void regions_note_answer(struct regions *regions, size_t index, const struct error *err)
{
    struct region *region = &regions->regions[index];
    bool doubted = err && err->kind == ERROR_TRANSIENT;
    pthread_mutex_lock(&regions->lock);
    bool news = doubted && region->doubt.kind == ERROR_NONE;
    region->doubt = doubted ? *err : (struct error){0};
    pthread_mutex_unlock(&regions->lock);
    if (news && regions->count > 1)
        log_warn("Asking a region last from now on", S("region", region->name),
                 S("error", err->text));
}

bool regions_doubted(struct regions *regions, size_t index, struct error *ret_why)
{
    pthread_mutex_lock(&regions->lock);
    struct error why = regions->regions[index].doubt;
    pthread_mutex_unlock(&regions->lock);
    if (ret_why)
        *ret_why = why;
    return why.kind != ERROR_NONE;
}

size_t regions_order(struct regions *regions, size_t ret_order[REGIONS_MAX])
{
    size_t count = 0;
    bool doubted[REGIONS_MAX];
    for (size_t i = 0; i < regions->count; i++)
        doubted[i] = regions_doubted(regions, i, NULL);
    for (int last = 0; last <= 1; last++)
        for (size_t i = 0; i < regions->count; i++)
            if (doubted[i] == last && regions_usable(regions, i))
                ret_order[count++] = i;
    return count;
}

int regions_put_one(struct regions *regions, size_t index, const struct region_object *object,
                    struct error *err)
{
    struct region *region = &regions->regions[index];
    if (cancel_check(regions->cancel, err) < 0)
        return -1;
    if (!region->writable || !regions_usable(regions, index))
        return 0;
    int result = object->rule == PUT_SAME
                     ? put_same(region->store, object, err)
                     : store_put(region->store, object->name, object->bytes, err);
    if (result == 0)
        return 1;
    return err->kind == ERROR_CONFLICT ? -1 : regions_lose(regions, index, err);
}

void regions_be_strict(struct regions *regions)
{
    regions->strict = true;
}

bool regions_strict(const struct regions *regions)
{
    return regions->strict;
}

int64_t regions_patience_ms(const struct regions *regions)
{
    return regions->patience_ms;
}

size_t regions_quorum(const struct regions *regions)
{
    return regions->quorum;
}

uint32_t regions_mask(struct regions *regions, bool lost)
{
    uint32_t mask = 0;
    for (size_t i = 0; i < regions->count; i++)
        if (regions->regions[i].writable && regions_usable(regions, i) != lost)
            mask |= 1u << i;
    return mask;
}

char *regions_names(struct regions *regions, bool lost)
{
    char *names = own_strdup("");
    uint32_t mask = regions_mask(regions, lost);
    for (size_t i = 0; i < regions->count; i++) {
        if (!(mask & 1u << i))
            continue;
        char *longer = own_format("%s%s%s", names, names[0] ? ", " : "", regions->regions[i].name);
        free(names);
        names = longer;
    }
    return names;
}

bool regions_usable(struct regions *regions, size_t index)
{
    pthread_mutex_lock(&regions->lock);
    bool usable = !regions->regions[index].lost;
    pthread_mutex_unlock(&regions->lock);
    return usable;
}

struct region *regions_at(struct regions *regions, size_t index)
{
    return &regions->regions[index];
}

size_t regions_count(const struct regions *regions)
{
    return regions->count;
}

void regions_closep(struct regions **regions)
{
    struct regions *r = TAKE(*regions);
    if (!r)
        return;
    for (size_t i = 0; i < r->count; i++) {
        store_closep(&r->regions[i].store);
        cancel_done(&r->regions[i].cancel);
    }
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* A region whose store cannot be opened is lost from the start: the others may do. */
static void add_region(struct regions *regions, const struct policy_region *wanted,
                       const struct secrets *secrets)
{
    const struct policy_limits *limits = regions->limits;
    struct region *region = &regions->regions[regions->count++];
    region->name = wanted->name;
    region->writable = !wanted->read_only;
    region->cancel.fd = -1;
    region->lost = cancel_init_below(&region->cancel, regions->cancel, &region->error) < 0 ||
                   store_open(&region->store, wanted, secrets, &region->cancel, &region->error) < 0;
    region->lost_ms = clock_now_ms();
    if (!region->lost)
        store_limit(region->store, limits->upload_bytes_per_second, limits->fetch_bytes_per_second);
}

static bool is_chosen(const struct regions_choice *choice, const char *name)
{
    if (choice->listed_count > 0 || (choice->only && strcmp(choice->only, name) != 0))
        return false;
    for (size_t i = 0; i < choice->excluded_count; i++)
        if (strcmp(choice->excluded[i], name) == 0)
            return false;
    return true;
}

/* Names that no region has are errors, never ignored. */
static int check_choice(const struct policy *policy, const struct regions_choice *choice,
                        struct error *err)
{
    if ((choice->only && !policy_find_region(policy, choice->only, err)) ||
        (choice->first && !policy_find_region(policy, choice->first, err)))
        return -1;
    for (size_t i = 0; i < choice->excluded_count; i++)
        if (!policy_find_region(policy, choice->excluded[i], err))
            return -1;
    for (size_t i = 0; i < choice->listed_count; i++) {
        if (!policy_find_region(policy, choice->listed[i], err))
            return -1;
        for (size_t before = 0; before < i; before++)
            if (strcmp(choice->listed[before], choice->listed[i]) == 0)
                return error_set(err, ERROR_PERMANENT, "region '%s' is named twice",
                                 choice->listed[i]);
    }
    return 0;
}

static void add_listed(struct regions *regions, const struct policy *policy,
                       const struct secrets *secrets, const struct regions_choice *choice)
{
    for (size_t i = 0; i < choice->listed_count; i++)
        for (size_t known = 0; known < policy->region_count; known++)
            if (strcmp(policy->regions[known].name, choice->listed[i]) == 0)
                add_region(regions, &policy->regions[known], secrets);
}

static bool is_first(const struct regions_choice *choice, const struct policy_region *region)
{
    return choice->first && strcmp(choice->first, region->name) == 0;
}

/* The error of the only region, or of the first where none could be opened. */
static int check_opened(const struct regions *regions, struct error *err)
{
    if (regions->count == 0)
        return error_set(err, ERROR_PERMANENT, "every region that could be used is excluded");
    for (size_t i = 0; i < regions->count; i++)
        if (!regions->regions[i].lost)
            return 0;
    *err = regions->regions[0].error;
    return -1;
}

static void log_lost(const struct regions *regions)
{
    for (size_t i = 0; i < regions->count; i++)
        if (regions->regions[i].lost)
            log_error(&regions->regions[i].error, "Lost a region for the rest of the job",
                      S("region", regions->regions[i].name));
}

int regions_open(struct regions **ret_regions, const struct policy *policy,
                 const struct secrets *secrets, const struct regions_choice *choice,
                 const struct cancel *cancel, struct error *err)
{
    static const struct regions_choice all;
    if (!choice)
        choice = &all;
    CLEANUP(regions_closep) struct regions *regions = own_alloc(sizeof(*regions));
    pthread_mutex_init(&regions->lock, NULL);
    regions->quorum = policy->quorum;
    regions->patience_ms = choice->patience_ms ? choice->patience_ms : FANOUT_PATIENCE_MS;
    regions->limits = &policy->limits;
    regions->cancel = cancel;
    if (check_choice(policy, choice, err) < 0)
        return -1;
    add_listed(regions, policy, secrets, choice);
    for (size_t i = 0; i < policy->region_count; i++)
        if (is_first(choice, &policy->regions[i]) && is_chosen(choice, choice->first))
            add_region(regions, &policy->regions[i], secrets);
    for (size_t i = 0; i < policy->region_count; i++)
        if (!is_first(choice, &policy->regions[i]) && is_chosen(choice, policy->regions[i].name))
            add_region(regions, &policy->regions[i], secrets);
    if (check_opened(regions, err) < 0)
        return -1;
    log_lost(regions);
    *ret_regions = TAKE(regions);
    return 0;
}
