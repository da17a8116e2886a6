// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_restore.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/cancel.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/crc32c.h"
#include "sidecar/recovery_settings.h"
#include "sidecar/restore.h"
#include "sidecar/target.h"
#include "sidecar/tests/helper_backup.h"
#include "common/tests/helper_directory.h"

enum { FILE_MAX = 64 << 20, DESCRIPTORS = 16, FILES_MIN = 20 };

/* Where the walk, which has no argument, is. */
static const struct helper_backup *source;
static const char *where;
static size_t files_compared;

int helper_restore(const struct helper_backup *from, const char *directory,
                   const struct restore_options *extra, struct restore_result *ret_result,
                   struct error *err)
{
    struct cancel own;
    CLEANUP(own_freep) char *to = own_format("%s/pg", directory);
    CLEANUP(own_freep) char *fast = own_format("%s/fast", directory);
    const struct target_tablespace tablespace = {from->tablespace, fast};
    struct restore_options options = *extra;
    assert_int_equal(cancel_init(&own, err), 0);
    options.policy = from->repo.policy;
    options.secrets = from->repo.secrets;
    options.to = to;
    options.tablespaces = &tablespace;
    options.tablespace_count = 1;
    if (!options.cancel)
        options.cancel = &own;
    int result = restore_run(&options, ret_result, err);
    cancel_done(&own);
    return result;
}

static void read_file(struct buf *content, const char *directory, const char *path)
{
    CLEANUP(own_freep) char *full = own_format("%s/%s", directory, path);
    struct error err;
    if (buf_read_file(content, AT_FDCWD, full, &err) < 0)
        fail_msg("%s", err.text);
}

/* A restore adds to them, once. */
static void compare_settings(const struct buf *original, const struct buf *restored)
{
    CLEANUP(own_freep) char *before = buf_string(original), *after = buf_string(restored);
    CLEANUP(own_freep) char *wanted = recovery_settings_apply(before, NULL);
    assert_string_equal(after, wanted);
}

static int compare_item(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)at;
    const char *relative = path + strlen(source->tree.data);
    CLEANUP(own_freep) char *other = own_format("%s/pg%s", where, relative);
    struct stat restored;
    if (lstat(other, &restored) < 0)
        fail_msg("'%s' is missing", other);
    assert_int_equal(restored.st_mode, st->st_mode);
    if (type != FTW_F)
        return 0;
    CLEANUP(buf_done) struct buf a = BUF(FILE_MAX), b = BUF(FILE_MAX);
    read_file(&a, "", path);
    read_file(&b, "", other);
    if (strcmp(relative, "/" RECOVERY_SETTINGS_PATH) == 0) {
        compare_settings(&a, &b);
        return 0;
    }
    assert_int_equal(a.size, b.size);
    if (a.size > 0 && memcmp(a.data, b.data, a.size) != 0)
        fail_msg("'%s' has other bytes", other);
    if (strcmp(relative, "/global/pg_control") != 0) /* it has the time of the backup */
        assert_int_equal(restored.st_mtime, st->st_mtime);
    files_compared++;
    return 0;
}

/* What a restore adds to what the source has. */
static bool is_added(const char *path)
{
    static const char *const names[] = {"/backup_label", "/backup_manifest", "/postgresql.conf",
                                        "/pg_hba.conf", "/pg_ident.conf"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(path, names[i]) == 0)
            return true;
    return text_starts_with(path, "/pg_wal/");
}

static int expect_in_source(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    const char *relative = path + strlen(where) + strlen("/pg");
    CLEANUP(own_freep) char *other = own_format("%s%s", source->tree.data, relative);
    struct stat unused;
    if (lstat(other, &unused) < 0 && !is_added(relative))
        fail_msg("'%s' is none of the backup's", path);
    return 0;
}

void helper_restore_expect_source(const struct helper_backup *from, const char *directory)
{
    CLEANUP(buf_done) struct buf content = BUF(FILE_MAX), original = BUF(FILE_MAX);
    CLEANUP(own_freep) char *pg = own_format("%s/pg", directory);
    source = from;
    where = directory;
    files_compared = 0;
    assert_int_equal(nftw(from->tree.data, compare_item, DESCRIPTORS, FTW_PHYS), 0);
    assert_true(files_compared > FILES_MIN);
    assert_int_equal(nftw(pg, expect_in_source, DESCRIPTORS, FTW_PHYS), 0);
    read_file(&content, directory, "fast/" HELPER_TREE_VERSION "/5/200");
    read_file(&original, from->tablespace, HELPER_TREE_VERSION "/5/200");
    assert_int_equal(content.size, 5 * 8192);
    assert_memory_equal(content.data, original.data, content.size);
    helper_directory_expect(directory, "pg/backup_label", HELPER_BACKUP_LABEL);
}

size_t helper_restore_check_manifest(const char *directory)
{
    CLEANUP(buf_done) struct buf text = BUF(FILE_MAX), content = BUF(FILE_MAX);
    read_file(&text, directory, "pg/backup_manifest");
    json_t *root = json_loadb((const char *)text.data, text.size, 0, NULL);
    const json_t *files = json_object_get(root, "Files"), *file;
    size_t index;
    assert_int_equal(
        json_integer_value(json_object_get(root, "PostgreSQL-Backup-Manifest-Version")), 2);
    json_array_foreach(files, index, file)
    {
        uint8_t crc[4];
        CLEANUP(own_freep)
        char *path = own_format("pg/%s", json_string_value(json_object_get(file, "Path")));
        read_file(&content, directory, path);
        assert_int_equal(content.size, json_integer_value(json_object_get(file, "Size")));
        assert_true(text_parse_hex(json_string_value(json_object_get(file, "Checksum")), crc, 4));
        if (bytes_load32(crc) != crc32c_extend(0, content.data, content.size))
            fail_msg("the CRC of '%s' is wrong", path);
    }
    size_t count = json_array_size(files);
    json_decref(root);
    return count;
}
