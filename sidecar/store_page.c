// SPDX-License-Identifier: Apache-2.0
#include "sidecar/store_page.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"

enum { FIRST_OBJECTS = 64 };

static int compare_objects(const void *a, const void *b)
{
    return strcmp(((const struct store_page_object *)a)->key,
                  ((const struct store_page_object *)b)->key);
}

void store_page_done(struct store_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        free(page->objects[i].key);
    free(page->objects);
    free(page->next);
    *page = (struct store_page){0};
}

bool store_page_add(struct store_page *page, struct store_page_object *object)
{
    if (page->count >= STORE_PAGE_OBJECTS_MAX)
        return false;
    if (page->count == page->capacity) {
        page->capacity = page->capacity ? 2 * page->capacity : FIRST_OBJECTS;
        page->objects = own_resize(page->objects, page->capacity, sizeof(*page->objects));
    }
    page->objects[page->count++] = *object;
    *object = (struct store_page_object){0};
    return true;
}

void store_page_sort(struct store_page *page)
{
    if (page->count > 1)
        qsort(page->objects, page->count, sizeof(*page->objects), compare_objects);
}

int store_page_give(const struct store_page *page, const char *prefix, store_each each, void *arg,
                    struct error *err)
{
    for (size_t i = 0; i < page->count; i++) {
        const struct store_page_object *found = &page->objects[i];
        if (!text_starts_with(found->key, prefix))
            continue;
        const struct store_object object = {
            .name = found->key + strlen(prefix),
            .size = found->size,
            .modified_ms = found->modified_ms,
        };
        if (each(arg, &object, err) < 0)
            return -1;
    }
    return 0;
}

bool store_page_parse_size(const char *text, uint64_t *ret_size)
{
    uint64_t size = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text) || __builtin_mul_overflow(size, (uint64_t)10, &size) ||
            __builtin_add_overflow(size, (uint64_t)(*text - '0'), &size))
            return false;
    }
    *ret_size = size;
    return true;
}
