// SPDX-License-Identifier: Apache-2.0
#include "operator/watch.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/backoff.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "operator/cache.h"
#include "operator/kube.h"

enum {
    PAGE_OBJECTS = 200,    /* a pod takes 100 KB as JSON until it is trimmed */
    TIMEOUT_SECONDS = 240, /* of a watch, and some more, so that they do not all end at once */
    TIMEOUT_SPREAD_SECONDS = 120,
    STEADY_MS = 10000, /* a watch that lasted so long was none that failed */
    BACKOFF_BASE_MS = 500,
    BACKOFF_CAP_MS = 30000,
    VERSION_BYTES = 256,
};

/* A watch on its way. */
struct course {
    const struct watch *watch;
    struct kube_ref collection;
    char version[VERSION_BYTES]; /* up to where the cache is true; "": list */
    bool synced;                 /* was listed once */
    bool moved;                  /* something came since the watch began */
    struct backoff backoff;
};

static int note_version(struct course *course, const json_t *object, struct error *err)
{
    const char *version =
        json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));
    if (!version || !*version || strlen(version) >= VERSION_BYTES)
        return error_set(err, ERROR_CORRUPT, "an object without a resourceVersion");
    snprintf(course->version, VERSION_BYTES, "%s", version);
    return 0;
}

static void tell(const struct course *course, const json_t *before, const json_t *after)
{
    if (course->watch->on_change)
        course->watch->on_change(course->watch->arg, json_is_null(before) ? NULL : before,
                                 json_is_null(after) ? NULL : after);
}

static void take_removed(const struct course *course, const json_t *object, const char *name)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const char *namespace = json_string_value(json_object_get(metadata, "namespace"));
    json_auto_t *before = cache_remove(course->watch->cache, namespace, name, course->version);
    tell(course, before ? before : object, NULL);
}

static int take_event(void *arg, const char *type, json_t *object, struct error *err)
{
    struct course *course = arg;
    const char *name =
        json_string_value(json_object_get(json_object_get(object, "metadata"), "name"));
    if (note_version(course, object, err) < 0)
        return -1;
    course->moved = true;
    if (strcmp(type, "BOOKMARK") == 0)
        return 0;
    if (!name)
        return error_set(err, ERROR_CORRUPT, "an object without a name");
    if (strcmp(type, "DELETED") == 0) {
        take_removed(course, object, name);
        return 0;
    }
    json_auto_t *before = cache_put(course->watch->cache, object);
    tell(course, before, object);
    return 0;
}

/* The next page, with fewer objects than wished where these are large. */
static int list_page(const struct course *course, struct kube_list *list, json_t **ret_page,
                     struct error *err)
{
    enum kube_list_outcome outcome;
    for (;; list->limit /= 2) {
        if (kube_list(course->watch->kube, list, ret_page, &outcome, err) < 0)
            return -1;
        if (outcome == KUBE_LIST_DONE)
            return 0;
        if (outcome == KUBE_LIST_EXPIRED)
            return error_set(err, ERROR_TRANSIENT, "list %s: it expired between two pages",
                             course->collection.resource->plural);
        if (list->limit <= 1)
            return error_set(err, ERROR_CORRUPT, "list %s: one of them is too large",
                             course->collection.resource->plural);
    }
}

/* Trims them at once, so that a long list is never there as a whole and untrimmed. */
static void extend(const struct course *course, json_t *objects, json_t *more)
{
    size_t index;
    json_t *object;
    json_array_foreach(more, index, object) cache_trim(course->watch->cache, object);
    json_array_extend(objects, more);
}

/* All pages into ret_objects; the list is of the moment of its first page, as is its version. */
static int list_pages(struct course *course, json_t *ret_objects, struct error *err)
{
    CLEANUP(own_freep) char *token = NULL;
    struct kube_list list = {.collection = course->collection,
                             .label_selector = course->watch->label_selector,
                             .limit = PAGE_OBJECTS};
    do {
        json_auto_t *page = NULL;
        list.continue_token = token;
        if (list_page(course, &list, &page, err) < 0 || note_version(course, page, err) < 0)
            return -1;
        extend(course, ret_objects, json_object_get(page, "items"));
        own_freep(&token);
        token = own_strdup(
            json_string_value(json_object_get(json_object_get(page, "metadata"), "continue")));
    } while (token && *token);
    return 0;
}

static int list_anew(struct course *course, struct error *err)
{
    const struct watch *watch = course->watch;
    json_auto_t *objects = json_array();
    size_t index;
    json_t *change;
    if (list_pages(course, objects, err) < 0) {
        course->version[0] = '\0';
        return -1;
    }
    json_auto_t *changes = cache_replace(watch->cache, watch->namespace, objects);
    if (!course->synced)
        cache_set_synced(watch->cache);
    course->synced = true;
    malloc_trim(0); /* what was trimmed left holes all over the heap */
    json_array_foreach(changes, index, change)
        tell(course, json_array_get(change, 0), json_array_get(change, 1));
    return 0;
}

/* 0: the watch ended as it should. One that failed before anything came is begun anew with a list:
 * what was wrong may be the version (an API server whose etcd was restored does not know it). So is
 * one with an event that nobody can read: a list knows what it told. */
static int follow(struct course *course, struct error *err)
{
    enum kube_watch_outcome outcome;
    const struct kube_watch watch = {.collection = course->collection,
                                     .label_selector = course->watch->label_selector,
                                     .resource_version = course->version,
                                     .timeout_seconds = TIMEOUT_SECONDS +
                                                        backoff_random() % TIMEOUT_SPREAD_SECONDS};
    course->moved = false;
    if (kube_watch(course->watch->kube, &watch, take_event, course, &outcome, err) < 0) {
        if (!course->moved || err->kind == ERROR_CORRUPT)
            course->version[0] = '\0';
        return -1;
    }
    if (outcome == KUBE_WATCH_EXPIRED)
        course->version[0] = '\0';
    return 0;
}

/* Lists if that is due, then watches until that ends. */
static int list_and_follow(struct course *course, struct error *err)
{
    if (!course->version[0] && list_anew(course, err) < 0)
        return -1;
    int64_t begin_ms = clock_monotonic_ms();
    int result = follow(course, err);
    if (course->moved || clock_monotonic_ms() - begin_ms >= STEADY_MS)
        backoff_reset(&course->backoff);
    return result;
}

int watch_run(void *arg, struct error *err)
{
    const struct watch *watch = arg;
    struct course course = {
        .watch = watch,
        .collection = {.resource = watch->resource, .namespace = watch->namespace},
        .backoff = {.base_ms = BACKOFF_BASE_MS, .cap_ms = BACKOFF_CAP_MS}};
    while (!cancel_requested(watch->cancel)) {
        if (list_and_follow(&course, err) < 0 && err->kind != ERROR_CANCELED)
            log_warn("Failed to watch, trying again", S("resource", watch->resource->plural),
                     S("namespace", watch->namespace), S("error", err->text));
        uint32_t delay_ms =
            backoff_next_ms(&course.backoff, backoff_random(), kube_wish_ms(watch->kube));
        if (cancel_sleep(watch->cancel, (int)delay_ms, err) < 0)
            return 0;
    }
    return 0;
}
