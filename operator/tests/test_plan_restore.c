// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/plan_restore.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
static const int64_t NOW = 100 * HOUR;

/* A RestoreJob "copy" made a minute ago, with nothing made for it yet. */
struct scene {
    struct restore_object restore;
    struct message_done done;
    struct restore_facts facts;
    struct restore_plan plan;
};

static struct scene *scene_new(void)
{
    static struct scene scene; /* one at a time */
    scene = (struct scene){
        .restore = {.run = {.name = "copy", .namespace = "shop", .created_ms = NOW - MINUTE},
                    .policy = "db",
                    .backup = "Latest",
                    .claim = {.name = "data", .size = "1Gi"},
                    .deadline_seconds = 3600,
                    .ttl_seconds = -1},
        .facts = {.now_ms = NOW, .policy_found = true, .generation = 3},
    };
    scene.facts.restore = &scene.restore;
    return &scene;
}

/* … with a claim for its first attempt. */
static struct scene *scene_with_claim(void)
{
    struct scene *scene = scene_new();
    scene->facts.claim.owner = RESTORE_OURS;
    scene->facts.claim.attempt = "copy-1";
    scene->facts.claim.uid = "c1";
    return scene;
}

/* … of which attempt n is under way in a pod that runs and is connected, and idle. */
static struct scene *scene_with_attempt(size_t n)
{
    struct scene *scene = scene_with_claim();
    struct run *run = &scene->restore.run;
    for (size_t i = 0; i < n; i++) {
        int64_t started_ms = NOW - (int64_t)(n - i) * MINUTE;
        run->attempts[i] = (struct run_attempt){.id = "copy-n",
                                                .pod = "copy-n",
                                                .pod_uid = "p1",
                                                .started_ms = started_ms,
                                                .finished_ms = started_ms + SECOND};
    }
    run->attempts[n - 1].finished_ms = 0;
    run->attempt_count = n;
    scene->facts.pod.owner = RESTORE_OURS;
    scene->facts.pod.uid = "p1";
    scene->facts.fresh = true;
    scene->facts.config_generation = 3;
    scene->facts.standing.kind = STANDING_UNTOLD;
    return scene;
}

static struct scene *scene_done(size_t attempts, const char *kind)
{
    struct scene *scene = scene_with_attempt(attempts);
    scene->done =
        (struct message_done){.ok = !kind, .error_kind = kind, .error = kind ? "get: 503" : NULL};
    scene->facts.standing = (struct standing){.kind = STANDING_ENDED, .done = &scene->done};
    return scene;
}

static void expect(struct scene *scene, enum restore_step step, enum run_outcome outcome,
                   const char *reason)
{
    restore_plan(&scene->facts, &scene->plan);
    const struct restore_plan *plan = &scene->plan;
    if (plan->step != step || plan->verdict.outcome != outcome ||
        strcmp(plan->verdict.reason, reason) != 0)
        fail_msg("step %d outcome %d reason %s: %s", plan->step, plan->verdict.outcome,
                 plan->verdict.reason, plan->verdict.message);
    if (outcome == RUN_OPEN && plan->again_ms <= 0)
        fail_msg("nobody looks again");
}

static void says(const struct scene *scene, const char *part)
{
    if (!strstr(scene->plan.verdict.message, part))
        fail_msg("'%s' is not in '%s'", part, scene->plan.verdict.message);
}

static void ends_attempt(const struct scene *scene, const char *reason)
{
    assert_true(scene->plan.verdict.attempt_ends);
    assert_string_equal(scene->plan.verdict.attempt_reason, reason);
}

/* Before anything is made. */

static void what_cannot_be_done_is_refused_before_anything_is_made(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    snprintf(scene->restore.unsupported, sizeof(scene->restore.unsupported), "spec.checks");
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "Unsupported");
    says(scene, "spec.checks: this version");
    scene = scene_new();
    scene->facts.policy_problem = "spec.regions[0].azure";
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "PolicyNotReady");
    scene = scene_new();
    scene->facts.region_problem = "spec.source.region: no region 'x'";
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "RegionNotFound");
    says(scene, "spec.source.region: no region 'x'");
    scene = scene_new();
    scene->facts.pod_problem = "set spec.pod.runAsUser";
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "Invalid");
    scene = scene_new();
    scene->facts.claim.owner = RESTORE_FOREIGN;
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "ClaimExists");
    says(scene, "'data'");
    scene = scene_new();
    scene->facts.forbidden = true;
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "RestoreNotPermitted");
    says(scene, "restore.namespaces");
}

static void a_policy_may_come_after_its_restore_but_not_much_later(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    scene->facts.policy_found = false;
    scene->restore.run.created_ms = NOW - SECOND;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Pending");
    assert_int_equal(scene->plan.again_ms, RUN_POLICY_GRACE_MS - SECOND);
    scene->restore.run.created_ms = NOW - RUN_POLICY_GRACE_MS;
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "PolicyNotFound");
}

static void nothing_begins_after_the_deadline(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    scene->restore.run.created_ms = NOW - HOUR;
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "DeadlineExceeded");
    says(scene, "spec.deadlineSeconds: 3600");
}

/* One thing after the other. */

static void a_claim_comes_first_then_the_attempt_then_its_pod(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    expect(scene, RESTORE_STEP_MAKE_CLAIM, RUN_OPEN, "Pending");
    expect(scene_with_claim(), RESTORE_STEP_BEGIN, RUN_OPEN, "Starting");
    scene = scene_with_attempt(1);
    scene->restore.run.attempts[0].pod_uid = NULL;
    scene->facts.pod.owner = RESTORE_NONE;
    expect(scene, RESTORE_STEP_MAKE_POD, RUN_OPEN, "Starting");
    scene->facts.pod.owner = RESTORE_OURS;
    expect(scene, RESTORE_STEP_ADOPT_POD, RUN_OPEN, "Starting");
}

static void a_pod_of_that_name_that_is_not_ours_is_left_alone(void **state)
{
    (void)state;
    struct scene *scene = scene_with_attempt(1);
    scene->facts.pod.owner = RESTORE_FOREIGN;
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "Invalid");
    says(scene, "'copy-n' that is not of this RestoreJob");
}

static void a_pod_that_does_not_start_says_why(void **state)
{
    (void)state;
    struct scene *scene = scene_with_attempt(1);
    scene->facts.standing = (struct standing){.kind = STANDING_SILENT, .silent_ms = HOUR};
    scene->restore.run.attempts[0].started_ms = NOW - MINUTE + SECOND;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Starting");
    says(scene, "not connected yet");
    scene->facts.claim.note = "its claim is not bound";
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Starting");
    says(scene, "its claim is not bound");
    scene->facts.pod.note = "ImagePullBackOff: no such image";
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Starting");
    says(scene, "no such image");
    scene->restore.run.attempts[0].started_ms = NOW - MINUTE; /* longer than a start takes */
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Waiting");
    says(scene, "no such image");
    scene->facts.now_ms = NOW + HOUR;
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "DeadlineExceeded");
    says(scene, "no such image");
}

static void an_image_that_was_corrected_leads_to_another_pod(void **state)
{
    (void)state;
    struct scene *scene = scene_with_attempt(1);
    scene->facts.standing = (struct standing){.kind = STANDING_SILENT, .silent_ms = MINUTE};
    scene->facts.pod.note = "image 'x' cannot be pulled";
    scene->facts.pod.replaceable = true;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Pending");
    ends_attempt(scene, "PodFailed");
    says(scene, "image 'x' cannot be pulled");
}

static void what_a_restore_job_before_left_is_waited_for(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    scene->facts.claim.owner = RESTORE_FOREIGN;
    scene->facts.claim.leftover = true;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Pending");
    says(scene, "claim 'data' of a RestoreJob before");
    scene->facts.now_ms = NOW + HOUR;
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "DeadlineExceeded");
    scene = scene_with_attempt(1);
    scene->facts.pod.owner = RESTORE_FOREIGN;
    scene->facts.pod.leftover = true;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Starting");
    says(scene, "of a RestoreJob before");
    scene->facts.now_ms = NOW + HOUR;
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "DeadlineExceeded");
}

static void the_run_is_sent_once_the_sidecar_has_this_policy(void **state)
{
    (void)state;
    struct scene *scene = scene_with_attempt(1);
    scene->facts.fresh = false;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Starting");
    scene->facts.fresh = true;
    scene->facts.config_generation = 2;
    scene->restore.run.attempts[0].started_ms = NOW - SECOND;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Starting");
    scene->restore.run.attempts[0].started_ms = NOW - MINUTE;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Waiting");
    says(scene, "generation 2");
    scene->facts.config_error = "no key k1";
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Waiting");
    says(scene, "no key k1");
    scene->facts.config_error = NULL;
    scene->facts.config_generation = 3;
    expect(scene, RESTORE_STEP_SEND, RUN_OPEN, "Starting");
}

static void a_run_goes_on_while_its_sidecar_says_so(void **state)
{
    (void)state;
    struct scene *scene = scene_with_attempt(1);
    scene->facts.standing.kind = STANDING_RUNNING;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Running");
    assert_ptr_equal(scene->plan.progress, &scene->facts.standing.progress);
    scene->facts.policy_found = false; /* it has what it needs */
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Running");
}

static void a_policy_that_goes_before_the_run_ends_it(void **state)
{
    (void)state;
    struct scene *scene = scene_with_attempt(1);
    scene->facts.policy_found = false;
    scene->restore.began = true;
    scene->facts.standing.kind = STANDING_RUNNING;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Running");
    scene->restore.began = false;
    scene->facts.standing.kind = STANDING_UNTOLD;
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "PolicyNotFound");
}

/* Its end. */

static void success_lets_go_of_the_claim_first(void **state)
{
    (void)state;
    struct scene *scene = scene_done(1, NULL);
    expect(scene, RESTORE_STEP_KEEP_CLAIM, RUN_SUCCEEDED, "Restored");
    says(scene, "'pgdata' of claim 'data'");
    assert_null(scene->plan.verdict.attempt_reason);
    scene->facts.now_ms = NOW + HOUR; /* the deadline does not make it undone */
    expect(scene, RESTORE_STEP_KEEP_CLAIM, RUN_SUCCEEDED, "Restored");
}

static void a_claim_that_cannot_be_set_free_is_no_success_yet(void **state)
{
    (void)state;
    struct scene *scene = scene_done(1, NULL);
    expect(scene, RESTORE_STEP_KEEP_CLAIM, RUN_SUCCEEDED, "Restored");
    restore_plan_refused(&scene->facts, &scene->plan, "keep claim 'data': 403 Forbidden");
    assert_int_equal(scene->plan.verdict.outcome, RUN_OPEN);
    assert_string_equal(scene->plan.verdict.reason, "Waiting");
    says(scene, "the data is restored, but the claim is not free: keep claim 'data': 403");
    assert_false(scene->plan.verdict.attempt_ends);
    assert_null(scene->plan.restored);
    assert_true(scene->plan.again_ms > 0);
    scene->facts.now_ms = NOW + HOUR;
    expect(scene, RESTORE_STEP_KEEP_CLAIM, RUN_SUCCEEDED, "Restored");
    restore_plan_refused(&scene->facts, &scene->plan, "keep claim 'data': 403 Forbidden");
    assert_int_equal(scene->plan.verdict.outcome, RUN_FAILED);
    ends_attempt(scene, "DeadlineExceeded");
}

static void what_a_quota_refuses_is_tried_until_the_deadline(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    expect(scene, RESTORE_STEP_MAKE_CLAIM, RUN_OPEN, "Pending");
    restore_plan_refused(&scene->facts, &scene->plan, "make claim 'data': 403 exceeded quota");
    assert_int_equal(scene->plan.verdict.outcome, RUN_OPEN);
    assert_string_equal(scene->plan.verdict.reason, "Waiting");
    says(scene, "make claim 'data': 403 exceeded quota");
    assert_true(scene->plan.again_ms > SECOND);
}

static void there_is_no_success_without_the_claim(void **state)
{
    (void)state;
    struct scene *scene = scene_done(1, NULL);
    scene->facts.claim.owner = RESTORE_NONE;
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "Failed");
    scene = scene_done(1, NULL);
    scene->facts.claim.deleted = true;
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "Failed");
    scene = scene_done(1, NULL);
    scene->restore.claim_uid = "another";
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "Failed");
    scene = scene_with_attempt(1);
    scene->facts.claim.owner = RESTORE_NONE;
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "Failed");
    says(scene, "claim 'data' was deleted");
}

static void errors_end_it_or_lead_to_another_attempt(void **state)
{
    (void)state;
    struct scene *scene = scene_done(1, "transient");
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Pending");
    ends_attempt(scene, "Failed");
    expect(scene_done(2, "canceled"), RESTORE_STEP_REST, RUN_OPEN, "Pending");
    expect(scene_done(3, "transient"), RESTORE_STEP_REST, RUN_FAILED, "Failed");
    scene = scene_done(1, "not-found");
    expect(scene, RESTORE_STEP_REST, RUN_FAILED, "BackupNotFound");
    says(scene, "spec.source.backup: 'Latest'");
    expect(scene_done(1, "permanent"), RESTORE_STEP_REST, RUN_FAILED, "Failed");
    expect(scene_done(1, "corrupt"), RESTORE_STEP_REST, RUN_FAILED, "Failed");
    expect(scene_done(1, "conflict"), RESTORE_STEP_REST, RUN_FAILED, "Failed");
}

static void a_pod_that_ends_or_goes_leads_to_another_attempt(void **state)
{
    (void)state;
    struct scene *scene = scene_with_attempt(1);
    scene->facts.pod.ended = true;
    scene->facts.pod.note = "Evicted: low on memory";
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Pending");
    ends_attempt(scene, "PodFailed");
    says(scene, "Evicted");
    scene = scene_with_attempt(1);
    scene->facts.pod.deleted = true;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Pending");
    scene = scene_with_attempt(1);
    scene->facts.pod.owner = RESTORE_NONE;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Pending");
    ends_attempt(scene, "PodFailed");
}

static void a_restore_that_was_lost_is_done_anew(void **state)
{
    (void)state;
    struct scene *scene = scene_with_attempt(1);
    scene->restore.began = true;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Pending");
    ends_attempt(scene, "SidecarLost");
    scene->facts.fresh = false; /* has just come back */
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Running");
    scene->facts.standing = (struct standing){.kind = STANDING_SILENT, .silent_ms = MINUTE};
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Running");
    scene->facts.standing.silent_ms = RUN_LOST_MS;
    scene->restore.run.attempts[0].started_ms = NOW - RUN_LOST_MS;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Pending");
    ends_attempt(scene, "SidecarLost");
}

static void another_attempt_waits_until_nothing_is_left_of_the_one_before(void **state)
{
    (void)state;
    struct scene *scene = scene_with_attempt(1);
    scene->restore.run.attempts[0].finished_ms = NOW - MINUTE;
    scene->facts.old_pod = "copy-1";
    expect(scene, RESTORE_STEP_DELETE_POD, RUN_OPEN, "Pending");
    scene->facts.old_pod_deleted = true;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Pending");
    says(scene, "'copy-1' has to be gone");
    scene->facts.old_pod = NULL;
    expect(scene, RESTORE_STEP_DELETE_CLAIM, RUN_OPEN, "Pending");
    scene->facts.claim.deleted = true;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Pending");
    scene->facts.claim.owner = RESTORE_NONE;
    expect(scene, RESTORE_STEP_MAKE_CLAIM, RUN_OPEN, "Pending");
    scene->facts.claim.owner = RESTORE_OURS;
    scene->facts.claim.deleted = false;
    scene->facts.claim.attempt = "copy-2";
    expect(scene, RESTORE_STEP_BEGIN, RUN_OPEN, "Starting");
    scene->restore.run.attempts[0].finished_ms = NOW - SECOND;
    expect(scene, RESTORE_STEP_REST, RUN_OPEN, "Pending");
    assert_int_equal(scene->plan.again_ms, 29 * SECOND);
}

static void what_ended_is_cleaned_up_and_goes_in_its_time(void **state)
{
    (void)state;
    struct scene *scene = scene_with_attempt(1);
    scene->restore.run.outcome = RUN_SUCCEEDED;
    scene->restore.run.ended_ms = NOW - MINUTE;
    scene->facts.old_pod = "copy-1";
    restore_plan(&scene->facts, &scene->plan);
    assert_int_equal(scene->plan.step, RESTORE_STEP_DELETE_POD);
    scene->facts.old_pod = NULL;
    restore_plan(&scene->facts, &scene->plan);
    assert_int_equal(scene->plan.step, RESTORE_STEP_REST);
    assert_int_equal(scene->plan.again_ms, 0);
    scene->restore.ttl_seconds = 90;
    restore_plan(&scene->facts, &scene->plan);
    assert_int_equal(scene->plan.again_ms, 30 * SECOND);
    scene->restore.ttl_seconds = 60;
    restore_plan(&scene->facts, &scene->plan);
    assert_int_equal(scene->plan.step, RESTORE_STEP_DELETE_JOB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_done_is_refused_before_anything_is_made),
        cmocka_unit_test(a_policy_may_come_after_its_restore_but_not_much_later),
        cmocka_unit_test(nothing_begins_after_the_deadline),
        cmocka_unit_test(a_claim_comes_first_then_the_attempt_then_its_pod),
        cmocka_unit_test(a_pod_of_that_name_that_is_not_ours_is_left_alone),
        cmocka_unit_test(a_pod_that_does_not_start_says_why),
        cmocka_unit_test(an_image_that_was_corrected_leads_to_another_pod),
        cmocka_unit_test(what_a_restore_job_before_left_is_waited_for),
        cmocka_unit_test(the_run_is_sent_once_the_sidecar_has_this_policy),
        cmocka_unit_test(a_run_goes_on_while_its_sidecar_says_so),
        cmocka_unit_test(a_policy_that_goes_before_the_run_ends_it),
        cmocka_unit_test(success_lets_go_of_the_claim_first),
        cmocka_unit_test(a_claim_that_cannot_be_set_free_is_no_success_yet),
        cmocka_unit_test(what_a_quota_refuses_is_tried_until_the_deadline),
        cmocka_unit_test(there_is_no_success_without_the_claim),
        cmocka_unit_test(errors_end_it_or_lead_to_another_attempt),
        cmocka_unit_test(a_pod_that_ends_or_goes_leads_to_another_attempt),
        cmocka_unit_test(a_restore_that_was_lost_is_done_anew),
        cmocka_unit_test(another_attempt_waits_until_nothing_is_left_of_the_one_before),
        cmocka_unit_test(what_ended_is_cleaned_up_and_goes_in_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
