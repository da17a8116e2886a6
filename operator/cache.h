// SPDX-License-Identifier: Apache-2.0
/*
 * The objects of one resource as the API server last said they are, by namespace and name, and by
 * one member of theirs (a label, the policy that they belong to). Objects are immutable once here:
 * readers get references of their own (json_decref) and may keep them; nobody changes them.
 * metadata.managedFields is dropped, and whatever else cache_set_trim says. From any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

struct cache;

/* index: the path of a string member, NULL-terminated ({"metadata", "labels",
 * "lifeboat.dev/policy", NULL}), static; NULL: no index. */
struct cache *cache_new(const char *const *index);
void cache_freep(struct cache **cache);
/* Before the first object: drops from each one that comes what no reader wants. A tree of JSON
 * takes ten times the memory of its text. Called without the lock, perhaps twice for an object. */
void cache_set_trim(struct cache *cache, void (*trim)(json_t *object));

json_t *cache_get(struct cache *cache, const char *namespace, const char *name); /* or NULL */
/* A JSON array (the caller's) of the objects of a namespace (NULL: all) whose indexed member has
 * that value (NULL: any). */
json_t *cache_list(struct cache *cache, const char *namespace, const char *value);
size_t cache_count(struct cache *cache);
bool cache_synced(struct cache *cache); /* the first list is complete, of every watch */

/* For watch, and for a writer who wants to read what it wrote: an object with an older
 * resourceVersion than the one here, or than one that was removed from its namespace, is ignored.
 * Gives back the former object or NULL (the caller's). */
json_t *cache_put(struct cache *cache, json_t *object);
/* version: the resourceVersion of the removal; NULL: not known. Gives back as cache_put. */
json_t *cache_remove(struct cache *cache, const char *namespace, const char *name,
                     const char *version);
/* For watch: exactly these (a JSON array) are there, in a namespace (NULL: at all), whatever was
 * here and however new it was. Gives an array (the caller's) of what changed: [before, after], one
 * of them null if the object is new or gone. */
json_t *cache_replace(struct cache *cache, const char *namespace, const json_t *objects);
/* Does what cache_put and cache_replace do first, for whoever collects many objects before. */
void cache_trim(const struct cache *cache, json_t *object);
/* A first list is complete; cache_expect says beforehand of how many watches (one a namespace),
 * unless it is one. */
void cache_expect(struct cache *cache, size_t watches);
void cache_set_synced(struct cache *cache);
