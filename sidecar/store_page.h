// SPDX-License-Identifier: Apache-2.0
/*
 * A page of a listing as a service gave it: whole, bounded, and in bytewise order of names, before
 * the first object of it is passed on. Names are those of the bucket, with the policy's prefix in
 * front. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/store.h"

enum { STORE_PAGE_OBJECTS_MAX = 10000 }; /* S3 sends 1000 at most, Azure 5000 */

struct store_page_object {
    char *key; /* of a prefix with the '/' at its end */
    uint64_t size;
    int64_t modified_ms;
    bool is_prefix; /* neither size nor modified_ms */
};

struct store_page {
    struct store_page_object *objects;
    size_t count, capacity;
    char *next; /* where the next page begins, NULL on the last one; own_freep */
};

void store_page_done(struct store_page *page);
/* Takes the object; false, leaving it, if there are too many. */
bool store_page_add(struct store_page *page, struct store_page_object *object);
void store_page_sort(struct store_page *page);
/* Calls each for those whose name starts with prefix, without it. The error is that of each. */
MUST_CHECK int store_page_give(const struct store_page *page, const char *prefix, store_each each,
                               void *arg, struct error *err);

/* The size of an object: decimal digits, at least one, below 2^64. */
bool store_page_parse_size(const char *text, uint64_t *ret_size);
