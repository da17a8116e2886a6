// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/policy.h"
#include "sidecar/regions.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_store_fault.h"
#include "sidecar/tests/helper_store.h"
#include "sidecar/tests/helper_store_plan.h"

static void put_text(struct helper_repo *helper, const char *name, const char *text)
{
    struct error err;
    struct repo_blob blob = {
        .kind = CONTAINER_EVIDENCE,
        .name = name,
        .plain = text,
        .size = strlen(text),
        .rule = PUT_NEW,
    };
    assert_int_equal(repo_put_sealed(helper->repo, &blob, NULL, NULL, &err), 0);
}

static void assert_fetched(struct helper_repo *helper, const char *name, const char *text)
{
    struct error err = {0};
    CLEANUP(buf_done) struct buf plain = BUF(1024);
    assert_int_equal(repo_fetch_plain(helper->repo, CONTAINER_EVIDENCE, name, &plain, NULL, &err),
                     0);
    assert_int_equal(plain.size, strlen(text));
    assert_memory_equal(plain.data, text, plain.size);
}

static int fetch_fails(struct helper_repo *helper, const char *name, struct error *err)
{
    CLEANUP(buf_done) struct buf plain = BUF(1024);
    return repo_fetch_plain(helper->repo, CONTAINER_EVIDENCE, name, &plain, NULL, err);
}

/* Whether another process finds an object sound. */
static bool reads(struct helper_repo *helper, const char *name, struct error *err)
{
    return helper_repo_reopen(helper, false, 0, err) == 0 && fetch_fails(helper, name, err) == 0;
}

static void remove_object(const struct helper_repo *helper, size_t region, const char *name)
{
    CLEANUP(own_freep) char *path = helper_repo_path(helper, region, name);
    assert_int_equal(unlink(path), 0);
}

/* Moves a region's directory away, as if its bucket were gone. */
static void lose_region(const struct helper_repo *helper, size_t region)
{
    CLEANUP(own_freep) char *path = own_format("%s/r%zu", helper->directory, region);
    CLEANUP(own_freep) char *away = own_format("%s/away-%zu", helper->directory, region);
    assert_int_equal(rename(path, away), 0);
}

static void what_was_put_is_fetched_by_another_process(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err = {0};
    helper_repo_open(&helper, 1, 0);
    put_text(&helper, "drills/a", "evidence");
    assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), 0);
    assert_int_equal(helper.repo->document.system_identifier, HELPER_REPO_SYSTEM);
    assert_fetched(&helper, "drills/a", "evidence");
}

static void opening_twice_makes_no_second_key(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    CLEANUP(repo_names_done) struct repo_names before = {0}, after = {0};
    struct error err;
    helper_repo_open(&helper, 2, 0);
    assert_int_equal(repo_list(helper.repo, "keys/", &before, &err), 0);
    assert_int_equal(before.count, 2); /* id key and data key */
    assert_int_equal(before.names[0].regions, 3);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    assert_int_equal(repo_list(helper.repo, "keys/", &after, &err), 0);
    assert_int_equal(after.count, 2);
}

static void a_repository_has_one_writing_cluster(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_prepare(&helper, 2, 1);
    helper.policy->cluster = "first";
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    helper.policy->cluster = "second";
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "region 'r0': cluster first backs up into this repository"));
    assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), 0); /* it may restore */
    helper.policy->cluster = NULL;                                    /* the command line */
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    assert_string_equal(helper.repo->document.writer, "first");
}

static void a_repository_from_outside_kubernetes_is_any_clusters(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_open(&helper, 1, 0);
    helper.policy->cluster = "first";
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    assert_null(helper.repo->document.writer);
}

static void an_object_is_never_overwritten(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_open(&helper, 1, 0);
    put_text(&helper, "drills/a", "first");
    struct repo_blob blob = {
        .kind = CONTAINER_EVIDENCE,
        .name = "drills/a",
        .plain = "second",
        .size = 6,
        .rule = PUT_NEW,
    };
    assert_int_equal(repo_put_sealed(helper.repo, &blob, NULL, NULL, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_fetched(&helper, "drills/a", "first");
}

static void a_damaged_object_comes_from_the_next_region(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_open(&helper, 2, 0);
    put_text(&helper, "drills/a", "evidence");
    helper_repo_damage(&helper, 0, "drills/a");
    assert_fetched(&helper, "drills/a", "evidence");
    helper_repo_damage(&helper, 1, "drills/a");
    assert_int_equal(fetch_fails(&helper, "drills/a", &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_non_null(strstr(err.text, "drills/a"));
}

static void a_missing_object_is_named_with_its_region(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_open(&helper, 1, 0);
    assert_int_equal(fetch_fails(&helper, "drills/a", &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "drills/a"));
    assert_non_null(strstr(err.text, "r0"));
}

static void a_repository_is_read_while_a_region_is_gone(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err = {0};
    helper_repo_open(&helper, 2, 0);
    put_text(&helper, "drills/a", "evidence");
    lose_region(&helper, 0);
    assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), 0);
    assert_fetched(&helper, "drills/a", "evidence");
}

/* It costs all patience to find out that a region does not answer: once, not for each object. */
static void a_region_that_does_not_answer_is_asked_last(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_open(&helper, 2, 0);
    put_text(&helper, "drills/a", "evidence");
    put_text(&helper, "drills/b", "more");
    struct region *region = regions_at(helper.regions, 0);
    region->store = store_fault_wrap(region->store);
    store_fault_set(region->store, 1, 1 + STORE_RETRIES, STORE_FAULT_TRANSIENT);
    assert_fetched(&helper, "drills/a", "evidence");
    assert_int_equal(store_fault_calls(region->store), 1 + STORE_RETRIES);
    assert_fetched(&helper, "drills/b", "more");
    assert_int_equal(store_fault_calls(region->store), 1 + STORE_RETRIES);
    helper_repo_damage(&helper, 1, "drills/b");
    assert_fetched(&helper, "drills/b", "more"); /* it is back, and the only one that has it */
    assert_int_equal(store_fault_calls(region->store), 2 + STORE_RETRIES);
    assert_fetched(&helper, "drills/a", "evidence");
    assert_int_equal(store_fault_calls(region->store), 3 + STORE_RETRIES);
    assert_int_equal(fetch_fails(&helper, "drills/c", &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

static void a_region_that_hangs_from_the_start_is_read_without(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_open(&helper, 2, 0);
    put_text(&helper, "wal/x", "hello");
    helper.patience_ms = 1;
    store_plan_fault("r0", 1, UINT_MAX, STORE_FAULT_HANG);
    assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), 0);
    store_plan_nothing();
    assert_true(regions_doubted(helper.regions, 0, &err));
    assert_non_null(strstr(err.text, "it lags"));
    assert_fetched(&helper, "wal/x", "hello");
    store_fault_set(regions_at(helper.regions, 0)->store, 1, 0, STORE_FAULT_HANG);
    remove_object(&helper, 1, "wal/x");
    assert_fetched(&helper, "wal/x", "hello"); /* it answers again */
    assert_false(regions_doubted(helper.regions, 0, NULL));
}

static void a_region_that_hangs_from_the_start_is_written_without(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_open(&helper, 2, 0);
    helper.patience_ms = 1;
    store_plan_fault("r1", 1, UINT_MAX, STORE_FAULT_HANG);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    store_plan_nothing();
    assert_int_equal(regions_mask(helper.regions, false), 1);
    put_text(&helper, "wal/x", "hello");
    assert_fetched(&helper, "wal/x", "hello");
}

static void a_region_that_hangs_fails_a_new_repository(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_prepare(&helper, 2, 1);
    helper.patience_ms = 1;
    store_plan_fault("r0", 1, UINT_MAX, STORE_FAULT_HANG);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), -1);
    store_plan_nothing();
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    assert_non_null(strstr(err.text, "a new repository needs every region once: it lags"));
}

static void a_new_repository_needs_every_region(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_prepare(&helper, 2, 1);
    lose_region(&helper, 1);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), -1);
    assert_non_null(strstr(err.text, "a new repository needs every region"));
    assert_non_null(strstr(err.text, "r1"));
}

static void an_old_repository_is_written_with_a_quorum(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_open(&helper, 2, 0);
    lose_region(&helper, 0);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    put_text(&helper, "drills/a", "evidence");
    assert_fetched(&helper, "drills/a", "evidence");
    CLEANUP(own_freep) char *left = regions_names(helper.regions, false);
    CLEANUP(own_freep) char *lost = regions_names(helper.regions, true);
    assert_string_equal(left, "r1");
    assert_string_equal(lost, "r0");
}

static void what_is_sealed_is_to_stay(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    CLEANUP(buf_done) struct buf object = BUF(CONTAINER_BYTES_MAX);
    struct store_bytes bytes;
    struct error err;
    helper_repo_open(&helper, 1, 0);
    struct repo_blob blob = {
        .kind = CONTAINER_EVIDENCE, .name = "drills/a", .plain = "x", .size = 1, .rule = PUT_NEW};
    memset(&bytes, 0xff, sizeof(bytes)); /* as the stack may be */
    assert_int_equal(repo_seal(helper.repo, &blob, &object, &bytes, &err), 0);
    assert_ptr_equal(bytes.data, object.data);
    assert_int_equal(bytes.size, object.size);
    assert_false(bytes.passing);
}

static void a_lost_quorum_fails_the_put(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_prepare(&helper, 2, 2);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    CLEANUP(own_freep) char *in_the_way = helper_repo_path(&helper, 1, "holds");
    assert_int_equal(creat(in_the_way, 0600) < 0, 0);
    struct store_bytes bytes = {.data = "x", .size = 1};
    digest_sha256("x", 1, bytes.sha256);
    assert_int_equal(repo_put(helper.repo, "holds/a", &bytes, PUT_NEW, &err), -1);
    assert_non_null(strstr(err.text, "r1"));
}

static void a_region_that_comes_later_gets_the_keys(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_open(&helper, 2, 0);
    CLEANUP(own_freep) char *old = own_format("%s/r1/web.shop", helper.directory);
    CLEANUP(own_freep) char *away = own_format("%s/away", helper.directory);
    assert_int_equal(rename(old, away), 0);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    put_text(&helper, "drills/a", "evidence");
    lose_region(&helper, 0);
    assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), 0);
    assert_fetched(&helper, "drills/a", "evidence");
}

static void a_wrong_key_is_told_with_both_ids(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_open(&helper, 1, 0);
    helper_repo_change_key(&helper);
    for (int write = 0; write < 2; write++) {
        assert_int_equal(helper_repo_reopen(&helper, write, HELPER_REPO_SYSTEM, &err), -1);
        assert_int_equal(err.kind, ERROR_PERMANENT);
        assert_non_null(strstr(err.text, "wrong key: the repository's keys are wrapped by"));
        assert_non_null(strstr(err.text, "'k1' (id "));
    }
}

/* Opens the repository, in both ways, under the other mode than the one that made it. */
static void assert_mode_refused(struct helper_repo *helper, const char *text)
{
    CLEANUP(repo_names_done) struct repo_names before = {0}, after = {0};
    struct error err;
    assert_int_equal(repo_list(helper->repo, "keys/", &before, &err), 0);
    helper->policy->encryption.enabled ^= true;
    for (int write = 0; write < 2; write++) {
        assert_int_equal(helper_repo_reopen(helper, write, HELPER_REPO_SYSTEM, &err), -1);
        assert_int_equal(err.kind, ERROR_PERMANENT);
        assert_non_null(strstr(err.text, text));
    }
    helper->policy->encryption.enabled ^= true;
    if (helper_repo_reopen(helper, false, HELPER_REPO_SYSTEM, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(repo_list(helper->repo, "keys/", &after, &err), 0);
    assert_int_equal(after.count, before.count);
}

static void keys_of_an_encrypted_repository_are_never_stored_in_clear(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    helper_repo_open(&helper, 1, 0);
    assert_mode_refused(&helper, "mode 'None': the repository is encrypted");
}

static void keys_in_clear_are_refused_where_encryption_is_on(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_prepare(&helper, 1, 1);
    helper.policy->encryption.enabled = false;
    if (helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err) < 0)
        fail_msg("%s", err.text);
    assert_mode_refused(&helper, "mode 'AES256GCM': the repository is not encrypted");
}

static void a_lost_key_object_is_damage_not_a_wrong_key(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    CLEANUP(repo_names_done) struct repo_names keys = {0};
    struct error err;
    helper_repo_open(&helper, 1, 0);
    assert_int_equal(repo_list(helper.repo, "keys/", &keys, &err), 0);
    for (size_t i = 0; i < keys.count; i++)
        remove_object(&helper, 0, keys.names[i].name);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_non_null(strstr(err.text, "id key"));
}

/* The id key, which is needed to open the repository, and the data key, which is to read. */
static void a_damaged_key_object_is_corrupt(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        CLEANUP(helper_repo_close) struct helper_repo helper;
        CLEANUP(repo_names_done) struct repo_names keys = {0};
        struct error err;
        helper_repo_open(&helper, 1, 0);
        put_text(&helper, "wal/x", "hello");
        assert_int_equal(repo_list(helper.repo, "keys/", &keys, &err), 0);
        assert_int_equal(keys.count, 2);
        helper_repo_damage(&helper, 0, keys.names[i].name);
        assert_false(reads(&helper, "wal/x", &err));
        assert_int_equal(err.kind, ERROR_CORRUPT);
        assert_non_null(strstr(err.text, keys.names[i].name));
        assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
        assert_non_null(strstr(err.text, keys.names[i].name));
    }
}

/* As if it held another key: the DEK part of its name is changed. */
static char *copy_key_object(const struct helper_repo *helper, size_t region, const char *name)
{
    CLEANUP(buf_done) struct buf content = BUF(4096);
    char *copy = own_strdup(name);
    char *digit = &copy[strlen("keys/")];
    *digit = *digit == '0' ? '9' : '0';
    helper_repo_read_object(helper, region, name, &content);
    helper_repo_write_object(helper, region, copy, &content);
    return copy;
}

static void a_stray_key_object_costs_a_writer_its_region_and_a_reader_nothing(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    CLEANUP(repo_names_done) struct repo_names keys = {0};
    struct error err;
    helper_repo_open(&helper, 2, 0);
    put_text(&helper, "wal/x", "hello");
    assert_int_equal(repo_list(helper.repo, "keys/", &keys, &err), 0);
    for (size_t i = 0; i < keys.count; i++) {
        CLEANUP(own_freep) char *stray = copy_key_object(&helper, 0, keys.names[i].name);
        assert_true(reads(&helper, "wal/x", &err));
        assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
        assert_int_equal(regions_mask(helper.regions, true), 1);
        assert_true(regions_first_loss(helper.regions, &err));
        assert_non_null(strstr(err.text, stray));
        helper.policy->quorum = 2;
        assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
        assert_non_null(strstr(err.text, stray));
        helper.policy->quorum = 1;
        assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), 0);
        helper_repo_remove_object(&helper, 0, stray);
    }
}

static void a_region_with_a_damaged_key_gets_no_backup(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    CLEANUP(repo_names_done) struct repo_names keys = {0};
    struct error err;
    helper_repo_open(&helper, 2, 0);
    assert_int_equal(repo_list(helper.repo, "keys/", &keys, &err), 0);
    assert_int_equal(keys.count, 2);
    for (size_t i = 0; i < keys.count; i++)
        helper_repo_damage(&helper, i, keys.names[i].name);
    assert_int_equal(helper_repo_reopen(&helper, false, HELPER_REPO_SYSTEM, &err), 0);
    helper.policy->quorum = 2;
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_non_null(strstr(err.text, "key object 'keys/"));
    assert_non_null(strstr(err.text, "in region 'r"));
}

static void a_damaged_key_object_does_no_harm_where_another_holds_the_key(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    CLEANUP(repo_names_done) struct repo_names keys = {0};
    struct error err;
    helper_repo_open(&helper, 1, 0);
    assert_int_equal(repo_list(helper.repo, "keys/", &keys, &err), 0);
    helper_repo_rotate_key(&helper);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    for (size_t i = 0; i < keys.count; i++)
        helper_repo_damage(&helper, 0, keys.names[i].name);
    assert_int_equal(helper_repo_reopen(&helper, false, HELPER_REPO_SYSTEM, &err), 0);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
}

static void a_lost_repository_document_is_made_anew_for_the_same_keys(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    CLEANUP(repo_names_done) struct repo_names before = {0}, after = {0};
    struct error err;
    helper_repo_open(&helper, 1, 0);
    assert_int_equal(repo_list(helper.repo, "keys/", &before, &err), 0);
    remove_object(&helper, 0, "repository.json");
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    assert_int_equal(repo_list(helper.repo, "keys/", &after, &err), 0);
    assert_int_equal(after.count, before.count);
    assert_int_equal(helper_repo_reopen(&helper, false, HELPER_REPO_SYSTEM, &err), 0);
}

static void flip_document(const struct helper_repo *helper, size_t region, size_t at)
{
    CLEANUP(buf_done) struct buf content = BUF(4096);
    helper_repo_read_object(helper, region, "repository.json", &content);
    content.data[at] ^= 1;
    helper_repo_write_object(helper, region, "repository.json", &content);
}

static size_t document_size(const struct helper_repo *helper)
{
    CLEANUP(buf_done) struct buf content = BUF(4096);
    helper_repo_read_object(helper, 0, "repository.json", &content);
    return content.size;
}

/* Also one that is still a document, but names an id key that nobody has. */
static void one_regions_damaged_document_is_passed_over(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    char id_key[KEY_ID_TEXT_BYTES];
    struct error err;
    helper_repo_open(&helper, 2, 0);
    put_text(&helper, "wal/x", "hello");
    memcpy(id_key, helper.repo->document.id_key, sizeof(id_key));
    const size_t size = document_size(&helper);
    for (size_t at = 0; at < 2 * size; at++) {
        const size_t region = at % 2;
        flip_document(&helper, region, at / 2);
        if (!reads(&helper, "wal/x", &err))
            fail_msg("byte %zu: %s", at / 2, err.text);
        assert_string_equal(helper.repo->document.id_key, id_key);
        if (helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err) < 0)
            fail_msg("byte %zu: %s", at / 2, err.text);
        assert_string_equal(helper.repo->document.id_key, id_key);
        assert_int_equal(regions_mask(helper.regions, true), 1u << region);
        assert_true(regions_first_loss(helper.regions, &err));
        assert_non_null(strstr(err.text, "repository.json"));
        flip_document(&helper, region, at / 2);
    }
}

/* Made while neither saw the other's. */
static void two_repositories_that_both_open_are_a_conflict(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_open(&helper, 2, 0);
    CLEANUP(own_freep) char *away = own_format("%s/r0", helper.directory);
    CLEANUP(own_freep) char *hidden = own_format("%s/hidden", helper.directory);
    helper.policy->region_count = 1;
    assert_return_code(rename(away, hidden), 0);
    assert_return_code(mkdir(away, 0700), 0);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), 0);
    helper.policy->region_count = 2;
    for (int write = 0; write <= 1; write++) {
        assert_int_equal(helper_repo_reopen(&helper, write, HELPER_REPO_SYSTEM, &err), -1);
        assert_int_equal(err.kind, ERROR_CONFLICT);
        assert_non_null(strstr(err.text, "a repository of its own"));
    }
}

static void write_document(const struct helper_repo *helper, const char *text)
{
    CLEANUP(own_freep) char *path = helper_repo_path(helper, 0, "repository.json");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void a_repository_of_another_system_is_refused_with_both_names(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_open(&helper, 1, 0);
    struct repo_document other = {
        .namespace = own_strdup("default"),
        .name = own_strdup("other"),
        .system_identifier = 99,
        .id_key = "0123456789abcdef",
    };
    CLEANUP(own_freep) char *text = repo_document_format(&other);
    repo_document_done(&other);
    write_document(&helper, text);
    assert_int_equal(helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "belongs to policy 'default/other' and database system 99"));
    assert_non_null(strstr(err.text, "'web/shop' and 7351234"));
}

static void a_newer_format_asks_for_a_newer_program(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_open(&helper, 1, 0);
    write_document(&helper, "{\"format\": 2, \"unheardOf\": true}");
    assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "format 2"));
}

static void a_repository_document_with_a_forged_id_is_corrupt(void **state)
{
    (void)state;
    struct repo_document document = {.namespace = own_strdup("a"),
                                     .name = own_strdup("b"),
                                     .system_identifier = 7,
                                     .id_key = "0123456789abcdef"};
    CLEANUP(own_freep) char *text = repo_document_format(&document);
    struct repo_document parsed;
    struct error err;
    assert_int_equal(repo_document_parse(text, strlen(text), &parsed, &err), 0);
    assert_string_equal(parsed.name, "b");
    repo_document_done(&parsed);
    repo_document_done(&document);
    char *id = strstr(text, "\"repository\": \"");
    assert_non_null(id);
    id[strlen("\"repository\": \"")] ^= 1;
    assert_int_equal(repo_document_parse(text, strlen(text), &parsed, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

static void two_database_systems_under_a_policy_must_be_told_apart(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err = {0};
    helper_repo_open(&helper, 1, 0);
    assert_int_equal(helper_repo_reopen(&helper, true, 777, &err), 0);
    assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), -1);
    assert_non_null(strstr(err.text, "7351234, 777"));
    assert_non_null(strstr(err.text, "--system-identifier"));
    assert_int_equal(helper_repo_reopen(&helper, false, 777, &err), 0);
}

static void a_backup_tells_its_database_system(void **state)
{
    (void)state;
    static const char id[] = "20261121T160404Z-full-093c";
    CLEANUP(helper_repo_close) struct helper_repo helper;
    const struct store_bytes manifest = helper_store_text("any");
    struct repo_wish wish = {.backup = id};
    struct error err = {0};
    helper_repo_open(&helper, 2, 0);
    assert_int_equal(helper_repo_reopen(&helper, true, 777, &err), 0);
    CLEANUP(own_freep) char *name = own_format("%smanifests/%s", helper.repo->prefix, id);
    repo_closep(&helper.repo);
    assert_int_equal(
        repo_open_read(&helper.repo, helper.policy, helper.secrets, helper.regions, &wish, &err),
        -1);
    assert_non_null(strstr(err.text, "7351234, 777: name a backup"));
    assert_int_equal(store_put(regions_at(helper.regions, 1)->store, name, &manifest, &err), 0);
    assert_int_equal(
        repo_open_read(&helper.repo, helper.policy, helper.secrets, helper.regions, &wish, &err),
        0);
    assert_int_equal(helper.repo->document.system_identifier, 777);
    repo_closep(&helper.repo);
    wish.backup = "Latest";
    assert_int_equal(
        repo_open_read(&helper.repo, helper.policy, helper.secrets, helper.regions, &wish, &err),
        -1);
}

static void no_repository_says_where_it_looked(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    helper_repo_prepare(&helper, 1, 1);
    assert_int_equal(helper_repo_reopen(&helper, false, 0, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "web.shop/"));
}

static void a_backup_that_is_not_there_is_told_with_those_that_are(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    char id[BACKUP_ID_BYTES];
    struct error err;
    helper_repo_open(&helper, 1, 0);
    assert_int_equal(repo_find_backup(helper.repo, NULL, id, NULL, &err), -1);
    assert_string_equal(err.text, "the repository has no backup yet");
    put_text(&helper, "manifests/20261121T082118Z-full-3fa2", "x");
    put_text(&helper, "manifests/20261121T082119Z-full-0000", "x");
    put_text(&helper, "manifests/not-a-backup", "x");
    assert_int_equal(repo_find_backup(helper.repo, "Latest", id, NULL, &err), 0);
    assert_string_equal(id, "20261121T082119Z-full-0000");
    assert_int_equal(repo_find_backup(helper.repo, "20261121T082118Z-full-3fa2", id, NULL, &err),
                     0);
    assert_string_equal(id, "20261121T082118Z-full-3fa2");
    assert_int_equal(repo_find_backup(helper.repo, "20261121T082118Z-full-3fa3", id, NULL, &err),
                     -1);
    assert_non_null(strstr(err.text, "which has 20261121T082119Z-full-0000"));
}

static void a_backup_is_found_with_the_regions_that_have_it(void **state)
{
    (void)state;
    static const char name[] = "manifests/20261121T082118Z-full-3fa2";
    CLEANUP(helper_repo_close) struct helper_repo helper;
    char id[BACKUP_ID_BYTES];
    uint32_t regions;
    struct error err;
    helper_repo_open(&helper, 2, 0);
    put_text(&helper, name, "x");
    assert_int_equal(repo_find_backup(helper.repo, NULL, id, &regions, &err), 0);
    assert_int_equal(regions, 3);
    CLEANUP(own_freep) char *path = helper_repo_path(&helper, 0, name);
    assert_return_code(unlink(path), errno);
    assert_int_equal(repo_find_backup(helper.repo, NULL, id, &regions, &err), 0);
    assert_int_equal(regions, 2);
}

static void a_region_that_cannot_be_listed_leaves_a_doubt(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    char id[BACKUP_ID_BYTES];
    struct error err, gone;
    helper_repo_open(&helper, 2, 0);
    error_set(&gone, ERROR_TRANSIENT, "it is gone");
    assert_int_equal(regions_lose(helper.regions, 1, &gone), 0);
    assert_int_equal(repo_find_backup(helper.repo, NULL, id, NULL, &err), -1);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    assert_non_null(strstr(err.text, "it is gone"));
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_fetched_by_another_process),
        cmocka_unit_test(opening_twice_makes_no_second_key),
        cmocka_unit_test(a_repository_has_one_writing_cluster),
        cmocka_unit_test(a_repository_from_outside_kubernetes_is_any_clusters),
        cmocka_unit_test(an_object_is_never_overwritten),
        cmocka_unit_test(a_damaged_object_comes_from_the_next_region),
        cmocka_unit_test(a_missing_object_is_named_with_its_region),
        cmocka_unit_test(a_repository_is_read_while_a_region_is_gone),
        cmocka_unit_test(a_region_that_does_not_answer_is_asked_last),
        cmocka_unit_test(a_region_that_hangs_from_the_start_is_read_without),
        cmocka_unit_test(a_region_that_hangs_from_the_start_is_written_without),
        cmocka_unit_test(a_region_that_hangs_fails_a_new_repository),
        cmocka_unit_test(a_new_repository_needs_every_region),
        cmocka_unit_test(an_old_repository_is_written_with_a_quorum),
        cmocka_unit_test(what_is_sealed_is_to_stay),
        cmocka_unit_test(a_lost_quorum_fails_the_put),
        cmocka_unit_test(a_region_that_comes_later_gets_the_keys),
        cmocka_unit_test(a_wrong_key_is_told_with_both_ids),
        cmocka_unit_test(keys_of_an_encrypted_repository_are_never_stored_in_clear),
        cmocka_unit_test(keys_in_clear_are_refused_where_encryption_is_on),
        cmocka_unit_test(a_lost_key_object_is_damage_not_a_wrong_key),
        cmocka_unit_test(a_damaged_key_object_is_corrupt),
        cmocka_unit_test(a_stray_key_object_costs_a_writer_its_region_and_a_reader_nothing),
        cmocka_unit_test(one_regions_damaged_document_is_passed_over),
        cmocka_unit_test(two_repositories_that_both_open_are_a_conflict),
        cmocka_unit_test(a_region_with_a_damaged_key_gets_no_backup),
        cmocka_unit_test(a_damaged_key_object_does_no_harm_where_another_holds_the_key),
        cmocka_unit_test(a_lost_repository_document_is_made_anew_for_the_same_keys),
        cmocka_unit_test(a_repository_of_another_system_is_refused_with_both_names),
        cmocka_unit_test(a_newer_format_asks_for_a_newer_program),
        cmocka_unit_test(a_repository_document_with_a_forged_id_is_corrupt),
        cmocka_unit_test(two_database_systems_under_a_policy_must_be_told_apart),
        cmocka_unit_test(a_backup_tells_its_database_system),
        cmocka_unit_test(no_repository_says_where_it_looked),
        cmocka_unit_test(a_backup_that_is_not_there_is_told_with_those_that_are),
        cmocka_unit_test(a_backup_is_found_with_the_regions_that_have_it),
        cmocka_unit_test(a_region_that_cannot_be_listed_leaves_a_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
