// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/digest.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/crc32c.h"
#include "sidecar/manifest.h"
#include "sidecar/pg_backup_manifest.h"

static struct manifest_wal_range ranges[] = {
    {.timeline = 2, .start_lsn = 0x2000060, .stop_lsn = 0x2000138},
    {.timeline = 1, .start_lsn = 0x2000028, .stop_lsn = 0x2000060},
};

static struct manifest manifest_of(uint32_t version_num, size_t wal_count)
{
    return (struct manifest){.version_num = version_num,
                             .system_identifier = 7351234567890123456,
                             .wal = ranges,
                             .wal_count = wal_count};
}

/* The document as text, own_freep. */
static char *format(const struct manifest *manifest, const struct pg_backup_manifest_file *files,
                    size_t count)
{
    CLEANUP(buf_done) struct buf text = BUF(1 << 20);
    struct error err;
    if (pg_backup_manifest_format(manifest, files, count, &text, &err) < 0)
        fail_msg("%s", err.text);
    return buf_string(&text);
}

/* body, and the last line with the SHA-256 of body. */
static void assert_document(const char *document, const char *body)
{
    uint8_t hash[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    digest_sha256(body, strlen(body), hash);
    text_hex(hash, sizeof(hash), hex);
    CLEANUP(own_freep)
    char *expected = own_format("%s\"Manifest-Checksum\": \"%s\"}\n", body, hex);
    assert_string_equal(document, expected);
}

static void up_to_postgresql_16_the_version_is_1(void **state)
{
    (void)state;
    const struct manifest manifest = manifest_of(160004, 1);
    const struct pg_backup_manifest_file files[] = {
        {.path = "PG_VERSION",
         .size = 9,
         .mtime_s = 1783900800,
         .crc32c = crc32c_extend(0, "123456789", 9)},
        {.path = "base/5/1259", .size = 5368709120, .mtime_s = 951782399, .crc32c = 0x0a0b0c0d},
    };
    CLEANUP(own_freep) char *document = format(&manifest, files, ARRAY_SIZE(files));
    assert_document(
        document, "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n"
                  "\"Files\": [\n"
                  "{ \"Path\": \"PG_VERSION\", \"Size\": 9, \"Last-Modified\": "
                  "\"2026-07-13 00:00:00 GMT\", \"Checksum-Algorithm\": \"CRC32C\", "
                  "\"Checksum\": \"839206e3\" },\n"
                  "{ \"Path\": \"base/5/1259\", \"Size\": 5368709120, \"Last-Modified\": "
                  "\"2000-02-28 23:59:59 GMT\", \"Checksum-Algorithm\": \"CRC32C\", "
                  "\"Checksum\": \"0d0c0b0a\" }\n"
                  "],\n"
                  "\"WAL-Ranges\": [\n"
                  "{ \"Timeline\": 2, \"Start-LSN\": \"0/2000060\", \"End-LSN\": \"0/2000138\" }\n"
                  "],\n");
}

static void from_postgresql_17_on_the_system_identifier_is_in_it(void **state)
{
    (void)state;
    const struct manifest manifest = manifest_of(170000, 2);
    CLEANUP(own_freep) char *document = format(&manifest, NULL, 0);
    assert_document(
        document, "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n"
                  "\"System-Identifier\": 7351234567890123456,\n"
                  "\"Files\": [\n"
                  "],\n"
                  "\"WAL-Ranges\": [\n"
                  "{ \"Timeline\": 2, \"Start-LSN\": \"0/2000060\", \"End-LSN\": \"0/2000138\" },\n"
                  "{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000060\" }\n"
                  "],\n");
}

static void expect_in_document(const char *path, int64_t mtime_s, const char *expected)
{
    const struct manifest manifest = manifest_of(150000, 1);
    const struct pg_backup_manifest_file file = {.path = path, .mtime_s = mtime_s};
    CLEANUP(own_freep) char *document = format(&manifest, &file, 1);
    if (!strstr(document, expected))
        fail_msg("no %s in %s", expected, document);
}

static void a_path_that_is_not_utf8_is_written_in_hexadecimal(void **state)
{
    (void)state;
    expect_in_document("caf\xe9/1", 0, "{ \"Encoded-Path\": \"636166e92f31\", \"Size\": 0");
}

static void a_path_is_quoted_as_json(void **state)
{
    (void)state;
    expect_in_document("a\"b\\c\nd", 0, "\"Path\": \"a\\\"b\\\\c\\nd\"");
    expect_in_document("gr\xc3\xb6\xc3\x9f"
                       "e",
                       0,
                       "\"Path\": \"gr\xc3\xb6\xc3\x9f"
                       "e\"");
}

static void times_that_no_calendar_has_are_bounded(void **state)
{
    (void)state;
    expect_in_document("a", -5, "\"1970-01-01 00:00:00 GMT\"");
    expect_in_document("a", INT64_MIN, "\"1970-01-01 00:00:00 GMT\"");
    expect_in_document("a", INT64_MAX, "\"9999-12-31 23:59:59 GMT\"");
}

static void a_document_larger_than_the_limit_is_an_error(void **state)
{
    (void)state;
    const struct manifest manifest = manifest_of(150000, 1);
    const struct pg_backup_manifest_file file = {.path = "base/5/1259"};
    CLEANUP(own_freep) char *document = format(&manifest, &file, 1);
    for (size_t limit = 0; limit < strlen(document); limit++) {
        CLEANUP(buf_done) struct buf text = BUF(limit);
        struct error err;
        assert_int_equal(pg_backup_manifest_format(&manifest, &file, 1, &text, &err), -1);
        assert_int_equal(err.kind, ERROR_PERMANENT);
    }
}

static void the_checksum_covers_only_the_document(void **state)
{
    (void)state;
    const struct manifest manifest = manifest_of(150000, 1);
    CLEANUP(own_freep) char *alone = format(&manifest, NULL, 0);
    CLEANUP(buf_done) struct buf text = BUF(1 << 20);
    struct error err;
    assert_int_equal(buf_format(&text, &err, "before"), 0);
    assert_int_equal(pg_backup_manifest_format(&manifest, NULL, 0, &text, &err), 0);
    assert_int_equal(text.size, strlen("before") + strlen(alone));
    assert_memory_equal(text.data + strlen("before"), alone, strlen(alone));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(up_to_postgresql_16_the_version_is_1),
        cmocka_unit_test(from_postgresql_17_on_the_system_identifier_is_in_it),
        cmocka_unit_test(a_path_that_is_not_utf8_is_written_in_hexadecimal),
        cmocka_unit_test(a_path_is_quoted_as_json),
        cmocka_unit_test(times_that_no_calendar_has_are_bounded),
        cmocka_unit_test(a_document_larger_than_the_limit_is_an_error),
        cmocka_unit_test(the_checksum_covers_only_the_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
