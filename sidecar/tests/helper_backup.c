// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_backup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/crew.h"
#include "common/own.h"
#include "sidecar/backup_index.h"
#include "sidecar/crc32c.h"
#include "sidecar/entry.h"
#include "sidecar/manifest.h"
#include "sidecar/pg_control.h"
#include "sidecar/repo.h"
#include "sidecar/scan.h"
#include "sidecar/source.h"
#include "sidecar/wal_archive.h"

enum {
    BUFFERS = 3,
    SMALL_FILES = 300,
    SCATTERED_PAGES = 900,
    LARGE_BYTES = (15 << 20) + 5,
    START_LSN = 0x100028,
    SWITCH_LSN = 0x180000, /* to timeline 2 */
    STOP_LSN = 0x200100,
};

static void check(int result, const char *what, const struct error *err)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, err->text);
    abort();
}

/* Bytes that do not compress. */
static void fill(uint8_t *data, size_t size, uint64_t state)
{
    for (size_t i = 0; i < size; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        data[i] = (uint8_t)(state >> 56);
    }
}

static void make_control(const struct helper_tree *tree)
{
    enum { CRC = 288 }; /* in version 1300 */
    uint8_t control[PG_CONTROL_BYTES] = {0};
    const double format = 1234567.0;
    bytes_store64(control, HELPER_REPO_SYSTEM);
    bytes_store32(control + 8, 1300);
    bytes_store32(control + 12, 202406281);
    bytes_store32(control + 16, PG_CONTROL_IN_PRODUCTION);
    bytes_store32(control + 172, 1);  /* wal_level replica */
    bytes_store32(control + 180, 77); /* max_connections */
    bytes_store32(control + 204, 8);
    memcpy(control + 208, &format, sizeof(format));
    bytes_store32(control + 216, 8192);
    bytes_store32(control + 220, 131072);
    bytes_store32(control + 228, HELPER_BACKUP_SEGMENT);
    bytes_store32(control + CRC, crc32c_extend(0, control, CRC));
    helper_tree_file(tree, "global/pg_control", control, sizeof(control));
}

static void make_directories(struct helper_backup *backup)
{
    static const char *const names[] = {
        "base/5",      "pg_commit_ts",          "pg_dynshmem",         "pg_logical",
        "pg_notify",   "pg_replslot",           "pg_serial",           "pg_snapshots",
        "pg_stat",     "pg_stat_tmp",           "pg_subtrans",         "pg_tblspc",
        "pg_twophase", "pg_wal/archive_status", "pg_multixact/members"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        helper_tree_directory(&backup->tree, names[i]);
    snprintf(backup->tablespace, sizeof(backup->tablespace), "%s/fast", backup->tree.directory);
    if (mkdir(backup->tablespace, 0700) < 0)
        abort();
    helper_tree_link(&backup->tree, "pg_tblspc/16385", backup->tablespace);
}

static void make_files(struct helper_backup *backup)
{
    const struct helper_tree *tree = &backup->tree;
    CLEANUP(own_freep) uint8_t *large = own_alloc(LARGE_BYTES);
    fill(large, LARGE_BYTES, 1);
    helper_tree_file(tree, "pg_stat/large", large, LARGE_BYTES);
    helper_tree_pages(tree, "base/5/100", 0, 0, 300);
    helper_tree_text(tree, "base/5/101", "");
    helper_tree_write(tree, "base/5/102", 0, NULL, 40 * 8192);
    helper_tree_write(tree, "base/5/103", 0, NULL, 40 * 8192);
    helper_tree_pages(tree, "base/5/103", 0, 20, 22);
    for (uint32_t i = 0; i < SCATTERED_PAGES; i++) /* a map that is too long for its entry */
        helper_tree_pages(tree, "base/5/104", 0, 2 * i, 2 * i + 1);
    helper_tree_text(tree, "postgresql.auto.conf", "# x\n");
    helper_tree_pages(tree, "pg_tblspc/16385/" HELPER_TREE_VERSION "/5/200", 0, 0, 5);
    for (unsigned i = 0; i < SMALL_FILES; i++) {
        CLEANUP(own_freep) char *path = own_format("pg_multixact/members/%04X", i);
        helper_tree_text(tree, path, path);
    }
}

/* Timeline 1 to the switch, in a complete segment; timeline 2 in one and in the start of another.
 */
static void archive_wal(struct helper_backup *backup, uint64_t *stored)
{
    static const struct wal_piece pieces[] = {
        {.timeline = 1, .segment_lsn = 0x100000, .to = HELPER_BACKUP_SEGMENT},
        {.timeline = 2, .segment_lsn = 0x100000, .to = HELPER_BACKUP_SEGMENT},
        {.timeline = 2, .segment_lsn = 0x200000, .to = 0x100},
    };
    static const char history[] = "1\t0/180000\tno recovery target specified\n";
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        struct wal_piece piece = pieces[i];
        piece.segment_bytes = HELPER_BACKUP_SEGMENT;
        check(wal_archive_put(backup->repo.repo, &piece, backup->wal + piece.segment_lsn, stored,
                              &err),
              "archive WAL", &err);
    }
    check(wal_archive_put_history(backup->repo.repo, 2, history, strlen(history), stored, &err),
          "archive history", &err);
}

static void add_content(struct packer *packer, const char *path, const struct buf *content,
                        struct entry *ret_entry)
{
    CLEANUP(own_freep) char *copy = own_strdup(path);
    const struct entry metadata = {
        .path = copy, .type = ENTRY_FILE, .mode = 0600, .mtime_s = 1700000000};
    struct error err;
    check(scan_add_content(packer, &metadata, content->data, content->size, ret_entry, &err), path,
          &err);
}

/* What does not come from the walk, and the index. */
static void finish_packs(struct helper_backup *backup, struct helper_packs *packs,
                         const struct backup_index *files, struct manifest *manifest)
{
    CLEANUP(buf_done) struct buf control = BUF(PG_CONTROL_BYTES), label = BUF(100);
    CLEANUP(packer_freep) struct packer *packer = packer_new(&packs->options);
    struct pg_control parsed;
    struct entry content[2];
    struct error err;
    check(buf_append(&label, HELPER_BACKUP_LABEL, strlen(HELPER_BACKUP_LABEL), &err), "label",
          &err);
    check(source_read_control(files->source, &backup->repo.cancel, &control, &parsed, &err),
          "read pg_control", &err);
    add_content(packer, "backup_label", &label, &content[0]);
    check(packer_end_frame(packer, &err), "end frame", &err);
    add_content(packer, "global/pg_control", &control, &content[1]);
    const struct backup_index index = {
        .scan = files->scan, .source = files->source, .content = content, .content_count = 2};
    check(backup_index_write(&index, packer, manifest, &err), "write index", &err);
    check(packer_flush(packer, &err), "flush", &err);
    entry_done(&content[0]);
    entry_done(&content[1]);
}

static void copy_files(struct helper_backup *backup, struct manifest *manifest)
{
    CLEANUP(source_done) struct source source = {.pgdata = -1};
    CLEANUP(scan_freep) struct scan *scan = NULL;
    struct helper_packs packs;
    struct error err;
    check(source_open(&source, backup->tree.data, &err), "open source", &err);
    check(source_walk(&source, &backup->repo.cancel, &err), "walk", &err);
    helper_packs_open(&packs, &backup->repo, BUFFERS);
    const struct scan_options options = {.source = &source,
                                         .segment_blocks = 131072,
                                         .workers = 1,
                                         .packer = packs.options,
                                         .cancel = &backup->repo.cancel,
                                         .crew = packs.crew};
    check(scan_start(&scan, &options, &err), "start scan", &err);
    check(scan_wait(scan, &err), "scan", &err);
    const struct backup_index files = {.scan = scan, .source = &source};
    finish_packs(backup, &packs, &files, manifest);
    check(helper_packs_finish(&packs, &err), "put packs", &err);
    manifest->packs = own_alloc(sizeof(manifest->packs[0]));
    manifest->packs[manifest->pack_count++] = (struct manifest_packs){
        .backup = HELPER_PACKS_BACKUP, .first = 1, .last = atomic_load(&packs.next_pack) - 1};
    helper_packs_close(&packs);
}

static void describe(struct manifest *manifest)
{
    static const struct manifest_wal_range ranges[] = {
        {.timeline = 1, .start_lsn = START_LSN, .stop_lsn = SWITCH_LSN},
        {.timeline = 2, .start_lsn = SWITCH_LSN, .stop_lsn = STOP_LSN},
    };
    memcpy(manifest->id, HELPER_PACKS_BACKUP, sizeof(HELPER_PACKS_BACKUP));
    manifest->policy_namespace = own_strdup("web");
    manifest->policy_name = own_strdup("shop");
    manifest->system_identifier = HELPER_REPO_SYSTEM;
    manifest->version_num = 170002;
    manifest->wal_segment_bytes = HELPER_BACKUP_SEGMENT;
    manifest->bootstrap_superuser = own_strdup("postgres");
    manifest->started_ms = manifest->finished_ms = 1795249278000;
    manifest->start_lsn = START_LSN;
    manifest->stop_lsn = STOP_LSN;
    manifest->wal = own_alloc(sizeof(ranges));
    memcpy(manifest->wal, ranges, sizeof(ranges));
    manifest->wal_count = ARRAY_SIZE(ranges);
    manifest->change_source = own_strdup("all");
}

void helper_backup_commit(struct helper_backup *backup)
{
    CLEANUP(manifest_done) struct manifest manifest = {0};
    CLEANUP(own_freep) char *text = NULL;
    char name[REPO_NAME_MAX];
    struct error err;
    describe(&manifest);
    copy_files(backup, &manifest);
    archive_wal(backup, &manifest.bytes_stored);
    if (backup->edit)
        backup->edit(&manifest);
    check(manifest_format(&manifest, &text, &err), "format manifest", &err);
    repo_manifest_name(manifest.id, name);
    const struct repo_blob blob = {.kind = CONTAINER_MANIFEST,
                                   .name = name,
                                   .plain = text,
                                   .size = strlen(text),
                                   .rule = PUT_NEW};
    check(repo_put_sealed(backup->repo.repo, &blob, NULL, NULL, &err), "commit", &err);
}

void helper_backup_close(struct helper_backup *backup)
{
    helper_tree_remove(&backup->tree);
    helper_repo_close(&backup->repo);
}

void helper_backup_open(struct helper_backup *backup, size_t regions)
{
    backup->edit = NULL;
    fill(backup->wal, sizeof(backup->wal), 2);
    helper_repo_open(&backup->repo, regions, HELPER_REPO_SYSTEM);
    helper_tree_make(&backup->tree);
    make_control(&backup->tree);
    make_directories(backup);
    make_files(backup);
}
