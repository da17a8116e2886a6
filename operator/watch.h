// SPDX-License-Identifier: Apache-2.0
/*
 * Keeps a cache true: lists a resource in pages, then watches from that resourceVersion with
 * bookmarks, reconnects with back-off, and lists again when the server says 410. What is gone
 * after a new list is removed. Every change is told, also that of a new list.
 */
#pragma once

#include <jansson.h>

#include "common/error.h"

struct cache;
struct cancel;
struct kube;
struct kube_resource;

struct watch {
    struct kube *kube;
    const struct kube_resource *resource;
    const char *namespace;      /* NULL: all */
    const char *label_selector; /* NULL: all */
    struct cache *cache;
    const struct cancel *cancel;
    /* before NULL: new; after NULL: gone; both lent; called by the watch's thread.
     * May be NULL */
    void (*on_change)(void *arg, const json_t *before, const json_t *after);
    void *arg;
};

/* A crew_main over a struct watch: returns 0 when cancelled. Whatever else happens (forbidden, no
 * such resource, no API server), it logs that and goes on trying, with back-off. */
int watch_run(void *watch, struct error *err);
