// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/manifest.h"

static const char id[] = "20261121T082118Z-incr-3fa2";
static const char parent[] = "20261121T072118Z-full-0001";

/* Every field with a value of its own. */
static struct manifest full_manifest(void)
{
    struct manifest m = {
        .type = BACKUP_INCREMENTAL,
        .policy_namespace = own_strdup("default"),
        .policy_name = own_strdup("shop"),
        .system_identifier = 7351234567890123456,
        .version_num = 170007,
        .wal_segment_bytes = 16 << 20,
        .checksums = true,
        .bootstrap_superuser = own_strdup("postgres"),
        .source_pod = own_strdup("shop-0"),
        .source_region = own_strdup("eu"),
        .from_standby = true,
        .backup_name = own_strdup("shop-nightly-202611210820"),
        .backup_uid = own_strdup("0b5b1a4e-1f5c-4a5e-9d0a-5a1d0c4f7f11"),
        .started_ms = 1795249278093,
        .finished_ms = 1795249300000,
        .start_lsn = 0x1A2B3C4,
        .stop_lsn = 0x500000000,
        .files = 1234,
        .bytes_total = 1,
        .bytes_read = 2,
        .bytes_stored = 3,
        .bytes_reused = UINT64_C(1) << 60,
        .page_error_count = 77,
        .change_source = own_strdup("walSummaries"),
        .fallback = own_strdup("the parent was retired"),
    };
    memcpy(m.id, id, sizeof(id));
    memcpy(m.parent, parent, sizeof(parent));
    m.wal = own_alloc(2 * sizeof(*m.wal));
    m.wal[m.wal_count++] = (struct manifest_wal_range){1, 0x1A2B3C4, 0x400000000};
    m.wal[m.wal_count++] = (struct manifest_wal_range){2, 0x400000000, 0x500000000};
    m.page_errors = own_alloc(sizeof(*m.page_errors));
    m.page_errors[m.page_error_shown++] =
        (struct manifest_page_error){own_strdup("base/5/1259"), UINT32_MAX};
    m.packs = own_alloc(2 * sizeof(*m.packs));
    m.packs[m.pack_count] = (struct manifest_packs){.first = 2, .last = 5};
    memcpy(m.packs[m.pack_count++].backup, parent, sizeof(parent));
    m.packs[m.pack_count] = (struct manifest_packs){.first = 1, .last = 1};
    memcpy(m.packs[m.pack_count++].backup, id, sizeof(id));
    m.index = own_alloc(sizeof(*m.index));
    m.index[m.index_count++] = (struct manifest_index){1, 1023};
    m.witnesses = own_alloc(sizeof(*m.witnesses));
    memcpy(m.witnesses[0].backup, parent, sizeof(parent));
    memset(m.witnesses[m.witness_count++].sha256, 0xAB, 32);
    return m;
}

static int parse(const json_t *json, struct manifest *ret_manifest, struct error *err)
{
    CLEANUP(own_freep) char *text = json_dumps(json, JSON_ENCODE_ANY);
    *err = (struct error){0};
    return manifest_parse(text, strlen(text), ret_manifest, err);
}

static void a_manifest_comes_back_as_it_was(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(manifest_done) struct manifest manifest = full_manifest(), back = {0};
    CLEANUP(own_freep) char *text = NULL;
    assert_int_equal(manifest_format(&manifest, &text, &err), 0);
    assert_int_equal(manifest_parse(text, strlen(text), &back, &err), 0);
    json_auto_t *one = manifest_to_json(&manifest), *two = manifest_to_json(&back);
    assert_true(json_equal(one, two));
    assert_string_equal(back.id, id);
    assert_string_equal(back.parent, parent);
    assert_int_equal(back.type, BACKUP_INCREMENTAL);
    assert_true(back.system_identifier == 7351234567890123456);
    assert_true(back.from_standby && back.checksums);
    assert_int_equal(back.stop_lsn, 0x500000000);
    assert_int_equal(back.started_ms, 1795249278093);
    assert_int_equal(back.bytes_reused, UINT64_C(1) << 60);
    assert_int_equal(back.wal[1].timeline, 2);
    assert_int_equal(back.page_errors[0].block, UINT32_MAX);
    assert_int_equal(back.packs[0].last, 5);
    assert_int_equal(back.index[0].frame, 1023);
    assert_int_equal(back.witnesses[0].sha256[31], 0xAB);
}

static void what_a_backup_outside_kubernetes_has_not_is_null(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(manifest_done) struct manifest manifest = full_manifest(), back = {0};
    own_freep(&manifest.source_pod);
    own_freep(&manifest.source_region);
    own_freep(&manifest.backup_name);
    own_freep(&manifest.backup_uid);
    own_freep(&manifest.fallback);
    CLEANUP(own_freep) char *text = NULL;
    assert_int_equal(manifest_format(&manifest, &text, &err), 0);
    assert_non_null(strstr(text, "\"backup\":null"));
    assert_int_equal(manifest_parse(text, strlen(text), &back, &err), 0);
    assert_null(back.source_pod);
    assert_null(back.backup_name);
    assert_null(back.fallback);
}

/* Each member of the root in turn is left out; then it has the wrong type. */
static void a_missing_or_mistyped_field_is_corrupt(void **state)
{
    (void)state;
    CLEANUP(manifest_done) struct manifest manifest = full_manifest();
    json_auto_t *json = manifest_to_json(&manifest);
    const char *name;
    json_t *value;
    json_object_foreach(json, name, value)
    {
        struct error err;
        struct manifest back;
        json_auto_t *without = json_copy(json), *other = json_copy(json);
        json_object_del(without, name);
        bool optional = strcmp(name, "backup") == 0 || strcmp(name, "fallback") == 0;
        if (!optional) {
            assert_int_equal(parse(without, &back, &err), -1);
            assert_int_equal(err.kind, ERROR_CORRUPT);
        }
        json_object_set_new(other, name, json_real(0.5));
        assert_int_equal(parse(other, &back, &err), -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
        if (strcmp(name, "format") != 0 && !strstr(err.text, name))
            fail_msg("'%s' does not name '%s'", err.text, name);
    }
}

/* Replaces the value at a path of up to three steps ("wal", "0", "stop"). */
static void assert_corrupt_with(const char *const path[3], json_t *value)
{
    CLEANUP(manifest_done) struct manifest manifest = full_manifest();
    json_auto_t *json = manifest_to_json(&manifest);
    json_t *at = json;
    const char *last = path[0];
    for (size_t i = 1; i < 3 && path[i]; i++) {
        at = json_is_array(at) ? json_array_get(at, (size_t)(*last - '0'))
                               : json_object_get(at, last);
        last = path[i];
    }
    if (json_is_array(at))
        json_array_set_new(at, (size_t)(*last - '0'), value);
    else
        json_object_set_new(at, last, value);
    struct error err;
    struct manifest back;
    if (parse(json, &back, &err) == 0)
        fail_msg("%s.%s.%s was not seen", path[0], path[1], path[2]);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

#define CORRUPT_WITH(value, ...) assert_corrupt_with((const char *const[3]){__VA_ARGS__}, value)

static void a_value_that_cannot_be_is_corrupt(void **state)
{
    (void)state;
    CORRUPT_WITH(json_string("latest"), "id");
    CORRUPT_WITH(json_string("20261121T082118Z-full-3fa2"), "id"); /* of another type */
    CORRUPT_WITH(json_string("Full"), "type");
    CORRUPT_WITH(json_null(), "parent");
    CORRUPT_WITH(json_string("../other"), "parent");
    CORRUPT_WITH(json_integer(5), "systemIdentifier");
    CORRUPT_WITH(json_string("18446744073709551616"), "systemIdentifier");
    CORRUPT_WITH(json_integer(1), "policy", "more");
    CORRUPT_WITH(json_integer((16 << 20) + 1), "postgresql", "walSegmentBytes");
    CORRUPT_WITH(json_integer(-1), "postgresql", "version");
    CORRUPT_WITH(json_string("cascade"), "source", "role");
    CORRUPT_WITH(json_null(), "backup", "uid");
    CORRUPT_WITH(json_string("yesterday"), "started");
    CORRUPT_WITH(json_string("0/0"), "stopLSN"); /* before the start */
    CORRUPT_WITH(json_integer(0), "wal", "0", "timeline");
    CORRUPT_WITH(json_string("0/0"), "wal", "1", "stop");
    CORRUPT_WITH(json_null(), "wal", "1");
    CORRUPT_WITH(json_integer(-1), "files");
    CORRUPT_WITH(json_integer(-1), "bytes", "stored");
    CORRUPT_WITH(json_integer(0), "pageErrors", "count"); /* fewer than shown */
    CORRUPT_WITH(json_string("mtime"), "changeSource");
    CORRUPT_WITH(json_integer(0), "packs", "0", "first");
    CORRUPT_WITH(json_integer(1), "packs", "0", "last");
    CORRUPT_WITH(json_integer(INT64_C(1) << 32), "packs", "0", "last");
    CORRUPT_WITH(json_string("x"), "packs", "0", "backup");
    CORRUPT_WITH(json_integer(1024), "index", "0", "frame");
    CORRUPT_WITH(json_string("abcd"), "witnesses", "0", "sha256");
    CORRUPT_WITH(json_string("misspelt"), "witness");
}

static void huge_lists_are_corrupt(void **state)
{
    (void)state;
    static const char *const lists[] = {"wal", "packs", "index", "witnesses"};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        json_t *list = json_array();
        for (size_t n = 0; n <= MANIFEST_LIST_MAX; n++)
            json_array_append_new(list, json_object());
        CORRUPT_WITH(list, lists[i]);
    }
    json_t *list = json_array();
    for (size_t n = 0; n <= MANIFEST_PAGE_ERRORS_MAX; n++)
        json_array_append_new(list, json_object());
    CORRUPT_WITH(list, "pageErrors", "first");
}

static void what_is_no_json_object_is_corrupt(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",        "[]", "null", "{", "{\"format\":1}", "{\"format\":0}", "{}", "{\"a\":1,\"a\":1}",
        "\xff\xfe"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct error err;
        struct manifest back;
        assert_int_equal(manifest_parse(texts[i], strlen(texts[i]), &back, &err), -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
    }
}

static void deep_nesting_is_corrupt(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *text = own_alloc(100000);
    memset(text, '[', 99999);
    struct error err;
    struct manifest back;
    assert_int_equal(manifest_parse(text, 99999, &back, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

static void a_newer_format_is_no_damage(void **state)
{
    (void)state;
    static const char text[] = "{\"format\": 2, \"id\": {\"what\": \"ever\"}}";
    struct error err;
    struct manifest back;
    assert_int_equal(manifest_parse(text, strlen(text), &back, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "newer"));
}

static void a_manifest_that_is_too_large_is_not_written_and_not_read(void **state)
{
    (void)state;
    CLEANUP(manifest_done) struct manifest manifest = full_manifest();
    free(manifest.fallback);
    manifest.fallback = own_alloc(MANIFEST_BYTES_MAX + 1);
    memset(manifest.fallback, 'x', MANIFEST_BYTES_MAX);
    struct error err;
    char *text = NULL;
    assert_int_equal(manifest_format(&manifest, &text, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_null(text);
    struct manifest back;
    assert_int_equal(manifest_parse(manifest.fallback, MANIFEST_BYTES_MAX + 1, &back, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

static void a_text_that_is_not_utf8_is_not_written(void **state)
{
    (void)state;
    CLEANUP(manifest_done) struct manifest manifest = full_manifest();
    manifest.page_errors[0].path[0] = '\xff';
    struct error err;
    char *text = NULL;
    assert_int_equal(manifest_format(&manifest, &text, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_comes_back_as_it_was),
        cmocka_unit_test(what_a_backup_outside_kubernetes_has_not_is_null),
        cmocka_unit_test(a_missing_or_mistyped_field_is_corrupt),
        cmocka_unit_test(a_value_that_cannot_be_is_corrupt),
        cmocka_unit_test(huge_lists_are_corrupt),
        cmocka_unit_test(what_is_no_json_object_is_corrupt),
        cmocka_unit_test(deep_nesting_is_corrupt),
        cmocka_unit_test(a_newer_format_is_no_damage),
        cmocka_unit_test(a_manifest_that_is_too_large_is_not_written_and_not_read),
        cmocka_unit_test(a_text_that_is_not_utf8_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
