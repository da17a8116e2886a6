// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_repo.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/policy.h"
#include "sidecar/repo.h"
#include "sidecar/secrets.h"

#define POLICY_HEAD                                                                                \
    "apiVersion: lifeboat.dev/v1alpha1\n"                                                          \
    "kind: BackupPolicy\n"                                                                         \
    "metadata: {name: shop, namespace: web}\n"                                                     \
    "spec:\n"                                                                                      \
    "  encryption: {activeKey: k1, keys: [k1]}\n"                                                  \
    "  quorum: %u\n"                                                                               \
    "  regions:\n"
static const char user_key[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
static const char other_key[] = "/////wQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void make_directory(const struct helper_repo *helper, const char *name)
{
    CLEANUP(own_freep) char *path = own_format("%s/%s", helper->directory, name);
    assert_return_code(mkdir(path, 0700), 0);
}

static void write_key(const struct helper_repo *helper, const char *name, const char *key)
{
    struct error err;
    CLEANUP(own_freep) char *path = own_format("%s/secrets/%s", helper->directory, name);
    CLEANUP(own_closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_return_code(fd, 0);
    assert_int_equal(buf_pwrite(fd, key, strlen(key), 0, &err), 0);
}

static void make_secrets(struct helper_repo *helper)
{
    struct error err;
    make_directory(helper, "secrets");
    write_key(helper, "k1", user_key);
    CLEANUP(own_freep) char *directory = own_format("%s/secrets", helper->directory);
    assert_int_equal(secrets_open(&helper->secrets, directory, &err), 0);
}

void helper_repo_change_key(const struct helper_repo *helper)
{
    write_key(helper, "k1", other_key);
}

void helper_repo_rotate_key(struct helper_repo *helper)
{
    struct policy_encryption *encryption = &helper->policy->encryption;
    write_key(helper, "k2", other_key);
    encryption->keys[encryption->key_count++] = encryption->active_key = "k2";
}

static void make_policy(struct helper_repo *helper, size_t regions, unsigned quorum)
{
    struct error err;
    CLEANUP(buf_done) struct buf text = BUF(64 << 10);
    assert_int_equal(buf_format(&text, &err, POLICY_HEAD, quorum), 0);
    for (size_t i = 0; i < regions; i++) {
        char name[24];
        snprintf(name, sizeof(name), "r%zu", i);
        make_directory(helper, name);
        assert_int_equal(buf_format(&text, &err, "  - {name: %s, file: {path: %s/%s}}\n", name,
                                    helper->directory, name),
                         0);
    }
    if (policy_parse(&helper->policy, "policy.yaml", (const char *)text.data, text.size, &err) < 0)
        fail_msg("%s", err.text);
}

void helper_repo_put_manifest(const struct helper_repo *helper, const char *id,
                              const struct manifest_wal_range *wal)
{
    struct error err;
    char name[REPO_NAME_MAX];
    char superuser[] = "postgres", change_source[] = "all";
    CLEANUP(own_freep) char *namespace = own_strdup(helper->policy->namespace);
    CLEANUP(own_freep) char *policy = own_strdup(helper->policy->name);
    struct manifest_wal_range range = *wal;
    struct manifest_index index = {1, 0};
    struct manifest_packs packs = {.first = 1, .last = 1};
    struct manifest manifest = {
        .policy_namespace = namespace,
        .policy_name = policy,
        .system_identifier = helper->repo->document.system_identifier,
        .version_num = 170002,
        .wal_segment_bytes = 16 << 20,
        .bootstrap_superuser = superuser,
        .started_ms = 1795249278000,
        .finished_ms = 1795249278000,
        .start_lsn = range.start_lsn,
        .stop_lsn = range.stop_lsn,
        .wal = &range,
        .wal_count = 1,
        .change_source = change_source,
        .packs = &packs,
        .pack_count = 1,
        .index = &index,
        .index_count = 1,
    };
    snprintf(manifest.id, sizeof(manifest.id), "%s", id);
    snprintf(packs.backup, sizeof(packs.backup), "%s", id);
    CLEANUP(own_freep) char *text = NULL;
    assert_int_equal(manifest_format(&manifest, &text, &err), 0);
    repo_manifest_name(id, name);
    const struct repo_blob blob = {.kind = CONTAINER_MANIFEST,
                                   .name = name,
                                   .plain = text,
                                   .size = strlen(text),
                                   .rule = PUT_NEW};
    assert_int_equal(repo_put_sealed(helper->repo, &blob, NULL, NULL, &err), 0);
}

char *helper_repo_path(const struct helper_repo *helper, size_t region, const char *name)
{
    return own_format("%s/r%zu/%s%s", helper->directory, region, helper->repo->prefix, name);
}

void helper_repo_read_object(const struct helper_repo *helper, size_t region, const char *name,
                             struct buf *content)
{
    struct error err;
    CLEANUP(own_freep) char *path = helper_repo_path(helper, region, name);
    if (buf_read_file(content, AT_FDCWD, path, &err) < 0)
        fail_msg("%s", err.text);
}

void helper_repo_write_object(const struct helper_repo *helper, size_t region, const char *name,
                              const struct buf *content)
{
    struct error err;
    CLEANUP(own_freep) char *path = helper_repo_path(helper, region, name);
    CLEANUP(own_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_return_code(fd, 0);
    assert_int_equal(buf_pwrite(fd, content->data, content->size, 0, &err), 0);
}

void helper_repo_remove_object(const struct helper_repo *helper, size_t region, const char *name)
{
    CLEANUP(own_freep) char *path = helper_repo_path(helper, region, name);
    assert_int_equal(unlink(path), 0);
}

void helper_repo_damage(const struct helper_repo *helper, size_t region, const char *name)
{
    enum { OFFSET = 20 };
    struct error err;
    uint8_t byte;
    CLEANUP(own_freep) char *path = helper_repo_path(helper, region, name);
    CLEANUP(own_closep) int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_return_code(fd, 0);
    assert_int_equal(buf_pread(fd, &byte, 1, OFFSET, &err), 1);
    byte ^= 1;
    assert_int_equal(buf_pwrite(fd, &byte, 1, OFFSET, &err), 0);
}

char *helper_repo_name(const struct helper_repo *helper, const char *prefix)
{
    struct error err;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    if (repo_list(helper->repo, prefix, &names, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(names.count, 1);
    return own_strdup(names.names[0].name);
}

void helper_repo_close(struct helper_repo *helper)
{
    repo_closep(&helper->repo);
    regions_closep(&helper->regions);
    secrets_closep(&helper->secrets);
    policy_freep(&helper->policy);
    cancel_done(&helper->cancel);
    nftw(helper->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void helper_repo_prepare(struct helper_repo *helper, size_t regions, unsigned quorum)
{
    const char *tmp = getenv("TMPDIR");
    struct error err;
    *helper = (struct helper_repo){0};
    assert_int_equal(cancel_init(&helper->cancel, &err), 0);
    snprintf(helper->directory, sizeof(helper->directory), "%s/lifeboat-repo-XXXXXX",
             tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(helper->directory));
    make_secrets(helper);
    make_policy(helper, regions, quorum);
}

int helper_repo_reopen(struct helper_repo *helper, bool write, uint64_t system_identifier,
                       struct error *err)
{
    repo_closep(&helper->repo);
    regions_closep(&helper->regions);
    const struct regions_choice choice = {.patience_ms = helper->patience_ms};
    if (regions_open(&helper->regions, helper->policy, helper->secrets, &choice, &helper->cancel,
                     err) < 0)
        return -1;
    const struct repo_wish wish = {.system_identifier = system_identifier};
    return write ? repo_open_write(&helper->repo, helper->policy, helper->secrets, helper->regions,
                                   system_identifier, err)
                 : repo_open_read(&helper->repo, helper->policy, helper->secrets, helper->regions,
                                  &wish, err);
}

void helper_repo_open(struct helper_repo *helper, size_t regions, uint64_t system_identifier)
{
    struct error err;
    uint64_t system = system_identifier ? system_identifier : HELPER_REPO_SYSTEM;
    helper_repo_prepare(helper, regions, 1);
    if (helper_repo_reopen(helper, true, system, &err) < 0)
        fail_msg("%s", err.text);
}
