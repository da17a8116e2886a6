// SPDX-License-Identifier: Apache-2.0
/*
 * The damage sweep: whatever is done to any object of a small repository, verify finds it and names
 * the object, and a restore that needs the object fails and names it too. Bits are flipped at
 * random places, at all with LIFEBOAT_FULL.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_chance.h"
#include "common/tests/helper_directory.h"
#include "common/text.h"
#include "sidecar/findings.h"
#include "sidecar/frame.h"
#include "sidecar/manifest.h"
#include "sidecar/policy.h"
#include "sidecar/repo.h"
#include "sidecar/repo_keys.h"
#include "sidecar/restore.h"
#include "sidecar/tests/helper_findings.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_series.h"
#include "sidecar/verify.h"

#define FIRST "20261119T000000Z-full-0001"
#define SECOND "20261120T000000Z-full-0002"
#define THIRD "20261121T000000Z-full-0003"
#define CHILD "20261122T000000Z-incr-0004"    /* of the second */
#define SHARED_PACK "packs/" SECOND "/000001" /* its files, but not its index */
#define FIRST_SEGMENT "000000020000000000000001"
#define CHILD_SEGMENT "000000020000000000000005"

enum { REGIONS = 2, OBJECT_MAX = 1 << 20, FLIPS = 16, RESTORES = 4 };

static const struct helper_series first = {
    .id = FIRST, .start_lsn = 0x1000028, .stop_lsn = 0x1003000};
static const struct helper_series second = {
    .id = SECOND, .start_lsn = 0x3000028, .stop_lsn = 0x3002000, .scattered = true};
static const struct helper_series child = {.id = CHILD,
                                           .parent = SECOND,
                                           .start_lsn = 0x5000028,
                                           .stop_lsn = 0x5002000,
                                           .scattered = true};

static struct helper_repo helper;
static struct repo_names names; /* of all objects */
static struct findings *findings;
static char *directory; /* to restore to */

static int set_up(void **state)
{
    struct error err;
    (void)state;
    log_set_level(LOG_LEVEL_ERROR); /* warnings of what is damaged on purpose */
    helper_repo_open(&helper, REGIONS, HELPER_SERIES_SYSTEM);
    helper_series_add(&helper, &first);
    helper_series_add(&helper, &second);
    helper_series_add(&helper, &child);
    if (repo_list(helper.repo, "", &names, &err) < 0)
        fail_msg("%s", err.text);
    directory = helper_directory_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    helper_directory_remove(directory);
    repo_names_done(&names);
    findings_freep(&findings);
    helper_repo_close(&helper);
    log_set_level(LOG_LEVEL_INFO);
    return 0;
}

/* Of r0 alone: a region beside the damaged one would only cost time; NULL: of all. */
static int verify(const char *region, struct error *err)
{
    struct verify_result unused;
    const struct verify_options options = {
        .policy = helper.policy,
        .secrets = helper.secrets,
        .region = region,
        .sample = {.percent = 100, .seed = 1},
        .cancel = &helper.cancel,
    };
    findings_freep(&findings);
    findings = findings_new();
    return verify_run(&options, findings, &unused, err);
}

/* Whether region r0 has a finding, or it failed as a whole, and names the object. */
static bool is_found(const char *name)
{
    struct error err;
    const struct finding *kept;
    size_t count;
    const char *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
    if (verify("r0", &err) < 0)
        return strstr(err.text, name);
    findings_get(findings, false, &kept, &count);
    for (size_t i = 0; i < count; i++)
        if (kept[i].region && strcmp(kept[i].region, "r0") == 0 &&
            ((kept[i].object && strcmp(kept[i].object, name) == 0) || strstr(kept[i].text, base) ||
             (kept[i].backup && strcmp(kept[i].backup, base) == 0)))
            return true;
    return false;
}

/* What can be said of an object that is not there: of WAL not its content, of a key nothing. */
static char *known_part(const char *name)
{
    const char *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
    if (text_starts_with(name, "keys/"))
        return own_strdup("");
    if (text_starts_with(name, "wal/00000002.history-"))
        return own_strdup("history of timeline 2");
    const size_t segment = text_starts_with(name, "wal/") ? strcspn(base, ".-") : strlen(base);
    return own_format("%.*s", (int)segment, base);
}

/* Whether a finding or a note of region r0 names it. */
static bool is_named(const char *part)
{
    for (int notes = 0; notes < 2; notes++) {
        const struct finding *kept;
        size_t count;
        findings_get(findings, notes, &kept, &count);
        for (size_t i = 0; i < count; i++)
            if (kept[i].region && strcmp(kept[i].region, "r0") == 0 &&
                (strstr(kept[i].text, part) || (kept[i].object && strstr(kept[i].object, part)) ||
                 (kept[i].backup && strcmp(kept[i].backup, part) == 0)))
                return true;
    }
    return false;
}

static uint64_t count_findings(void)
{
    const struct finding *kept;
    size_t count;
    return findings_get(findings, false, &kept, &count);
}

static void demand_found(const char *name, const char *what, uint64_t at)
{
    if (is_found(name))
        return;
    helper_findings_print(findings, false);
    fail_msg("%s of '%s' at %" PRIu64 " was not found", what, name, at);
}

/* Reading that region alone; NULL: what all together give. */
static int restore_from(const char *region, const char *backup, struct error *err)
{
    struct restore_result unused;
    CLEANUP(cancel_done) struct cancel cancel;
    char *scratch = helper_directory_new();
    CLEANUP(own_freep) char *to = own_format("%s/pg", scratch);
    assert_int_equal(cancel_init(&cancel, err), 0);
    const struct restore_options options = {
        .policy = helper.policy,
        .secrets = helper.secrets,
        .to = to,
        .backup = backup,
        .region = region,
        .cancel = &cancel,
    };
    const int result = restore_run(&options, &unused, err);
    if (result < 0)
        helper_directory_expect_missing(scratch, "pg/global/pg_control");
    helper_directory_remove(scratch);
    return result;
}

static int restore(const char *backup, struct error *err)
{
    return restore_from("r0", backup, err);
}

/* A backup that cannot be restored without this object: of what two need, the child. */
static const char *who_needs(const char *name)
{
    if (strstr(name, FIRST) || strstr(name, FIRST_SEGMENT))
        return FIRST;
    return strstr(name, CHILD) || strstr(name, CHILD_SEGMENT) || strcmp(name, SHARED_PACK) == 0
               ? CHILD
               : SECOND;
}

static void demand_refused(const char *name, const char *what, uint64_t at)
{
    struct error err;
    if (restore(who_needs(name), &err) == 0)
        fail_msg("with %s of '%s' at %" PRIu64 " it was restored", what, name, at);
    if (!strstr(err.text, name))
        fail_msg("%s of '%s' at %" PRIu64 ": '%s' does not name it", what, name, at, err.text);
}

static void read_object(const char *name, struct buf *content)
{
    helper_repo_read_object(&helper, 0, name, content);
}

static void write_object(const char *name, const struct buf *content)
{
    helper_repo_write_object(&helper, 0, name, content);
}

static void flip(const char *name, uint64_t at)
{
    CLEANUP(buf_done) struct buf content = BUF(OBJECT_MAX);
    read_object(name, &content);
    content.data[at] ^= 1;
    write_object(name, &content);
}

static void what_is_sound_passes(void **state)
{
    (void)state;
    static const char *const backups[] = {FIRST, SECOND, CHILD};
    const struct finding *kept;
    struct error err;
    size_t count;
    assert_int_equal(verify(NULL, &err), 0);
    assert_int_equal(findings_get(findings, false, &kept, &count), 0);
    for (size_t i = 0; i < ARRAY_SIZE(backups); i++)
        if (restore(backups[i], &err) < 0)
            fail_msg("%s", err.text);
}

static void any_flipped_bit_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.names[i].name;
        const uint64_t size = names.names[i].size;
        const uint64_t flips = helper_chance_full() ? size : FLIPS;
        for (uint64_t j = 0; j < flips; j++) {
            const uint64_t at = helper_chance_full() ? j : helper_chance_below(size);
            flip(name, at);
            demand_found(name, "a flipped bit", at);
            if (j < RESTORES || helper_chance_full())
                demand_refused(name, "a flipped bit", at);
            flip(name, at);
        }
    }
}

/* Among them the id key's name, which is as good as before to whoever reads it. */
static void any_flipped_bit_of_one_regions_document_does_no_harm(void **state)
{
    (void)state;
    static const char name[] = "repository.json";
    const uint64_t size = repo_names_find(&names, name)->size;
    for (uint64_t at = 0; at < size; at++) {
        struct error err;
        flip(name, at);
        if ((helper_chance_full() || helper_chance_below(size) < FLIPS) &&
            restore_from(NULL, SECOND, &err) < 0)
            fail_msg("byte %" PRIu64 " of '%s': %s", at, name, err.text);
        flip(name, at);
    }
}

/* Where an object may be cut: for every one its start and its end, and, of a container, the edges
 * of its frames, its footer, its trailer and its digest. */
enum { PLAIN_CUTS = 3, CONTAINER_CUTS = PLAIN_CUTS + 3 };

static size_t cut_at(const struct container *container, uint32_t cut, size_t size)
{
    const uint32_t frames = container->frame_count;
    switch (cut) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return size - 1;
    case 3:
        return (size_t)(container->frames[frames - 1].offset +
                        container->frames[frames - 1].sealed_bytes);
    case 4:
        return size - DIGEST_BYTES - CONTAINER_TRAILER_BYTES;
    case 5:
        return size - DIGEST_BYTES;
    default:
        return (size_t)container->frames[cut - CONTAINER_CUTS].offset;
    }
}

static uint32_t count_cuts(const struct container *container)
{
    return container->frame_count > 0 ? CONTAINER_CUTS + container->frame_count : PLAIN_CUTS;
}

/* Leaves keys and repository.json, which are none, as they are. */
static void open_container(const char *name, struct container *ret_container)
{
    static const struct {
        const char *prefix;
        enum container_kind kind;
    } kinds[] = {
        {"packs/", CONTAINER_PACK},
        {"manifests/", CONTAINER_MANIFEST},
        {"wal/00000002.history-", CONTAINER_HISTORY},
        {"wal/00000002/", CONTAINER_WAL},
    };
    CLEANUP(buf_done) struct buf scratch = BUF(OBJECT_MAX);
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!text_starts_with(name, kinds[i].prefix))
            continue;
        if (repo_fetch(helper.repo, kinds[i].kind, name, &scratch, ret_container, &err) < 0)
            fail_msg("%s", err.text);
        assert_true(ret_container->frame_count > 0);
        return;
    }
    assert_true(text_starts_with(name, "keys/") || strcmp(name, "repository.json") == 0);
}

static uint32_t count_map_frames(const char *pack)
{
    CLEANUP(container_done) struct container container = {0};
    uint32_t count = 0;
    open_container(pack, &container);
    for (uint32_t i = 0; i < container.frame_count; i++)
        count += container.frames[i].type == FRAME_MAP;
    return count;
}

/* Else the sweep would not reach what only incrementals have. */
static void the_child_needs_a_pack_of_its_parent_and_maps_in_frames(void **state)
{
    (void)state;
    CLEANUP(manifest_done) struct manifest manifest = {0};
    struct error err;
    if (repo_load_manifest(helper.repo, CHILD, &manifest, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(manifest.pack_count, 2);
    assert_string_equal(manifest.packs[1].backup, SECOND);
    assert_int_equal(manifest.packs[1].first, 1);
    assert_int_equal(manifest.packs[1].last, 1);
    assert_int_equal(count_map_frames(SHARED_PACK), 2);
    assert_int_equal(count_map_frames("packs/" CHILD "/000001"), 1);
}

static void any_truncated_object_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.names[i].name;
        CLEANUP(buf_done) struct buf whole = BUF(OBJECT_MAX);
        CLEANUP(container_done) struct container container = {0};
        read_object(name, &whole);
        open_container(name, &container);
        for (uint32_t cut = 0; cut < count_cuts(&container); cut++) {
            const size_t size = whole.size;
            whole.size = cut_at(&container, cut, size);
            write_object(name, &whole);
            demand_found(name, "a truncation", whole.size);
            demand_refused(name, "a truncation", whole.size);
            whole.size = size;
        }
        write_object(name, &whole);
    }
}

/* Of all regions: that a backup is gone is seen in the other one. */
static void demand_missed(const char *name, const char *part, const char *what)
{
    const struct finding *kept;
    struct error err;
    size_t count;
    assert_int_equal(verify(NULL, &err), 0);
    if (findings_get(findings, false, &kept, &count) == 0 || !is_named(part)) {
        helper_findings_print(findings, false);
        fail_msg("that '%s' was %s was not found, or not named", name, what);
    }
    if (restore(who_needs(name), &err) == 0)
        fail_msg("it was restored although '%s' was %s", name, what);
    if (!strstr(err.text, part))
        fail_msg("'%s' was %s: '%s' does not name '%s'", name, what, err.text, part);
}

static void any_removed_or_renamed_object_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.names[i].name;
        CLEANUP(own_freep) char *other = own_format("%sx", name), *part = known_part(name);
        CLEANUP(buf_done) struct buf whole = BUF(OBJECT_MAX);
        read_object(name, &whole);
        write_object(other, &whole);
        helper_repo_remove_object(&helper, 0, name);
        demand_missed(name, part, "renamed");
        helper_repo_remove_object(&helper, 0, other);
        demand_missed(name, part, "removed");
        write_object(name, &whole);
    }
}

/* Also an old object in the place of a newer one. */
static void any_two_swapped_objects_are_found(void **state)
{
    (void)state;
    for (size_t i = 1; i < names.count; i++) {
        const char *a = names.names[i - 1].name, *b = names.names[i].name;
        CLEANUP(buf_done) struct buf of_a = BUF(OBJECT_MAX);
        CLEANUP(buf_done) struct buf of_b = BUF(OBJECT_MAX);
        read_object(a, &of_a);
        read_object(b, &of_b);
        write_object(a, &of_b);
        write_object(b, &of_a);
        if (!is_found(a))
            demand_found(b, "a swap with the object before", 0);
        write_object(a, &of_a);
        demand_found(b, "another object in the place", 0);
        demand_refused(b, "another object in the place", 0);
        write_object(b, &of_b);
    }
}

/* In the middle of a rotation: what is damaged is needed by nobody, until it is. */
static void any_damaged_key_object_is_found_though_another_opens(void **state)
{
    (void)state;
    CLEANUP(repo_names_done) struct repo_names keys = {0};
    struct error err;
    helper_repo_rotate_key(&helper);
    if (helper_repo_reopen(&helper, true, HELPER_SERIES_SYSTEM, &err) < 0 ||
        repo_keys_choose(helper.repo, helper.repo->keyring.active, &err) < 0 ||
        repo_list(helper.repo, "keys/", &keys, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(keys.count, 5); /* two keys, each wrapped twice, and a choice */
    assert_int_equal(verify("r0", &err), 0);
    assert_int_equal(count_findings(), 0);
    for (size_t i = 0; i < keys.count; i++) {
        const char *name = keys.names[i].name;
        const uint64_t size = keys.names[i].size;
        for (uint64_t j = 0; j < (helper_chance_full() ? size : FLIPS); j++) {
            const uint64_t at = helper_chance_full() ? j : helper_chance_below(size);
            flip(name, at);
            demand_found(name, "a flipped bit", at);
            flip(name, at);
        }
        CLEANUP(buf_done) struct buf whole = BUF(OBJECT_MAX);
        read_object(name, &whole);
        const size_t all = whole.size;
        for (size_t cut = 0; cut < 4; cut++) {
            whole.size = cut * all / 4;
            write_object(name, &whole);
            demand_found(name, "a truncation", whole.size);
            if (restore(SECOND, &err) < 0)
                fail_msg("without '%s': %s", name, err.text);
        }
        whole.size = all;
        write_object(name, &whole);
    }
}

/* The user key of before the rotation may not be at hand any more. */
static void a_key_wrapped_for_another_user_key_is_noted(void **state)
{
    (void)state;
    const struct finding *kept;
    struct error err;
    size_t count, noted = 0;
    helper.policy->encryption.keys[0] = "k2";
    helper.policy->encryption.key_count = 1;
    assert_int_equal(verify("r0", &err), 0);
    assert_int_equal(count_findings(), 0);
    findings_get(findings, true, &kept, &count);
    CLEANUP(own_freep) char *name = NULL;
    for (size_t i = 0; i < count; i++)
        if (strstr(kept[i].text, "only the form")) {
            noted++;
            free(name);
            name = own_strdup(kept[i].object);
        }
    assert_int_equal(noted, 2); /* id key and data key */
    CLEANUP(buf_done) struct buf whole = BUF(OBJECT_MAX);
    read_object(name, &whole);
    whole.size -= 8;
    write_object(name, &whole);
    demand_found(name, "a truncation", whole.size);
}

/* A copy is worth nothing: it is taken for what it claims to be in no place. */
static void a_manifest_under_another_name_is_no_backup(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(buf_done) struct buf whole = BUF(OBJECT_MAX);
    read_object("manifests/" SECOND, &whole);
    write_object("manifests/" THIRD, &whole);
    demand_found("manifests/" THIRD, "a copy", 0);
    assert_int_equal(restore(THIRD, &err), -1);
    assert_non_null(strstr(err.text, "manifests/" THIRD));
    assert_int_equal(restore(SECOND, &err), 0);
    helper_repo_remove_object(&helper, 0, "manifests/" THIRD);
}

/* Every object of another name is told from the one it is a copy of, and does no harm. */
static void copy_each(const char *prefix, size_t (*at)(const char *name))
{
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.names[i].name;
        struct error err;
        if (!text_starts_with(name, prefix))
            continue;
        CLEANUP(own_freep) char *copy = own_strdup(name);
        CLEANUP(buf_done) struct buf whole = BUF(OBJECT_MAX);
        char *digit = &copy[at(copy)];
        if (text_starts_with(name, "manifests/"))
            continue;
        *digit = *digit == '0' ? '9' : '0'; /* a name of the same form */
        read_object(name, &whole);
        write_object(copy, &whole);
        if (verify("r0", &err) < 0)
            assert_non_null(strstr(err.text, copy));
        else if (!is_named(copy))
            fail_msg("'%s', a copy of '%s', is not told", copy, name);
        if (restore(who_needs(name), &err) < 0 &&
            (text_starts_with(name, "keys/") || !strstr(err.text, copy)))
            fail_msg("with '%s', a copy of '%s': %s", copy, name, err.text);
        helper_repo_remove_object(&helper, 0, copy);
    }
}

static size_t last_digit(const char *name)
{
    return strlen(name) - 1;
}

static void a_copy_of_any_other_object_does_no_harm(void **state)
{
    (void)state;
    copy_each("", last_digit);
}

/* The name says that it holds another key, wrapped by the same one. */
static size_t first_of_key(const char *name)
{
    (void)name;
    return strlen("keys/");
}

static void a_copy_of_a_key_under_another_name_does_no_harm(void **state)
{
    (void)state;
    copy_each("keys/", first_of_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sound_passes),
        cmocka_unit_test(the_child_needs_a_pack_of_its_parent_and_maps_in_frames),
        cmocka_unit_test(any_flipped_bit_is_found),
        cmocka_unit_test(any_flipped_bit_of_one_regions_document_does_no_harm),
        cmocka_unit_test(any_truncated_object_is_found),
        cmocka_unit_test(any_removed_or_renamed_object_is_found),
        cmocka_unit_test(any_two_swapped_objects_are_found),
        cmocka_unit_test(a_manifest_under_another_name_is_no_backup),
        cmocka_unit_test(a_copy_of_any_other_object_does_no_harm),
        cmocka_unit_test(a_copy_of_a_key_under_another_name_does_no_harm),
        cmocka_unit_test(what_is_sound_passes), /* all was put back */
        cmocka_unit_test(any_damaged_key_object_is_found_though_another_opens),
        cmocka_unit_test(a_key_wrapped_for_another_user_key_is_noted),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
