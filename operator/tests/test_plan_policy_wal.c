// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
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

static void archiving_says_whether_wal_gets_to_the_regions(void **state)
{
    static const struct scene scenes[] = {
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
        {.why = "the spec cannot be read",
         .spec = "{}",
         .expected = "Unknown",
         .reason = "NotKnown"},
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
         .text = "'us', and is at least 4 m behind"},
        {.why = "into one region of two, which is enough",
         .spec = STREAM,
         .pods = {{.name = "shop-0",
                   .state = FINE "," ARCHIVING("\"streaming\": true, \"lostRegions\": [\"us\"]")}},
         .expected = "True",
         .reason = "Streaming",
         .text = "into 'eu'; without 'us', until that can be used again"},
        {.why = "the one before still does, and the chosen one not yet",
         .spec = STREAM,
         .pods = {{.name = "shop-0", .state = FINE},
                  {.name = "shop-1", .state = STANDBY "," FLOWS}},
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
                 "what is behind 0/3000028 is on the server only; it keeps at least 2.1 GB of "
                 "WAL; it has room for 4.3 GB more, for at least 64 m as it goes now: raise "
                 "max_slot_wal_keep_size or enlarge the volume"},
        {.why = "an error",
         .spec = STREAM,
         .pods = {{.name = "shop-0",
                   .state = FINE "," ARCHIVING("\"streaming\": false, \"error\": \"all replication "
                                               "slots are in use\", \"leftBytes\": 1,"
                                               " \"leftSeconds\": 2")}},
         .expected = "False",
         .reason = "NotStreaming",
         .text = "pod 'shop-0': all replication slots are in use; it has room for 1 B more, for "
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
                   .state = FINE "," ARCHIVING(
                       "\"streaming\": false, \"error\": \"segment x is another\","
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
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(scenes); i++) {
        struct scene scene = scenes[i];
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
        {.why = "not of the timeline before",
         .status = KNOWN_GAP(", \"backup\": \"x\""),
         .backups = GAP_BACKUP(NEW, "1", "1/5000028")},
        {.why = "one that starts before its end is none",
         .status = KNOWN_GAP(", \"backup\": \"x\""),
         .backups = GAP_BACKUP(NEW, "2", "0/FFFFFFFF")},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archiving_says_whether_wal_gets_to_the_regions),
        cmocka_unit_test(what_does_not_archive_is_ready_all_the_same),
        cmocka_unit_test(a_gap_makes_one_full_backup_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
