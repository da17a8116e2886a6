// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/findings.h"

static void findings_keep_what_they_were_told(void **state)
{
    (void)state;
    CLEANUP(findings_freep) struct findings *findings = findings_new();
    const struct finding *kept;
    size_t count;
    char region[] = "eu";
    findings_add(findings, FINDING(.kind = FINDING_GAP, .region = region), "%d bytes", 7);
    region[0] = 'x';
    findings_add(findings, FINDING(.kind = FINDING_ORPHAN, .note = true), "a note");
    assert_int_equal(findings_get(findings, false, &kept, &count), 1);
    assert_int_equal(count, 1);
    assert_int_equal(kept[0].kind, FINDING_GAP);
    assert_string_equal(kept[0].region, "eu");
    assert_string_equal(kept[0].text, "7 bytes");
    assert_null(kept[0].object);
    assert_int_equal(kept[0].frame, -1);
    assert_int_equal(findings_get(findings, true, &kept, &count), 1);
    assert_string_equal(kept[0].text, "a note");
}

static void more_findings_than_are_kept_are_counted(void **state)
{
    (void)state;
    CLEANUP(findings_freep) struct findings *findings = findings_new();
    const struct finding *kept;
    size_t count;
    for (int i = 0; i < FINDINGS_KEPT_MAX + 5; i++)
        findings_add(findings, FINDING(.kind = FINDING_DAMAGED), "%d", i);
    assert_int_equal(findings_get(findings, false, &kept, &count), FINDINGS_KEPT_MAX + 5);
    assert_int_equal(count, FINDINGS_KEPT_MAX);
    assert_int_equal(findings_get(findings, true, &kept, &count), 0);
}

static void every_kind_has_a_name(void **state)
{
    (void)state;
    for (int kind = 0; kind < FINDING_KINDS; kind++)
        assert_non_null(finding_kind_name((enum finding_kind)kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(findings_keep_what_they_were_told),
        cmocka_unit_test(more_findings_than_are_kept_are_counted),
        cmocka_unit_test(every_kind_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
