// SPDX-License-Identifier: Apache-2.0
/*
 * The fault loop of verify: a verification of a sound repository in which the n-th call of the
 * store fails, for every n. It never takes for sound what it could not read: it fails, or has a
 * finding more, or tells exactly what it tells undisturbed. It never calls anything damaged that is
 * not.
 *
 * The linker puts __wrap_store_open into the place of store_open here (CMakeLists.txt).
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "common/tests/helper_held.h"
#include "sidecar/findings.h"
#include "sidecar/pack_reader.h"
#include "sidecar/piece_hash.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_findings.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_series.h"
#include "sidecar/tests/helper_store_plan.h"
#include "sidecar/verify.h"
#include "sidecar/verify_pack.h"
#include "sidecar/wal_archive.h"

#define FIRST "20261119T000000Z-full-0001"
#define SECOND "20261120T000000Z-full-0002"

enum {
    FOR_GOOD = 1 << 20,
    NEEDED_CALLS = 15, /* at least, each of which tells something */
    WAL_BYTES = 4096,
    GAPS = 2, /* between the backups, and before the fork: notes */
};

struct report {
    int result;
    struct error error; /* if result is -1 */
    struct findings *findings;
    struct verify_result sums;
};

static struct helper_repo helper;
static struct report sound; /* of a verification that nothing disturbs */

static void report_done(struct report *report)
{
    findings_freep(&report->findings);
}

/* One worker: the n-th call is the same every time. */
static void verify(struct report *ret_report)
{
    CLEANUP(cancel_done) struct cancel cancel;
    assert_int_equal(cancel_init(&cancel, &ret_report->error), 0);
    const struct verify_options options = {
        .policy = helper.policy,
        .secrets = helper.secrets,
        .region = "r0",
        .sample = {.percent = 100, .seed = 1},
        .workers = 1,
        .cancel = &cancel,
    };
    const struct helper_held before = helper_held_now();
    ret_report->findings = findings_new();
    ret_report->result =
        verify_run(&options, ret_report->findings, &ret_report->sums, &ret_report->error);
    helper_held_expect(&before);
}

/* A timeline that forks off after a gap, which is known from its history alone. */
static void add_fork(void)
{
    enum { TIMELINE = HELPER_SERIES_TIMELINE + 1, SEGMENT_BYTES = 16 << 20 };
    static const char history[] = "1\t0/100\tpromoted\n2\t0/5000000\tpromoted\n";
    static const uint8_t wal[WAL_BYTES] = {1};
    const struct wal_piece piece = {.timeline = TIMELINE,
                                    .segment_lsn = 0x5000000,
                                    .segment_bytes = SEGMENT_BYTES,
                                    .to = sizeof(wal)};
    struct error err;
    uint64_t stored = 0;
    if (wal_archive_put(helper.repo, &piece, wal, &stored, &err) < 0 ||
        wal_archive_put_history(helper.repo, TIMELINE, history, sizeof(history) - 1, &stored,
                                &err) < 0)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    static const struct helper_series series[] = {
        {.id = FIRST, .start_lsn = 0x1000028, .stop_lsn = 0x1003000},
        {.id = SECOND, .start_lsn = 0x3000028, .stop_lsn = 0x3002000},
    };
    const struct finding *kept;
    size_t count;
    (void)state;
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    helper_repo_open(&helper, 1, HELPER_SERIES_SYSTEM);
    for (size_t i = 0; i < ARRAY_SIZE(series); i++)
        helper_series_add(&helper, &series[i]);
    add_fork();
    verify(&sound);
    assert_int_equal(sound.result, 0);
    assert_int_equal(findings_get(sound.findings, false, &kept, &count), 0);
    assert_int_equal(findings_get(sound.findings, true, &kept, &count), GAPS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    report_done(&sound);
    helper_repo_close(&helper);
    return 0;
}

static bool same(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static bool has_same(const struct report *a, const struct report *b, bool notes)
{
    const struct finding *of_a, *of_b;
    size_t count_a, count_b;
    if (findings_get(a->findings, notes, &of_a, &count_a) !=
            findings_get(b->findings, notes, &of_b, &count_b) ||
        count_a != count_b)
        return false;
    for (size_t i = 0; i < count_a; i++)
        if (of_a[i].kind != of_b[i].kind || !same(of_a[i].object, of_b[i].object) ||
            !same(of_a[i].backup, of_b[i].backup) || !same(of_a[i].text, of_b[i].text))
            return false;
    return true;
}

static bool is_undisturbed(const struct report *report)
{
    return report->result == 0 && report->sums.regions == sound.sums.regions &&
           report->sums.backups == sound.sums.backups &&
           report->sums.objects == sound.sums.objects && report->sums.bytes == sound.sums.bytes &&
           has_same(report, &sound, false) && has_same(report, &sound, true);
}

/* Nothing is wrong with the repository: all that may be told is that something could not be read.
 */
static void check_told(const struct report *report, unsigned call)
{
    const struct finding *kept;
    size_t count;
    findings_get(report->findings, false, &kept, &count);
    for (size_t i = 0; i < count; i++)
        if (kept[i].kind != FINDING_UNREADABLE) {
            helper_findings_print(report->findings, false);
            fail_msg("a fault at call %u makes something %s", call,
                     finding_kind_name(kept[i].kind));
        }
    if (count > 0 || (report->result < 0 && report->error.kind != ERROR_CORRUPT &&
                      report->error.kind != ERROR_CANCELED))
        return;
    helper_findings_print(report->findings, true);
    fail_msg("after a fault at call %u it tells neither a failure nor what it should: %s", call,
             report->result < 0 ? report->error.text : "success");
}

/* A verification with a fault at each call, one after the other, until one comes through without
 * meeting it. Gives how many did not tell what they should. */
static unsigned fail_each(enum store_fault fault, unsigned count)
{
    unsigned told = 0, n = 0, calls;
    do {
        CLEANUP(report_done) struct report report = {0};
        store_plan_fault("r0", ++n, count, fault);
        verify(&report);
        calls = store_plan.calls;
        store_plan_nothing();
        if (is_undisturbed(&report))
            continue;
        told++;
        check_told(&report, n);
    } while (calls >= n);
    return told;
}

static void a_transient_failure_at_any_call_is_made_up_for(void **state)
{
    (void)state;
    assert_int_equal(fail_each(STORE_FAULT_TRANSIENT, 1), 0);
}

static void a_lost_answer_at_any_call_is_made_up_for(void **state)
{
    (void)state;
    assert_int_equal(fail_each(STORE_FAULT_LOST_ANSWER, 1), 0);
}

static void half_an_answer_at_any_call_is_made_up_for(void **state)
{
    (void)state;
    assert_int_equal(fail_each(STORE_FAULT_PARTIAL, 1), 0);
}

static void a_failure_at_any_call_is_told(void **state)
{
    (void)state;
    assert_in_range(fail_each(STORE_FAULT_PERMANENT, 1), NEEDED_CALLS, UINT32_MAX);
}

static void a_store_that_goes_away_at_any_call_is_told(void **state)
{
    (void)state;
    assert_in_range(fail_each(STORE_FAULT_TRANSIENT, FOR_GOOD), NEEDED_CALLS, UINT32_MAX);
}

static int read_pack(struct verify_pack *pack, const struct verify_pages *pages, size_t page_count)
{
    struct error err;
    struct piece_hash hash;
    assert_int_equal(helper_repo_reopen(&helper, false, HELPER_SERIES_SYSTEM, &err), 0);
    piece_hash_init(&hash, &helper.repo->keyring.id_key);
    CLEANUP(pack_reader_freep)
    struct pack_reader *reader = pack_reader_new(helper.repo, PACK_READER_SALVAGE);
    const struct verify_pack_source source = {
        .reader = reader,
        .hash = &hash,
        .backup = FIRST,
        .number = 1,
        .pages = pages,
        .page_count = page_count,
    };
    return verify_pack_read(pack, &source, &err);
}

/* How many calls it takes to open the repository, before any pack is read. */
static unsigned opening_calls(void)
{
    struct error err;
    store_plan_fault("r0", 0, 0, STORE_FAULT_TRANSIENT);
    assert_int_equal(helper_repo_reopen(&helper, false, HELPER_SERIES_SYSTEM, &err), 0);
    return store_plan.calls;
}

/* For pages that no backup so far had known: else nobody would know that they were not checked. */
static void a_pack_that_cannot_be_read_again_is_told_once(void **state)
{
    (void)state;
    static const struct verify_pages pages = {.count = 1};
    CLEANUP(verify_pack_done) struct verify_pack pack = {0};
    assert_int_equal(read_pack(&pack, NULL, 0), 0);
    assert_int_equal(pack.flaw_count, 0);
    assert_true(verify_pack_wants(&pack, &pages, 1));
    const unsigned calls = opening_calls();
    for (int reading = 0; reading < 2; reading++) {
        store_plan_fault("r0", calls + 1, FOR_GOOD, STORE_FAULT_TRANSIENT);
        assert_int_equal(read_pack(&pack, &pages, 1), 0);
        store_plan_nothing();
        assert_int_equal(pack.flaw_count, 1);
        assert_int_equal(pack.flaws[0].kind, FINDING_UNREADABLE);
        assert_int_equal(pack.flaws[0].frame, -1);
        assert_non_null(strstr(pack.flaws[0].text, "fault of the test"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transient_failure_at_any_call_is_made_up_for),
        cmocka_unit_test(a_lost_answer_at_any_call_is_made_up_for),
        cmocka_unit_test(half_an_answer_at_any_call_is_made_up_for),
        cmocka_unit_test(a_failure_at_any_call_is_told),
        cmocka_unit_test(a_store_that_goes_away_at_any_call_is_told),
        cmocka_unit_test(a_pack_that_cannot_be_read_again_is_told_once),
    };
    helper_directory_in_memory();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
