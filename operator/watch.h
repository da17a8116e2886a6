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
    /* before NULL: new; after NULL: gone; both lent; called by the watch's thread */
    void (*on_change)(void *arg, const json_t *before, const json_t *after);
    void *arg;
};

/* A crew_main over a struct watch; returns only when cancelled (0) or refused for good (PERMANENT:
 * forbidden, no such resource: it goes on trying, logs, and never gives up; only CANCELED ends it).
 */
int watch_run(void *watch, struct error *err);
