// SPDX-License-Identifier: Apache-2.0
#include "sidecar/azure_credentials.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/azure_pass.h"
#include "sidecar/azure_pass_source.h"
#include "sidecar/policy.h"

enum {
    LOOK_MS = 15 * 1000,      /* how long one of the Secret counts without a look at its files */
    SPARE_MS = 5 * 60 * 1000, /* a token is renewed so long before its end, */
    SPARE_PART = 4,           /* one that lasts shortly in its last quarter */
    PAUSE_MS = 30 * 1000,     /* between attempts, and before a fresh token is doubted */
};

struct azure_credentials {
    struct azure_pass_source *source;
    const char *region; /* lent */
    pthread_mutex_t lock;
    /* of all below; never across I/O */
    struct azure_pass pass;
    int64_t fetched_at_ms, renew_at_ms; /* of clock_monotonic_ms */
    bool renewing;
};

static int64_t next_renewal_ms(const struct azure_pass *pass)
{
    int64_t now_ms = clock_monotonic_ms();
    if (!pass->expires_ms)
        return now_ms + LOOK_MS;
    int64_t left_ms = pass->expires_ms - clock_now_ms();
    int64_t wait_ms = left_ms - (left_ms / SPARE_PART < SPARE_MS ? left_ms / SPARE_PART : SPARE_MS);
    return now_ms + (wait_ms > PAUSE_MS ? wait_ms : PAUSE_MS);
}

static bool is_usable(const struct azure_pass *pass)
{
    return pass->kind != AZURE_PASS_NONE &&
           (!pass->expires_ms || clock_now_ms() < pass->expires_ms);
}

/* Takes what fresh holds, and gives a copy; true if it is another one than before. */
static bool keep(struct azure_credentials *credentials, struct azure_pass *fresh,
                 struct azure_pass *ret_copy)
{
    pthread_mutex_lock(&credentials->lock);
    bool other = !azure_pass_is_same(&credentials->pass, fresh);
    bool first = credentials->pass.kind == AZURE_PASS_NONE;
    azure_pass_done(&credentials->pass);
    credentials->pass = *fresh;
    *fresh = (struct azure_pass){0};
    credentials->fetched_at_ms = clock_monotonic_ms();
    credentials->renew_at_ms = next_renewal_ms(&credentials->pass);
    credentials->renewing = false;
    azure_pass_copy(ret_copy, &credentials->pass);
    pthread_mutex_unlock(&credentials->lock);
    if (other && !first)
        log_info("Took new credentials", S("region", credentials->region));
    return other;
}

static void put_off(struct azure_credentials *credentials)
{
    pthread_mutex_lock(&credentials->lock);
    credentials->renew_at_ms = clock_monotonic_ms() + PAUSE_MS;
    credentials->renewing = false;
    pthread_mutex_unlock(&credentials->lock);
}

/* pass holds the old one, or none. */
static int renew(struct azure_credentials *credentials, struct azure_pass *pass, struct error *err)
{
    CLEANUP(azure_pass_done) struct azure_pass fresh = {0};
    if (azure_pass_source_fetch(credentials->source, &fresh, err) == 0) {
        keep(credentials, &fresh, pass);
        return 0;
    }
    if (pass->kind == AZURE_PASS_NONE)
        return -1;
    put_off(credentials);
    log_warn("Could not renew credentials, using the old ones", S("region", credentials->region),
             S("error", err->text));
    return 0;
}

int azure_credentials_get(struct azure_credentials *credentials, struct azure_pass *ret_pass,
                          struct error *err)
{
    CLEANUP(azure_pass_done) struct azure_pass pass = {0};
    pthread_mutex_lock(&credentials->lock);
    bool usable = is_usable(&credentials->pass);
    bool due =
        !usable || (!credentials->renewing && clock_monotonic_ms() >= credentials->renew_at_ms);
    if (due && usable)
        credentials->renewing = true;
    if (usable)
        azure_pass_copy(&pass, &credentials->pass);
    pthread_mutex_unlock(&credentials->lock);
    if (due && renew(credentials, &pass, err) < 0)
        return -1;
    *ret_pass = pass;
    pass = (struct azure_pass){0};
    return 0;
}

bool azure_credentials_replace(struct azure_credentials *credentials, struct azure_pass *pass)
{
    CLEANUP(azure_pass_done) struct azure_pass fresh = {0};
    struct error err;
    pthread_mutex_lock(&credentials->lock);
    bool other = !azure_pass_is_same(&credentials->pass, pass);
    bool young = pass->kind == AZURE_PASS_TOKEN &&
                 clock_monotonic_ms() - credentials->fetched_at_ms < PAUSE_MS;
    if (other)
        azure_pass_copy(pass, &credentials->pass);
    pthread_mutex_unlock(&credentials->lock);
    if (other || young) /* what a fresh one may not do, the next one may not either */
        return other;
    if (azure_pass_source_fetch(credentials->source, &fresh, &err) == 0)
        return keep(credentials, &fresh, pass);
    log_warn("Could not get other credentials than those refused", S("region", credentials->region),
             S("error", err.text));
    return false;
}

void azure_credentials_closep(struct azure_credentials **credentials)
{
    struct azure_credentials *c = TAKE(*credentials);
    if (!c)
        return;
    azure_pass_source_closep(&c->source);
    azure_pass_done(&c->pass);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

int azure_credentials_open(struct azure_credentials **ret_credentials,
                           const struct policy_region *region, const struct secrets *secrets,
                           const struct cancel *cancel, struct error *err)
{
    CLEANUP(azure_credentials_closep)
    struct azure_credentials *credentials = own_alloc(sizeof(*credentials));
    CLEANUP(azure_pass_done) struct azure_pass pass = {0};
    pthread_mutex_init(&credentials->lock, NULL);
    credentials->region = region->name;
    if (azure_pass_source_open(&credentials->source, region, secrets, cancel, err) < 0)
        return -1;
    if (region->azure.auth == POLICY_AZURE_STATIC &&
        azure_credentials_get(credentials, &pass, err) < 0)
        return -1;
    *ret_credentials = TAKE(credentials);
    return 0;
}
