// SPDX-License-Identifier: Apache-2.0
#include "sidecar/upload.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/fifo.h"
#include "common/own.h"
#include "sidecar/lanes.h"
#include "sidecar/repo.h"

/* A buffer, and the pack in it while it is on its way. */
struct slot {
    struct lane_put put; /* first: what comes back from the lanes */
    uint8_t *buffer;
    char *name; /* in a store; NULL: there is no pack in it */
    struct store_bytes pack;
};

struct upload {
    struct repo *repo;
    uint8_t *memory; /* all buffers, one mapping */
    size_t memory_bytes;
    struct fifo *idle;     /* of slots, also those whose pack was just put */
    atomic_size_t pending; /* packs that did not come back yet */
    _Atomic uint64_t stored_bytes;
    size_t slot_count;
    struct slot slots[];
};

/* Waits for an idle slot, and settles what was in it. */
static int take_slot(struct upload *upload, struct slot **ret_slot, struct error *err)
{
    void *item;
    if (repo_await(upload->repo, upload->idle, -1, &item, err) < 0)
        return -1;
    struct slot *slot = item;
    *ret_slot = slot;
    if (!slot->name)
        return 0;
    own_freep(&slot->name);
    atomic_fetch_sub(&upload->pending, 1);
    if (slot->put.error.kind == ERROR_NONE) {
        atomic_fetch_add(&upload->stored_bytes, slot->pack.size);
        return 0;
    }
    *err = slot->put.error;
    return -1;
}

uint64_t upload_stored_bytes(const struct upload *upload)
{
    return atomic_load(&upload->stored_bytes);
}

int upload_finish(struct upload *upload, struct error *err)
{
    struct slot *slot;
    while (atomic_load(&upload->pending) > 0)
        if (take_slot(upload, &slot, err) < 0)
            return -1;
    return 0;
}

void upload_submit(struct upload *upload, uint8_t *buffer, const char *name, size_t size,
                   const uint8_t sha256[DIGEST_BYTES])
{
    struct slot *slot = &upload->slots[(size_t)(buffer - upload->memory) / UPLOAD_BUFFER_BYTES];
    assert(slot->buffer == buffer && size <= UPLOAD_BUFFER_BYTES && !slot->name);
    slot->name = repo_full_name(upload->repo, name);
    slot->pack.size = size;
    memcpy(slot->pack.sha256, sha256, DIGEST_BYTES);
    slot->put = (struct lane_put){
        .object = {.name = slot->name, .bytes = &slot->pack, .rule = PUT_NEW},
        .done = upload->idle,
    };
    atomic_fetch_add(&upload->pending, 1);
    lanes_submit(upload->repo->lanes, &slot->put);
}

int upload_buffer(struct upload *upload, uint8_t **ret_buffer, struct error *err)
{
    struct slot *slot;
    if (take_slot(upload, &slot, err) < 0)
        return -1;
    *ret_buffer = slot->buffer;
    return 0;
}

void upload_freep(struct upload **upload)
{
    struct upload *u = TAKE(*upload);
    if (!u)
        return;
    for (size_t i = 0; i < u->slot_count; i++)
        free(u->slots[i].name);
    fifo_freep(&u->idle);
    munmap(u->memory, u->memory_bytes);
    free(u);
}

static void fill_idle(struct upload *upload)
{
    for (size_t i = 0; i < upload->slot_count; i++) {
        struct slot *slot = &upload->slots[i];
        struct error ignored; /* there is room; a cancelled job finds out when it wants a buffer */
        slot->buffer = upload->memory + i * UPLOAD_BUFFER_BYTES;
        slot->pack.data = slot->buffer;
        if (fifo_push(upload->idle, slot, &ignored) < 0)
            return;
    }
}

struct upload *upload_new(struct repo *repo, size_t buffers, const struct cancel *cancel)
{
    struct upload *upload = own_alloc(sizeof(*upload) + buffers * sizeof(upload->slots[0]));
    upload->repo = repo;
    upload->slot_count = buffers;
    upload->memory_bytes = buffers * UPLOAD_BUFFER_BYTES;
    upload->memory = mmap(NULL, upload->memory_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (upload->memory == MAP_FAILED)
        abort(); /* out of memory, as everywhere */
    upload->idle = fifo_new(buffers, cancel);
    fill_idle(upload);
    return upload;
}
