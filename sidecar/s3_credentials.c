// SPDX-License-Identifier: Apache-2.0
#include "sidecar/s3_credentials.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/policy.h"
#include "sidecar/s3_key.h"
#include "sidecar/s3_key_source.h"

enum {
    LOOK_MS = 15 * 1000, /* how long a key of the Secret counts without a look at its files */
    /* A key that is lent is renewed so long before its end: instance metadata has the next one five
     * minutes before, at the latest. One that lasts shortly is renewed in its last quarter. */
    SPARE_MS = 5 * 60 * 1000,
    SPARE_PART = 4,
    ENDLESS_MS = 15 * 60 * 1000, /* for one that is lent without an end */
    PAUSE_MS = 30 * 1000,        /* between attempts, and before a fresh key is doubted */
};

struct s3_credentials {
    struct s3_key_source *source;
    const char *region; /* lent */
    bool is_static;
    pthread_mutex_t lock;               /* of all below; never across I/O */
    struct s3_key key;                  /* empty: none yet */
    int64_t fetched_at_ms, renew_at_ms; /* of clock_monotonic_ms */
    bool renewing;
};

/* When to ask again, after a key was fetched. */
static int64_t next_renewal_ms(const struct s3_credentials *credentials, const struct s3_key *key)
{
    int64_t now_ms = clock_monotonic_ms(), left_ms = key->expires_ms - clock_now_ms();
    if (credentials->is_static)
        return now_ms + LOOK_MS;
    if (!key->expires_ms)
        return now_ms + ENDLESS_MS;
    int64_t spare_ms = left_ms / SPARE_PART < SPARE_MS ? left_ms / SPARE_PART : SPARE_MS;
    return now_ms + (left_ms - spare_ms > PAUSE_MS ? left_ms - spare_ms : PAUSE_MS);
}

/* Whether the key may be used. One that is past its end by our clock alone, because that is wrong,
 * is used until the next renewal. */
static bool is_usable(const struct s3_credentials *credentials)
{
    const struct s3_key *key = &credentials->key;
    return key->access_key_id.size > 0 && (!key->expires_ms || clock_now_ms() < key->expires_ms ||
                                           clock_monotonic_ms() < credentials->renew_at_ms);
}

/* Takes what fresh holds, and gives a copy. */
static void keep(struct s3_credentials *credentials, struct s3_key *fresh, struct s3_key *ret_copy)
{
    pthread_mutex_lock(&credentials->lock);
    bool first = credentials->key.access_key_id.size == 0;
    bool other = !s3_key_is_same(&credentials->key, fresh);
    s3_key_done(&credentials->key);
    credentials->key = *fresh;
    *fresh = (struct s3_key){0};
    credentials->fetched_at_ms = clock_monotonic_ms();
    credentials->renew_at_ms = next_renewal_ms(credentials, &credentials->key);
    credentials->renewing = false;
    s3_key_copy(ret_copy, &credentials->key);
    pthread_mutex_unlock(&credentials->lock);
    if (other && !first)
        log_info("Took new credentials", S("region", credentials->region));
}

static void put_off(struct s3_credentials *credentials)
{
    pthread_mutex_lock(&credentials->lock);
    credentials->renew_at_ms = clock_monotonic_ms() + PAUSE_MS;
    credentials->renewing = false;
    pthread_mutex_unlock(&credentials->lock);
}

/* With spare, which ret_key holds then, a failure is none. */
static int renew(struct s3_credentials *credentials, bool spare, struct s3_key *ret_key,
                 struct error *err)
{
    CLEANUP(s3_key_done) struct s3_key fresh = {0};
    if (s3_key_source_fetch(credentials->source, &fresh, err) == 0) {
        keep(credentials, &fresh, ret_key);
        return 0;
    }
    if (!spare)
        return -1;
    put_off(credentials);
    log_warn("Could not renew credentials, using the old ones", S("region", credentials->region),
             S("error", err->text));
    return 0;
}

int s3_credentials_get(struct s3_credentials *credentials, struct s3_key *ret_key,
                       struct error *err)
{
    struct s3_key key = {0};
    pthread_mutex_lock(&credentials->lock);
    bool usable = is_usable(credentials);
    bool due =
        !usable || (!credentials->renewing && clock_monotonic_ms() >= credentials->renew_at_ms);
    if (due && usable)
        credentials->renewing = true;
    if (usable)
        s3_key_copy(&key, &credentials->key);
    pthread_mutex_unlock(&credentials->lock);
    if (due && renew(credentials, usable, &key, err) < 0)
        return -1;
    *ret_key = key;
    return 0;
}

bool s3_credentials_replace(struct s3_credentials *credentials, struct s3_key *key)
{
    CLEANUP(s3_key_done) struct s3_key fresh = {0};
    struct error err;
    pthread_mutex_lock(&credentials->lock);
    bool other = !s3_key_is_same(&credentials->key, key);
    bool young =
        !credentials->is_static && clock_monotonic_ms() - credentials->fetched_at_ms < PAUSE_MS;
    if (other)
        s3_key_copy(key, &credentials->key);
    pthread_mutex_unlock(&credentials->lock);
    if (other || young) /* what a fresh one may not do, the next one may not either */
        return other;
    if (s3_key_source_fetch(credentials->source, &fresh, &err) < 0) {
        log_warn("Could not get other credentials than those refused",
                 S("region", credentials->region), S("error", err.text));
        return false;
    }
    other = !s3_key_is_same(&fresh, key);
    keep(credentials, &fresh, key);
    return other;
}

void s3_credentials_closep(struct s3_credentials **credentials)
{
    struct s3_credentials *c = TAKE(*credentials);
    if (!c)
        return;
    s3_key_source_closep(&c->source);
    s3_key_done(&c->key);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

int s3_credentials_open(struct s3_credentials **ret_credentials, const struct policy_region *region,
                        const struct secrets *secrets, const struct cancel *cancel,
                        struct error *err)
{
    CLEANUP(s3_credentials_closep)
    struct s3_credentials *credentials = own_alloc(sizeof(*credentials));
    CLEANUP(s3_key_done) struct s3_key key = {0};
    pthread_mutex_init(&credentials->lock, NULL);
    credentials->region = region->name;
    credentials->is_static = region->s3.auth == POLICY_S3_STATIC;
    if (s3_key_source_open(&credentials->source, region, secrets, cancel, err) < 0 ||
        (credentials->is_static && s3_credentials_get(credentials, &key, err) < 0))
        return -1;
    *ret_credentials = TAKE(credentials);
    return 0;
}
