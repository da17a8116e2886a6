// SPDX-License-Identifier: Apache-2.0
#include "sidecar/store.h"

#include <assert.h>
#include <ctype.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/backoff.h"
#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/policy.h"
#include "sidecar/store_azure.h"
#include "sidecar/store_file.h"
#include "sidecar/store_s3.h"

enum {
    BACKOFF_CAP_MS = 20000,
    COMPARE_BYTES = 1 << 20, /* of an object that is read back, at once */
};

/* One call of a user's: what it is, and how often it was tried. */
struct call {
    struct store *store;
    const char *operation, *name;
    struct backoff backoff;
};

struct listing {
    store_each each;
    void *arg;
    bool stopped; /* by the user's function */
};

static struct call call_init(struct store *store, const char *operation, const char *name)
{
    return (struct call){
        .store = store,
        .operation = operation,
        .name = name,
        .backoff = {.base_ms = store->backoff_ms, .cap_ms = BACKOFF_CAP_MS},
    };
}

static bool is_name_character(char c)
{
    return isalnum((unsigned char)c) || c == '.' || c == '_' || c == '-';
}

/* The rule at the top of store.h, for the first size bytes of a name. */
static bool is_name(const char *name, size_t size)
{
    if (size == 0 || size > STORE_NAME_MAX)
        return false;
    for (size_t start = 0, i = 0; i <= size; i++) {
        if (i < size && name[i] != '/') {
            if (!is_name_character(name[i]))
                return false;
            continue;
        }
        size_t part = i - start;
        if (part == 0 || (part <= 2 && memcmp(name + start, "..", part) == 0))
            return false;
        start = i + 1;
    }
    return true;
}

/* Also the name of a prefix, with a '/' at its end. */
static bool is_listed_name(const char *name)
{
    size_t size = strlen(name);
    return is_name(name, size > 0 && name[size - 1] == '/' ? size - 1 : size);
}

static int call_error(const struct call *call, struct error *err)
{
    return error_wrap(err, "%s '%s' in region '%s'", call->operation, call->name,
                      call->store->region);
}

/* What call_error would put before the error of a good name. */
static int check_name(const struct call *call, struct error *err)
{
    if (is_name(call->name, strlen(call->name)))
        return 0;
    error_set(err, ERROR_PERMANENT, "not a name that an object can have");
    return call_error(call, err);
}

static uint32_t wished_delay_ms(struct store *store)
{
    int64_t left = store->retry_at_ms - clock_monotonic_ms();
    return left < 0 ? 0 : left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}

/* What the end of an attempt says of the store. */
static void note_end(struct store *store, bool good)
{
    const int64_t now_ms = clock_monotonic_ms();
    int64_t fine = 0;
    if (!good) {
        atomic_compare_exchange_strong(&store->failing_ms, &fine, now_ms);
        return;
    }
    store->failing_ms = 0;
    store->moved_ms = now_ms;
}

/* After a failed attempt: waits and gives true if there shall be another one, else completes err.
 */
static bool call_again(struct call *call, struct error *err)
{
    struct store *store = call->store;
    bool transient = err->kind == ERROR_TRANSIENT;
    if (err->kind != ERROR_CANCELED)
        note_end(store, !transient);
    if (transient && call->backoff.attempt < store->retries) {
        uint32_t delay_ms =
            backoff_next_ms(&call->backoff, backoff_random(), wished_delay_ms(store));
        log_warn("Failed an attempt at a store, trying again", S("operation", call->operation),
                 S("name", call->name), S("region", store->region), S("error", err->text),
                 U("attempt", call->backoff.attempt), U("delay_ms", delay_ms));
        if (cancel_sleep(store->cancel, (int)delay_ms, err) == 0)
            return true;
    } else if (transient && call->backoff.attempt > 0) {
        error_wrap(err, "gave up after %u attempts", call->backoff.attempt + 1);
    }
    call_error(call, err);
    return false;
}

static int get_range(struct call *call, uint64_t offset, uint64_t size, struct buf *data,
                     struct error *err)
{
    struct store *store = call->store;
    size_t size_before = data->size;
    while (store->driver->get(store, call->name, offset, size, data, err) < 0) {
        data->size = size_before;
        if (!call_again(call, err))
            return -1;
    }
    note_end(store, true);
    return 0;
}

/* After an attempt to put that broke off: a store may refuse what exists while the bytes still come
 * and hang up, and then its answer is lost. Where this fails as well, the next attempt will tell.
 */
static bool is_there(struct store *store, const char *name)
{
    CLEANUP(buf_done) struct buf data = BUF(1);
    struct error err;
    return store->driver->get(store, name, 0, 1, &data, &err) == 0;
}

/* Whether the object that stands under the name is what this call was to put: then an earlier
 * attempt, whose answer got lost, did it. */
static int resolve_conflict(struct call *put, const struct store_bytes *bytes, struct error *err)
{
    struct call get = call_init(put->store, "read back", put->name);
    CLEANUP(buf_done) struct buf data = BUF(COMPARE_BYTES);
    bool equal = true;
    for (size_t at = 0; equal && at <= bytes->size; at += COMPARE_BYTES) {
        size_t left = bytes->size - at, wanted = left < COMPARE_BYTES ? left : COMPARE_BYTES;
        buf_clear(&data);
        /* where the bytes end, one more is asked for: the object must end there too */
        if (get_range(&get, at, wanted < COMPARE_BYTES ? wanted + 1 : wanted, &data, err) < 0)
            return -1;
        equal = data.size == wanted &&
                (wanted == 0 || memcmp(data.data, (const uint8_t *)bytes->data + at, wanted) == 0);
    }
    if (equal)
        return 0;
    error_set(err, ERROR_CONFLICT, "the object exists already");
    return call_error(put, err);
}

static int pass_on(void *arg, const struct store_object *object, struct error *err)
{
    struct listing *listing = arg;
    if (!is_listed_name(object->name))
        return 0;
    if (listing->each(listing->arg, object, err) == 0)
        return 0;
    listing->stopped = true;
    return -1;
}

void store_init(struct store *store, const struct store_driver *driver, const char *region,
                const struct cancel *cancel)
{
    *store = (struct store){
        .driver = driver,
        .region = own_strdup(region),
        .cancel = cancel,
        .retries = STORE_RETRIES,
        .backoff_ms = STORE_BACKOFF_MS,
        .moved_ms = clock_monotonic_ms(),
    };
    throttle_init(&store->put_limit, 0);
    throttle_init(&store->get_limit, 0);
}

void store_done(struct store *store)
{
    throttle_done(&store->put_limit);
    throttle_done(&store->get_limit);
    free(store->region);
}

static int open_driver(struct store **ret_store, const struct policy_region *region,
                       const struct secrets *secrets, const struct cancel *cancel,
                       struct error *err)
{
    switch (region->store) {
    case POLICY_STORE_S3:
        return store_s3_open(ret_store, region, secrets, cancel, err);
    case POLICY_STORE_AZURE:
        return store_azure_open(ret_store, region, secrets, cancel, err);
    case POLICY_STORE_FILE:
        break;
    }
    return store_file_open(ret_store, region, cancel, err);
}

int store_open(struct store **ret_store, const struct policy_region *region,
               const struct secrets *secrets, const struct cancel *cancel, struct error *err)
{
    if (open_driver(ret_store, region, secrets, cancel, err) < 0)
        return error_wrap(err, "open region '%s'", region->name);
    return 0;
}

void store_limit(struct store *store, uint64_t put_bytes_per_second, uint64_t get_bytes_per_second)
{
    throttle_done(&store->put_limit);
    throttle_done(&store->get_limit);
    throttle_init(&store->put_limit, put_bytes_per_second);
    throttle_init(&store->get_limit, get_bytes_per_second);
}

void store_closep(struct store **store)
{
    if (*store)
        (*store)->driver->close(*store);
    *store = NULL;
}

int store_remove(struct store *store, const char *name, struct error *err)
{
    struct call call = call_init(store, "remove", name);
    if (check_name(&call, err) < 0)
        return -1;
    while (store->driver->remove(store, name, err) < 0) {
        if (!call_again(&call, err))
            return -1;
    }
    note_end(store, true);
    return 0;
}

int store_locked_until(struct store *store, const char *name, int64_t *ret_until_ms,
                       struct error *err)
{
    struct call call = call_init(store, "look at the retention of", name);
    if (check_name(&call, err) < 0)
        return -1;
    *ret_until_ms = 0;
    while (store->driver->locked_until &&
           store->driver->locked_until(store, name, ret_until_ms, err) < 0) {
        if (!call_again(&call, err))
            return -1;
    }
    note_end(store, true);
    return 0;
}

void store_lock_text(int64_t until_ms, char ret_text[STORE_LOCK_TEXT_BYTES])
{
    char time[CLOCK_TEXT_BYTES];
    if (until_ms == INT64_MAX) {
        snprintf(ret_text, STORE_LOCK_TEXT_BYTES, "locked by a legal hold");
        return;
    }
    clock_format(until_ms, time);
    snprintf(ret_text, STORE_LOCK_TEXT_BYTES, "locked until %s", time);
}

int store_list(struct store *store, const char *prefix, enum store_depth depth, store_each each,
               void *arg, struct error *err)
{
    struct listing listing = {.each = each, .arg = arg};
    struct store_query query = {.prefix = prefix, .depth = depth};
    assert(!*prefix || is_listed_name(prefix));
    do {
        struct call call = call_init(store, "list", prefix);
        while (store->driver->list(store, &query, pass_on, &listing, err) < 0) {
            if (listing.stopped || !call_again(&call, err)) {
                own_freep(&query.cursor);
                return -1;
            }
        }
        note_end(store, true);
    } while (query.cursor);
    return 0;
}

int store_get_all(struct store *store, const char *name, struct buf *data, struct error *err)
{
    struct call call = call_init(store, "get", name);
    size_t room = data->limit - data->size, size_before = data->size;
    assert(data->limit < SIZE_MAX);
    if (check_name(&call, err) < 0)
        return -1;
    data->limit++; /* one byte more than fits tells an object that is too large */
    int result = get_range(&call, 0, (uint64_t)room + 1, data, err);
    data->limit--;
    if (result < 0 || data->size <= data->limit)
        return result;
    data->size = size_before;
    error_set(err, ERROR_PERMANENT, "larger than %zu bytes", room);
    return call_error(&call, err);
}

int store_get(struct store *store, const char *name, uint64_t offset, uint64_t size,
              struct buf *data, struct error *err)
{
    struct call call = call_init(store, "get", name);
    assert(size > 0);
    if (check_name(&call, err) < 0)
        return -1;
    return get_range(&call, offset, size, data, err);
}

int store_put(struct store *store, const char *name, const struct store_bytes *bytes,
              struct error *err)
{
    struct call call = call_init(store, "put", name);
    if (check_name(&call, err) < 0)
        return -1;
    while (store->driver->put(store, name, bytes, err) < 0) {
        if (err->kind == ERROR_CONFLICT && call.backoff.attempt > 0)
            return resolve_conflict(&call, bytes, err);
        if (!call_again(&call, err))
            return -1;
        if (is_there(store, name))
            return resolve_conflict(&call, bytes, err);
    }
    note_end(store, true);
    return 0;
}

int64_t store_silent_ms(const struct store *store)
{
    const int64_t failing_ms = store->failing_ms;
    return clock_monotonic_ms() - (failing_ms != 0 ? failing_ms : store->moved_ms);
}

int store_probe(struct store *store, const char *name, struct error *err)
{
    const struct call call = call_init(store, "look for", name);
    CLEANUP(buf_done) struct buf data = BUF(1);
    if (check_name(&call, err) < 0)
        return -1;
    if (store->driver->get(store, name, 0, 1, &data, err) == 0 || err->kind == ERROR_NOT_FOUND)
        return 0;
    return call_error(&call, err);
}

int store_has(struct store *store, const char *name, bool *ret_there, struct error *err)
{
    CLEANUP(buf_done) struct buf data = BUF(1);
    int result = store_get(store, name, 0, 1, &data, err);
    *ret_there = result == 0;
    return result == 0 || err->kind == ERROR_NOT_FOUND ? 0 : -1;
}
