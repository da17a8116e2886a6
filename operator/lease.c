// SPDX-License-Identifier: Apache-2.0
#include "operator/lease.h"

#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/backoff.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "operator/kube.h"

enum {
    DURATION_SECONDS = 15,
    DURATION_SECONDS_MAX = 3600, /* of a lease that somebody else holds */
    RENEW_DEADLINE_MS = 10000,
    RETRY_MS = 2000,
    RELEASE_MS = 3000, /* for the last words */
    MINUTE_MS = 60000,
};

struct lease {
    struct kube *kube;
    struct cancel requests; /* of kube: ends a request that lasts too long */
    char *namespace, *name, *identity;
    unsigned duration_seconds;
    int renew_deadline_ms, retry_ms;

    json_t *object;      /* the lease as we last saw it; NULL: never */
    int64_t observed_ms; /* monotonic: when it was last seen to change */
    int64_t epoch;       /* of ours */
    bool complained;     /* about the failures since the last success */
    atomic_bool held;
    atomic_int_least64_t renewed_ms; /* monotonic: before the last renewal was sent */
};

/* Ends the requests of a lease when the time for them is over, whatever they wait for. */
struct guard {
    struct lease *lease;
    const struct cancel *stop;
    struct cancel over;
    bool holding; /* else acquiring: no deadline, no last words */
};

static struct kube_ref reference(const struct lease *lease, bool collection)
{
    return (struct kube_ref){.resource = &kube_leases,
                             .namespace = lease->namespace,
                             .name = collection ? NULL : lease->name};
}

static const char *holder(const json_t *object)
{
    const char *identity =
        json_string_value(json_object_get(json_object_get(object, "spec"), "holderIdentity"));
    return identity ? identity : "";
}

static int64_t spec_integer(const json_t *object, const char *name, int64_t max, int64_t fallback)
{
    const json_t *value = json_object_get(json_object_get(object, "spec"), name);
    int64_t integer = json_is_integer(value) ? json_integer_value(value) : -1;
    return integer >= 0 && integer <= max ? integer : fallback;
}

static const char *version(const json_t *object)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));
    return text ? text : "";
}

/* Takes object. */
static void observe(struct lease *lease, json_t *object)
{
    if (!lease->object || strcmp(version(lease->object), version(object)) != 0)
        lease->observed_ms = clock_monotonic_ms();
    json_decref(lease->object);
    lease->object = object;
}

/* Somebody else may believe to be the leader. */
static bool is_taken(const struct lease *lease)
{
    const char *identity = holder(lease->object);
    if (identity[0] == '\0' || strcmp(identity, lease->identity) == 0)
        return false;
    int64_t seconds =
        spec_integer(lease->object, "leaseDurationSeconds", DURATION_SECONDS_MAX, DURATION_SECONDS);
    return clock_monotonic_ms() < lease->observed_ms + seconds * 1000;
}

static int64_t next_epoch(const struct lease *lease)
{
    int64_t transitions = spec_integer(lease->object, "leaseTransitions", INT32_MAX - 1, -1);
    return transitions >= 0 ? transitions + 1 : clock_now_ms() / MINUTE_MS;
}

static json_t *metadata(const struct lease *lease)
{
    return json_pack("{s:s, s:s, s:{s:s}}", "name", lease->name, "namespace", lease->namespace,
                     "labels", "app.kubernetes.io/managed-by", "lifeboat");
}

/* The lease as we want it to be: a copy of what it is, ours with that epoch. */
static json_t *claim(const struct lease *lease, int64_t epoch)
{
    char now[CLOCK_TEXT_BYTES];
    clock_format_us(clock_now_ms(), now);
    json_t *object =
        lease->object ? json_deep_copy(lease->object)
                      : json_pack("{s:s, s:s, s:o, s:{}}", "apiVersion", "coordination.k8s.io/v1",
                                  "kind", "Lease", "metadata", metadata(lease), "spec");
    json_t *spec = json_object_get(object, "spec");
    if (!json_is_object(spec)) {
        spec = json_object();
        json_object_set_new(object, "spec", spec);
    }
    bool ours = lease->held && lease->object;
    json_object_set_new(spec, "holderIdentity", json_string(lease->identity));
    json_object_set_new(spec, "leaseDurationSeconds", json_integer(lease->duration_seconds));
    json_object_set_new(spec, "leaseTransitions", json_integer(epoch));
    json_object_set_new(spec, "renewTime", json_string(now));
    if (!ours)
        json_object_set_new(spec, "acquireTime", json_string(now));
    return object;
}

/* Writes object over the lease as we saw it; CONFLICT: it is another one meanwhile. */
static int put(struct lease *lease, const json_t *object, struct error *err)
{
    json_t *answer;
    int64_t sent_ms = clock_monotonic_ms();
    struct kube_ref one = reference(lease, false), all = reference(lease, true);
    if ((version(object)[0] != '\0' ? kube_update(lease->kube, &one, object, &answer, err)
                                    : kube_create(lease->kube, &all, object, &answer, err)) < 0)
        return -1;
    observe(lease, answer);
    atomic_store(&lease->renewed_ms, sent_ms);
    return 0;
}

/* Reads the lease; a lease that is gone leaves what we knew of it, without its version, so that
 * its holder is given the time to notice and its epoch is not given twice. */
static int look(struct lease *lease, struct error *err)
{
    json_t *object;
    struct kube_ref one = reference(lease, false);
    if (kube_get(lease->kube, &one, &object, err) == 0) {
        observe(lease, object);
        return 0;
    }
    if (err->kind != ERROR_NOT_FOUND)
        return -1;
    if (lease->object)
        json_object_set_new(lease->object, "metadata", metadata(lease));
    return 0;
}

/* 1: it is ours now; 0: somebody else's. */
static int try_to_acquire(struct lease *lease, struct error *err)
{
    if (look(lease, err) < 0)
        return -1;
    if (is_taken(lease))
        return 0;
    int64_t epoch = next_epoch(lease);
    json_auto_t *wanted = claim(lease, epoch);
    if (put(lease, wanted, err) < 0)
        return err->kind == ERROR_CONFLICT ? 0 : -1; /* somebody was faster */
    lease->epoch = epoch;
    atomic_store(&lease->held, true);
    return 1;
}

static bool is_ours(const struct lease *lease)
{
    return strcmp(holder(lease->object), lease->identity) == 0 &&
           spec_integer(lease->object, "leaseTransitions", INT32_MAX, -1) == lease->epoch;
}

/* CONFLICT: it is somebody else's. */
static int renew(struct lease *lease, struct error *err)
{
    json_auto_t *wanted = claim(lease, lease->epoch);
    if (put(lease, wanted, err) == 0)
        return 0;
    if (err->kind != ERROR_CONFLICT && err->kind != ERROR_NOT_FOUND)
        return -1;
    if (look(lease, err) < 0) /* changed, perhaps only by a person who annotated it, or deleted */
        return -1;
    if (!is_ours(lease))
        return error_set(err, ERROR_CONFLICT, "'%s' is the leader", holder(lease->object));
    json_auto_t *again = claim(lease, lease->epoch);
    if (put(lease, again, err) == 0)
        return 0;
    if (err->kind == ERROR_CONFLICT) /* the next round tells who was faster */
        err->kind = ERROR_TRANSIENT;
    return -1;
}

/* As client-go: nobody holds it, and whoever wants it need not wait. */
static int release(struct lease *lease, struct error *err)
{
    json_auto_t *wanted = claim(lease, lease->epoch);
    json_t *spec = json_object_get(wanted, "spec");
    json_object_set_new(spec, "holderIdentity", json_string(""));
    json_object_set_new(spec, "leaseDurationSeconds", json_integer(1));
    atomic_store(&lease->held, false);
    return put(lease, wanted, err);
}

static int64_t deadline(const struct lease *lease)
{
    return atomic_load(&lease->renewed_ms) + lease->renew_deadline_ms;
}

static int guard_run(void *arg, struct error *err)
{
    struct guard *guard = arg;
    for (int64_t left = INT_MAX; left > 0;) {
        if (guard->holding)
            left = deadline(guard->lease) - clock_monotonic_ms();
        int ready =
            cancel_poll(&guard->over, guard->stop->fd, POLLIN, left > 0 ? (int)left : 0, err);
        if (ready < 0)
            return 0;
        if (ready > 0 && guard->holding && cancel_sleep(&guard->over, RELEASE_MS, err) < 0)
            return 0;
        if (ready > 0)
            break;
    }
    cancel_trigger(&guard->lease->requests);
    return 0;
}

static void complain(struct lease *lease, const struct error *failure, const char *what)
{
    if (lease->complained || failure->kind == ERROR_CANCELED)
        return;
    log_error(failure, what, S("lease", lease->name));
    lease->complained = true;
}

static int wait_for_it(struct lease *lease, const struct cancel *stop, struct error *err)
{
    for (;;) {
        struct error failure = {0};
        int got = try_to_acquire(lease, &failure);
        if (got > 0)
            return 0;
        if (got < 0)
            complain(lease, &failure, "Failed to acquire lease, trying again");
        else
            lease->complained = false;
        int jitter_ms = (int)(backoff_random() % ((uint32_t)lease->retry_ms / 2 + 1));
        if (cancel_sleep(stop, lease->retry_ms + jitter_ms, err) < 0)
            return -1;
    }
}

/* -1: CANCELED, or TRANSIENT when it is lost. */
static int keep(struct lease *lease, const struct cancel *stop, struct error *err)
{
    for (;;) {
        struct error failure = {0};
        if (cancel_sleep(stop, lease->retry_ms, err) < 0)
            return -1;
        int renewed = renew(lease, &failure);
        if (renewed == 0)
            lease->complained = false;
        else if (failure.kind == ERROR_CONFLICT)
            return error_set(err, ERROR_TRANSIENT, "lost lease '%s': %s", lease->name,
                             failure.text);
        else
            complain(lease, &failure, "Failed to renew lease, trying again");
        if (!lease_held(lease) && !cancel_requested(stop))
            return error_set(err, ERROR_TRANSIENT, "lost lease '%s': not renewed within %d ms: %s",
                             lease->name, lease->renew_deadline_ms, failure.text);
    }
}

static int guard_start(struct guard *guard, struct crew **ret_crew, struct error *err)
{
    if (cancel_init(&guard->over, err) < 0)
        return -1;
    *ret_crew = crew_new(&guard->over);
    return crew_start(*ret_crew, "lease-guard", guard_run, guard, err);
}

static void guard_done(struct guard *guard)
{
    if (guard->over.fd >= 0)
        cancel_done(&guard->over);
}

bool lease_held(const struct lease *lease)
{
    return atomic_load(&lease->held) && clock_monotonic_ms() < deadline(lease);
}

int lease_hold(struct lease *lease, const struct cancel *cancel, struct error *err)
{
    CLEANUP(guard_done)
    struct guard guard = {.lease = lease, .stop = cancel, .over = {.fd = -1}, .holding = true};
    CLEANUP(crew_freep) struct crew *crew = NULL;
    if (guard_start(&guard, &crew, err) < 0)
        return -1;
    struct error end = {0}, failure;
    (void)!keep(lease, cancel, &end);
    if (end.kind != ERROR_CANCELED) {
        atomic_store(&lease->held, false);
        *err = end;
        return -1;
    }
    if (release(lease, &failure) < 0)
        log_error(&failure, "Failed to release lease, left it to expire", S("lease", lease->name));
    return 0;
}

int lease_acquire(struct lease *lease, const struct cancel *cancel, int64_t *ret_epoch,
                  struct error *err)
{
    CLEANUP(guard_done) struct guard guard = {.lease = lease, .stop = cancel, .over = {.fd = -1}};
    CLEANUP(crew_freep) struct crew *crew = NULL;
    if (guard_start(&guard, &crew, err) < 0 || wait_for_it(lease, cancel, err) < 0)
        return -1;
    *ret_epoch = lease->epoch;
    return 0;
}

void lease_freep(struct lease **lease)
{
    struct lease *l = TAKE(*lease);
    if (!l)
        return;
    kube_freep(&l->kube);
    cancel_done(&l->requests);
    json_decref(l->object);
    free(l->namespace);
    free(l->name);
    free(l->identity);
    free(l);
}

int lease_new(struct lease **ret_lease, const struct lease_options *options, struct error *err)
{
    CLEANUP(lease_freep) struct lease *lease = own_alloc(sizeof(*lease));
    lease->requests.fd = -1;
    lease->namespace = own_strdup(options->namespace);
    lease->name = own_strdup(options->name);
    lease->identity = own_strdup(options->identity);
    lease->duration_seconds =
        options->duration_seconds ? options->duration_seconds : DURATION_SECONDS;
    lease->renew_deadline_ms =
        options->renew_deadline_ms ? options->renew_deadline_ms : RENEW_DEADLINE_MS;
    lease->retry_ms = options->retry_ms ? options->retry_ms : RETRY_MS;
    if (cancel_init(&lease->requests, err) < 0 ||
        kube_new(&lease->kube, options->config, &lease->requests, err) < 0)
        return -1;
    *ret_lease = TAKE(lease);
    return 0;
}
