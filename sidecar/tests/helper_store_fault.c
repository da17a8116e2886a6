// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_store_fault.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/own.h"

enum { SLOW_MS = 10 };

struct store_faulty {
    struct store store;
    struct store *inner;
    atomic_uint own_calls, *calls;
    unsigned first, count;
    enum store_fault fault;
    void (*watch)(unsigned call);
    void (*watch_puts)(const char *name);
};

static struct store_faulty *downcast(struct store *store)
{
    return (struct store_faulty *)store;
}

/* Counts a call; whether it is to meet the fault. */
static bool is_met(struct store_faulty *faulty)
{
    unsigned call = atomic_fetch_add(faulty->calls, 1) + 1;
    if (faulty->watch)
        faulty->watch(call);
    return call >= faulty->first && call - faulty->first < faulty->count;
}

/* Whether it is to fail. */
static bool is_due(struct store_faulty *faulty)
{
    return is_met(faulty) && faulty->fault != STORE_FAULT_LIE;
}

static int fail(const struct store_faulty *faulty, struct error *err)
{
    if (faulty->fault == STORE_FAULT_HANG)
        return cancel_sleep(faulty->store.cancel, -1, err);
    const enum error_kind kind = faulty->fault == STORE_FAULT_PERMANENT ? ERROR_PERMANENT
                                 : faulty->fault == STORE_FAULT_LOCKED  ? ERROR_CONFLICT
                                                                        : ERROR_TRANSIENT;
    return error_set(err, kind, "fault of the test");
}

/* What half a put leaves behind. A bucket takes an object whole or not at all. A directory has half
 * a file where it gathers what comes in, if the writer died: no half object has the object's name.
 */
static void put_half(struct store_faulty *faulty, const struct store_bytes *bytes)
{
    static atomic_uint number;
    struct store_bytes half = *bytes;
    struct error unused;
    CLEANUP(own_freep) char *name = own_format("incoming~/half-%u", atomic_fetch_add(&number, 1));
    half.size /= 2;
    (void)!faulty->inner->driver->put(faulty->inner, name, &half, &unused);
}

static int fault_put(struct store *store, const char *name, const struct store_bytes *bytes,
                     struct error *err)
{
    struct store_faulty *faulty = downcast(store);
    bool due = is_met(faulty) && faulty->fault != STORE_FAULT_LOCKED;
    if (faulty->watch_puts)
        faulty->watch_puts(name);
    if (due && faulty->fault == STORE_FAULT_SLOW) {
        if (cancel_sleep(store->cancel, SLOW_MS, err) < 0)
            return -1;
        due = false;
    }
    if (due && faulty->fault == STORE_FAULT_LIE)
        return 0;
    if (due && faulty->fault == STORE_FAULT_PARTIAL)
        put_half(faulty, bytes);
    if ((!due || faulty->fault == STORE_FAULT_LOST_ANSWER) &&
        faulty->inner->driver->put(faulty->inner, name, bytes, err) < 0)
        return -1;
    return due ? fail(faulty, err) : 0;
}

static int fault_get(struct store *store, const char *name, uint64_t offset, uint64_t size,
                     struct buf *data, struct error *err)
{
    struct store_faulty *faulty = downcast(store);
    bool due = is_due(faulty) && faulty->fault != STORE_FAULT_LOCKED;
    if (due && faulty->fault == STORE_FAULT_PARTIAL)
        size = size / 2 + 1;
    if ((!due || faulty->fault == STORE_FAULT_LOST_ANSWER ||
         faulty->fault == STORE_FAULT_PARTIAL) &&
        faulty->inner->driver->get(faulty->inner, name, offset, size, data, err) < 0)
        return -1;
    return due ? fail(faulty, err) : 0;
}

static int fault_list(struct store *store, struct store_query *query, store_each each, void *arg,
                      struct error *err)
{
    struct store_faulty *faulty = downcast(store);
    if (is_due(faulty) && faulty->fault != STORE_FAULT_LOCKED)
        return fail(faulty, err);
    return faulty->inner->driver->list(faulty->inner, query, each, arg, err);
}

static int fault_remove(struct store *store, const char *name, struct error *err)
{
    struct store_faulty *faulty = downcast(store);
    bool due = is_due(faulty);
    if ((!due || faulty->fault == STORE_FAULT_LOST_ANSWER) &&
        faulty->inner->driver->remove(faulty->inner, name, err) < 0)
        return -1;
    return due ? fail(faulty, err) : 0;
}

/* Until the last second of 9999, if it is due. */
static int fault_locked_until(struct store *store, const char *name, int64_t *ret_until_ms,
                              struct error *err)
{
    struct store_faulty *faulty = downcast(store);
    const struct store_driver *driver = faulty->inner->driver;
    const bool due = is_due(faulty);
    if (due && faulty->fault == STORE_FAULT_LOCKED)
        *ret_until_ms = STORE_FAULT_LOCK_MS;
    else if (due)
        return fail(faulty, err);
    else if (driver->locked_until)
        return driver->locked_until(faulty->inner, name, ret_until_ms, err);
    return 0;
}

static void fault_close(struct store *store)
{
    struct store_faulty *faulty = downcast(store);
    store_closep(&faulty->inner);
    store_done(store);
    free(faulty);
}

struct store *store_fault_wrap(struct store *inner)
{
    static const struct store_driver driver = {
        .put = fault_put,
        .get = fault_get,
        .list = fault_list,
        .remove = fault_remove,
        .locked_until = fault_locked_until,
        .close = fault_close,
    };
    struct store_faulty *faulty = own_alloc(sizeof(*faulty));
    store_init(&faulty->store, &driver, inner->region, inner->cancel);
    faulty->store.backoff_ms = 0;
    faulty->inner = inner;
    faulty->calls = &faulty->own_calls;
    return &faulty->store;
}

void store_fault_set(struct store *store, unsigned first, unsigned count, enum store_fault fault)
{
    struct store_faulty *faulty = downcast(store);
    faulty->first = first;
    faulty->count = count;
    faulty->fault = fault;
}

void store_fault_watch(struct store *store, void (*watch)(unsigned call))
{
    downcast(store)->watch = watch;
}

void store_fault_watch_puts(struct store *store, void (*watch)(const char *name))
{
    downcast(store)->watch_puts = watch;
}

void store_fault_count(struct store *store, atomic_uint *calls)
{
    downcast(store)->calls = calls;
}

unsigned store_fault_calls(const struct store *store)
{
    return atomic_load(((const struct store_faulty *)store)->calls);
}
