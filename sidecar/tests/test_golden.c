// SPDX-License-Identifier: Apache-2.0
/*
 * Repositories that earlier versions made (e2e/golden.py): whatever this version writes, it
 * restores these byte for byte, and finds nothing wrong with them.
 */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/cancel.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "common/text.h"
#include "sidecar/findings.h"
#include "sidecar/policy.h"
#include "sidecar/recovery_settings.h"
#include "sidecar/restore.h"
#include "sidecar/secrets.h"
#include "sidecar/target.h"
#include "sidecar/verify.h"

#define GOLDEN LIFEBOAT_SOURCE "/sidecar/tests/golden/"

enum { FILE_MAX = 64 << 20, OBJECT_MAX = 1 << 20, DESCRIPTORS = 16 };

struct fixture {
    json_t *golden;
    char *directory;
    struct policy *policy;
    struct secrets *secrets;
    struct cancel cancel;
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text)
        fail_msg("no '%s'", key);
    return text;
}

static void unpack_object(const char *directory, const char *name, const json_t *lines)
{
    CLEANUP(buf_done) struct buf coded = BUF(OBJECT_MAX), content = BUF(OBJECT_MAX);
    CLEANUP(own_freep) char *path = own_format("%s/%s", directory, name);
    const json_t *line;
    struct error err;
    size_t index;
    json_array_foreach(lines, index, line) assert_int_equal(
        buf_append(&coded, json_string_value(line), json_string_length(line), &err), 0);
    uint8_t *bytes;
    assert_int_equal(buf_reserve(&content, coded.size, &bytes, &err), 0);
    size_t size;
    assert_true(text_parse_base64((const char *)coded.data, coded.size, bytes, coded.size, &size));
    helper_directory_write(directory, name, ""); /* and its directories */
    CLEANUP(own_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(buf_pwrite(fd, bytes, size, 0, &err), 0);
}

static void unpack(struct fixture *f)
{
    const json_t *policy = json_object_get(f->golden, "policy"), *lines;
    const char *name_space = text_of(policy, "namespace"), *name = text_of(policy, "name"), *object;
    struct error err;
    CLEANUP(own_freep)
    char *repository = own_format("%s/bucket/%s.%s/%s", f->directory, name_space, name,
                                  text_of(f->golden, "systemIdentifier"));
    json_object_foreach(json_object_get(f->golden, "objects"), object, lines)
        unpack_object(repository, object, lines);
    helper_directory_write(f->directory, "secrets/k1", text_of(f->golden, "userKey"));
    CLEANUP(own_freep) char *secrets = own_format("%s/secrets", f->directory);
    CLEANUP(own_freep)
    char *text = own_format("apiVersion: lifeboat.dev/v1alpha1\n"
                            "kind: BackupPolicy\n"
                            "metadata: {name: %s, namespace: %s}\n"
                            "spec:\n"
                            "  encryption: {activeKey: k1, keys: [k1]}\n"
                            "  regions: [{name: here, file: {path: %s/bucket}}]\n",
                            name, name_space, f->directory);
    if (secrets_open(&f->secrets, secrets, &err) < 0 ||
        policy_parse(&f->policy, "policy.yaml", text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
}

static void open_golden(struct fixture *f, const char *file)
{
    struct error err;
    json_error_t why;
    log_set_level(LOG_LEVEL_ERROR);
    f->golden = json_load_file(file, 0, &why);
    if (!f->golden)
        fail_msg("%s: %s", file, why.text);
    f->directory = helper_directory_new();
    assert_int_equal(cancel_init(&f->cancel, &err), 0);
    unpack(f);
}

static void close_golden(struct fixture *f)
{
    secrets_closep(&f->secrets);
    policy_freep(&f->policy);
    cancel_done(&f->cancel);
    helper_directory_remove(f->directory);
    json_decref(f->golden);
}

/* Without what a restore of this version adds to it. */
static void take_off_settings(const char *relative, struct buf *content)
{
    const char *name = strrchr(relative, '/');
    if (strcmp(name ? name + 1 : relative, RECOVERY_SETTINGS_PATH) != 0)
        return;
    CLEANUP(own_freep) char *text = buf_string(content), *added = recovery_settings_apply("", NULL);
    char *at = strstr(text, added);
    assert_non_null(at);
    content->size = (size_t)(at - text);
}

/* What was restored, against what should be; nftw has no argument for them. */
static const char *restored;
static json_t *expected; /* path: "mode size SHA-256" */
static size_t compared;

static int compare_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
    const char *relative = path + strlen(restored) + 1;
    uint8_t digest[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    struct error err;
    if (type != FTW_F || strcmp(path + at->base, "backup_manifest") == 0) /* has today's date */
        return 0;
    CLEANUP(buf_done) struct buf content = BUF(FILE_MAX);
    if (buf_read_file(&content, AT_FDCWD, path, &err) < 0)
        fail_msg("%s", err.text);
    take_off_settings(relative, &content);
    digest_sha256(content.data, content.size, digest);
    text_hex(digest, sizeof(digest), hex);
    CLEANUP(own_freep)
    char *found = own_format("%o %zu %s", st->st_mode & 07777, content.size, hex);
    const char *wanted = json_string_value(json_object_get(expected, relative));
    if (!wanted || strcmp(found, wanted) != 0)
        fail_msg("%s is '%s', not '%s'", relative, found, wanted ? wanted : "there");
    compared++;
    return 0;
}

static void compare(const char *directory)
{
    const char *path;
    const json_t *description;
    size_t wanted = 0;
    restored = directory;
    compared = 0;
    assert_int_equal(nftw(directory, compare_file, DESCRIPTORS, 0), 0); /* through links */
    json_object_foreach(expected, path, description) wanted += json_is_string(description);
    assert_int_equal(compared, wanted);
}

static void restore(struct fixture *f, const json_t *backup)
{
    struct restore_result unused;
    struct error err;
    const char *id = text_of(backup, "id");
    CLEANUP(own_freep) char *to = own_format("%s/%s", f->directory, id);
    CLEANUP(own_freep) char *fast = own_format("%s/%s-fast", f->directory, id);
    const struct target_tablespace tablespace = {text_of(backup, "tablespace"), fast};
    const struct restore_options options = {
        .policy = f->policy,
        .secrets = f->secrets,
        .to = to,
        .backup = id,
        .tablespaces = &tablespace,
        .tablespace_count = 1,
        .cancel = &f->cancel,
    };
    if (restore_run(&options, &unused, &err) < 0)
        fail_msg("%s: %s", id, err.text);
    compare(to);
}

static void verify(struct fixture *f)
{
    CLEANUP(findings_freep) struct findings *findings = findings_new();
    struct verify_result result;
    struct error err;
    const struct verify_options options = {
        .policy = f->policy,
        .secrets = f->secrets,
        .sample = {.percent = 100, .seed = 1},
        .cancel = &f->cancel,
    };
    const struct finding *kept;
    size_t count;
    if (verify_run(&options, findings, &result, &err) < 0)
        fail_msg("%s", err.text);
    if (findings_get(findings, false, &kept, &count) > 0)
        fail_msg("%s: %s", kept[0].object, kept[0].text);
    assert_int_equal(result.backups, json_array_size(json_object_get(f->golden, "backups")));
}

static void format_1_is_restored_byte_for_byte(void **state)
{
    (void)state;
    struct fixture f = {0};
    const json_t *backup;
    size_t index;
    open_golden(&f, GOLDEN "format-1.json");
    verify(&f);
    expected = json_object();
    json_array_foreach(json_object_get(f.golden, "backups"), index, backup)
    {
        json_object_update(expected, json_object_get(backup, "files"));
        restore(&f, backup);
    }
    assert_int_equal(index, 3);
    json_decref(expected);
    close_golden(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_1_is_restored_byte_for_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
