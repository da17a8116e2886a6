// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/condition.h"
#include "operator/tests/helper_json.h"
#include "operator/lookup.h"
#include "operator/tests/helper_policy.h"

#define STREAM "{" REGIONS ", \"wal\": {\"mode\": \"Stream\"}}"
#define ARCHIVING(more)                                                                            \
    "\"archiving\": {\"mode\": \"stream\", \"slot\": \"lifeboat_1\", \"timeline\": 2, " more "}"
#define FLOWS ARCHIVING("\"streaming\": true, \"lagSeconds\": 3")
#define FULL                                                                                       \
    "\"durableLSN\": \"0/3000028\", \"keptBytes\": 3000000000, \"leftBytes\": 5000000000,"         \
    " \"leftSeconds\": 4000"
#define GAP "\"gap\": {\"timeline\": 2, \"from\": \"0/3000000\", \"to\": \"1/5000000\"}"
#define WAS(status, reason)                                                                        \
    "{\"conditions\": [{\"type\": \"Archiving\", \"status\": \"" status                            \
    "\", \"reason\": \"" reason "\", \"message\": \"as it was\"}]}"

static const struct scene archiving_scenes[] = {
    {.why = "not asked for",
     .pods = {{.name = "shop-0", .state = FINE}},
     .expected = "False",
     .reason = "BackupOnly",
     .text = "set spec.wal.mode: Stream for any point in time"},
    {.why = "not asked for any more, while a sidecar is away",
     .pods = {{.name = "shop-0", .state = FINE},
              {.name = "shop-1", .state = STANDBY "," FLOWS, .silent_ms = 31000}},
     .expected = "False",
     .reason = "BackupOnly",
     .text = "'lifeboat_1' of pod 'shop-1'"},
    {.why = "the spec cannot be read", .spec = "{}", .expected = "Unknown", .reason = "NotKnown"},
    {.why = "it flows",
     .spec = STREAM,
     .pods = {{.name = "shop-0", .state = FINE "," FLOWS}},
     .expected = "True",
     .reason = "Streaming",
     .text = "pod 'shop-0' streams the WAL of timeline 2 into 'eu', 'us'"},
    {.why = "slowly",
     .spec = STREAM,
     .pods = {{.name = "shop-0",
               .state = FINE "," ARCHIVING("\"streaming\": true, \"lagSeconds\": 300")}},
     .expected = "True",
     .reason = "Streaming",
     .text = "into 'eu', 'us', at least 4 m behind"},
    {.why = "slowly, and into one region of two",
     .spec = STREAM,
     .pods = {{.name = "shop-0",
               .state = FINE "," ARCHIVING("\"streaming\": true, \"lagSeconds\": 300,"
                                           " \"lostRegions\": [\"us\"]")}},
     .expected = "True",
     .reason = "Streaming",
     .text = "into 'eu', at least 4 m behind; without 'us', until that can be used again"},
    {.why = "into one region of two, which is enough",
     .spec = STREAM,
     .pods = {{.name = "shop-0",
               .state = FINE "," ARCHIVING("\"streaming\": true, \"lostRegions\": [\"us\"]")}},
     .expected = "True",
     .reason = "Streaming",
     .text = "into 'eu'; without 'us', until that can be used again"},
    {.why = "the one before still does, and the chosen one not yet",
     .spec = STREAM,
     .pods = {{.name = "shop-0", .state = FINE}, {.name = "shop-1", .state = STANDBY "," FLOWS}},
     .expected = "True",
     .reason = "Streaming",
     .text = "pod 'shop-1' streams"},
    {.why = "no pod",
     .spec = STREAM,
     .expected = "False",
     .reason = "NoStreamer",
     .text = "no pod has the label lifeboat.dev/policy: shop"},
    {.why = "nobody is heard",
     .spec = STREAM,
     .pods = {{.name = "shop-0", .state = FINE "," FLOWS, .silent_ms = 31000}},
     .expected = "Unknown",
     .reason = "NotKnown",
     .text = "no sidecar is connected"},
    {.why = "no database",
     .spec = STREAM,
     .pods = {{.name = "shop-0", .state = LOADED DOWN "," BOTH}},
     .expected = "False",
     .reason = "NoStreamer",
     .text = "no pod can stream WAL: 'shop-0': its database cannot be reached: connection "
             "refused"},
    {.why = "not begun",
     .spec = STREAM,
     .pods = {{.name = "shop-0", .state = FINE}},
     .expected = "Unknown",
     .reason = "NotKnown",
     .text = "pod 'shop-0' is to stream WAL, and has not said yet"},
    {.why = "too few regions",
     .spec = "{" REGIONS ", \"quorum\": 2, \"wal\": {\"mode\": \"Stream\"}}",
     .pods = {{.name = "shop-0",
               .state = FINE "," ARCHIVING("\"streaming\": false, \"error\": \"503 SlowDown\","
                                           " \"lostRegions\": [\"us\"], " FULL)}},
     .expected = "False",
     .reason = "RegionUnreachable",
     .text = "WAL does not get into 'us', spec.quorum: 2 regions must have it: 503 SlowDown; "
             "what is behind 0/3000028 is on the server only; the server keeps at least 2.1 "
             "GB of WAL; it has room for 4.3 GB more, for at least 64 m as it goes now: raise "
             "max_slot_wal_keep_size or enlarge the volume"},
    {.why = "an error",
     .spec = STREAM,
     .pods = {{.name = "shop-0",
               .state = FINE "," ARCHIVING("\"streaming\": false, \"error\": \"all replication "
                                           "slots are in use\", \"leftBytes\": 1,"
                                           " \"leftSeconds\": 2")}},
     .expected = "False",
     .reason = "NotStreaming",
     .text =
         "pod 'shop-0': all replication slots are in use; the server has room for 1 B more, for "
         "less than a minute"},
    {.why = "a moment ago it did",
     .spec = STREAM,
     .status = WAS("True", "Streaming"),
     .pods = {{.name = "shop-0",
               .state = FINE "," ARCHIVING("\"streaming\": false, \"error\": \"closed\","
                                           " \"since\": \"2026-11-21T11:59:31Z\"")}},
     .expected = "True",
     .reason = "Streaming",
     .text = "as it was"},
    {.why = "the moment is over",
     .spec = STREAM,
     .status = WAS("True", "Streaming"),
     .pods = {{.name = "shop-0",
               .state = FINE "," ARCHIVING("\"streaming\": false, \"error\": \"closed\","
                                           " \"since\": \"2026-11-21T11:59:30Z\"")}},
     .expected = "False",
     .reason = "NotStreaming"},
    {.why = "a sidecar whose clock is ahead has no longer a moment",
     .spec = STREAM,
     .status = WAS("True", "Streaming"),
     .pods = {{.name = "shop-0",
               .state = FINE "," ARCHIVING("\"streaming\": false, \"error\": \"closed\","
                                           " \"since\": \"2026-11-21T12:10:00Z\"")}},
     .expected = "False",
     .reason = "NotStreaming"},
    {.why = "it never did",
     .spec = STREAM,
     .status = WAS("Unknown", "NotKnown"),
     .pods = {{.name = "shop-0",
               .state = FINE "," ARCHIVING("\"streaming\": false, \"error\": \"closed\","
                                           " \"since\": \"2026-11-21T12:00:00Z\"")}},
     .expected = "False",
     .reason = "NotStreaming"},
    {.why = "other WAL in the regions",
     .spec = STREAM,
     .status = WAS("True", "Streaming"),
     .pods = {{.name = "shop-0",
               .state = FINE
               "," ARCHIVING("\"streaming\": false, \"error\": \"segment x is another\","
                             " \"errorKind\": \"conflict\", \"since\": \"2026-11-21T12:00:00Z\"")}},
     .expected = "False",
     .reason = "Conflict",
     .text = "pod 'shop-0': segment x is another; what the regions have stays as it is"},
    {.why = "a gap",
     .spec = STREAM,
     .pods = {{.name = "shop-0", .state = FINE "," ARCHIVING("\"streaming\": true, " GAP)}},
     .expected = "False",
     .reason = "Gap",
     .text = "no region has the WAL from 0/3000000 to 1/5000000 of timeline 2; what comes "
             "behind it can be recovered from the next backup on: "
             "'shop-gap-2-0000000105000000' was made for it"},
};

static void archiving_says_whether_wal_gets_to_the_regions(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(archiving_scenes); i++) {
        struct scene scene = archiving_scenes[i];
        scene.condition = "Archiving";
        check_scene(&scene);
    }
}

static void what_does_not_archive_is_ready_all_the_same(void **state)
{
    (void)state;
    struct scene scene = {
        .why = "degraded",
        .spec = STREAM,
        .pods = {{.name = "shop-0",
                  .state = FINE "," ARCHIVING("\"streaming\": false, \"error\": \"full\"")}},
        .expected = "True",
        .reason = "Degraded",
        .text = "the condition Archiving is False: NotStreaming"};
    check_scene(&scene);
    scene.why = "not asked for";
    scene.spec = NULL;
    scene.reason = "Ready";
    scene.text = NULL;
    check_scene(&scene);
}

#define GAP_BACKUP(id, timeline, start)                                                            \
    "[{\"metadata\": {\"name\": \"x\"}, \"status\": {\"conditions\": [{\"type\": \"Succeeded\","   \
    " \"status\": \"True\"}], \"backupID\": \"" id "\", \"timeline\": " timeline                   \
    ", \"startLSN\": \"" start "\", \"finished\": \"2026-11-21T11:00:00Z\"}}]"
#define KNOWN_GAP(more)                                                                            \
    "{\"gap\": {\"timeline\": 2, \"fromLSN\": \"0/3000000\", \"toLSN\": \"1/5000000\","            \
    " \"found\": \"2026-11-21T10:00:00Z\"" more "}}"

static void a_gap_makes_one_full_backup_due(void **state)
{
    static const struct {
        const char *why, *spec, *status, *backups, *closed_by;
        bool refused, due, found, told;
    } rows[] = {
        {.why = "a new one", .told = true, .due = true, .found = true},
        {.why = "one that was told before",
         .told = true,
         .status = KNOWN_GAP(", \"backup\": \"shop-gap-2-0000000105000000\"")},
        {.why = "one that no sidecar tells any more",
         .status = KNOWN_GAP(", \"backup\": \"shop-gap-2-0000000105000000\"")},
        {.why = "another one",
         .told = true,
         .due = true,
         .found = true,
         .status = "{\"gap\": {\"timeline\": 1, \"fromLSN\": \"0/1000000\","
                   " \"toLSN\": \"0/2000000\", \"closedBy\": \"" OLD "\"}}"},
        {.why = "its Backup could not be made", .told = true, .found = true, .refused = true},
        {.why = "and is made later", .status = KNOWN_GAP(""), .due = true},
        {.why = "a suspended policy makes none",
         .spec = "{" REGIONS ", \"suspend\": true, \"wal\": {\"mode\": \"Stream\"}}",
         .told = true,
         .found = true},
        {.why = "a backup behind it is there already",
         .told = true,
         .found = true,
         .backups = GAP_BACKUP(NEW, "2", "1/5000000"),
         .closed_by = NEW},
        {.why = "also of a later timeline",
         .status = KNOWN_GAP(", \"backup\": \"x\""),
         .backups = GAP_BACKUP(NEW, "3", "1/5000028"),
         .closed_by = NEW},
        {.why = "which may have begun before the gap's end",
         .status = KNOWN_GAP(", \"backup\": \"x\""),
         .backups = GAP_BACKUP(NEW, "3", "1/4000028"),
         .closed_by = NEW},
        {.why = "not of the timeline before",
         .status = KNOWN_GAP(", \"backup\": \"x\""),
         .backups = GAP_BACKUP(NEW, "1", "1/5000028")},
        {.why = "one that starts before its end is none",
         .status = KNOWN_GAP(", \"backup\": \"x\""),
         .backups = GAP_BACKUP(NEW, "2", "0/FFFFFFFF")},
        {.why = "nor is one of another database system",
         .status = KNOWN_GAP(", \"systemIdentifier\": \"7\", \"backup\": \"x\""),
         .backups = GAP_BACKUP(NEW "\", \"systemIdentifier\": \"8", "2", "1/5000000")},
        {.why = "what closed it stays, whether its Backup does or not",
         .status = KNOWN_GAP(", \"closedBy\": \"" OLD "\""),
         .told = true,
         .closed_by = OLD},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct scene scene = {
            .spec = rows[i].spec ? rows[i].spec : STREAM,
            .status = rows[i].status,
            .backups = rows[i].backups,
            .gap_refused = rows[i].refused,
            .pods = {{.name = "shop-0", .state = FINE "," FLOWS}},
        };
        if (rows[i].told)
            scene.pods[0].state = FINE "," ARCHIVING("\"streaming\": true, " GAP);
        CLEANUP(facts_done) struct facts facts;
        CLEANUP(policy_plan_done) struct policy_plan plan;
        plan_scene(&scene, &facts, "2026-11-21T12:00:00Z", &plan);
        const json_t *gap = json_object_get(plan.status, "gap");
        const char *closed_by = rows[i].closed_by ? rows[i].closed_by : "(none)";
        if ((plan.gap != NULL) != rows[i].due || plan.gap_found != rows[i].found ||
            strcmp(text_at(gap, "closedBy"), closed_by) != 0)
            fail_msg("%s: due %d, found %d, closed by %s", rows[i].why, plan.gap != NULL,
                     plan.gap_found, text_at(gap, "closedBy"));
        if (rows[i].due)
            assert_string_equal(text_at(gap, "backup"), "shop-gap-2-0000000105000000");
        assert_string_equal(text_at(gap, "toLSN"), "1/5000000");
    }
}

#define ENDED(name, status, time)                                                                  \
    "[{\"metadata\": {\"name\": \"" name "\"}, \"status\": {\"conditions\": [{\"type\":"           \
    " \"Succeeded\", \"status\": \"" status "\", \"lastTransitionTime\": \"2026-11-21T" time       \
    ":00Z\"}], \"backupID\": \"" NEW "\", \"timeline\": 2, \"startLSN\": \"0/5000000\"}}]"
#define FIRST "shop-gap-2-0000000105000000"

/* At noon. */
static void a_backup_that_leaves_a_gap_open_is_followed_by_another(void **state)
{
    static const struct {
        const char *why, *spec, *made, *backups, *due;
        int64_t again_ms; /* 0: no matter */
    } rows[] = {
        {.why = "it runs", .made = FIRST, .backups = ENDED(FIRST, "Unknown", "11:00")},
        {.why = "it has just failed",
         .made = FIRST,
         .backups = ENDED(FIRST, "False", "11:51"),
         .again_ms = 60 * 1000},
        {.why = "it failed ten minutes ago",
         .made = FIRST,
         .backups = ENDED(FIRST, "False", "11:50"),
         .due = FIRST "-2"},
        {.why = "so did the second",
         .made = FIRST "-2",
         .backups = ENDED(FIRST "-2", "False", "11:50")},
        {.why = "and long ago",
         .made = FIRST "-2",
         .backups = ENDED(FIRST "-2", "False", "11:40"),
         .due = FIRST "-3"},
        {.why = "many failed",
         .made = FIRST "-41",
         .backups = ENDED(FIRST "-41", "False", "06:01")},
        {.why = "they are never given up",
         .made = FIRST "-41",
         .backups = ENDED(FIRST "-41", "False", "06:00"),
         .due = FIRST "-42"},
        {.why = "it begins before the gap ends, as one of a standby may",
         .made = FIRST,
         .backups = ENDED(FIRST, "True", "11:50"),
         .due = FIRST "-2"},
        {.why = "somebody removed it", .made = FIRST, .backups = ENDED("y", "False", "11:00")},
        {.why = "a suspended policy makes none",
         .spec = "{" REGIONS ", \"suspend\": true, \"wal\": {\"mode\": \"Stream\"}}",
         .made = FIRST,
         .backups = ENDED(FIRST, "False", "11:00")},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(own_freep)
        char *status =
            own_format("{\"gap\": {\"timeline\": 2, \"fromLSN\": \"0/3000000\", \"toLSN\":"
                       " \"1/5000000\", \"backup\": \"%s\"}}",
                       rows[i].made);
        struct scene scene = {
            .spec = rows[i].spec ? rows[i].spec : STREAM,
            .status = status,
            .backups = rows[i].backups,
            .pods = {{.name = "shop-0", .state = FINE "," FLOWS}},
        };
        CLEANUP(facts_done) struct facts facts;
        CLEANUP(policy_plan_done) struct policy_plan plan;
        plan_scene(&scene, &facts, "2026-11-21T12:00:00Z", &plan);
        const char *due = plan.gap ? text_at(plan.gap, "backup") : "none";
        if (strcmp(due, rows[i].due ? rows[i].due : "none") != 0)
            fail_msg("%s: %s", rows[i].why, due);
        if (rows[i].again_ms > 0)
            assert_in_range(plan.again_ms, 1, rows[i].again_ms);
        assert_string_equal(text_at(json_object_get(plan.status, "gap"), "backup"),
                            rows[i].due ? rows[i].due : rows[i].made);
    }
}

#define WINDOW(timeline, from, to)                                                                 \
    "{\"timeline\": " timeline                                                                     \
    ", \"fromLSN\": \"0/1000000\", \"toLSN\": \"0/2000000\", \"from\": "                           \
    "\"2026-11-" from ":00:00Z\", \"to\": \"2026-11-" to "Z\"}"
#define RECOVERABLE(name, to, windows)                                                             \
    "{\"name\": \"" name "\", \"reachable\": true, \"backups\": 2, \"bytes\": 1000,"               \
    " \"lastBackup\": \"" NEW "\", \"recoverableFrom\": \"2026-11-19T03:00:00Z\","                 \
    " \"recoverableTo\": \"2026-11-" to "Z\", \"windows\": [" windows "]}"
#define TWO(to) WINDOW("1", "19T03", "19T20:00:00") "," WINDOW("2", "20T03", to)
#define REGIONS_OF(eu, us) LOADED DATABASE("primary") ", \"regions\": [" eu "," us "],"
#define LOST_US ARCHIVING("\"streaming\": true, \"lagSeconds\": 2, \"lostRegions\": [\"us\"]")

/* The status of a policy whose only sidecar says that; the caller's. */
static json_t *status_of(const char *said, const char *before, const char *now)
{
    struct scene scene = {
        .spec = STREAM, .status = before, .pods = {{.name = "shop-0", .state = said}}};
    CLEANUP(facts_done) struct facts facts;
    CLEANUP(policy_plan_done) struct policy_plan plan;
    plan_scene(&scene, &facts, now, &plan);
    return json_incref(plan.status);
}

static void assert_json(const json_t *found, const char *expected)
{
    json_auto_t *wanted = load_json(expected);
    CLEANUP(own_freep) char *text = json_dumps(found, JSON_INDENT(1));
    if (!json_equal(found, wanted))
        fail_msg("%s", text);
}

#define NOON "2026-11-21T12:00:00Z"

static void the_status_shows_what_can_be_restored_to(void **state)
{
    (void)state;
    json_auto_t *status =
        status_of(REGIONS_OF(RECOVERABLE("eu", "21T11:59:58", TWO("21T11:59:58")),
                             RECOVERABLE("us", "21T11:00:07", TWO("21T11:00:07"))) LOST_US,
                  NULL, NOON);
    static const char old[] =
        "{\"timeline\": 1, \"fromLSN\": \"0/1000000\", \"toLSN\": \"0/2000000\","
        " \"from\": \"2026-11-19T03:00:00Z\", \"to\": "
        "\"2026-11-19T20:00:00Z\"}";
    CLEANUP(own_freep)
    char *expected = own_format(
        "[{\"name\": \"eu\", \"reachable\": true, \"backups\": 2, \"bytes\": 1000, \"size\": "
        "\"1.0 kB\", \"lastBackup\": \"" NEW "\", \"recoverableFrom\": \"2026-11-19T03:00:00Z\","
        " \"recoverableTo\": \"2026-11-21T11:55:00Z\", \"windows\": [%s, {\"timeline\": 2,"
        " \"fromLSN\": \"0/1000000\", \"from\": \"2026-11-20T03:00:00Z\"}]},"
        "{\"name\": \"us\", \"reachable\": true, \"backups\": 2, \"bytes\": 1000, \"size\": "
        "\"1.0 kB\", \"lastBackup\": \"" NEW "\", \"recoverableFrom\": \"2026-11-19T03:00:00Z\","
        " \"recoverableTo\": \"2026-11-21T11:00:07Z\", \"lagSeconds\": 1920, \"windows\": [%s,"
        " {\"timeline\": 2, \"fromLSN\": \"0/1000000\", \"toLSN\": \"0/2000000\","
        " \"from\": \"2026-11-20T03:00:00Z\", \"to\": \"2026-11-21T11:00:07Z\"}]}]",
        old, old);
    assert_json(json_object_get(status, "regions"), expected);
    json_auto_t *object = json_pack("{s:O}", "status", status);
    const json_t *recoverable = condition_find(object, "Recoverable");
    assert_string_equal(text_at(recoverable, "reason"), "PointInTime");
    assert_string_equal(
        text_at(recoverable, "message"),
        "region 'eu': any time from 2026-11-19T03:00:00Z to 2026-11-19T20:00:00Z and since "
        "2026-11-20T03:00:00Z; region 'us': any time from 2026-11-19T03:00:00Z to "
        "2026-11-19T20:00:00Z and from 2026-11-20T03:00:00Z to 2026-11-21T11:00:07Z");
}

static void wal_that_flows_does_not_change_the_status(void **state)
{
    (void)state;
    json_auto_t *status =
        status_of(REGIONS_OF(RECOVERABLE("eu", "21T11:55:01", TWO("21T11:55:01")),
                             RECOVERABLE("us", "21T11:55:01", TWO("21T11:55:01"))) FLOWS,
                  NULL, NOON);
    CLEANUP(own_freep) char *before = json_dumps(status, 0);
    json_auto_t *later =
        status_of(REGIONS_OF(RECOVERABLE("eu", "21T11:59:59", TWO("21T11:59:59")),
                             RECOVERABLE("us", "21T11:58:59", TWO("21T11:58:59")))
                      ARCHIVING("\"streaming\": true, \"lagSeconds\": 55, \"keptBytes\": 77"),
                  before, "2026-11-21T12:03:00Z");
    CLEANUP(own_freep) char *after = json_dumps(later, 0);
    assert_string_equal(after, before);
}

/* Behind a gap there is no window before a backup was made there. */
static void a_window_that_ended_does_not_grow(void **state)
{
    static const char *const streams[] = {
        ARCHIVING("\"streaming\": true, " GAP),
        ARCHIVING("\"streaming\": false, \"error\": \"x\""),
        "\"archiving\": {\"mode\": \"stream\", \"streaming\": true, \"timeline\": 3}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        CLEANUP(own_freep)
        char *said = own_format("%s%s",
                                REGIONS_OF(RECOVERABLE("eu", "21T11:51:58", TWO("21T11:51:58")),
                                           RECOVERABLE("us", "21T11:51:58", TWO("21T11:51:58"))),
                                streams[i]);
        json_auto_t *status = status_of(said, NULL, NOON);
        const json_t *region = json_array_get(json_object_get(status, "regions"), 0);
        const json_t *window = json_array_get(json_object_get(region, "windows"), 1);
        assert_string_equal(text_at(window, "to"), "2026-11-21T11:51:58Z");
        assert_string_equal(text_at(region, "recoverableTo"), "2026-11-21T11:51:58Z");
    }
}

static void the_last_gap_is_named_after_it_was_closed(void **state)
{
    (void)state;
    json_auto_t *status =
        status_of(REGIONS_OF(RECOVERABLE("eu", "21T11:59:58", WINDOW("2", "21T11", "21T11:59:58")),
                             BAD_REGION("us")) FLOWS,
                  KNOWN_GAP(", \"closedBy\": \"" NEW "\""), NOON);
    json_auto_t *object = json_pack("{s:O}", "status", status);
    assert_string_equal(text_at(condition_find(object, "Archiving"), "reason"), "Streaming");
    assert_string_equal(text_at(condition_find(object, "Recoverable"), "message"),
                        "region 'eu': any time since 2026-11-21T11:00:00Z; no region has the WAL "
                        "from 0/3000000 to 1/5000000 of timeline 2");
}

/* What was seen there last is still there, as far as anybody knows. */
static void a_region_that_is_away_keeps_its_windows(void **state)
{
    (void)state;
    static const char before[] =
        "{\"regions\": [{\"name\": \"us\", \"backups\": 2, \"recoverableFrom\":"
        " \"2026-11-19T03:00:00Z\", \"recoverableTo\": \"2026-11-21T11:30:00Z\","
        " \"windows\": [{\"timeline\": 2, \"fromLSN\": \"0/1000000\"}]}]}";
    json_auto_t *status = status_of(
        REGIONS_OF(RECOVERABLE("eu", "21T11:59:58", TWO("21T11:59:58")), BAD_REGION("us")) LOST_US,
        before, NOON);
    const json_t *us = json_array_get(json_object_get(status, "regions"), 1);
    assert_string_equal(text_at(us, "recoverableTo"), "2026-11-21T11:30:00Z");
    assert_int_equal(json_array_size(json_object_get(us, "windows")), 1);
    assert_int_equal(json_integer_value(json_object_get(us, "lagSeconds")), 960);
}

/* Each backup has a bit of WAL of its own, between which nothing can be restored to. */
static void without_a_stream_backups_are_what_can_be_restored(void **state)
{
    (void)state;
    struct scene scene = {
        .why = "no stream",
        .pods = {{.name = "shop-0",
                  .state = REGIONS_OF(RECOVERABLE("eu", "21T11:59:58", TWO("21T11:59:58")),
                                      BAD_REGION("us")) "\"job\": null"}},
        .condition = "Recoverable",
        .expected = "True",
        .reason = "BackupExists"};
    check_scene(&scene);
    CLEANUP(facts_done) struct facts facts;
    CLEANUP(policy_plan_done) struct policy_plan plan;
    plan_scene(&scene, &facts, NOON, &plan);
    const json_t *region = json_array_get(json_object_get(plan.status, "regions"), 0);
    assert_null(json_object_get(region, "windows"));
    assert_null(json_object_get(region, "recoverableFrom"));
    assert_null(json_object_get(region, "lagSeconds"));
}

/* A region that was out has a hole, which only a copy fills: WAL that comes lies behind it. */
static void a_window_before_a_hole_of_its_region_stays_as_it_is(void **state)
{
    static const char hole[] =
        "\"windows\": [{\"timeline\": 2, \"fromLSN\": \"0/1000000\", \"toLSN\":"
        " \"0/2000000\", \"to\": \"2026-11-21T11:00:07Z\"%s}]}";
    (void)state;
    for (int ended = 0; ended <= 1; ended++) {
        CLEANUP(own_freep) char *windows = own_format(hole, ended ? ", \"ended\": true" : "");
        CLEANUP(own_freep)
        char *said = own_format(
            "%s{\"name\": \"us\", \"reachable\": true, \"backups\": 2, \"recoverableTo\":"
            " \"2026-11-21T11:00:07Z\", %s],%s",
            LOADED DATABASE("primary") ", \"regions\": [", windows, FLOWS);
        json_auto_t *status = status_of(said, NULL, NOON);
        const json_t *region = lookup_element(json_object_get(status, "regions"), "name", "us");
        const json_t *window = json_array_get(json_object_get(region, "windows"), 0);
        json_auto_t *object = json_pack("{s:O}", "status", status);
        const char *message = text_at(condition_find(object, "Recoverable"), "message");
        assert_int_equal(json_object_get(window, "toLSN") != NULL, ended);
        assert_int_equal(json_object_get(window, "to") != NULL, ended);
        assert_string_equal(text_at(region, "recoverableTo"),
                            ended ? "2026-11-21T11:00:07Z" : "2026-11-21T11:00:00Z");
        assert_string_equal(message, ended ? "region 'us': any time from 0/1000000 to "
                                             "2026-11-21T11:00:07Z"
                                           : "region 'us': any time since 0/1000000");
    }
}

#define HELD_GAP(line, first, last, more)                                                          \
    "{\"gap\": {\"timeline\": " line ", \"fromLSN\": \"0/" first "000000\", \"toLSN\": \"0/" last  \
    "000000\", \"found\": \"2026-11-21T10:00:00Z\"" more "}}"
#define OPEN_GAP(line, first, last) HELD_GAP(line, first, last, "")
#define CLOSED_GAP(line, first, last) HELD_GAP(line, first, last, ", \"closedBy\": \"" OLD "\"")
#define TOLD_GAP(line, first, last)                                                                \
    FINE "," ARCHIVING("\"streaming\": true, \"gap\": {\"timeline\": " line                        \
                       ", \"from\": \"0/" first "000000\", \"to\": \"0/" last "000000\"}")

/* The database of the pod is of system 7. */
#define SYSTEM(system) "\"systemIdentifier\": \"" system "\""
#define TOLD_OF(system, first, last)                                                               \
    FINE "," ARCHIVING("\"streaming\": true, \"gap\": {" SYSTEM(                                   \
        system) ", \"timeline\": 1, \"from\": \"0/" first "000000\", \"to\": \"0/" last            \
                "000000\"}")

/* Whoever streams tells its last gap for ever, also when another one found a newer one since. */
static void a_gap_is_never_replaced_by_one_of_before(void **state)
{
    static const struct {
        const char *why, *before, *told, *expected;
    } rows[] = {
        {"the first", NULL, TOLD_GAP("1", "3", "5"),
         "1: 0/3000000 0/5000000 "
         "(none)"},
        {"the same again", CLOSED_GAP("1", "3", "5"), TOLD_GAP("1", "3", "5"),
         "1: 0/3000000 0/5000000 " OLD},
        {"one of before", OPEN_GAP("1", "6", "8"), TOLD_GAP("1", "3", "5"),
         "1: 0/6000000 0/8000000 "
         "(none)"},
        {"one of before, of one that is closed", CLOSED_GAP("1", "6", "8"), TOLD_GAP("1", "3", "5"),
         "1: 0/6000000 0/8000000 " OLD},
        {"its first part", OPEN_GAP("1", "3", "8"), TOLD_GAP("1", "3", "5"),
         "1: 0/3000000 0/8000000 "
         "(none)"},
        {"its last part", OPEN_GAP("1", "3", "8"), TOLD_GAP("1", "6", "8"),
         "1: 0/3000000 0/8000000 "
         "(none)"},
        {"that of the timeline before", CLOSED_GAP("2", "6", "8"), TOLD_GAP("1", "3", "5"),
         "2: 0/6000000 0/8000000 " OLD},
        {"the next while it is open", OPEN_GAP("1", "3", "5"), TOLD_GAP("1", "6", "8"),
         "1: 0/3000000 0/8000000 "
         "(none)"},
        {"the next once it is closed", CLOSED_GAP("1", "3", "5"), TOLD_GAP("1", "6", "8"),
         "1: 0/6000000 0/8000000 "
         "(none)"},
        {"on the next timeline", CLOSED_GAP("1", "6", "8"), TOLD_GAP("2", "3", "5"),
         "2: 0/3000000 0/5000000 "
         "(none)"},
        {"of another database system in the same place", HELD_GAP("1", "6", "8", "," SYSTEM("8")),
         TOLD_OF("7", "3", "5"), "1: 0/3000000 0/5000000 (none)"},
        {"of the one before", HELD_GAP("1", "3", "5", "," SYSTEM("7")), TOLD_OF("8", "6", "8"),
         "1: 0/3000000 0/5000000 (none)"},
        {"all gaps were of the one before", HELD_GAP("1", "3", "5", "," SYSTEM("8")),
         TOLD_OF("8", "6", "8"), "0: (none) (none) (none)"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        json_auto_t *status = status_of(rows[i].told, rows[i].before, NOON);
        const json_t *gap = json_object_get(status, "gap");
        CLEANUP(own_freep)
        char *found =
            own_format("%d: %s %s %s", (int)json_integer_value(json_object_get(gap, "timeline")),
                       text_at(gap, "fromLSN"), text_at(gap, "toLSN"), text_at(gap, "closedBy"));
        if (strcmp(found, rows[i].expected) != 0)
            fail_msg("%s: %s", rows[i].why, found);
    }
}

static void a_window_that_grew_ends_when_its_region_is_away(void **state)
{
    static const struct {
        const char *said, *from, *to;
    } rows[] = {
        {REGIONS_OF(RECOVERABLE("eu", "21T11:59:58", TWO("21T11:59:58")), BAD_REGION("us")) FLOWS,
         "2026-11-20T03:00:00Z", "2026-11-21T11:30:00Z"},
        {LOADED DATABASE("primary"), "2026-11-20T03:00:00Z", "2026-11-21T11:30:00Z"},
        {LOADED DATABASE("primary"), "2026-11-21T11:31:07Z", "2026-11-21T11:31:07Z"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(own_freep)
        char *before =
            own_format("{\"regions\": [{\"name\": \"us\", \"backups\": 2, \"recoverableTo\":"
                       " \"2026-11-21T11:30:00Z\", \"windows\": [%s, {\"timeline\": 2, \"fromLSN\":"
                       " \"0/1000000\", \"from\": \"%s\"}]}]}",
                       WINDOW("1", "19T03", "19T20:00:00"), rows[i].from);
        json_auto_t *status = status_of(rows[i].said, before, NOON);
        CLEANUP(own_freep) char *once = json_dumps(status, 0);
        json_auto_t *again = status_of(rows[i].said, once, NOON);
        const json_t *us = lookup_element(json_object_get(again, "regions"), "name", "us");
        const json_t *windows = json_object_get(us, "windows");
        const json_t *last = json_array_get(windows, 1);
        assert_string_equal(text_at(json_array_get(windows, 0), "to"), "2026-11-19T20:00:00Z");
        assert_string_equal(text_at(last, "to"), rows[i].to);
        assert_null(json_object_get(last, "toLSN"));
        assert_true(json_equal(status, again));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archiving_says_whether_wal_gets_to_the_regions),
        cmocka_unit_test(what_does_not_archive_is_ready_all_the_same),
        cmocka_unit_test(a_gap_makes_one_full_backup_due),
        cmocka_unit_test(a_backup_that_leaves_a_gap_open_is_followed_by_another),
        cmocka_unit_test(the_status_shows_what_can_be_restored_to),
        cmocka_unit_test(wal_that_flows_does_not_change_the_status),
        cmocka_unit_test(a_window_that_ended_does_not_grow),
        cmocka_unit_test(the_last_gap_is_named_after_it_was_closed),
        cmocka_unit_test(a_region_that_is_away_keeps_its_windows),
        cmocka_unit_test(without_a_stream_backups_are_what_can_be_restored),
        cmocka_unit_test(a_window_before_a_hole_of_its_region_stays_as_it_is),
        cmocka_unit_test(a_gap_is_never_replaced_by_one_of_before),
        cmocka_unit_test(a_window_that_grew_ends_when_its_region_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
