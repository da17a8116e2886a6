// SPDX-License-Identifier: Apache-2.0
/* Against a real API server, which takes the claims and pods as they are; nothing runs them, so
 * what scheduler, kubelet and sidecars would say is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/agents.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/tests/helper_api.h"
#include "operator/tests/helper_client.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

#define STATE(job)                                                                                 \
    "\"generation\": 1, \"database\": {\"reachable\": false}, \"job\": " job                       \
    ", \"finished\": [], \"lookup\": [], \"regions\": []"

static struct api *api;

static void make_policy(const char *name)
{
    CLEANUP(own_freep)
    char *text =
        own_format("{\"metadata\": {\"name\": \"%s\"}, \"spec\": {\"regions\": [{\"name\": "
                   "\"eu\", \"file\": {\"path\": \"/b\"}}], "
                   "\"encryption\": {\"keys\": [\"k1\"]}}}",
                   name);
    api_create(api, &kube_policies, text);
}

static void make_job(const char *name, const char *policy, const char *source, const char *more)
{
    CLEANUP(own_freep)
    char *text = own_format(
        "{\"metadata\": {\"name\": \"%s\"}, \"spec\": {\"source\": {\"policyRef\": {\"name\": "
        "\"%s\"}%s}, \"destination\": {\"newVolumeClaim\": {\"size\": \"1Gi\", \"labels\": "
        "{\"team\": \"blue\"}}}%s}}",
        name, policy, source, more);
    api_create(api, &kube_restore_jobs, text);
}

static json_t *look(const char *name)
{
    struct error err;
    int64_t again_ms;
    if (reconcile_restore(api_reconcile(api), api_namespace(api), name, &again_ms, &err) < 0)
        fail_msg("%s", err.text);
    json_t *job = api_get(api, &kube_restore_jobs, name);
    const char *status = api_text(job, "status/conditions/0/status");
    if (job && strcmp(status, "Unknown") == 0 && again_ms <= 0)
        fail_msg("'%s' is open and nobody looks again", name);
    return job;
}

static void expect(const json_t *job, const char *status, const char *reason, const char *part)
{
    api_expect_text(job, "status/conditions/0/reason", reason);
    api_expect_text(job, "status/conditions/0/status", status);
    const char *message = api_text(job, "status/conditions/0/message");
    if (!strstr(message, part))
        fail_msg("'%s' is not in '%s'", part, message);
}

static void look_and_expect(const char *name, const char *status, const char *reason,
                            const char *part)
{
    json_auto_t *job = look(name);
    expect(job, status, reason, part);
}

static void pod_says(const char *name, const char *status)
{
    struct error err;
    const struct kube_ref ref = {.resource = &kube_pods,
                                 .namespace = api_namespace(api),
                                 .name = name,
                                 .subresource = "status"};
    CLEANUP(own_freep) char *text = own_format("{\"status\": %s}", status);
    json_auto_t *patch = api_parse(text);
    if (kube_merge_patch(api_reconcile(api)->kube, &ref, patch, NULL, &err) < 0)
        fail_msg("%s", err.text);
    api_list(api);
}

/* Until there is a pod for that attempt, whose uid is given; the caller's. */
static char *look_until_pod(const char *job, const char *pod)
{
    for (unsigned i = 0; i < 6; i++) {
        json_decref(look(job));
        json_auto_t *made = api_get(api, &kube_pods, pod);
        if (made)
            return own_strdup(api_text(made, "metadata/uid"));
    }
    json_auto_t *stuck = look(job);
    fail_msg("there is no pod '%s': %s", pod, api_text(stuck, "status/conditions/0/message"));
    return NULL;
}

static void await_pod(const char *job, const char *pod)
{
    CLEANUP(own_freep) char *uid = look_until_pod(job, pod);
    assert_non_null(uid);
}

/* No controller of this server takes the finalizers of claims and the claims of owners away. */
static void let_claim_go(const char *name)
{
    json_auto_t *claim = api_get(api, &kube_claims, name);
    assert_non_null(claim);
    assert_non_null(json_object_get(json_object_get(claim, "metadata"), "deletionTimestamp"));
    api_patch(api, &kube_claims, name, "{\"metadata\": {\"finalizers\": null}}");
}

static void hear_done(const char *uid, const char *id, const char *members)
{
    CLEANUP(own_freep)
    char *text = own_format("\"id\": \"%s\", \"kind\": \"restore\", %s", id, members);
    api_hear(api, uid, 1, "done", text);
}

static const json_t *member(const json_t *object, const char *first, const char *second)
{
    return json_object_get(json_object_get(object, first), second);
}

static void a_restore_makes_claim_and_pod_and_lets_go_of_the_claim(void **state)
{
    (void)state;
    make_policy("db");
    api_add_member(api, "db", "db-0", "eu");
    make_job("copy", "db", ", \"excludeRegions\": []", ", \"ttlSecondsAfterFinished\": 60");
    make_job("named", "db", ", \"backup\": \"20261121T082118Z-full-3fa2\"", "");
    api_list(api);
    CLEANUP(own_freep) char *named = look_until_pod("named", "named-1");
    json_auto_t *told = look("named");
    api_expect_text(told, "status/attempts/0/podUID", named);
    api_expect_text(told, "status/backup", "20261121T082118Z-full-3fa2");
    CLEANUP(own_freep) char *uid = look_until_pod("copy", "copy-1");

    json_auto_t *job = look("copy");
    expect(job, "Unknown", "Starting", "its claim is not bound");
    api_expect_text(job, "status/attempts/0/id", "copy-1");
    api_expect_text(job, "status/attempts/0/podUID", uid);
    api_expect_text(job, "status/claim", "copy");
    api_expect_text(job, "status/backup", "");
    json_auto_t *claim = api_get(api, &kube_claims, "copy");
    api_expect_text(claim, "metadata/labels/team", "blue");
    api_expect_text(claim, "metadata/ownerReferences/0/uid", api_text(job, "metadata/uid"));
    api_expect_text(job, "status/claimUID", api_text(claim, "metadata/uid"));
    json_auto_t *pod = api_get(api, &kube_pods, "copy-1");
    api_expect_text(pod, "metadata/ownerReferences/0/kind", "RestoreJob");
    api_expect_text(pod, "spec/containers/0/image", "example.com/lifeboat:1");
    assert_int_equal(
        json_integer_value(json_object_get(member(pod, "spec", "securityContext"), "runAsUser")),
        999);

    api_list(api);
    pod_says("copy-1", "{\"conditions\": [{\"type\": \"PodScheduled\", \"status\": \"False\", "
                       "\"message\": \"0/3 nodes are available\"}]}");
    look_and_expect("copy", "Unknown", "Starting", "0/3 nodes are available");
    pod_says("copy-1", "{\"conditions\": null, \"phase\": \"Running\"}");

    api_join(api, "copy-1", uid, 1);
    look_and_expect("copy", "Unknown", "Starting", "has connected");
    api_hear(api, uid, 1, "state", STATE("null"));
    api_patch(api, &kube_pods, "copy-1",
              "{\"metadata\": {\"annotations\": {\"lifeboat.dev/region\": \"eu\"}}}");
    api_list(api);
    look_and_expect("copy", "Unknown", "Starting", "told to restore");
    CLEANUP(own_freep) char *run = api_said(api, uid, 1);
    assert_non_null(run);
    assert_non_null(strstr(run, "\"id\":\"copy-1\""));
    assert_non_null(strstr(run, "\"to\":\"/restore/pgdata\""));
    assert_non_null(strstr(run, "\"region\":\"eu\"")); /* the closest */
    api_hear(api, uid, 1, "state",
             STATE("{\"id\": \"copy-1\", \"kind\": \"restore\", \"phase\": \"fetching\", "
                   "\"bytes\": 5, \"totalBytes\": 10, \"files\": 1}"));
    look_and_expect("copy", "Unknown", "Running", "restores into claim 'copy'");

    api_pass_time(90 * SECOND);
    hear_done(uid, "copy-1",
              "\"ok\": true, \"restore\": {\"backup\": \"20261121T082118Z-full-3fa2\", "
              "\"region\": \"eu\", \"files\": 7, \"bytes\": 12300000000, \"fetchedBytes\": 5, "
              "\"seconds\": 80}");
    json_auto_t *done = look("copy");
    expect(done, "True", "Restored", "'pgdata' of claim 'copy'");
    api_expect_text(done, "status/backup", "20261121T082118Z-full-3fa2");
    api_expect_text(done, "status/region", "eu");
    api_expect_text(done, "status/size", "12.3 GB");
    api_expect_text(done, "status/duration", "1m30s");
    json_auto_t *kept = api_get(api, &kube_claims, "copy");
    assert_null(member(kept, "metadata", "ownerReferences"));

    api_list(api);
    json_decref(look("copy"));
    assert_null(api_get(api, &kube_pods, "copy-1"));
    api_list(api);
    api_pass_time(61 * SECOND);
    assert_null(look("copy"));
    json_auto_t *stays = api_get(api, &kube_claims, "copy");
    assert_non_null(stays);
    assert_null(member(stays, "metadata", "deletionTimestamp"));
}

static void a_failed_attempt_is_cleared_away_before_the_next(void **state)
{
    (void)state;
    make_policy("again");
    api_add_member(api, "again", "again-0", "eu");
    make_job("second", "again", "", "");
    api_list(api);
    CLEANUP(own_freep) char *uid = look_until_pod("second", "second-1");
    json_auto_t *first_claim = api_get(api, &kube_claims, "second");
    api_list(api);
    pod_says("second-1", "{\"phase\": \"Failed\", \"reason\": \"Evicted\", \"message\": \"low\"}");
    json_auto_t *failed = look("second");
    expect(failed, "Unknown", "Pending", "Evicted: low");
    api_expect_text(failed, "status/attempts/0/reason", "PodFailed");

    api_list(api);
    look_and_expect("second", "Unknown", "Pending", "pod 'second-1' has to be gone first");
    assert_null(api_get(api, &kube_pods, "second-1"));
    api_list(api);
    look_and_expect("second", "Unknown", "Pending", "claim 'second' of the attempt before");
    look_and_expect("second", "Unknown", "Pending", "claim 'second' of the attempt before");
    let_claim_go("second");
    look_and_expect("second", "Unknown", "Pending", "another one follows");
    api_pass_time(31 * SECOND);
    CLEANUP(own_freep) char *other = look_until_pod("second", "second-2");
    assert_string_not_equal(other, uid);
    json_auto_t *second_claim = api_get(api, &kube_claims, "second");
    assert_string_not_equal(api_text(second_claim, "metadata/uid"),
                            api_text(first_claim, "metadata/uid"));

    api_join(api, "second-2", other, 1);
    api_hear(api, other, 1, "state", STATE("null"));
    hear_done(other, "second-2",
              "\"ok\": false, \"error\": {\"kind\": \"not-found\", \"text\": \"no backup\"}");
    look_and_expect("second", "False", "BackupNotFound", "no backup");
    json_auto_t *owned = api_get(api, &kube_claims, "second");
    assert_non_null(member(owned, "metadata", "ownerReferences"));
}

static void a_claim_that_exists_is_left_alone(void **state)
{
    (void)state;
    make_policy("careful");
    api_add_member(api, "careful", "careful-0", "eu");
    api_create(api, &kube_claims,
               "{\"metadata\": {\"name\": \"taken\"}, \"spec\": {\"accessModes\": "
               "[\"ReadWriteOnce\"], \"resources\": {\"requests\": {\"storage\": \"1Gi\"}}}}");
    make_job("taken", "careful", "", "");
    api_list(api);
    look_and_expect("taken", "False", "ClaimExists", "there is a claim 'taken' already");
    json_auto_t *claim = api_get(api, &kube_claims, "taken");
    assert_null(member(claim, "metadata", "deletionTimestamp"));
    assert_null(api_get(api, &kube_pods, "taken-1"));
}

static void what_is_impossible_is_refused_before_anything_is_made(void **state)
{
    (void)state;
    make_policy("strict");
    make_job("no-user", "strict", "", "");
    make_job("no-region", "strict", ", \"region\": \"mars\"", "");
    make_job("none-left", "strict", ", \"excludeRegions\": [\"eu\"]", "");
    make_job("checked", "strict", "", ", \"checks\": {\"amcheck\": true}");
    make_job("in-time", "strict", "", ", \"recoveryTarget\": {\"time\": \"2026-11-21T08:21:18Z\"}");
    api_create(api, &kube_restore_jobs,
               "{\"metadata\": {\"name\": \"drill\"}, \"spec\": {\"source\": {\"policyRef\": "
               "{\"name\": \"strict\"}}, \"destination\": {\"drill\": {}}}}");
    api_list(api);
    look_and_expect("no-user", "False", "Invalid", "spec.sidecar.image");
    look_and_expect("no-region", "False", "RegionNotFound", "spec.source.region: no region 'mars'");
    look_and_expect("none-left", "False", "RegionNotFound", "spec.source.excludeRegions");
    look_and_expect("checked", "False", "Unsupported", "spec.checks");
    look_and_expect("in-time", "False", "Unsupported", "spec.recoveryTarget.time");
    look_and_expect("drill", "False", "Unsupported", "spec.destination.drill");
    assert_null(api_get(api, &kube_claims, "no-user"));
    assert_null(api_get(api, &kube_claims, "no-region"));
}

static void a_pod_that_the_server_refuses_fails_the_restore(void **state)
{
    (void)state;
    make_policy("wrong");
    api_add_member(api, "wrong", "wrong-0", "eu");
    make_job("odd", "wrong", "", ", \"pod\": {\"nodeSelector\": {\"-bad-\": \"x\"}}");
    api_list(api);
    for (unsigned i = 0; i < 4; i++)
        json_decref(look("odd"));
    look_and_expect("odd", "False", "Invalid", "nodeSelector");
}

static void a_new_leader_takes_a_restore_over(void **state)
{
    (void)state;
    make_policy("over");
    api_add_member(api, "over", "over-0", "eu");
    make_job("handed", "over", "", "");
    api_list(api);
    json_auto_t *begun = NULL;
    for (unsigned i = 0; i < 2; i++) { /* a claim, an attempt */
        json_decref(begun);
        begun = look("handed");
    }
    api_expect_text(begun, "status/attempts/0/id", "handed-1");
    json_decref(look("handed")); /* its pod, of which the next leader knows nothing */
    json_auto_t *none = json_array();
    json_decref(cache_replace(api_reconcile(api)->restore_pods, api_namespace(api), none));
    json_auto_t *job = api_get(api, &kube_restore_jobs, "handed");
    api_expect_text(job, "status/attempts/0/pod", "handed-1");
    json_decref(look("handed")); /* finds it */
    api_list(api);
    look_and_expect("handed", "Unknown", "Starting", "pod 'handed-1'");
    json_auto_t *after = look("handed");
    api_expect_text(after, "status/attempts/1/id", "");
}

/* What the kubelet says of a pod whose image it cannot get. */
#define NO_IMAGE                                                                                   \
    "{\"phase\": \"Pending\", \"containerStatuses\": [{\"name\": \"lifeboat\", \"image\": "        \
    "\"x\", \"imageID\": \"\", \"ready\": false, \"restartCount\": 0, \"state\": "                 \
    "{\"waiting\": {\"reason\": \"ImagePullBackOff\", \"message\": \"Back-off pulling\"}}}]}"

static void an_image_that_cannot_be_pulled_is_told_and_may_be_corrected(void **state)
{
    (void)state;
    make_policy("image");
    api_add_member(api, "image", "image-0", "eu");
    make_job("pull", "image", "", "");
    api_list(api);
    await_pod("pull", "pull-1");
    pod_says("pull-1", NO_IMAGE);
    look_and_expect("pull", "Unknown", "Starting", "Back-off pulling");
    api_pass_time(MINUTE);
    json_auto_t *waits = look("pull");
    expect(waits, "Unknown", "Waiting", "image 'example.com/lifeboat:1' cannot be pulled");
    expect(waits, "Unknown", "Waiting", "spec.sidecar.image");

    api_patch(api, &kube_policies, "image",
              "{\"spec\": {\"sidecar\": {\"image\": \"example.com/lifeboat:2\"}}}");
    api_list(api);
    json_auto_t *again = look("pull");
    expect(again, "Unknown", "Pending", "attempt 1 of 3 ended");
    api_expect_text(again, "status/attempts/0/reason", "PodFailed");
    json_decref(look("pull")); /* removes the pod */
    api_list(api);
    json_decref(look("pull")); /* removes the claim */
    let_claim_go("pull");
    api_pass_time(31 * SECOND);
    await_pod("pull", "pull-2");
    json_auto_t *pod = api_get(api, &kube_pods, "pull-2");
    api_expect_text(pod, "spec/containers/0/image", "example.com/lifeboat:2");
}

static void a_pod_that_never_starts_ends_at_the_deadline_and_is_removed(void **state)
{
    (void)state;
    make_policy("never");
    api_add_member(api, "never", "never-0", "eu");
    make_job("late", "never", "", ", \"deadlineSeconds\": 3600");
    api_list(api);
    await_pod("late", "late-1");
    pod_says("late-1", NO_IMAGE);
    api_pass_time(60 * MINUTE);
    api_log_begin(api);
    json_auto_t *ended = look("late");
    expect(ended, "False", "DeadlineExceeded", "spec.deadlineSeconds: 3600; image");
    api_log_end(api, "Failed restore", "late", "Back-off pulling");
    api_list(api);
    json_decref(look("late"));
    assert_null(api_get(api, &kube_pods, "late-1"));
}

static void a_key_that_is_missing_is_waited_for(void **state)
{
    (void)state;
    make_policy("locked");
    api_add_member(api, "locked", "locked-0", "eu");
    make_job("patient", "locked", "", "");
    api_list(api);
    CLEANUP(own_freep) char *uid = look_until_pod("patient", "patient-1");
    api_join(api, "patient-1", uid, 1);
    api_hear(api, uid, 1, "state",
             "\"configError\": \"encryption.keys[0] 'k1': no file\", " STATE("null"));
    look_and_expect("patient", "Unknown", "Starting", "'k1': no file");
    api_pass_time(MINUTE);
    look_and_expect("patient", "Unknown", "Waiting", "'k1': no file");
    assert_null(api_said(api, uid, 1));
    api_hear(api, uid, 1, "state", STATE("null"));
    look_and_expect("patient", "Unknown", "Starting", "told to restore");
    CLEANUP(own_freep) char *run = api_said(api, uid, 1);
    assert_non_null(run);
}

static void a_policy_that_is_not_there_or_goes_is_told(void **state)
{
    (void)state;
    make_policy("fleeting");
    api_add_member(api, "fleeting", "fleeting-0", "eu");
    make_job("begun", "fleeting", "", "");
    make_job("unbegun", "fleeting", "", "");
    api_list(api);
    CLEANUP(own_freep) char *uid = look_until_pod("begun", "begun-1");
    await_pod("unbegun", "unbegun-1");
    api_join(api, "begun-1", uid, 1);
    api_hear(api, uid, 1, "state",
             STATE("{\"id\": \"begun-1\", \"kind\": \"restore\", \"phase\": \"copying\"}"));
    look_and_expect("begun", "Unknown", "Running", "restores");
    api_delete(api, &kube_policies, "fleeting");
    api_list(api);
    look_and_expect("begun", "Unknown", "Running", "restores");
    look_and_expect("unbegun", "False", "PolicyNotFound", "'fleeting' was deleted");
    hear_done(uid, "begun-1",
              "\"ok\": true, \"restore\": {\"backup\": \"20261121T082118Z-full-3fa2\"}");
    look_and_expect("begun", "True", "Restored", "'pgdata'");
    make_job("lost", "fleeting", "", "");
    api_list(api);
    look_and_expect("lost", "False", "PolicyNotFound", "spec.source.policyRef.name");
}

static void a_job_of_a_name_that_was_used_waits_for_what_is_removed(void **state)
{
    (void)state;
    make_policy("twice");
    api_add_member(api, "twice", "twice-0", "eu");
    make_job("same", "twice", "", "");
    api_list(api);
    await_pod("same", "same-1");
    api_delete(api, &kube_restore_jobs, "same");
    make_job("same", "twice", "", "");
    api_list(api);
    look_and_expect("same", "Unknown", "Pending", "claim 'same' of a RestoreJob before");
    api_delete(api, &kube_claims, "same"); /* as the garbage collector does */
    look_and_expect("same", "Unknown", "Pending", "claim 'same' of a RestoreJob before");
    let_claim_go("same");
    for (unsigned i = 0; i < 3; i++)
        json_decref(look("same"));
    look_and_expect("same", "Unknown", "Starting", "pod 'same-1' of a RestoreJob before");
    api_delete(api, &kube_pods, "same-1");
    api_list(api);
    await_pod("same", "same-1");
    look_and_expect("same", "Unknown", "Starting", "pod 'same-1'");
}

static void an_end_reaches_status_metric_and_log(void **state)
{
    (void)state;
    make_policy("told");
    api_add_member(api, "told", "told-0", "eu");
    make_job("bad", "told", "", "");
    api_list(api);
    await_pod("bad", "bad-1");
    api_list(api);
    api_log_begin(api);
    pod_says("bad-1", "{\"phase\": \"Failed\", \"reason\": \"Evicted\", \"message\": \"low\"}");
    look_and_expect("bad", "Unknown", "Pending", "Evicted: low");
    api_log_end(api, "Failed an attempt of a restore", "bad", "Evicted: low");
    api_expect_metric(api,
                      "lifeboat_restore_failed_attempts_total{namespace=\"$\",policy=\"told\"} 1");

    make_job("worse", "told", "", "");
    api_list(api);
    CLEANUP(own_freep) char *other = look_until_pod("worse", "worse-1");
    api_join(api, "worse-1", other, 1);
    api_hear(api, other, 1, "state", STATE("null"));
    api_log_begin(api);
    hear_done(other, "worse-1",
              "\"ok\": false, \"error\": {\"kind\": \"permanent\", \"text\": \"get: S3 403 "
              "InvalidAccessKeyId\"}");
    json_auto_t *ended = look("worse");
    expect(ended, "False", "Failed", "get: S3 403 InvalidAccessKeyId");
    api_expect_text(ended, "status/error", "get: S3 403 InvalidAccessKeyId");
    api_log_end(api, "Failed restore", "worse", "get: S3 403 InvalidAccessKeyId");
    api_expect_metric(
        api, "lifeboat_restores_total{namespace=\"$\",policy=\"told\",result=\"failure\"} 1");
    api_expect_metric(api,
                      "lifeboat_restore_failed_attempts_total{namespace=\"$\",policy=\"told\"} 2");
    api_expect_metric(
        api, "lifeboat_restores_total{namespace=\"$\",policy=\"db\",result=\"success\"} 1");
    api_expect_metric(
        api, "lifeboat_restore_written_bytes_total{namespace=\"$\",policy=\"db\"} 12300000000");
}

static void each_change_is_an_event(void **state)
{
    static const struct {
        const char *name, *type, *reason;
    } told[] = {
        {"copy", "Normal", "Starting"},
        {"copy", "Normal", "Running"},
        {"copy", "Normal", "Restored"},
        {"second", "Warning", "Pending"}, /* an attempt failed */
        {"second", "Warning", "BackupNotFound"},
        {"taken", "Warning", "ClaimExists"},
        {"no-region", "Warning", "RegionNotFound"},
        {"drill", "Warning", "Unsupported"},
        {"odd", "Warning", "Invalid"},
        {"pull", "Warning", "Waiting"},
        {"late", "Warning", "DeadlineExceeded"},
        {"patient", "Warning", "Waiting"},
        {"lost", "Warning", "PolicyNotFound"},
        {"worse", "Warning", "Failed"},
    };
    (void)state;
    json_auto_t *events = api_events(api);
    for (size_t i = 0; i < ARRAY_SIZE(told); i++)
        api_expect_event(events, "RestoreJob", told[i].name, told[i].type, told[i].reason);
}

int main(void)
{
    api = api_new("reconcile-restore");
    if (!api)
        return EXIT_SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restore_makes_claim_and_pod_and_lets_go_of_the_claim),
        cmocka_unit_test(a_failed_attempt_is_cleared_away_before_the_next),
        cmocka_unit_test(a_claim_that_exists_is_left_alone),
        cmocka_unit_test(what_is_impossible_is_refused_before_anything_is_made),
        cmocka_unit_test(a_pod_that_the_server_refuses_fails_the_restore),
        cmocka_unit_test(a_new_leader_takes_a_restore_over),
        cmocka_unit_test(an_image_that_cannot_be_pulled_is_told_and_may_be_corrected),
        cmocka_unit_test(a_pod_that_never_starts_ends_at_the_deadline_and_is_removed),
        cmocka_unit_test(a_key_that_is_missing_is_waited_for),
        cmocka_unit_test(a_policy_that_is_not_there_or_goes_is_told),
        cmocka_unit_test(a_job_of_a_name_that_was_used_waits_for_what_is_removed),
        cmocka_unit_test(an_end_reaches_status_metric_and_log),
        cmocka_unit_test(each_change_is_an_event),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    api_freep(&api);
    return failed;
}
