// SPDX-License-Identifier: Apache-2.0
/*
 * A store is one region's bucket: put, get (range), list, remove. Drivers (store_file, store_s3,
 * store_azure) do one attempt each and say in the error's kind what happened; the functions here
 * add, once for all of them, retries with back-off on TRANSIENT, the resolution of a put whose
 * answer got lost, and checks of names. An object is immutable: put never replaces one. Names are
 * relative, of [A-Za-z0-9._-] parts between single slashes, no part "." or "..", at most
 * STORE_NAME_MAX bytes; the driver puts the policy's prefix before them.
 */
#pragma once

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/error.h"
#include "common/throttle.h"

struct buf;
struct cancel;
struct policy_region;
struct secrets;
struct store;

enum { STORE_NAME_MAX = 512, STORE_RETRIES = 7, STORE_BACKOFF_MS = 250 };

struct store_object {
    const char *name;    /* lent during the call */
    uint64_t size;       /* bytes; 0 for a prefix */
    int64_t modified_ms; /* by the store's clock */
};

/* What is put: bytes and their SHA-256, which whoever made them computed on the way. */
struct store_bytes {
    const void *data;
    size_t size;
    uint8_t sha256[DIGEST_BYTES];
    bool passing; /* removed again soon, or at will (running/, retired/, holds/): put
                     without the retention that the policy says */
};

/* Called once per object, in bytewise order of names; -1 ends the listing with its error. */
typedef int (*store_each)(void *arg, const struct store_object *object, struct error *err);

enum store_depth {
    STORE_DEEP,    /* all objects whose name starts with the prefix */
    STORE_SHALLOW, /* those without a further '/', and each common prefix up to it once, with the
                      '/' at its end */
};

/* What a driver lists, page by page. */
struct store_query {
    const char *prefix;
    enum store_depth depth;
    char *cursor; /* where the page begins, NULL: at the start; own_freep */
};

/* A driver: one attempt each, no retries. kind of errors: TRANSIENT is tried again, all else is
 * final. What it appended to data before an error is taken back. */
struct store_driver {
    /* CONFLICT if the name exists. */
    int (*put)(struct store *store, const char *name, const struct store_bytes *bytes,
               struct error *err);
    /* Appends bytes [offset, offset + size) to data, fewer only where the object ends; NOT_FOUND.
     */
    int (*get)(struct store *store, const char *name, uint64_t offset, uint64_t size,
               struct buf *data, struct error *err);
    /* One page, whole before the first call of each; sets the cursor, to NULL after the last one.
     * May give objects whose names are none of ours. */
    int (*list)(struct store *store, struct store_query *query, store_each each, void *arg,
                struct error *err);
    /* 0 also if there is no such object; CONFLICT "locked until …". */
    int (*remove)(struct store *store, const char *name, struct error *err);
    /* See store_locked_until. NULL: nothing is ever locked. */
    int (*locked_until)(struct store *store, const char *name, int64_t *ret_until_ms,
                        struct error *err);
    void (*close)(struct store *store); /* frees the struct, after store_done */
};

/* The head of every driver's struct: store_init and store_done. */
struct store {
    const struct store_driver *driver;
    char *region;                /* the region's name, for messages */
    const struct cancel *cancel; /* lent */
    uint32_t retries; /* further attempts after a TRANSIENT error; STORE_RETRIES unless a test says
                         otherwise */
    uint32_t backoff_ms; /* how long the first of them waits at most; STORE_BACKOFF_MS unless … */
    _Atomic int64_t clock_skew_ms; /* the store's Date minus our clock, as last seen; 0 for
                                      directories */
    _Atomic int64_t failing_ms;  /* since when attempts fail, by clock_monotonic_ms; 0: the last one
                                    that ended did not */
    _Atomic int64_t moved_ms;    /* when bytes of objects moved, or the store answered, last */
    _Atomic int64_t retry_at_ms; /* set by drivers: before this time of clock_monotonic_ms the
                                    store does not wish to be asked again (Retry-After) */
    struct throttle put_limit, get_limit; /* of the bytes of objects; drivers keep to them */
};

/* For drivers. Copies region, lends cancel. */
void store_init(struct store *store, const struct store_driver *driver, const char *region,
                const struct cancel *cancel);
void store_done(struct store *store);

/* Opens the store of a region of the policy; secrets gives its credentials, again and again, and
 * its CA. region and secrets are lent for the life of the store. Reads nothing from the bucket.
 * PERMANENT: configuration. */
MUST_CHECK int store_open(struct store **ret_store, const struct policy_region *region,
                          const struct secrets *secrets, const struct cancel *cancel,
                          struct error *err);
/* Before its first use: bytes of objects per second, all threads together; 0: no limit, as it is
 * without. */
void store_limit(struct store *store, uint64_t put_bytes_per_second, uint64_t get_bytes_per_second);
void store_closep(struct store **store);

/* All are safe from any number of threads. Errors begin with the operation, the name and the
 * region. */
/* CONFLICT if the name exists, unless it is certain that it was this very call that put it. */
MUST_CHECK int store_put(struct store *store, const char *name, const struct store_bytes *bytes,
                         struct error *err);
/* Whether there is an object of that name. */
MUST_CHECK int store_has(struct store *store, const char *name, bool *ret_there, struct error *err);
/* For so long nothing good has come from the store: it has not answered and no bytes have moved, or
 * whatever was tried has failed. One that is not asked is silent, too. */
int64_t store_silent_ms(const struct store *store);
/* Whether the store answers at all now: a single attempt to read any object, which need not be
 * there. */
MUST_CHECK int store_probe(struct store *store, const char *name, struct error *err);
/* Appends bytes [offset, offset + size) to data, fewer only where the object ends; size > 0. On an
 * error data is as before. NOT_FOUND. */
MUST_CHECK int store_get(struct store *store, const char *name, uint64_t offset, uint64_t size,
                         struct buf *data, struct error *err);
/* The same for the whole object; PERMANENT if it does not fit into data's limit. */
MUST_CHECK int store_get_all(struct store *store, const char *name, struct buf *data,
                             struct error *err);
/* Objects whose names are none of ours are left out. */
MUST_CHECK int store_list(struct store *store, const char *prefix, enum store_depth depth,
                          store_each each, void *arg, struct error *err);
/* 0 also if there is no such object. CONFLICT "locked until 2026-12-21T08:21:18Z": the store keeps
 * it until then; the next object may be another matter. Where a bucket keeps versions, an object
 * that is locked may be hidden instead, with no space won: ask store_locked_until first. */
MUST_CHECK int store_remove(struct store *store, const char *name, struct error *err);
enum { STORE_LOCK_TEXT_BYTES = 64 };
/* Until when retention (Object Lock) keeps the object: by the store's clock, later than now; 0: it
 * may be removed, or there is none; INT64_MAX: until somebody lifts a legal hold. Costs a request,
 * or, in a bucket without Object Lock, one in all. */
MUST_CHECK int store_locked_until(struct store *store, const char *name, int64_t *ret_until_ms,
                                  struct error *err);
/* "locked until 2026-12-21T08:21:18Z", "locked by a legal hold" */
void store_lock_text(int64_t until_ms, char ret_text[STORE_LOCK_TEXT_BYTES]);
