// SPDX-License-Identifier: Apache-2.0
/* Against a real API server; sidecars are simulated by what they say, through the real agents. */
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
#include "operator/tests/helper_api.h"
#include "operator/tests/helper_client.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

#define STATE(role, job)                                                                           \
    "\"generation\": 1, \"database\": {\"reachable\": true, \"role\": \"" role "\", "              \
    "\"lagSeconds\": 1}, \"job\": " job ", \"finished\": [], \"lookup\": [], \"regions\": []"

static struct api *api;

static void make_policy_of(const char *name, const char *more)
{
    CLEANUP(own_freep)
    char *text =
        own_format("{\"metadata\": {\"name\": \"%s\"}, \"spec\": {\"regions\": [{\"name\": "
                   "\"eu\", \"file\": {\"path\": \"/b\"}}], "
                   "\"encryption\": {\"keys\": [\"k1\"]}%s}}",
                   name, more);
    api_create(api, &kube_policies, text);
}

static void make_policy(const char *name)
{
    make_policy_of(name, "");
}

static void make_backup(const char *name, const char *policy)
{
    CLEANUP(own_freep)
    char *text = own_format("{\"metadata\": {\"name\": \"%s\"}, \"spec\": {\"policyRef\": "
                            "{\"name\": \"%s\"}, \"type\": \"Incremental\"}}",
                            name, policy);
    api_create(api, &kube_backups, text);
}

static int try_look(const char *name, int64_t *ret_again_ms, struct error *err)
{
    return reconcile_backup(api_reconcile(api), api_namespace(api), name, ret_again_ms, err);
}

/* Gives the Backup as the server then has it; NULL: it is gone. */
static json_t *look(const char *name)
{
    struct error err;
    int64_t again_ms;
    if (try_look(name, &again_ms, &err) < 0)
        fail_msg("%s", err.text);
    json_t *backup = api_get(api, &kube_backups, name);
    const char *status = api_text(backup, "status/conditions/0/status");
    if (backup && strcmp(status, "Unknown") == 0 && again_ms <= 0)
        fail_msg("'%s' is open and nobody looks again", name);
    return backup;
}

static void expect(const json_t *backup, const char *status, const char *reason)
{
    api_expect_text(backup, "status/conditions/0/type", "Succeeded");
    api_expect_text(backup, "status/conditions/0/reason", reason);
    api_expect_text(backup, "status/conditions/0/status", status);
    bool failed = strcmp(status, "False") == 0, open = strcmp(status, "Unknown") == 0;
    api_expect_text(backup, "status/conditions/1/status", open ? "True" : "False");
    api_expect_text(backup, "status/conditions/2/status", failed ? "True" : "False");
}

static void look_and_expect(const char *name, const char *status, const char *reason)
{
    json_auto_t *backup = look(name);
    expect(backup, status, reason);
}

/* A policy with a primary and a standby, both of which can make a backup, on connection 1. */
static void make_members(const char *policy, const char *primary, const char *standby)
{
    CLEANUP(own_freep) char *primary_uid = own_format("uid-%s", primary);
    CLEANUP(own_freep) char *standby_uid = own_format("uid-%s", standby);
    make_policy(policy);
    api_add_member(api, policy, primary, "eu");
    api_add_member(api, policy, standby, "us");
    api_join(api, primary, primary_uid, 1);
    api_join(api, standby, standby_uid, 1);
    api_hear(api, primary_uid, 1, "state", STATE("primary", "null"));
    api_hear(api, standby_uid, 1, "state", STATE("standby", "null"));
}

/* The next message to that sidecar is of that type; the id or text in it is to be found too. */
static void expect_said(const char *uid, const char *type, const char *part)
{
    CLEANUP(own_freep) char *text = api_said(api, uid, 1);
    CLEANUP(own_freep) char *member = own_format("\"type\":\"%s\"", type);
    if (!text || !strstr(text, member) || !strstr(text, part))
        fail_msg("'%s' was told %s, not %s with %s", uid, text ? text : "nothing", type, part);
}

static void expect_silence(const char *uid)
{
    CLEANUP(own_freep) char *text = api_said(api, uid, 1);
    if (text)
        fail_msg("'%s' was told %s", uid, text);
}

static char *attempt_id(const json_t *backup, unsigned index)
{
    CLEANUP(own_freep) char *path = own_format("status/attempts/%u/backupID", index);
    return own_strdup(api_text(backup, path));
}

static void hear_running(const char *uid, const char *id, const char *phase, unsigned bytes)
{
    CLEANUP(own_freep)
    char *text = own_format(STATE("standby", "{\"id\": \"%s\", \"kind\": \"backup\", \"started\": "
                                             "\"2026-11-21T08:21:18Z\", \"phase\": \"%s\", "
                                             "\"bytes\": %u, \"totalBytes\": 1000, \"files\": 3}"),
                            id, phase, bytes);
    api_hear(api, uid, 1, "state", text);
}

static void hear_done(const char *uid, const char *id, const char *members)
{
    CLEANUP(own_freep)
    char *text = own_format("\"id\": \"%s\", \"kind\": \"backup\", %s", id, members);
    api_hear(api, uid, 1, "done", text);
}

/* Starts a Backup and gives the id of its attempt; the run has been sent to that pod. */
static char *start(const char *name, const char *policy, const char *uid)
{
    make_backup(name, policy);
    api_list(api);
    json_auto_t *backup = look(name);
    expect(backup, "Unknown", "Running");
    char *id = attempt_id(backup, 0);
    expect_said(uid, "run", id);
    return id;
}

static void a_backup_without_a_policy_waits_a_minute_and_fails_for_good(void **state)
{
    (void)state;
    make_backup("early", "nowhere");
    api_list(api);
    look_and_expect("early", "Unknown", "Pending");
    api_pass_time(2 * MINUTE);
    json_auto_t *failed = look("early");
    expect(failed, "False", "PolicyNotFound");
    api_expect_metric(api, "lifeboat_backups_total{namespace=\"$\",policy=\"\","
                           "type=\"Incremental\",result=\"failure\"} 1");
    make_policy("nowhere");
    api_list(api);
    json_auto_t *later = look("early");
    api_expect_text(later, "metadata/resourceVersion",
                    api_text(failed, "metadata/resourceVersion"));
}

static void what_this_version_cannot_do_is_refused(void **state)
{
    (void)state;
    make_policy("plain");
    api_create(api, &kube_backups,
               "{\"metadata\": {\"name\": \"doomed\"}, \"spec\": {\"policyRef\": {\"name\": "
               "\"plain\"}, \"deletionPolicy\": \"Delete\"}}");
    api_list(api);
    look_and_expect("doomed", "False", "Unsupported");
}

static void a_backup_is_written_down_sent_once_followed_and_told_whole(void **state)
{
    (void)state;
    make_members("whole", "whole-0", "whole-1");
    make_backup("night", "whole");
    api_list(api);
    json_auto_t *begun = look("night");
    expect(begun, "Unknown", "Running");
    api_expect_text(begun, "status/attempts/0/pod", "whole-1");
    api_expect_text(begun, "status/attempts/0/podUID", "uid-whole-1");
    api_expect_text(begun, "status/attempts/0/region", "us");
    CLEANUP(own_freep) char *id = attempt_id(begun, 0);
    assert_non_null(strstr(id, "-incr-"));
    expect_said("uid-whole-1", "run", id);
    expect_silence("uid-whole-0");

    look_and_expect("night", "Unknown", "Running");
    expect_silence("uid-whole-1");
    hear_running("uid-whole-1", id, "copying", 100);
    json_auto_t *progress = look("night");
    api_expect_text(progress, "status/progress/phase", "copying");
    api_expect_text(progress, "status/type", "Incremental");
    hear_running("uid-whole-1", id, "copying", 200);
    api_pass_time(5 * SECOND);
    json_auto_t *same = look("night"); /* not every second a write */
    api_expect_text(same, "metadata/resourceVersion",
                    api_text(progress, "metadata/resourceVersion"));
    hear_running("uid-whole-1", id, "committing", 1000);
    json_auto_t *phase = look("night");
    api_expect_text(phase, "status/progress/phase", "committing");

    CLEANUP(own_freep)
    char *done = own_format(
        "\"ok\": true, \"backup\": {\"id\": \"%s\", \"type\": \"full\", \"timeline\": 1, "
        "\"startLSN\": \"0/3000028\", \"stopLSN\": \"0/3000100\", "
        "\"started\": \"2026-11-21T08:21:18Z\", \"finished\": \"2026-11-21T10:25:30.5+02:00\", "
        "\"bytesTotal\": 9, \"bytesRead\": 8, \"bytesStored\": 1200000000, \"files\": 3, "
        "\"fallback\": \"there is no parent\", \"regions\": [\"eu\", \"eu\"], "
        "\"missingRegions\": [], \"systemIdentifier\": \"7351234567890123456\", "
        "\"versionNum\": 170004, \"pageErrors\": 0, \"sha256\": \"ab\"}",
        id);
    hear_done("uid-whole-1", id, done);
    json_auto_t *ended = look("night");
    expect(ended, "True", "Committed");
    api_expect_text(ended, "status/backupID", id);
    api_expect_text(ended, "status/type", "Full");
    api_expect_text(ended, "status/regions/0", "eu");
    api_expect_text(ended, "status/regions/1", "");
    api_expect_text(ended, "status/regionNames", "eu");
    api_expect_text(ended, "status/size", "1.2 GB");
    api_expect_text(ended, "status/finished", "2026-11-21T08:25:30Z");
    api_expect_text(ended, "status/duration", "4m12s");
    api_expect_text(ended, "status/fallback", "there is no parent");
    api_expect_text(ended, "status/manifestSHA256", "ab");
    api_expect_text(ended, "status/progress/phase", "");
    assert_string_not_equal(api_text(ended, "status/attempts/0/finished"), "");
    api_list(api);
    json_auto_t *later = look("night");
    api_expect_text(later, "metadata/resourceVersion", api_text(ended, "metadata/resourceVersion"));
}

static void a_failed_attempt_leads_to_another_id_elsewhere(void **state)
{
    (void)state;
    make_members("again", "again-0", "again-1");
    CLEANUP(own_freep) char *first = start("retry", "again", "uid-again-1");
    hear_done("uid-again-1", first,
              "\"ok\": false, \"error\": {\"kind\": \"transient\", \"text\": \"put: 503\"}");
    json_auto_t *failed = look("retry");
    expect(failed, "Unknown", "Pending");
    api_expect_text(failed, "status/attempts/0/error", "put: 503");
    api_expect_text(failed, "status/error", "put: 503");
    expect_silence("uid-again-1");
    api_pass_time(31 * SECOND);
    json_auto_t *second = look("retry");
    expect(second, "Unknown", "Running");
    CLEANUP(own_freep) char *id = attempt_id(second, 1);
    assert_string_not_equal(id, first);
    expect_said("uid-again-1", "run", id); /* the only standby there is */
    hear_done("uid-again-1", first,
              "\"ok\": true, \"backup\": {\"id\": \"x\", \"type\": "
              "\"full\"}"); /* not of the current attempt */
    look_and_expect("retry", "Unknown", "Running");
    hear_done("uid-again-1", id,
              "\"ok\": false, \"error\": {\"kind\": \"permanent\", \"text\": \"403\"}");
    look_and_expect("retry", "False", "Failed");
}

static void a_new_leader_asks_and_believes_the_answer(void **state)
{
    (void)state;
    make_members("lead", "lead-0", "lead-1");
    CLEANUP(own_freep) char *first = start("handed", "lead", "uid-lead-1");
    api_list(api);
    api_join(api, "lead-1", "uid-lead-1", 1); /* as after a break: nothing is known of it */
    api_hear(api, "uid-lead-1", 1, "state", STATE("standby", "null"));
    api_pass_time(10 * SECOND);
    look_and_expect("handed", "Unknown", "Running");
    expect_said("uid-lead-1", "state", first);
    look_and_expect("handed", "Unknown", "Running");
    expect_silence("uid-lead-1"); /* asked once */
    CLEANUP(own_freep)
    char *absent = own_format("\"generation\": 1, \"database\": {\"reachable\": true, \"role\": "
                              "\"standby\"}, \"lookup\": [{\"backupID\": \"%s\"}]",
                              first);
    api_hear(api, "uid-lead-1", 1, "state", absent);
    look_and_expect("handed", "Unknown", "Pending");
    api_pass_time(31 * SECOND);
    json_auto_t *second = look("handed");
    CLEANUP(own_freep) char *id = attempt_id(second, 1);
    expect_said("uid-lead-1", "run", id);
    api_pass_time(10 * SECOND);
    CLEANUP(own_freep)
    char *committed =
        own_format("\"generation\": 1, \"database\": {\"reachable\": true, \"role\": \"standby\"}, "
                   "\"lookup\": [{\"backupID\": \"%s\", \"backup\": {\"id\": \"%s\", \"type\": "
                   "\"incremental\", \"regions\": [\"eu\"]}}]",
                   id, id);
    api_hear(api, "uid-lead-1", 1, "state", committed);
    json_auto_t *ended = look("handed");
    expect(ended, "True", "Committed");
    api_expect_text(ended, "status/backupID", id);
}

static void a_leader_whose_cache_is_old_starts_nothing(void **state)
{
    (void)state;
    make_members("stale", "stale-0", "stale-1");
    make_backup("once", "stale");
    api_list(api);
    json_auto_t *before = cache_get(api_reconcile(api)->backups, api_namespace(api), "once");
    json_auto_t *old = json_pack("[O]", before);
    look_and_expect("once", "Unknown", "Running");
    expect_said("uid-stale-1", "run", "-incr-");
    json_decref(cache_replace(api_reconcile(api)->backups, api_namespace(api), old));
    struct error err;
    int64_t again_ms;
    assert_int_equal(try_look("once", &again_ms, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    expect_silence("uid-stale-1");
    expect_silence("uid-stale-0");
}

static void the_backups_of_a_policy_run_one_after_the_other(void **state)
{
    (void)state;
    make_members("queue", "queue-0", "queue-1");
    make_backup("a", "queue");
    make_backup("b", "queue");
    api_list(api);
    json_auto_t *waits = look("b");
    expect(waits, "Unknown", "Pending");
    assert_non_null(strstr(api_text(waits, "status/conditions/0/message"), "'a'"));
    json_auto_t *first = look("a");
    CLEANUP(own_freep) char *id = attempt_id(first, 0);
    expect_said("uid-queue-1", "run", id);
    look_and_expect("b", "Unknown", "Pending");
    hear_done("uid-queue-1", id,
              "\"ok\": false, \"error\": {\"kind\": \"corrupt\", \"text\": \"bad\"}");
    look_and_expect("a", "False", "Failed");
    look_and_expect("b", "Unknown", "Running");
    expect_said("uid-queue-1", "run", "-incr-");
}

static void a_run_whose_backup_is_deleted_is_canceled(void **state)
{
    (void)state;
    make_members("cut", "cut-0", "cut-1");
    CLEANUP(own_freep) char *id = start("gone", "cut", "uid-cut-1");
    hear_running("uid-cut-1", id, "copying", 1);
    api_delete(api, &kube_backups, "gone");
    api_list(api);
    assert_null(look("gone"));
    expect_silence("uid-cut-1"); /* what the caches show may be older */
    api_pass_time(MINUTE);
    assert_null(look("gone"));
    expect_said("uid-cut-1", "cancel", id);
}

static void a_run_whose_policy_is_deleted_is_canceled(void **state)
{
    (void)state;
    make_members("brief", "brief-0", "brief-1");
    CLEANUP(own_freep) char *id = start("orphan", "brief", "uid-brief-1");
    hear_running("uid-brief-1", id, "copying", 1);
    api_delete(api, &kube_policies, "brief");
    api_list(api);
    look_and_expect("orphan", "False", "PolicyDeleted");
    expect_said("uid-brief-1", "cancel", id);
}

static void a_sidecar_that_was_away_when_its_run_was_given_up_is_told_when_it_is_back(void **state)
{
    (void)state;
    make_members("away", "away-0", "away-1");
    CLEANUP(own_freep) char *id = start("unheard", "away", "uid-away-1");
    agents_leave(api_reconcile(api)->agents, "uid-away-1", 1);
    api_delete(api, &kube_policies, "away");
    api_list(api);
    look_and_expect("unheard", "False", "PolicyDeleted");
    api_pass_time(5 * MINUTE);
    api_join(api, "away-1", "uid-away-1", 1);
    hear_running("uid-away-1", id, "copying", 1);
    assert_null(look("whichever")); /* a Backup that is gone: who still makes one is looked for */
    expect_said("uid-away-1", "cancel", id);
}

static void a_pod_that_is_gone_is_told_from_one_that_is_silent(void **state)
{
    (void)state;
    make_members("lost", "lost-0", "lost-1");
    CLEANUP(own_freep) char *id = start("moved", "lost", "uid-lost-1");
    agents_leave(api_reconcile(api)->agents, "uid-lost-1", 1);
    api_pass_time(2 * MINUTE);
    look_and_expect("moved", "Unknown", "Running");
    expect_silence("uid-lost-0");
    json_decref(cache_remove(api_reconcile(api)->pods, api_namespace(api), "lost-1", NULL));
    look_and_expect("moved", "Unknown", "Running");
    expect_said("uid-lost-0", "state", id);
    CLEANUP(own_freep)
    char *absent = own_format("\"generation\": 1, \"database\": {\"reachable\": true, \"role\": "
                              "\"primary\"}, \"lookup\": [{\"backupID\": \"%s\"}]",
                              id);
    api_hear(api, "uid-lost-0", 1, "state", absent);
    json_auto_t *ended = look("moved");
    expect(ended, "Unknown", "Pending");
    api_expect_text(ended, "status/attempts/0/reason", "PodGone");
    api_pass_time(31 * SECOND);
    look_and_expect("moved", "Unknown", "Running");
    expect_said("uid-lost-0", "run", "-incr-");
}

static void a_backup_without_a_member_says_so_and_ends(void **state)
{
    (void)state;
    api_lead(api);
    make_policy("nobody");
    make_backup("alone", "nobody");
    api_list(api);
    look_and_expect("alone", "Unknown", "Pending");
    api_pass_time(11 * MINUTE);
    json_auto_t *ended = look("alone");
    expect(ended, "False", "NoMember");
    assert_non_null(strstr(api_text(ended, "status/error"), "add 'lifeboat.dev/policy'"));
}

static void without_fallback_and_without_a_standby_there_is_no_backup(void **state)
{
    (void)state;
    api_lead(api);
    make_policy_of("lone", ", \"source\": {\"fallback\": false}");
    api_add_member(api, "lone", "lone-0", "eu");
    api_join(api, "lone-0", "uid-lone-0", 1);
    api_hear(api, "uid-lone-0", 1, "state", STATE("primary", "null"));
    make_backup("primary-only", "lone");
    api_list(api);
    look_and_expect("primary-only", "Unknown", "Pending");
    api_pass_time(11 * MINUTE);
    json_auto_t *ended = look("primary-only");
    expect(ended, "False", "NoStandby");
    assert_non_null(strstr(api_text(ended, "status/error"), "source.fallback: true"));
    expect_silence("uid-lone-0");
}

static void a_key_that_is_missing_is_waited_for(void **state)
{
    (void)state;
    api_lead(api);
    make_members("locked", "locked-0", "locked-1");
    api_hear(api, "uid-locked-0", 1, "state",
             "\"configError\": \"encryption.keys[0] 'k1': no file\", " STATE("primary", "null"));
    api_hear(api, "uid-locked-1", 1, "state",
             "\"configError\": \"encryption.keys[0] 'k1': no file\", " STATE("standby", "null"));
    make_backup("patient", "locked");
    api_list(api);
    json_auto_t *waits = look("patient");
    expect(waits, "Unknown", "Pending");
    assert_non_null(strstr(api_text(waits, "status/conditions/0/message"), "'k1': no file"));
    expect_silence("uid-locked-1");
    api_pass_time(5 * MINUTE);
    api_hear(api, "uid-locked-1", 1, "state", STATE("standby", "null"));
    look_and_expect("patient", "Unknown", "Running");
    expect_said("uid-locked-1", "run", "-incr-");
}

static void a_policy_that_changes_leaves_the_run_alone_and_goes_for_the_next_attempt(void **state)
{
    (void)state;
    make_members("edited", "edited-0", "edited-1");
    CLEANUP(own_freep) char *first = start("steady", "edited", "uid-edited-1");
    hear_running("uid-edited-1", first, "copying", 1);
    api_patch(api, &kube_policies, "edited",
              "{\"spec\": {\"source\": {\"prefer\": \"Primary\"}, \"suspend\": true}}");
    api_list(api);
    look_and_expect("steady", "Unknown", "Running");
    expect_silence("uid-edited-1");
    hear_done("uid-edited-1", first,
              "\"ok\": false, \"error\": {\"kind\": \"transient\", \"text\": \"put: 503\"}");
    look_and_expect("steady", "Unknown", "Pending");
    api_pass_time(31 * SECOND);
    look_and_expect("steady", "Unknown", "Pending"); /* no sidecar has the new one yet */
    api_hear(api, "uid-edited-0", 1, "state",
             "\"generation\": 2, \"database\": {\"reachable\": true, \"role\": \"primary\"}, "
             "\"job\": null");
    look_and_expect("steady", "Unknown", "Running");
    expect_said("uid-edited-0", "run", "\"generation\":2");
}

/* Deleted and made again it begins with generation 1 again, and may lead to other buckets; the
 * sidecar has the file of the one before for a while. */
static void a_policy_made_again_waits_for_a_sidecar_that_has_it(void **state)
{
    (void)state;
    static const char state_of[] = "\"generation\": 1, \"policyUID\": \"%s\", \"database\": "
                                   "{\"reachable\": true, \"role\": \"standby\"}, \"job\": null";
    make_members("anew", "anew-0", "anew-1");
    api_hear(api, "uid-anew-0", 1, "state",
             "\"generation\": 0, \"database\": {\"reachable\": false}, \"job\": null");
    json_auto_t *before = api_get(api, &kube_policies, "anew");
    api_delete(api, &kube_policies, "anew");
    make_policy("anew");
    make_backup("fresh", "anew");
    api_list(api);
    CLEANUP(own_freep) char *old = own_format(state_of, api_text(before, "metadata/uid"));
    api_hear(api, "uid-anew-1", 1, "state", old);
    look_and_expect("fresh", "Unknown", "Pending");
    expect_silence("uid-anew-1");
    json_auto_t *after = api_get(api, &kube_policies, "anew");
    CLEANUP(own_freep) char *new = own_format(state_of, api_text(after, "metadata/uid"));
    api_hear(api, "uid-anew-1", 1, "state", new);
    look_and_expect("fresh", "Unknown", "Running");
    expect_said("uid-anew-1", "run", "-incr-");
}

static void a_run_beyond_its_deadline_is_canceled_and_given_up(void **state)
{
    (void)state;
    api_lead(api);
    make_members("hasty", "hasty-0", "hasty-1");
    api_patch(api, &kube_policies, "hasty", "{\"spec\": {\"deadlineSeconds\": 60}}");
    api_hear(api, "uid-hasty-1", 1, "state",
             "\"generation\": 2, \"database\": {\"reachable\": true, \"role\": \"standby\"}, "
             "\"job\": null");
    CLEANUP(own_freep) char *id = start("slow", "hasty", "uid-hasty-1");
    hear_running("uid-hasty-1", id, "copying", 1);
    api_pass_time(MINUTE);
    look_and_expect("slow", "Unknown", "Running");
    expect_said("uid-hasty-1", "cancel", id);
    api_pass_time(MINUTE);
    look_and_expect("slow", "False", "DeadlineExceeded");
}

static void an_end_reaches_status_metric_and_log(void **state)
{
    (void)state;
    make_members("told", "told-0", "told-1");
    CLEANUP(own_freep) char *first = start("bad", "told", "uid-told-1");
    api_expect_metric(api, "lifeboat_backups_running{namespace=\"$\",policy=\"told\"} 1");
    api_log_begin(api);
    hear_done("uid-told-1", first,
              "\"ok\": false, \"error\": {\"kind\": \"transient\", \"text\": \"put: 503\"}");
    look_and_expect("bad", "Unknown", "Pending");
    api_log_end(api, "Failed an attempt of a backup", "bad", "put: 503");
    api_expect_metric(api,
                      "lifeboat_backup_failed_attempts_total{namespace=\"$\",policy=\"told\"} 1");

    api_pass_time(31 * SECOND);
    json_auto_t *again = look("bad");
    CLEANUP(own_freep) char *second = attempt_id(again, 1);
    expect_said("uid-told-1", "run", second);
    api_pass_time(2 * SECOND);
    api_log_begin(api);
    hear_done("uid-told-1", second,
              "\"ok\": false, \"error\": {\"kind\": \"permanent\", \"text\": \"put: S3 403 "
              "AccessDenied\"}");
    json_auto_t *ended = look("bad");
    expect(ended, "False", "Failed");
    api_expect_text(ended, "status/error", "put: S3 403 AccessDenied");
    api_log_end(api, "Failed backup", "bad", "put: S3 403 AccessDenied");
    api_expect_metric(api, "lifeboat_backups_total{namespace=\"$\",policy=\"told\","
                           "type=\"Incremental\",result=\"failure\"} 1");
    api_expect_metric(api, "lifeboat_backup_duration_seconds_count{namespace=\"$\",policy=\"told\","
                           "type=\"Incremental\",result=\"failure\"} 1");
    api_expect_metric(api,
                      "lifeboat_backup_failed_attempts_total{namespace=\"$\",policy=\"told\"} 2");
    api_expect_metric(api, "lifeboat_backups_running{namespace=\"$\",policy=\"told\"} 0");

    CLEANUP(own_freep) char *third = start("hurt", "told", "uid-told-1");
    CLEANUP(own_freep)
    char *done = own_format("\"ok\": true, \"backup\": {\"id\": \"%s\", \"type\": \"full\", "
                            "\"bytesRead\": 90, \"bytesStored\": 30, \"pageErrors\": 2, "
                            "\"regions\": [\"eu\"]}",
                            third);
    api_log_begin(api);
    hear_done("uid-told-1", third, done);
    look_and_expect("hurt", "True", "PageErrors");
    api_log_end(api, "Ended backup", "hurt", "2 pages");
    api_expect_metric(api, "lifeboat_backups_total{namespace=\"$\",policy=\"told\","
                           "type=\"Incremental\",result=\"success\"} 1");
    api_expect_metric(api,
                      "lifeboat_backup_stored_bytes_total{namespace=\"$\",policy=\"told\"} 30");
    api_expect_metric(api, "lifeboat_backup_read_bytes_total{namespace=\"$\",policy=\"told\"} 90");
}

static void each_change_is_an_event(void **state)
{
    (void)state;
    static const struct {
        const char *name, *type, *reason;
    } told[] = {
        {"early", "Normal", "Pending"},
        {"early", "Warning", "PolicyNotFound"},
        {"doomed", "Warning", "Unsupported"},
        {"night", "Normal", "Running"},
        {"night", "Normal", "Committed"},
        {"retry", "Warning", "Pending"}, /* an attempt failed */
        {"retry", "Warning", "Failed"},
        {"orphan", "Warning", "PolicyDeleted"},
        {"alone", "Warning", "NoMember"},
        {"primary-only", "Warning", "NoStandby"},
        {"slow", "Warning", "DeadlineExceeded"},
        {"hurt", "Warning", "PageErrors"},
    };
    json_auto_t *events = api_events(api);
    for (size_t i = 0; i < ARRAY_SIZE(told); i++)
        api_expect_event(events, "Backup", told[i].name, told[i].type, told[i].reason);
}

int main(void)
{
    api = api_new("reconcile-backup");
    if (!api)
        return EXIT_SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_without_a_policy_waits_a_minute_and_fails_for_good),
        cmocka_unit_test(what_this_version_cannot_do_is_refused),
        cmocka_unit_test(a_backup_is_written_down_sent_once_followed_and_told_whole),
        cmocka_unit_test(a_failed_attempt_leads_to_another_id_elsewhere),
        cmocka_unit_test(a_new_leader_asks_and_believes_the_answer),
        cmocka_unit_test(a_leader_whose_cache_is_old_starts_nothing),
        cmocka_unit_test(the_backups_of_a_policy_run_one_after_the_other),
        cmocka_unit_test(a_run_whose_backup_is_deleted_is_canceled),
        cmocka_unit_test(a_run_whose_policy_is_deleted_is_canceled),
        cmocka_unit_test(a_sidecar_that_was_away_when_its_run_was_given_up_is_told_when_it_is_back),
        cmocka_unit_test(a_pod_that_is_gone_is_told_from_one_that_is_silent),
        cmocka_unit_test(a_backup_without_a_member_says_so_and_ends),
        cmocka_unit_test(without_fallback_and_without_a_standby_there_is_no_backup),
        cmocka_unit_test(a_key_that_is_missing_is_waited_for),
        cmocka_unit_test(a_policy_that_changes_leaves_the_run_alone_and_goes_for_the_next_attempt),
        cmocka_unit_test(a_policy_made_again_waits_for_a_sidecar_that_has_it),
        cmocka_unit_test(a_run_beyond_its_deadline_is_canceled_and_given_up),
        cmocka_unit_test(an_end_reaches_status_metric_and_log),
        cmocka_unit_test(each_change_is_an_event),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    api_freep(&api);
    return failed;
}
