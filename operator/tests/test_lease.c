// SPDX-License-Identifier: Apache-2.0
/* Against a real API server, reached through a pipe that can be stopped up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/backoff.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/own.h"
#include "operator/kube.h"
#include "operator/kube_config.h"
#include "operator/lease.h"
#include "operator/tests/helper_pipe.h"
#include "operator/tests/helper_client.h"

enum { PATIENCE_MS = 120000 };

static const char namespace[] = "default";
static char name[64]; /* of the lease, another one in each test */
static struct cancel never;
static struct kube_config *config;
static struct kube *kube;

/* Somebody who wants to lead: acquires, holds, until told to stop. */
struct contender {
    struct lease *lease;
    struct cancel stop;
    struct crew *crew;
    int64_t epoch;
    atomic_bool led, ended;
    int result;
    struct error err;
    int64_t ended_ms;
};

static int contend(void *arg, struct error *err)
{
    struct contender *contender = arg;
    (void)err;
    contender->result =
        lease_acquire(contender->lease, &contender->stop, &contender->epoch, &contender->err);
    if (contender->result == 0) {
        atomic_store(&contender->led, true);
        contender->result = lease_hold(contender->lease, &contender->stop, &contender->err);
    }
    contender->ended_ms = clock_monotonic_ms();
    atomic_store(&contender->ended, true);
    return 0;
}

static void contender_start(struct contender *contender, struct kube_config *with,
                            const char *identity)
{
    struct error err;
    *contender = (struct contender){0};
    struct lease_options options = {.config = with,
                                    .namespace = namespace,
                                    .name = name,
                                    .identity = identity,
                                    .duration_seconds = 3,
                                    .renew_deadline_ms = 2000,
                                    .retry_ms = 200};
    assert_int_equal(lease_new(&contender->lease, &options, &err), 0);
    assert_int_equal(cancel_init(&contender->stop, &err), 0);
    contender->crew = crew_new(&contender->stop);
    assert_int_equal(crew_start(contender->crew, "contender", contend, contender, &err), 0);
}

static void contender_stop(struct contender *contender)
{
    struct error err;
    cancel_trigger(&contender->stop);
    assert_int_equal(crew_join(contender->crew, &err), 0);
}

static void contender_done(struct contender *contender)
{
    crew_freep(&contender->crew);
    lease_freep(&contender->lease);
    cancel_done(&contender->stop);
}

static bool wait_for(const atomic_bool *flag, int64_t within_ms)
{
    struct error err;
    for (int64_t until = clock_monotonic_ms() + within_ms; clock_monotonic_ms() < until;)
        if (atomic_load(flag) || cancel_sleep(&never, 5, &err) < 0)
            return true;
    return false;
}

static json_t *read_lease(void)
{
    json_t *object;
    struct error err;
    struct kube_ref ref = {&kube_leases, namespace, name, NULL};
    assert_int_equal(kube_get(kube, &ref, &object, &err), 0);
    return object;
}

static const char *spec_text(const json_t *object, const char *member)
{
    return json_string_value(json_object_get(json_object_get(object, "spec"), member));
}

static int64_t spec_number(const json_t *object, const char *member)
{
    return json_integer_value(json_object_get(json_object_get(object, "spec"), member));
}

static void one_leads_and_releasing_hands_over_at_once(void **state)
{
    (void)state;
    struct contender first, second;
    contender_start(&first, config, "first");
    assert_true(wait_for(&first.led, PATIENCE_MS));
    contender_start(&second, config, "second");
    assert_false(wait_for(&second.led, 4000)); /* longer than the lease, which is renewed */
    assert_true(lease_held(first.lease));
    assert_false(lease_held(second.lease));
    json_auto_t *before = read_lease();
    assert_string_equal(spec_text(before, "holderIdentity"), "first");
    assert_int_equal(spec_number(before, "leaseDurationSeconds"), 3);
    assert_int_equal(spec_number(before, "leaseTransitions"), first.epoch);

    contender_stop(&first);
    assert_int_equal(first.result, 0);
    assert_false(lease_held(first.lease));
    assert_true(wait_for(&second.led, 2000)); /* sooner than the lease's duration */
    assert_int_equal(second.epoch, first.epoch + 1);
    contender_stop(&second);
    json_auto_t *after = read_lease();
    assert_string_equal(spec_text(after, "holderIdentity"), "");
    assert_int_equal(spec_number(after, "leaseDurationSeconds"), 1);
    contender_done(&first);
    contender_done(&second);
}

static void a_dead_leader_is_followed_after_the_lease_s_duration(void **state)
{
    (void)state;
    struct contender dead, heir;
    contender_start(&dead, config, "dead");
    assert_true(wait_for(&dead.led, PATIENCE_MS));
    contender_stop(&dead);
    /* its last words never came */
    json_auto_t *patch =
        json_pack("{s:{s:s, s:i}}", "spec", "holderIdentity", "dead", "leaseDurationSeconds", 3);
    struct error err;
    struct kube_ref ref = {&kube_leases, namespace, name, NULL};
    assert_int_equal(kube_merge_patch(kube, &ref, patch, NULL, &err), 0);
    int64_t since_ms = clock_monotonic_ms();
    contender_start(&heir, config, "heir");
    assert_true(wait_for(&heir.led, PATIENCE_MS));
    assert_true(clock_monotonic_ms() - since_ms >= 3000);
    assert_int_equal(heir.epoch, dead.epoch + 1);
    contender_stop(&heir);
    contender_done(&dead);
    contender_done(&heir);
}

static void a_leader_that_is_cut_off_stops_before_another_one_starts(void **state)
{
    (void)state;
    struct pipe *pipe = pipe_new(kube_config_server(config));
    struct kube_config *through = pipe_config(pipe);
    struct contender cut, heir;
    contender_start(&cut, through, "cut");
    assert_true(wait_for(&cut.led, PATIENCE_MS));
    contender_start(&heir, config, "heir");
    pipe_stop_up(pipe); /* connections stay, and nothing comes any more */
    assert_true(wait_for(&cut.ended, PATIENCE_MS));
    int64_t heir_ms = wait_for(&heir.led, PATIENCE_MS) ? clock_monotonic_ms() : 0;
    assert_int_equal(cut.result, -1);
    assert_int_equal(cut.err.kind, ERROR_TRANSIENT);
    assert_false(lease_held(cut.lease));
    assert_true(heir_ms > cut.ended_ms); /* 3 s of the one, 2 s of the other */
    assert_true(heir.epoch > cut.epoch);
    contender_stop(&heir);
    contender_done(&cut);
    contender_done(&heir);
    kube_config_freep(&through);
    pipe_freep(&pipe);
}

static void stopping_does_not_wait_for_a_server_that_is_silent(void **state)
{
    (void)state;
    struct pipe *pipe = pipe_new(kube_config_server(config));
    struct kube_config *through = pipe_config(pipe);
    struct contender leader, follower;
    contender_start(&leader, through, "leader");
    assert_true(wait_for(&leader.led, PATIENCE_MS));
    contender_start(&follower, through, "follower");
    pipe_stop_up(pipe);
    int64_t since_ms = clock_monotonic_ms();
    contender_stop(&follower);
    assert_int_equal(follower.err.kind, ERROR_CANCELED);
    contender_stop(&leader);
    assert_true(clock_monotonic_ms() - since_ms < PATIENCE_MS);
    contender_done(&follower);
    contender_done(&leader);
    kube_config_freep(&through);
    pipe_freep(&pipe);
}

static void a_leader_whose_lease_is_taken_stops(void **state)
{
    (void)state;
    struct contender leader;
    contender_start(&leader, config, "leader");
    assert_true(wait_for(&leader.led, PATIENCE_MS));
    json_auto_t *patch = json_pack("{s:{s:s, s:I}}", "spec", "holderIdentity", "usurper",
                                   "leaseTransitions", (json_int_t)leader.epoch + 1);
    struct error err;
    struct kube_ref ref = {&kube_leases, namespace, name, NULL};
    assert_int_equal(kube_merge_patch(kube, &ref, patch, NULL, &err), 0);
    assert_true(wait_for(&leader.ended, PATIENCE_MS));
    assert_int_equal(leader.result, -1);
    assert_non_null(strstr(leader.err.text, "'usurper' is the leader"));
    contender_stop(&leader);
    contender_done(&leader);
}

static void a_leader_survives_a_person_who_annotates_or_deletes_its_lease(void **state)
{
    (void)state;
    struct contender leader;
    struct error err;
    struct kube_ref ref = {&kube_leases, namespace, name, NULL};
    contender_start(&leader, config, "leader");
    assert_true(wait_for(&leader.led, PATIENCE_MS));
    json_auto_t *patch = json_pack("{s:{s:{s:s}}}", "metadata", "annotations", "note", "kept");
    assert_int_equal(kube_merge_patch(kube, &ref, patch, NULL, &err), 0);
    assert_false(wait_for(&leader.ended, 1000));
    json_auto_t *annotated = read_lease();
    assert_string_equal(spec_text(annotated, "holderIdentity"), "leader");
    assert_non_null(json_object_get(
        json_object_get(json_object_get(annotated, "metadata"), "annotations"), "note"));

    assert_int_equal(kube_delete(kube, &ref, NULL, &err), 0);
    assert_false(wait_for(&leader.ended, 3000));
    json_auto_t *anew = read_lease();
    assert_int_equal(spec_number(anew, "leaseTransitions"), leader.epoch);
    contender_stop(&leader);
    assert_int_equal(leader.result, 0);
    contender_done(&leader);
}

static void epochs_grow_even_if_the_lease_is_deleted_while_nobody_leads(void **state)
{
    (void)state;
    struct contender former, latter;
    struct error err;
    struct kube_ref ref = {&kube_leases, namespace, name, NULL};
    contender_start(&former, config, "me");
    assert_true(wait_for(&former.led, PATIENCE_MS));
    contender_stop(&former);
    contender_start(&latter, config, "me");
    assert_true(wait_for(&latter.led, PATIENCE_MS));
    assert_int_equal(latter.epoch, former.epoch + 1);
    contender_stop(&latter);
    contender_done(&latter);
    assert_int_equal(kube_delete(kube, &ref, NULL, &err), 0);
    contender_start(&latter, config, "me");
    assert_true(wait_for(&latter.led, PATIENCE_MS));
    assert_true(latter.epoch >= clock_now_ms() / 60000 - 1);
    contender_stop(&latter);
    contender_done(&latter);
    contender_done(&former);
}

static int another_lease(void **state)
{
    (void)state;
    snprintf(name, sizeof(name), "test-%08x%08x", backoff_random(), backoff_random());
    return 0;
}

static int remove_lease(void **state)
{
    (void)state;
    struct error err;
    struct kube_ref ref = {&kube_leases, namespace, name, NULL};
    return kube_delete(kube, &ref, NULL, &err);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, another_lease, remove_lease)

int main(void)
{
    int status = client_open(&never, &config, &kube);
    if (status != 0)
        return status;
    const struct CMUnitTest tests[] = {
        TEST(one_leads_and_releasing_hands_over_at_once),
        TEST(a_dead_leader_is_followed_after_the_lease_s_duration),
        TEST(a_leader_that_is_cut_off_stops_before_another_one_starts),
        TEST(stopping_does_not_wait_for_a_server_that_is_silent),
        TEST(a_leader_whose_lease_is_taken_stops),
        TEST(a_leader_survives_a_person_who_annotates_or_deletes_its_lease),
        TEST(epochs_grow_even_if_the_lease_is_deleted_while_nobody_leads),
    };
    int failed = cmocka_run_group_tests_name("lease", tests, NULL, NULL);
    client_close(&never, &config, &kube);
    return failed;
}
