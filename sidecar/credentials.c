// SPDX-License-Identifier: Apache-2.0
#include "sidecar/credentials.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/azure_pass_source.h"
#include "sidecar/credential.h"
#include "sidecar/policy.h"
#include "sidecar/s3_key_source.h"

enum {
    LOOK_MS = 15 * 1000, /* how long what is of the Secret counts without a look at its files */
    /* What is lent is renewed so long before its end: instance metadata has the next one five
     * minutes before, at the latest. What lasts shortly is renewed in its last quarter. */
    SPARE_MS = 5 * 60 * 1000,
    SPARE_PART = 4,
    ENDLESS_MS = 15 * 60 * 1000, /* for what is lent without an end */
    PAUSE_MS = 30 * 1000,        /* between attempts, and before what is fresh is doubted */
};

struct credentials {
    const struct policy_region *region; /* lent */
    struct s3_key_source *s3;           /* of the two that of the region's store */
    struct azure_pass_source *azure;
    bool is_static;
    pthread_mutex_t lock;                           /* of all below; never across I/O */
    struct credential held;                         /* CREDENTIAL_NONE: none yet */
    int64_t fetched_at_ms, renew_at_ms, ends_at_ms; /* of clock_monotonic_ms */
    bool renewing;
};

static int fetch(struct credentials *credentials, struct credential *ret_fresh, struct error *err)
{
    return credentials->s3 ? s3_key_source_fetch(credentials->s3, ret_fresh, err)
                           : azure_pass_source_fetch(credentials->azure, ret_fresh, err);
}

/* When to ask again, and how long what was fetched now may be used. What is past its end as soon as
 * it comes is so by our clock alone, because that is wrong. */
static void plan(struct credentials *credentials)
{
    int64_t now_ms = clock_monotonic_ms(), wait_ms = ENDLESS_MS;
    int64_t left_ms = credentials->held.expires_ms - clock_now_ms();
    bool ends = !credentials->is_static && credentials->held.expires_ms;
    if (credentials->is_static)
        wait_ms = LOOK_MS;
    if (ends) {
        int64_t spare_ms = left_ms / SPARE_PART < SPARE_MS ? left_ms / SPARE_PART : SPARE_MS;
        wait_ms = left_ms - spare_ms > PAUSE_MS ? left_ms - spare_ms : PAUSE_MS;
    }
    credentials->fetched_at_ms = now_ms;
    credentials->renew_at_ms = now_ms + wait_ms;
    credentials->ends_at_ms = ends && left_ms > 0 ? now_ms + left_ms : INT64_MAX;
}

static bool is_usable(const struct credentials *credentials)
{
    return credentials->held.kind != CREDENTIAL_NONE &&
           clock_monotonic_ms() < credentials->ends_at_ms;
}

/* Takes what fresh holds, and gives a copy. */
static void keep(struct credentials *credentials, struct credential *fresh,
                 struct credential *ret_copy)
{
    pthread_mutex_lock(&credentials->lock);
    bool first = credentials->held.kind == CREDENTIAL_NONE;
    bool other = !credential_is_same(&credentials->held, fresh);
    credential_done(&credentials->held);
    credentials->held = *fresh;
    *fresh = (struct credential){0};
    plan(credentials);
    credentials->renewing = false;
    credential_copy(ret_copy, &credentials->held);
    pthread_mutex_unlock(&credentials->lock);
    if (other && !first)
        log_info("Took new credentials", S("region", credentials->region->name));
}

static void put_off(struct credentials *credentials)
{
    pthread_mutex_lock(&credentials->lock);
    credentials->renew_at_ms = clock_monotonic_ms() + PAUSE_MS;
    credentials->renewing = false;
    pthread_mutex_unlock(&credentials->lock);
}

/* Where credential holds the old one, which is good still, a failure is none. */
static int renew(struct credentials *credentials, struct credential *credential, struct error *err)
{
    CLEANUP(credential_done) struct credential fresh = {0};
    if (fetch(credentials, &fresh, err) == 0) {
        keep(credentials, &fresh, credential);
        return 0;
    }
    if (credential->kind == CREDENTIAL_NONE)
        return -1;
    put_off(credentials);
    log_warn("Could not renew credentials, using the old ones",
             S("region", credentials->region->name), S("error", err->text));
    return 0;
}

static int get(struct credentials *credentials, struct credential *ret_credential,
               struct error *err)
{
    struct credential credential = {0};
    pthread_mutex_lock(&credentials->lock);
    bool usable = is_usable(credentials);
    bool due =
        !usable || (!credentials->renewing && clock_monotonic_ms() >= credentials->renew_at_ms);
    if (due && usable)
        credentials->renewing = true;
    if (usable)
        credential_copy(&credential, &credentials->held);
    pthread_mutex_unlock(&credentials->lock);
    if (due && renew(credentials, &credential, err) < 0)
        return -1;
    *ret_credential = credential;
    return 0;
}

int credentials_get(struct credentials *credentials, struct credential *ret_credential,
                    struct error *err)
{
    if (get(credentials, ret_credential, err) == 0)
        return 0;
    if (err->kind == ERROR_NOT_FOUND)
        err->kind = ERROR_PERMANENT;
    return error_wrap(err, "credentials");
}

bool credentials_replace(struct credentials *credentials, struct credential *refused)
{
    CLEANUP(credential_done) struct credential fresh = {0};
    struct error err;
    pthread_mutex_lock(&credentials->lock);
    bool other = !credential_is_same(&credentials->held, refused);
    bool young = !credentials->is_static && is_usable(credentials) &&
                 clock_monotonic_ms() - credentials->fetched_at_ms < PAUSE_MS;
    if (other)
        credential_copy(refused, &credentials->held);
    pthread_mutex_unlock(&credentials->lock);
    if (other || young) /* what a fresh one may not do, the next one may not either */
        return other;
    if (fetch(credentials, &fresh, &err) < 0) {
        log_warn("Could not get other credentials than those refused",
                 S("region", credentials->region->name), S("error", err.text));
        return false;
    }
    other = !credential_is_same(&fresh, refused);
    keep(credentials, &fresh, refused);
    return other;
}

void credentials_closep(struct credentials **credentials)
{
    struct credentials *c = TAKE(*credentials);
    if (!c)
        return;
    s3_key_source_closep(&c->s3);
    azure_pass_source_closep(&c->azure);
    credential_done(&c->held);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

int credentials_open(struct credentials **ret_credentials, const struct policy_region *region,
                     const struct secrets *secrets, const struct cancel *cancel, struct error *err)
{
    CLEANUP(credentials_closep) struct credentials *c = own_alloc(sizeof(*c));
    CLEANUP(credential_done) struct credential first = {0};
    pthread_mutex_init(&c->lock, NULL);
    c->region = region;
    bool s3 = region->store == POLICY_STORE_S3;
    c->is_static =
        s3 ? region->s3.auth == POLICY_S3_STATIC : region->azure.auth == POLICY_AZURE_STATIC;
    int result = s3 ? s3_key_source_open(&c->s3, region, secrets, cancel, err)
                    : azure_pass_source_open(&c->azure, region, secrets, cancel, err);
    if (result < 0 || (c->is_static && get(c, &first, err) < 0))
        return -1;
    *ret_credentials = TAKE(c);
    return 0;
}
