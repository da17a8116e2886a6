// SPDX-License-Identifier: Apache-2.0
/*
 * jansson's objects are the hash tables: they keep the order of insertion, and reference counts are
 * atomic, so that readers hold what they got without a lock.
 */
#include "operator/cache.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"

struct cache {
    const char *const *index;
    void (*trim)(json_t *object);
    pthread_mutex_t lock; /* guards what follows */
    json_t *objects;      /* "namespace/name" -> the object */
    json_t *by_value;     /* of the indexed member -> namespace -> {"namespace/name": the object} */
    json_t *removed;      /* namespace -> the last resourceVersion at which one was removed there */
    size_t unsynced;      /* watches whose first list is not complete */
};

static const char *metadata_string(const json_t *object, const char *name)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(object, "metadata"), name));
    return text ? text : "";
}

static char *key_of(const char *namespace, const char *name)
{
    return own_format("%s/%s", namespace ? namespace : "", name);
}

static char *key_of_object(const json_t *object)
{
    return key_of(metadata_string(object, "namespace"), metadata_string(object, "name"));
}

static bool is_number(const char *text)
{
    return *text && !text[strspn(text, "0123456789")];
}

/* resourceVersions of one resource are ordered as decimal numbers of any size (Kubernetes API
 * Concepts, "Resource versions"). Of anything else nobody knows, and it counts as new. */
static bool is_older(const char *version, const char *than)
{
    size_t size = strlen(version), than_size = strlen(than);
    if (!is_number(version) || !is_number(than))
        return false;
    return size != than_size ? size < than_size : strcmp(version, than) < 0;
}

static const char *indexed_value(const struct cache *cache, const json_t *object)
{
    for (const char *const *step = cache->index; step && *step; step++)
        object = json_object_get(object, *step);
    return cache->index ? json_string_value(object) : NULL;
}

static void drop_if_empty(json_t *table, const char *key)
{
    if (json_object_size(json_object_get(table, key)) == 0)
        json_object_del(table, key);
}

static void unindex(struct cache *cache, const char *key, const json_t *object)
{
    const char *value = indexed_value(cache, object);
    const char *namespace = metadata_string(object, "namespace");
    json_t *namespaces = value ? json_object_get(cache->by_value, value) : NULL;
    if (!namespaces)
        return;
    json_object_del(json_object_get(namespaces, namespace), key);
    drop_if_empty(namespaces, namespace);
    drop_if_empty(cache->by_value, value);
}

static json_t *get_or_add(json_t *table, const char *key)
{
    if (!json_object_get(table, key))
        json_object_set_new(table, key, json_object());
    return json_object_get(table, key);
}

static void enter(struct cache *cache, const char *key, json_t *object)
{
    const char *value = indexed_value(cache, object);
    json_object_set(cache->objects, key, object);
    if (!value)
        return;
    json_t *namespaces = get_or_add(cache->by_value, value);
    json_object_set(get_or_add(namespaces, metadata_string(object, "namespace")), key, object);
}

/* The object at key, out of the table, or NULL; the caller's. */
static json_t *leave(struct cache *cache, const char *key)
{
    json_t *object = json_incref(json_object_get(cache->objects, key));
    if (!object)
        return NULL;
    unindex(cache, key, object);
    json_object_del(cache->objects, key);
    return object;
}

/* News that came late: what it tells of has changed or gone since. */
static bool is_stale(const struct cache *cache, const json_t *former, const json_t *object)
{
    const char *version = metadata_string(object, "resourceVersion");
    const char *removed =
        json_string_value(json_object_get(cache->removed, metadata_string(object, "namespace")));
    if (former)
        return is_older(version, metadata_string(former, "resourceVersion"));
    return removed && is_older(version, removed);
}

static void note_removal(struct cache *cache, const char *namespace, const char *version)
{
    const char *before = json_string_value(json_object_get(cache->removed, namespace));
    if (version && !(before && is_older(version, before)))
        json_object_set_new(cache->removed, namespace, json_string(version));
}

/* Takes all of a namespace (NULL: all at all) out and gives them by key. */
static json_t *leave_all(struct cache *cache, const char *namespace)
{
    json_t *left = json_object(), *object;
    CLEANUP(own_freep) char *prefix = namespace ? key_of(namespace, "") : own_strdup("");
    const char *key;
    void *next;
    json_object_foreach_safe(cache->objects, next, key, object)
    {
        if (!text_starts_with(key, prefix))
            continue;
        json_object_set(left, key, object);
        unindex(cache, key, object);
        json_object_del(cache->objects, key);
    }
    return left;
}

static void add_change(json_t *changes, json_t *before, json_t *after)
{
    json_array_append_new(changes, json_pack("[o?, o?]", json_incref(before), json_incref(after)));
}

/* What differs between two tables by key. */
static json_t *compare(json_t *before, json_t *after)
{
    json_t *changes = json_array(), *object;
    const char *key;
    json_object_foreach(after, key, object)
    {
        json_t *former = json_object_get(before, key);
        if (!former || strcmp(metadata_string(former, "resourceVersion"),
                              metadata_string(object, "resourceVersion")) != 0)
            add_change(changes, former, object);
    }
    json_object_foreach(before, key, object)
    {
        if (!json_object_get(after, key))
            add_change(changes, object, NULL);
    }
    return changes;
}

struct cache *cache_new(const char *const *index)
{
    struct cache *cache = own_alloc(sizeof(*cache));
    cache->index = index;
    cache->objects = json_object();
    cache->by_value = json_object();
    cache->removed = json_object();
    cache->unsynced = 1;
    pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

void cache_freep(struct cache **cache)
{
    if (!*cache)
        return;
    json_decref((*cache)->objects);
    json_decref((*cache)->by_value);
    json_decref((*cache)->removed);
    pthread_mutex_destroy(&(*cache)->lock);
    own_freep(cache);
}

json_t *cache_get(struct cache *cache, const char *namespace, const char *name)
{
    CLEANUP(own_freep) char *key = key_of(namespace, name);
    pthread_mutex_lock(&cache->lock);
    json_t *object = json_incref(json_object_get(cache->objects, key));
    pthread_mutex_unlock(&cache->lock);
    return object;
}

/* Those of a table whose key begins with prefix. */
static void extend(json_t *list, json_t *table, const char *prefix)
{
    const char *key;
    json_t *object;
    json_object_foreach(table, key, object)
    {
        if (text_starts_with(key, prefix))
            json_array_append(list, object);
    }
}

json_t *cache_list(struct cache *cache, const char *namespace, const char *value)
{
    CLEANUP(own_freep) char *prefix = namespace ? key_of(namespace, "") : own_strdup("");
    json_t *list = json_array(), *table;
    const char *key;
    assert(!value || cache->index);
    pthread_mutex_lock(&cache->lock);
    json_t *namespaces = value ? json_object_get(cache->by_value, value) : NULL;
    if (!value)
        extend(list, cache->objects, prefix);
    else if (namespace)
        extend(list, json_object_get(namespaces, namespace), prefix);
    else
        json_object_foreach(namespaces, key, table) extend(list, table, prefix);
    pthread_mutex_unlock(&cache->lock);
    return list;
}

size_t cache_count(struct cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    size_t count = json_object_size(cache->objects);
    pthread_mutex_unlock(&cache->lock);
    return count;
}

bool cache_synced(struct cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    bool synced = cache->unsynced == 0;
    pthread_mutex_unlock(&cache->lock);
    return synced;
}

void cache_set_trim(struct cache *cache, void (*trim)(json_t *object))
{
    cache->trim = trim;
}

void cache_trim(const struct cache *cache, json_t *object)
{
    json_object_del(json_object_get(object, "metadata"), "managedFields");
    if (cache->trim)
        cache->trim(object);
}

void cache_expect(struct cache *cache, size_t watches)
{
    pthread_mutex_lock(&cache->lock);
    cache->unsynced = watches;
    pthread_mutex_unlock(&cache->lock);
}

void cache_set_synced(struct cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    if (cache->unsynced > 0)
        cache->unsynced--;
    pthread_mutex_unlock(&cache->lock);
}

json_t *cache_put(struct cache *cache, json_t *object)
{
    CLEANUP(own_freep) char *key = key_of_object(object);
    cache_trim(cache, object);
    pthread_mutex_lock(&cache->lock);
    json_t *former = json_incref(json_object_get(cache->objects, key));
    if (!is_stale(cache, former, object)) {
        if (former)
            unindex(cache, key, former);
        enter(cache, key, object);
    }
    pthread_mutex_unlock(&cache->lock);
    return former;
}

json_t *cache_remove(struct cache *cache, const char *namespace, const char *name,
                     const char *version)
{
    CLEANUP(own_freep) char *key = key_of(namespace, name);
    pthread_mutex_lock(&cache->lock);
    json_t *former = leave(cache, key);
    note_removal(cache, namespace ? namespace : "", version);
    pthread_mutex_unlock(&cache->lock);
    return former;
}

json_t *cache_replace(struct cache *cache, const char *namespace, const json_t *objects)
{
    json_auto_t *after = json_object();
    size_t index;
    json_t *object;
    const char *key;
    json_array_foreach(objects, index, object)
    {
        CLEANUP(own_freep) char *new_key = key_of_object(object);
        cache_trim(cache, object);
        json_object_set(after, new_key, object);
    }
    pthread_mutex_lock(&cache->lock);
    json_auto_t *before = leave_all(cache, namespace);
    json_object_foreach(after, key, object) enter(cache, key, object);
    if (namespace)
        json_object_del(cache->removed, namespace);
    else
        json_object_clear(cache->removed);
    pthread_mutex_unlock(&cache->lock);
    return compare(before, after);
}
