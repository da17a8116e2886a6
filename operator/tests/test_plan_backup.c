// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/plan_backup.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
static const int64_t NOW = 100 * HOUR;

/* A Backup made a minute ago that is its policy's next, with db-1 to be chosen for it. */
struct scene {
    struct backup_object backup;
    struct source_choice choice;
    struct message_done done;
    struct backup_facts facts;
    struct backup_plan plan;
};

static struct scene *scene_new(void)
{
    static struct scene scene; /* one at a time */
    scene = (struct scene){
        .backup = {.run = {.name = "nightly", .created_ms = NOW - MINUTE}, .policy = "shop"},
        .choice = {.verdict = SOURCE_CHOSEN, .message = "on standby 'db-1'"},
        .facts = {.now_ms = NOW,
                  .policy_found = true,
                  .deadline_seconds = 3600,
                  .turn_ms = NOW - MINUTE},
    };
    scene.facts.backup = &scene.backup;
    scene.facts.choice = &scene.choice;
    return &scene;
}

/* … of which attempt n runs on db-1 since a minute, as far as is known; those before ended. */
static struct scene *scene_with_attempt(size_t n)
{
    struct scene *scene = scene_new();
    struct run *run = &scene->backup.run;
    for (size_t i = 0; i < n; i++) {
        int64_t started_ms = NOW - (int64_t)(n - i) * MINUTE;
        run->attempts[i] = (struct run_attempt){.id = "b",
                                                .pod = "db-1",
                                                .pod_uid = "u1",
                                                .started_ms = started_ms,
                                                .finished_ms = started_ms + SECOND};
    }
    run->attempts[n - 1].finished_ms = 0;
    run->attempt_count = n;
    return scene;
}

static struct scene *scene_standing(enum standing_kind kind)
{
    struct scene *scene = scene_with_attempt(1);
    scene->facts.standing = (struct standing){.kind = kind, .asked_ms = -1};
    return scene;
}

static struct scene *scene_failed(size_t attempts, const char *kind)
{
    struct scene *scene = scene_with_attempt(attempts);
    scene->done = (struct message_done){.error_kind = kind, .error = "put: 503"};
    scene->facts.standing = (struct standing){.kind = STANDING_ENDED, .done = &scene->done};
    return scene;
}

static void expect(struct scene *scene, enum backup_step step, enum run_outcome outcome,
                   const char *reason)
{
    backup_plan(&scene->facts, &scene->plan);
    const struct backup_plan *plan = &scene->plan;
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

/* Before it begins. */

static void a_backup_starts_on_the_chosen_pod_when_it_is_its_turn(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    expect(scene, BACKUP_STEP_START, RUN_OPEN, "Running");
    says(scene, "attempt 1 on standby 'db-1'");
}

static void a_run_that_ended_is_never_touched_again(void **state)
{
    (void)state;
    struct scene *scene = scene_failed(1, "transient");
    scene->backup.run.outcome = RUN_FAILED;
    scene->facts.policy_found = false;
    backup_plan(&scene->facts, &scene->plan);
    assert_int_equal(scene->plan.step, BACKUP_STEP_REST);
    assert_int_equal(scene->plan.again_ms, 0);
    assert_false(scene->plan.verdict.attempt_ends);
    assert_null(scene->plan.verdict.reason);
}

static void a_backup_waits_for_the_one_before(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    scene->facts.ahead = "earlier";
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Pending");
    says(scene, "'earlier'");
}

static void a_policy_may_come_after_its_backup_but_not_much_later(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    scene->facts.policy_found = false;
    scene->backup.run.created_ms = NOW - RUN_POLICY_GRACE_MS + SECOND;
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Pending");
    assert_int_equal(scene->plan.again_ms, SECOND);
    scene->backup.run.created_ms = NOW - RUN_POLICY_GRACE_MS;
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "PolicyNotFound");
    says(scene, "spec.policyRef.name: there is no BackupPolicy 'shop'");
    assert_false(scene->plan.verdict.attempt_ends);
}

static void a_policy_that_cannot_be_obeyed_fails_the_backup(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    scene->facts.policy_problem = "spec.regions[0].azure: not supported";
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "PolicyNotReady");
    says(scene, "spec.regions[0].azure");
}

static void what_this_version_cannot_promise_is_refused(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    scene->backup.unsupported = "spec.deletionPolicy: Delete";
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "Unsupported");
    says(scene, "spec.deletionPolicy: Delete");
}

static void a_slot_that_waited_too_long_is_missed(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    scene->facts.start_by_ms = NOW - 1;
    scene->facts.ahead = "earlier";
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "Missed");
    says(scene, "earlier");
    scene->facts.start_by_ms = NOW;
    scene->facts.ahead = NULL;
    expect(scene, BACKUP_STEP_START, RUN_OPEN, "Running");
}

static void without_a_pod_a_backup_waits_and_then_fails_with_what_is_lacking(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    scene->choice = (struct source_choice){.verdict = SOURCE_WAIT, .message = "'db-1' sleeps"};
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Pending");
    says(scene, "'db-1' sleeps");
    scene->choice.verdict = SOURCE_GIVE_UP;
    scene->choice.reason = "NoStandby";
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "NoStandby");
    says(scene, "'db-1' sleeps");
}

static void a_wait_ends_at_the_deadline(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    scene->choice.verdict = SOURCE_WAIT;
    scene->facts.turn_ms = NOW - HOUR;
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "DeadlineExceeded");
}

/* While it runs. */

static void a_run_goes_on_while_its_sidecar_says_so(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_RUNNING);
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Running");
    assert_ptr_equal(scene->plan.progress, &scene->facts.standing.progress);
    assert_false(scene->plan.verdict.attempt_ends);
}

static void a_sidecar_may_take_a_moment_to_say_that_it_began(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_UNTOLD);
    scene->backup.run.attempts[0].started_ms = NOW - SECOND;
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Running");
    assert_false(scene->plan.verdict.attempt_ends);
}

static void a_sidecar_that_does_not_tell_is_asked_and_not_too_often(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_UNTOLD);
    expect(scene, BACKUP_STEP_ASK, RUN_OPEN, "Running");
    assert_string_equal(scene->plan.uid, "u1");
    scene->facts.standing.asked_ms = 20 * SECOND;
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Running");
    scene->facts.standing.asked_ms = 30 * SECOND;
    scene->facts.standing.trouble = "no route to host";
    expect(scene, BACKUP_STEP_ASK, RUN_OPEN, "Running");
    says(scene, "no route to host");
    scene->facts.now_ms = NOW + HOUR + MINUTE;
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "DeadlineExceeded");
}

static void a_region_that_is_down_does_not_keep_a_lost_run_open(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_UNTOLD);
    scene->facts.standing.trouble = "region 'us' does not answer";
    scene->facts.standing.joined_ms = 5 * MINUTE - 1;
    expect(scene, BACKUP_STEP_ASK, RUN_OPEN, "Running");
    scene->facts.standing.joined_ms = 5 * MINUTE;
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Pending");
    ends_attempt(scene, "SidecarLost");
    says(scene, "region 'us' does not answer");

    scene = scene_standing(STANDING_SILENT);
    scene->facts.pod_gone = true;
    scene->facts.other_uid = "u0";
    scene->facts.other = (struct standing){
        .kind = STANDING_UNTOLD, .asked_ms = -1, .trouble = "region 'us' does not answer"};
    scene->facts.standing.silent_ms = 5 * MINUTE - 1;
    expect(scene, BACKUP_STEP_ASK, RUN_OPEN, "Running");
    scene->facts.standing.silent_ms = 5 * MINUTE;
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Pending");
    ends_attempt(scene, "PodGone");
}

static void a_run_that_nobody_knows_of_is_tried_again_under_another_id(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_ABSENT);
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Pending");
    ends_attempt(scene, "SidecarLost");
    says(scene, "attempt 1 of 3");
}

static void errors_that_may_pass_lead_to_another_attempt(void **state)
{
    (void)state;
    struct scene *scene = scene_failed(1, "transient");
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Pending");
    ends_attempt(scene, "Failed");
    assert_string_equal(scene->plan.verdict.attempt_error, "put: 503");
    expect(scene_failed(2, "canceled"), BACKUP_STEP_REST, RUN_OPEN, "Pending");
    expect(scene_failed(3, "transient"), BACKUP_STEP_REST, RUN_FAILED, "Failed");
    expect(scene_failed(3, "canceled"), BACKUP_STEP_REST, RUN_FAILED, "Canceled");
}

static void errors_that_stay_fail_at_once_in_their_own_words(void **state)
{
    (void)state;
    static const char *const kinds[] = {"permanent", "corrupt", "not-found", "conflict"};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct scene *scene = scene_failed(1, kinds[i]);
        expect(scene, BACKUP_STEP_REST, RUN_FAILED, "Failed");
        says(scene, "put: 503");
        ends_attempt(scene, "Failed");
    }
}

static void the_next_attempt_comes_after_a_pause(void **state)
{
    (void)state;
    struct scene *scene = scene_with_attempt(1);
    struct run_attempt *attempt = &scene->backup.run.attempts[0];
    attempt->finished_ms = NOW - 10 * SECOND;
    attempt->error = "put: 503";
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Pending");
    assert_int_equal(scene->plan.again_ms, 20 * SECOND);
    says(scene, "put: 503");
    attempt->finished_ms = NOW - 30 * SECOND;
    expect(scene, BACKUP_STEP_START, RUN_OPEN, "Running");
    says(scene, "attempt 2 on");
}

static void no_attempt_begins_after_the_deadline(void **state)
{
    (void)state;
    struct scene *scene = scene_failed(1, "transient");
    scene->facts.now_ms = NOW + HOUR;
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "DeadlineExceeded");
    says(scene, "3600; put: 503");
    scene->backup.run.attempts[0].finished_ms = NOW;
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "DeadlineExceeded");
}

static void a_run_beyond_its_deadline_is_canceled_and_then_given_up(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_RUNNING);
    scene->facts.now_ms = NOW - MINUTE + HOUR;
    expect(scene, BACKUP_STEP_CANCEL, RUN_OPEN, "Running");
    assert_string_equal(scene->plan.uid, "u1");
    assert_false(scene->plan.verdict.attempt_ends);
    scene->facts.now_ms += RUN_CANCEL_GRACE_MS;
    expect(scene, BACKUP_STEP_CANCEL, RUN_FAILED, "DeadlineExceeded");
    ends_attempt(scene, "DeadlineExceeded");
    scene = scene_failed(1, "canceled");
    scene->facts.now_ms = NOW - MINUTE + HOUR;
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "DeadlineExceeded");
}

static void a_run_whose_policy_goes_is_canceled(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_RUNNING);
    scene->facts.policy_found = false;
    expect(scene, BACKUP_STEP_CANCEL, RUN_FAILED, "PolicyDeleted");
    ends_attempt(scene, "PolicyDeleted");
    scene->backup.run.attempts[0].finished_ms = NOW;
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "PolicyDeleted");
}

static void a_run_whose_backup_is_being_deleted_is_canceled(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_RUNNING);
    scene->backup.run.deleted = true;
    expect(scene, BACKUP_STEP_CANCEL, RUN_FAILED, "Canceled");
    ends_attempt(scene, "Canceled");
}

static void what_is_set_or_changed_meanwhile_does_not_end_a_run(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_RUNNING);
    scene->backup.unsupported = "spec.hold: true";
    scene->facts.policy_problem = "spec.source.mode: PerRegion";
    scene->facts.ahead = "another";
    scene->facts.start_by_ms = 1;
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Running");
}

/* When it succeeded. */

static void success_says_where_the_backup_is(void **state)
{
    (void)state;
    struct scene *scene = scene_with_attempt(2);
    json_auto_t *backup = json_pack("{s:[s,s]}", "regions", "eu", "us");
    scene->done = (struct message_done){.ok = true, .backup = backup};
    scene->facts.standing = (struct standing){.kind = STANDING_ENDED, .done = &scene->done};
    expect(scene, BACKUP_STEP_REST, RUN_SUCCEEDED, "Committed");
    says(scene, "' is in eu, us");
    assert_ptr_equal(scene->plan.committed, backup);
    assert_true(scene->plan.verdict.attempt_ends);
    assert_null(scene->plan.verdict.attempt_reason);
    json_object_set_new(backup, "missingRegions", json_pack("[s]", "ap"));
    expect(scene, BACKUP_STEP_REST, RUN_SUCCEEDED, "PartlyCommitted");
    says(scene, "is in eu, us, but not in ap: see the regions of the policy's status");
    json_object_set_new(backup, "missingBecause", json_string("ap since noon: it lags"));
    expect(scene, BACKUP_STEP_REST, RUN_SUCCEEDED, "PartlyCommitted");
    says(scene, "is in eu, us, but not in ap: ap since noon: it lags");
    json_object_set_new(backup, "pageErrors", json_integer(4));
    expect(scene, BACKUP_STEP_REST, RUN_SUCCEEDED, "PageErrors");
    says(scene, "4 pages");
}

static void a_commit_that_nobody_heard_of_is_found_in_the_bucket(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_COMMITTED);
    json_auto_t *backup = json_pack("{s:[s]}", "regions", "eu");
    scene->facts.standing.backup = backup;
    expect(scene, BACKUP_STEP_REST, RUN_SUCCEEDED, "Committed");
    scene->facts.now_ms = NOW + 9 * HOUR; /* the deadline does not make it undone */
    expect(scene, BACKUP_STEP_REST, RUN_SUCCEEDED, "Committed");
}

/* When its pod is silent or gone. */

static void a_silent_sidecar_is_waited_for_as_it_may_well_be_running(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_SILENT);
    scene->facts.standing.silent_ms = 5 * SECOND;
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Running");
    says(scene, "reconnects");
    scene->facts.other_uid = "u0";
    scene->facts.standing.silent_ms = RUN_LOST_MS - SECOND;
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Running");
    says(scene, "ran on pod 'db-1' when its sidecar was heard last");
    assert_false(scene->plan.verdict.attempt_ends);
}

static void a_sidecar_that_stays_silent_is_given_up_after_another_was_asked(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_SILENT);
    scene->facts.standing.silent_ms = RUN_LOST_MS;
    scene->facts.other_uid = "u0";
    scene->facts.other = (struct standing){.kind = STANDING_UNTOLD, .asked_ms = -1};
    expect(scene, BACKUP_STEP_ASK, RUN_OPEN, "Running");
    assert_string_equal(scene->plan.uid, "u0");
    scene->facts.other.kind = STANDING_ABSENT;
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "SidecarLost");
    says(scene, "15 minutes");
    json_auto_t *backup = json_pack("{s:[s]}", "regions", "eu");
    scene->facts.other = (struct standing){.kind = STANDING_COMMITTED, .backup = backup};
    expect(scene, BACKUP_STEP_REST, RUN_SUCCEEDED, "Committed");
    scene->facts.other_uid = NULL;
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "SidecarLost");
}

static void an_answer_that_never_comes_does_not_hold_the_end_up(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_SILENT);
    scene->facts.standing.silent_ms = RUN_LOST_MS + RUN_CANCEL_GRACE_MS;
    scene->facts.other_uid = "u0";
    scene->facts.other = (struct standing){.kind = STANDING_UNTOLD, .asked_ms = 1};
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "SidecarLost");
}

static void a_silent_sidecar_fails_its_run_at_the_deadline(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_SILENT);
    scene->facts.standing.silent_ms = 2 * MINUTE;
    scene->facts.now_ms = NOW + HOUR;
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "DeadlineExceeded");
}

static void a_pod_that_is_gone_leads_to_another_attempt_once_a_bucket_was_asked(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_SILENT);
    scene->facts.pod_gone = true;
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Running");
    says(scene, "no other is connected");
    scene->facts.other_uid = "u0";
    scene->facts.other = (struct standing){.kind = STANDING_UNTOLD, .asked_ms = -1};
    expect(scene, BACKUP_STEP_ASK, RUN_OPEN, "Running");
    assert_string_equal(scene->plan.uid, "u0");
    scene->facts.other.kind = STANDING_ABSENT;
    expect(scene, BACKUP_STEP_REST, RUN_OPEN, "Pending");
    ends_attempt(scene, "PodGone");
}

static void a_pod_that_is_gone_for_good_fails_the_run_at_the_deadline(void **state)
{
    (void)state;
    struct scene *scene = scene_standing(STANDING_SILENT);
    scene->facts.pod_gone = true;
    scene->facts.now_ms = NOW + HOUR + MINUTE;
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "PodGone");
}

static void a_result_outlives_the_pod_that_told_it(void **state)
{
    (void)state;
    struct scene *scene = scene_failed(1, "permanent");
    scene->facts.pod_gone = true;
    expect(scene, BACKUP_STEP_REST, RUN_FAILED, "Failed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_starts_on_the_chosen_pod_when_it_is_its_turn),
        cmocka_unit_test(a_run_that_ended_is_never_touched_again),
        cmocka_unit_test(a_backup_waits_for_the_one_before),
        cmocka_unit_test(a_policy_may_come_after_its_backup_but_not_much_later),
        cmocka_unit_test(a_policy_that_cannot_be_obeyed_fails_the_backup),
        cmocka_unit_test(what_this_version_cannot_promise_is_refused),
        cmocka_unit_test(a_slot_that_waited_too_long_is_missed),
        cmocka_unit_test(without_a_pod_a_backup_waits_and_then_fails_with_what_is_lacking),
        cmocka_unit_test(a_wait_ends_at_the_deadline),
        cmocka_unit_test(a_run_goes_on_while_its_sidecar_says_so),
        cmocka_unit_test(a_sidecar_may_take_a_moment_to_say_that_it_began),
        cmocka_unit_test(a_sidecar_that_does_not_tell_is_asked_and_not_too_often),
        cmocka_unit_test(a_region_that_is_down_does_not_keep_a_lost_run_open),
        cmocka_unit_test(a_run_that_nobody_knows_of_is_tried_again_under_another_id),
        cmocka_unit_test(errors_that_may_pass_lead_to_another_attempt),
        cmocka_unit_test(errors_that_stay_fail_at_once_in_their_own_words),
        cmocka_unit_test(the_next_attempt_comes_after_a_pause),
        cmocka_unit_test(no_attempt_begins_after_the_deadline),
        cmocka_unit_test(a_run_beyond_its_deadline_is_canceled_and_then_given_up),
        cmocka_unit_test(a_run_whose_policy_goes_is_canceled),
        cmocka_unit_test(a_run_whose_backup_is_being_deleted_is_canceled),
        cmocka_unit_test(what_is_set_or_changed_meanwhile_does_not_end_a_run),
        cmocka_unit_test(success_says_where_the_backup_is),
        cmocka_unit_test(a_commit_that_nobody_heard_of_is_found_in_the_bucket),
        cmocka_unit_test(a_silent_sidecar_is_waited_for_as_it_may_well_be_running),
        cmocka_unit_test(a_sidecar_that_stays_silent_is_given_up_after_another_was_asked),
        cmocka_unit_test(an_answer_that_never_comes_does_not_hold_the_end_up),
        cmocka_unit_test(a_silent_sidecar_fails_its_run_at_the_deadline),
        cmocka_unit_test(a_pod_that_is_gone_leads_to_another_attempt_once_a_bucket_was_asked),
        cmocka_unit_test(a_pod_that_is_gone_for_good_fails_the_run_at_the_deadline),
        cmocka_unit_test(a_result_outlives_the_pod_that_told_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
