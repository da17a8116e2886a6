// SPDX-License-Identifier: Apache-2.0
/* The linker puts __wrap_store_open into the place of store_open here (CMakeLists.txt). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "sidecar/key_rotation.h"
#include "sidecar/policy.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_store_plan.h"

#define OLD_OBJECT "drills/old"
#define NEW_OBJECT "drills/new"

enum { FOR_GOOD = 1 << 20, NEEDED_CALLS = 12 };

static void put_text(struct helper_repo *helper, const char *name)
{
    struct error err;
    struct repo_blob blob = {
        .kind = CONTAINER_EVIDENCE,
        .name = name,
        .plain = name,
        .size = strlen(name),
        .rule = PUT_NEW,
    };
    if (repo_put_sealed(helper->repo, &blob, NULL, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

/* The policy's user keys; the first one is active. */
static void set_keys(struct helper_repo *helper, const char *first, const char *second)
{
    struct policy_encryption *encryption = &helper->policy->encryption;
    encryption->keys[0] = encryption->active_key = first;
    encryption->keys[1] = second;
    encryption->key_count = second ? 2 : 1;
}

/* Whether whoever has that user key alone can read an object, in one region. */
static bool opens(struct helper_repo *helper, const char *key, const char *name)
{
    struct error err;
    CLEANUP(buf_done) struct buf plain = BUF(1024);
    set_keys(helper, key, NULL);
    store_plan_nothing();
    if (helper_repo_reopen(helper, false, 0, &err) < 0 ||
        repo_fetch_plain(helper->repo, CONTAINER_EVIDENCE, name, &plain, NULL, &err) < 0)
        return false;
    assert_int_equal(plain.size, strlen(name));
    assert_memory_equal(plain.data, name, plain.size);
    return true;
}

/* A repository under k1 with an object, and k2 ready to be made active. */
static void prepare(struct helper_repo *helper, size_t regions)
{
    store_plan_nothing();
    helper_repo_open(helper, regions, 0);
    put_text(helper, OLD_OBJECT);
    helper_repo_rotate_key(helper);
    set_keys(helper, "k2", "k1");
}

static const char *const k1[] = {"k1"};

static int rotate(struct helper_repo *helper, bool drop, bool new_data_key,
                  struct key_rotation_result *ret_result, struct error *err)
{
    const struct key_rotation_options options = {
        .policy = helper->policy,
        .secrets = helper->secrets,
        .dropped = k1,
        .dropped_count = drop,
        .new_data_key = new_data_key,
        .cancel = &helper->cancel,
    };
    return key_rotation_run(&options, ret_result, err);
}

static void rotate_well(struct helper_repo *helper, bool drop, bool new_data_key,
                        struct key_rotation_result *ret_result)
{
    struct error err;
    store_plan_nothing();
    set_keys(helper, "k2", "k1");
    if (rotate(helper, drop, new_data_key, ret_result, &err) < 0)
        fail_msg("%s", err.text);
}

static size_t count_keys(struct helper_repo *helper)
{
    struct error err;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    assert_int_equal(repo_list(helper->repo, "keys/", &names, &err), 0);
    return names.count;
}

static void every_key_is_wrapped_for_the_new_user_key(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct key_rotation_result result;
    prepare(&helper, 2);
    rotate_well(&helper, false, false, &result);
    assert_string_equal(result.active.name, "k2");
    assert_int_equal(result.keys, 2);
    assert_int_equal(result.wrapped, 4);
    assert_int_equal(result.other_count, 1);
    assert_string_equal(result.others[0].name, "k1");
    assert_int_equal(result.others[0].keys, 2);
    assert_true(opens(&helper, "k2", OLD_OBJECT));
    assert_true(opens(&helper, "k1", OLD_OBJECT));
}

static void a_second_rotation_changes_nothing(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct key_rotation_result result;
    prepare(&helper, 2);
    rotate_well(&helper, true, false, &result);
    assert_int_equal(result.wrapped, 4);
    assert_int_equal(result.others[0].removed, 4);
    rotate_well(&helper, true, false, &result);
    assert_int_equal(result.wrapped, 0);
    assert_int_equal(result.others[0].removed, 0);
    assert_true(opens(&helper, "k2", OLD_OBJECT));
}

static void a_dropped_user_key_is_told_from_damage(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct key_rotation_result result;
    struct error err;
    prepare(&helper, 2);
    rotate_well(&helper, true, false, &result);
    assert_true(opens(&helper, "k2", OLD_OBJECT));
    set_keys(&helper, "k1", NULL);
    assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "wrong key"));
    assert_non_null(strstr(err.text, result.active.id));
}

static void a_new_data_key_is_used_though_the_old_one_was_wrapped_after_it(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct key_rotation_result result;
    struct error err;
    char active[KEY_ID_TEXT_BYTES];
    prepare(&helper, 2);
    set_keys(&helper, "k1", "k2");
    assert_int_equal(rotate(&helper, false, true, &result, &err), 0);
    assert_int_equal(result.keys, 3);
    struct key_rotation_result again;
    rotate_well(&helper, false, false, &again); /* wraps all three for k2, in any order */
    assert_int_equal(again.wrapped, 6);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    key_id_text(helper.repo->keyring.active, active);
    assert_string_equal(active, result.new_data_key);
    put_text(&helper, NEW_OBJECT);
    assert_true(opens(&helper, "k2", OLD_OBJECT));
    assert_true(opens(&helper, "k2", NEW_OBJECT));
}

static void a_user_key_that_does_not_open_the_new_data_key_writes_nothing(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct key_rotation_result result;
    struct error err;
    prepare(&helper, 1);
    rotate_well(&helper, false, true, &result);
    set_keys(&helper, "k1", NULL);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, result.new_data_key));
    assert_non_null(strstr(err.text, "'k1'"));
    assert_true(opens(&helper, "k1", OLD_OBJECT)); /* it still reads what it could */
}

static void a_data_key_that_no_user_key_opens_is_told_from_damage(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    CLEANUP(buf_done) struct buf plain = BUF(1024);
    struct key_rotation_result result;
    struct error err;
    prepare(&helper, 2);
    rotate_well(&helper, false, true, &result);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    put_text(&helper, NEW_OBJECT);
    assert_true(opens(&helper, "k1", OLD_OBJECT)); /* leaves it open */
    assert_int_equal(
        repo_fetch_plain(helper.repo, CONTAINER_EVIDENCE, NEW_OBJECT, &plain, NULL, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, result.new_data_key));
}

static void a_region_that_comes_later_gets_the_choice_of_the_data_key(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct key_rotation_result result;
    struct error err;
    prepare(&helper, 2);
    rotate_well(&helper, false, true, &result);
    assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), 0);
    CLEANUP(own_freep) char *choice = helper_repo_name(&helper, "keys/chosen/");
    CLEANUP(own_freep) char *path = helper_repo_path(&helper, 1, choice);
    assert_return_code(unlink(path), 0);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    assert_return_code(access(path, F_OK), 0);
}

static void what_must_not_be_dropped_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"k2", "k3", "0123", "none"};
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct key_rotation_result result;
    struct error err;
    prepare(&helper, 1);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const struct key_rotation_options options = {
            .policy = helper.policy,
            .secrets = helper.secrets,
            .dropped = &wrong[i],
            .dropped_count = 1,
            .cancel = &helper.cancel,
        };
        assert_int_equal(key_rotation_run(&options, &result, &err), -1);
        assert_int_equal(err.kind, ERROR_PERMANENT);
        assert_non_null(strstr(err.text, wrong[i]));
    }
    assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), 0);
    assert_int_equal(count_keys(&helper), 2);
}

static void a_user_key_that_alone_opens_a_key_is_not_dropped(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct key_rotation_result result;
    struct error err;
    prepare(&helper, 1);
    rotate_well(&helper, false, false, &result);
    set_keys(&helper, "k1", NULL);
    assert_int_equal(rotate(&helper, false, true, &result, &err), 0); /* k1 alone opens it */
    const char *const id = result.active.id;
    set_keys(&helper, "k2", NULL);
    const struct key_rotation_options options = {
        .policy = helper.policy,
        .secrets = helper.secrets,
        .dropped = &id,
        .dropped_count = 1,
        .cancel = &helper.cancel,
    };
    struct key_rotation_result none;
    assert_int_equal(key_rotation_run(&options, &none, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, result.new_data_key));
    rotate_well(&helper, true, false, &none); /* with both it goes */
    assert_true(opens(&helper, "k2", OLD_OBJECT));
}

static void a_dry_run_changes_nothing_and_says_the_same(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct key_rotation_result result, real;
    struct error err;
    prepare(&helper, 2);
    const struct key_rotation_options options = {
        .policy = helper.policy,
        .secrets = helper.secrets,
        .dropped = k1,
        .dropped_count = 1,
        .new_data_key = true,
        .dry_run = true,
        .cancel = &helper.cancel,
    };
    assert_int_equal(key_rotation_run(&options, &result, &err), 0);
    assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), 0);
    assert_int_equal(count_keys(&helper), 2);
    rotate_well(&helper, true, false, &real);
    assert_int_equal(result.wrapped, real.wrapped);
    assert_int_equal(result.others[0].removed, real.others[0].removed);
}

static void a_region_that_is_down_keeps_the_old_user_key_alive(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct key_rotation_result result;
    struct error err;
    prepare(&helper, 2);
    store_plan_fault("r1", 1, FOR_GOOD, STORE_FAULT_TRANSIENT);
    assert_int_equal(rotate(&helper, true, true, &result, &err), -1);
    assert_non_null(strstr(err.text, "region 'r1'"));
    assert_non_null(strstr(err.text, "keep every user key"));
    assert_true(opens(&helper, "k1", OLD_OBJECT));
    assert_true(opens(&helper, "k2", OLD_OBJECT)); /* from r0 */
    rotate_well(&helper, true, false, &result);
    assert_int_equal(result.wrapped, 2); /* in r1 */
    assert_true(opens(&helper, "k2", OLD_OBJECT));
    assert_false(opens(&helper, "k1", OLD_OBJECT));
}

static void a_key_object_that_is_locked_is_not_dropped(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct key_rotation_result result;
    struct error err;
    prepare(&helper, 1);
    store_plan_fault("r0", 1, FOR_GOOD, STORE_FAULT_LOCKED);
    assert_int_equal(rotate(&helper, true, false, &result, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, "locked until 9999-12-31T23:59:59Z"));
    assert_non_null(strstr(err.text, "keys/"));
    assert_true(opens(&helper, "k1", OLD_OBJECT));
    assert_true(opens(&helper, "k2", OLD_OBJECT));
}

static void a_damaged_key_object_stops_the_drop_and_is_named(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct key_rotation_result result;
    struct error err;
    prepare(&helper, 2);
    rotate_well(&helper, false, false, &result);
    assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), 0);
    CLEANUP(own_freep)
    char *prefix = own_format("keys/%s.%s", helper.repo->document.id_key, result.active.id);
    helper_repo_damage(&helper, 1, prefix);
    assert_int_equal(rotate(&helper, true, false, &result, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_non_null(strstr(err.text, prefix));
    assert_non_null(strstr(err.text, "r1"));
    assert_true(opens(&helper, "k1", OLD_OBJECT));
}

static void a_repository_that_is_not_encrypted_has_no_keys_to_rotate(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct key_rotation_result result;
    struct error err;
    helper_repo_prepare(&helper, 1, 1);
    helper.policy->encryption = (struct policy_encryption){0};
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    assert_int_equal(rotate(&helper, false, false, &result, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

/* The fault loop: a rotation that makes a data key and drops the old user key, with a fault from
 * the n-th call of a region's store on, for every n, as if the program had been killed there. */
static void loop(const char *region, unsigned count, enum store_fault fault)
{
    unsigned n = 0, calls;
    do {
        CLEANUP(helper_repo_close) struct helper_repo helper;
        struct key_rotation_result result;
        struct error err;
        prepare(&helper, 2);
        store_plan_fault(region, ++n, count, fault);
        const bool failed = rotate(&helper, true, true, &result, &err) < 0;
        calls = store_plan.calls;
        if (fault == STORE_FAULT_LOST_ANSWER && failed)
            fail_msg("call %u: %s", n, err.text);
        assert_true(opens(&helper, "k2", OLD_OBJECT) ||
                    (failed && opens(&helper, "k1", OLD_OBJECT)));
        rotate_well(&helper, true, false, &result);
        assert_true(opens(&helper, "k2", OLD_OBJECT));
        assert_false(opens(&helper, "k1", OLD_OBJECT));
        set_keys(&helper, "k2", NULL);
        assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
        put_text(&helper, NEW_OBJECT);
        assert_true(opens(&helper, "k2", NEW_OBJECT));
    } while (calls >= n);
    assert_true(n > NEEDED_CALLS);
}

static void a_rotation_ended_at_any_call_leaves_a_key_that_opens_all(void **state)
{
    (void)state;
    loop("r0", FOR_GOOD, STORE_FAULT_PERMANENT);
    loop("r1", FOR_GOOD, STORE_FAULT_TRANSIENT);
}

static void a_failure_at_any_call_leaves_a_key_that_opens_all(void **state)
{
    (void)state;
    loop("r0", 1, STORE_FAULT_PERMANENT);
}

static void a_lost_answer_at_any_call_does_no_harm(void **state)
{
    (void)state;
    loop("r1", 1, STORE_FAULT_LOST_ANSWER);
}

static void a_store_that_lies_at_any_call_loses_no_key(void **state)
{
    (void)state;
    loop("r0", 1, STORE_FAULT_LIE);
    loop("r1", FOR_GOOD, STORE_FAULT_LIE);
}

int main(void)
{
    helper_directory_in_memory();
    log_set_level(LOG_LEVEL_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_wrapped_for_the_new_user_key),
        cmocka_unit_test(a_second_rotation_changes_nothing),
        cmocka_unit_test(a_dropped_user_key_is_told_from_damage),
        cmocka_unit_test(a_new_data_key_is_used_though_the_old_one_was_wrapped_after_it),
        cmocka_unit_test(a_user_key_that_does_not_open_the_new_data_key_writes_nothing),
        cmocka_unit_test(a_data_key_that_no_user_key_opens_is_told_from_damage),
        cmocka_unit_test(a_region_that_comes_later_gets_the_choice_of_the_data_key),
        cmocka_unit_test(what_must_not_be_dropped_is_refused),
        cmocka_unit_test(a_user_key_that_alone_opens_a_key_is_not_dropped),
        cmocka_unit_test(a_dry_run_changes_nothing_and_says_the_same),
        cmocka_unit_test(a_region_that_is_down_keeps_the_old_user_key_alive),
        cmocka_unit_test(a_key_object_that_is_locked_is_not_dropped),
        cmocka_unit_test(a_damaged_key_object_stops_the_drop_and_is_named),
        cmocka_unit_test(a_repository_that_is_not_encrypted_has_no_keys_to_rotate),
        cmocka_unit_test(a_rotation_ended_at_any_call_leaves_a_key_that_opens_all),
        cmocka_unit_test(a_failure_at_any_call_leaves_a_key_that_opens_all),
        cmocka_unit_test(a_store_that_lies_at_any_call_loses_no_key),
        cmocka_unit_test(a_lost_answer_at_any_call_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
