// SPDX-License-Identifier: Apache-2.0
#include "sidecar/verify_witness.h"

#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "sidecar/findings.h"

enum { HASH_TEXT = 65 };

static const struct verify_seen *find(const struct verify_view *view, const char *backup)
{
    for (size_t i = 0; i < view->seen_count; i++)
        if (strcmp(view->seen[i].what.backup, backup) == 0)
            return &view->seen[i];
    return NULL;
}

static bool says_retired(const struct verify_view *view, const char *backup)
{
    for (size_t i = 0; i < view->retired_count; i++)
        if (strcmp(view->retired[i], backup) == 0)
            return true;
    return false;
}

static bool is_retired(const struct verify_witness *witness, const char *backup)
{
    for (size_t i = 0; i < witness->view_count; i++)
        if (says_retired(&witness->views[i], backup))
            return true;
    return false;
}

static bool differs(const struct verify_seen *seen, const struct manifest_witness *what)
{
    return seen->readable && memcmp(seen->what.sha256, what->sha256, sizeof(what->sha256)) != 0;
}

static void tell_other(const struct verify_view *view, const struct verify_seen *seen,
                       const struct manifest_witness *what, const char *who,
                       struct findings *findings)
{
    char here[HASH_TEXT], there[HASH_TEXT];
    text_hex(seen->what.sha256, sizeof(seen->what.sha256), here);
    text_hex(what->sha256, sizeof(what->sha256), there);
    findings_add(findings,
                 FINDING(.kind = FINDING_ROLLBACK, .region = view->region, .backup = what->backup),
                 "its manifest is another than %s: SHA-256 %s instead of %s", who, here, there);
}

/* A backup that is not in one region, but in another. Anybody can write that it was retired into
 * the region that he took it from. */
static void tell_absent(const struct verify_witness *witness, const struct verify_view *view,
                        const struct verify_view *other, const char *backup,
                        struct findings *findings)
{
    if (says_retired(other, backup))
        return;
    if (is_retired(witness, backup))
        findings_add(findings,
                     FINDING(.kind = FINDING_MISSING, .note = true, .region = view->region,
                             .backup = backup),
                     "region '%s' has this backup and does not know that it was retired: prune it "
                     "there, or somebody took it away here",
                     other->region);
    else
        findings_add(
            findings, FINDING(.kind = FINDING_MISSING, .region = view->region, .backup = backup),
            "region '%s' has this backup: it never came here, or was removed; 'copy' brings it",
            other->region);
}

/* What one region has every region has, and the same. */
static void compare_regions(const struct verify_witness *witness, const struct verify_view *view,
                            struct findings *findings)
{
    for (size_t i = 0; i < witness->view_count; i++) {
        const struct verify_view *other = &witness->views[i];
        for (size_t j = 0; other != view && j < other->seen_count; j++) {
            const struct verify_seen *there = &other->seen[j];
            const struct verify_seen *here = find(view, there->what.backup);
            if (!here)
                tell_absent(witness, view, other, there->what.backup, findings);
            if (here && i < (size_t)(view - witness->views) && there->readable &&
                differs(here, &there->what))
                tell_other(view, here, &there->what, other->region, findings);
        }
    }
}

static void check_memory(const struct verify_witness *witness, const struct verify_view *view,
                         const struct verify_memory *memory, struct findings *findings)
{
    bool anywhere = false;
    const struct verify_seen *here = find(view, memory->what.backup);
    for (size_t i = 0; i < witness->view_count; i++)
        anywhere = anywhere || find(&witness->views[i], memory->what.backup);
    if (here && differs(here, &memory->what))
        tell_other(view, here, &memory->what, "the one that a later backup saw", findings);
    if (!anywhere && !is_retired(witness, memory->what.backup))
        findings_add(findings,
                     FINDING(.kind = FINDING_ROLLBACK, .note = !witness->complete,
                             .region = view->region, .backup = memory->what.backup),
                     "backup '%s' saw it when it was the newest, but it is gone", memory->by);
}

static void check_expected(const struct verify_view *view, const struct manifest_witness *expected,
                           struct findings *findings)
{
    const struct verify_seen *here = find(view, expected->backup);
    if (!here)
        findings_add(
            findings,
            FINDING(.kind = FINDING_ROLLBACK, .region = view->region, .backup = expected->backup),
            "the expected backup is not there");
    else if (differs(here, expected))
        tell_other(view, here, expected, "expected", findings);
}

void verify_witness_check(const struct verify_witness *witness, struct findings *findings)
{
    for (size_t i = 0; i < witness->view_count; i++) {
        const struct verify_view *view = &witness->views[i];
        compare_regions(witness, view, findings);
        for (size_t j = 0; j < view->memory_count; j++)
            check_memory(witness, view, &view->memories[j], findings);
        for (size_t j = 0; j < witness->expected_count; j++)
            check_expected(view, &witness->expected[j], findings);
    }
}

void verify_view_done(struct verify_view *view)
{
    free(view->seen);
    free(view->memories);
    free(view->retired);
    *view = (struct verify_view){0};
}
