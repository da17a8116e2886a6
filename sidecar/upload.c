// SPDX-License-Identifier: Apache-2.0
#include "sidecar/upload.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/crew.h"
#include "common/fifo.h"
#include "common/own.h"

/* A buffer, and the pack in it while it is queued. */
struct slot {
    uint8_t *buffer;
    char name[REPO_NAME_MAX];
    struct store_bytes pack;
};

struct upload {
    struct repo *repo;
    uint8_t *memory; /* all buffers, one mapping */
    size_t memory_bytes;
    struct fifo *idle, *full; /* of slots */
    _Atomic uint64_t stored_bytes;
    size_t slot_count;
    struct slot slots[];
};

static int put_pack(struct upload *upload, struct slot *slot, struct error *err)
{
    if (repo_put(upload->repo, slot->name, &slot->pack, PUT_NEW, err) < 0)
        return -1;
    atomic_fetch_add(&upload->stored_bytes, slot->pack.size);
    return fifo_push(upload->idle, slot, err);
}

static int upload_main(void *arg, struct error *err)
{
    struct upload *upload = arg;
    for (;;) {
        void *slot;
        if (fifo_pop(upload->full, &slot, err) < 0)
            return err->kind == ERROR_NOT_FOUND ? 0 : -1;
        if (put_pack(upload, slot, err) < 0)
            return -1;
    }
}

uint64_t upload_stored_bytes(const struct upload *upload)
{
    return atomic_load(&upload->stored_bytes);
}

void upload_close(struct upload *upload)
{
    fifo_close(upload->full);
}

int upload_submit(struct upload *upload, uint8_t *buffer, const char *name, size_t size,
                  const uint8_t sha256[DIGEST_BYTES], struct error *err)
{
    struct slot *slot = &upload->slots[(size_t)(buffer - upload->memory) / UPLOAD_BUFFER_BYTES];
    assert(slot->buffer == buffer && size <= UPLOAD_BUFFER_BYTES);
    assert(strlen(name) < sizeof(slot->name));
    memcpy(slot->name, name, strlen(name) + 1);
    slot->pack.size = size;
    memcpy(slot->pack.sha256, sha256, DIGEST_BYTES);
    return fifo_push(upload->full, slot, err);
}

int upload_buffer(struct upload *upload, uint8_t **ret_buffer, struct error *err)
{
    void *slot;
    if (fifo_pop(upload->idle, &slot, err) < 0)
        return -1;
    *ret_buffer = ((struct slot *)slot)->buffer;
    return 0;
}

void upload_freep(struct upload **upload)
{
    struct upload *u = TAKE(*upload);
    if (!u)
        return;
    fifo_freep(&u->full);
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

int upload_start(struct upload *upload, struct crew *crew, size_t threads, struct error *err)
{
    for (size_t i = 0; i < threads; i++)
        if (crew_start(crew, "upload", upload_main, upload, err) < 0)
            return -1;
    return 0;
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
    upload->full = fifo_new(buffers, cancel);
    fill_idle(upload);
    return upload;
}
