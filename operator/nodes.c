// SPDX-License-Identifier: Apache-2.0
#include "operator/nodes.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/own.h"
#include "operator/kube.h"

enum { KNOWN_MS = 10 * 60 * 1000, FAILED_MS = 30 * 1000, SWEEP_COUNT = 1024 };

struct node {
    char *name;
    int64_t until_ms; /* monotonic: to be asked again then */
    bool failed;
    char region[NODES_REGION_BYTES];
    struct error err;
};

struct nodes {
    struct kube *kube;
    pthread_mutex_t lock;
    struct node *items;
    size_t count, capacity;
};

struct nodes *nodes_new(struct kube *kube)
{
    struct nodes *nodes = own_alloc(sizeof(*nodes));
    nodes->kube = kube;
    pthread_mutex_init(&nodes->lock, NULL);
    return nodes;
}

void nodes_freep(struct nodes **nodes)
{
    if (!*nodes)
        return;
    for (size_t i = 0; i < (*nodes)->count; i++)
        own_freep(&(*nodes)->items[i].name);
    own_freep(&(*nodes)->items);
    pthread_mutex_destroy(&(*nodes)->lock);
    own_freep(nodes);
}

static struct node *find(struct nodes *nodes, const char *name)
{
    for (size_t i = 0; i < nodes->count; i++)
        if (strcmp(nodes->items[i].name, name) == 0)
            return &nodes->items[i];
    return NULL;
}

/* Forgets what is out of date, so that nodes that are gone do not stay for ever. */
static void sweep(struct nodes *nodes, int64_t now_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < nodes->count; i++) {
        if (nodes->items[i].until_ms > now_ms)
            nodes->items[kept++] = nodes->items[i];
        else
            own_freep(&nodes->items[i].name);
    }
    nodes->count = kept;
}

static struct node *add(struct nodes *nodes, const char *name, int64_t now_ms)
{
    if (nodes->count >= SWEEP_COUNT)
        sweep(nodes, now_ms);
    if (nodes->count == nodes->capacity) {
        nodes->capacity = nodes->capacity ? nodes->capacity * 2 : 16;
        nodes->items = own_resize(nodes->items, nodes->capacity, sizeof(*nodes->items));
    }
    struct node *node = &nodes->items[nodes->count++];
    *node = (struct node){.name = own_strdup(name)};
    return node;
}

static void ask(struct nodes *nodes, const char *name, struct node *ret_node)
{
    const struct kube_ref ref = {.resource = &kube_nodes, .name = name};
    json_auto_t *object = NULL;
    *ret_node = (struct node){.until_ms = KNOWN_MS};
    if (kube_get(nodes->kube, &ref, &object, &ret_node->err) == 0) {
        const json_t *labels = json_object_get(json_object_get(object, "metadata"), "labels");
        const char *region =
            json_string_value(json_object_get(labels, "topology.kubernetes.io/region"));
        snprintf(ret_node->region, sizeof(ret_node->region), "%s", region ? region : "");
    } else if (ret_node->err.kind != ERROR_NOT_FOUND) {
        ret_node->failed = true;
        ret_node->until_ms = FAILED_MS;
    }
    ret_node->until_ms += clock_monotonic_ms();
}

static int answer(const struct node *node, char ret_region[NODES_REGION_BYTES], struct error *err)
{
    if (node->failed) {
        *err = node->err;
        return -1;
    }
    memcpy(ret_region, node->region, NODES_REGION_BYTES);
    return 0;
}

int nodes_region(struct nodes *nodes, const char *name, char ret_region[NODES_REGION_BYTES],
                 struct error *err)
{
    struct node asked = {.name = NULL};
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&nodes->lock);
    const struct node *known = find(nodes, name);
    bool fresh = known && known->until_ms > now_ms;
    if (fresh)
        asked = *known;
    pthread_mutex_unlock(&nodes->lock);
    if (fresh)
        return answer(&asked, ret_region, err);

    ask(nodes, name, &asked); /* two may ask at once: no lock is held while the server answers */
    pthread_mutex_lock(&nodes->lock);
    struct node *node = find(nodes, name);
    if (!node)
        node = add(nodes, name, now_ms);
    asked.name = node->name;
    *node = asked;
    pthread_mutex_unlock(&nodes->lock);
    return answer(&asked, ret_region, err);
}
