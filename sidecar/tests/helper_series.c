// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_series.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/crew.h"
#include "common/own.h"
#include "sidecar/backup_index.h"
#include "sidecar/captured_rows.h"
#include "sidecar/frame.h"
#include "sidecar/manifest.h"
#include "sidecar/parent_search.h"
#include "sidecar/pg_control.h"
#include "sidecar/prior.h"
#include "sidecar/repo.h"
#include "sidecar/scan.h"
#include "sidecar/tests/helper_packs.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_tree.h"
#include "sidecar/upload.h"
#include "sidecar/wal_archive.h"
#include "sidecar/witness.h"

enum {
    SEGMENT_BLOCKS = 131072,
    LABEL_AND_CONTROL = 2,
    SCATTERED_PIECES = 240, /* a run and a gap for each: more than ENTRY_MAP_INLINE_MAX */
};

/* A backup in the making. */
struct making {
    const struct helper_series *wanted;
    struct helper_repo *repo;
    struct helper_tree tree;
    struct source source;
    struct helper_packs packs;
    struct prior *prior; /* NULL: it is full */
    struct scan *scan;
    struct packer *packer;
    struct entry content[LABEL_AND_CONTROL];
    struct manifest manifest;
};

static void check(int result, const struct error *err)
{
    if (result < 0)
        fail_msg("%s", err->text);
}

/* Every other piece is zero. They compress to next to nothing. */
static void scatter(const struct making *making, const char *path, const char *marked)
{
    const size_t size = 2 * SCATTERED_PIECES * PIECE_BYTES;
    CLEANUP(own_freep) uint8_t *pieces = own_alloc(size);
    for (size_t i = 0; i < SCATTERED_PIECES; i++)
        pieces[2 * i * PIECE_BYTES] = 'x';
    memcpy(pieces + SCATTERED_PIECES * PIECE_BYTES, marked, strlen(marked));
    helper_tree_file(&making->tree, path, pieces, size);
}

static uint32_t segment_bytes(const struct making *making)
{
    return making->wanted->segment_bytes > 0 ? making->wanted->segment_bytes : 16 << 20;
}

static void make_tree(struct making *making)
{
    const uint32_t pages = HELPER_SERIES_PAGES + (making->wanted->parent ? 1 : 0);
    helper_tree_make(&making->tree);
    helper_tree_control(&making->tree, segment_bytes(making));
    helper_tree_directory(&making->tree, "pg_wal/archive_status");
    helper_tree_pages(&making->tree, HELPER_SERIES_RELATION, 0, 0, pages);
    helper_tree_pages(&making->tree, "base/5/16384_vm", 0, 0, 1);
    helper_tree_pages(&making->tree, "global/1262", 0, 0, 2);
    helper_tree_text(&making->tree, "postgresql.conf", making->wanted->id); /* each another */
    helper_tree_text(&making->tree, "pg_hba.conf", "");
    if (making->wanted->scattered) {
        scatter(making, "pg_stat/scattered", making->wanted->id);
        scatter(making, "pg_stat/unchanged", "");
    }
    if (making->wanted->bad_page)
        helper_tree_write(&making->tree, HELPER_SERIES_RELATION,
                          HELPER_SERIES_BAD_BLOCK * 8192 + 5000, "damaged", 7);
}

/* Takes what the parent has of each file. */
static void join_parent(struct making *making, struct captured_rows **ret_known)
{
    struct error err;
    const char *parent = making->wanted->parent;
    struct repo *repo = making->repo->repo;
    check(prior_open(&making->prior, repo, parent, making->wanted->id, parent_search_regions(repo),
                     &err),
          &err);
    check(prior_join(making->prior, &making->source, ret_known, &err), &err);
}

static void scan_tree(struct making *making)
{
    struct error err;
    struct captured_rows *known = NULL;
    struct helper_packs *packs = &making->packs;
    helper_packs_open(packs, making->repo, 2);
    packs->options.backup_id = making->wanted->id;
    check(source_open(&making->source, making->tree.data, &err), &err);
    check(source_walk(&making->source, &making->repo->cancel, &err), &err);
    if (making->wanted->parent)
        join_parent(making, &known);
    struct scan_options options = {
        .source = &making->source,
        .checksums = !making->wanted->unseen,
        .segment_blocks = SEGMENT_BLOCKS,
        .start_lsn = making->wanted->start_lsn,
        .workers = 1,
        .packer = packs->options,
        .prior = making->prior,
        .known = known,
        .cancel = &making->repo->cancel,
        .crew = packs->crew,
    };
    check(scan_start(&making->scan, &options, &err), &err);
    check(scan_wait(making->scan, &err), &err);
}

static void add_content(struct making *making, size_t index, const char *path, const void *content,
                        size_t size)
{
    struct error err;
    char *lent = own_strdup(path);
    const struct entry metadata = {.path = lent, .type = ENTRY_FILE, .mode = 0600};
    check(scan_add_content(making->packer, &metadata, content, size, &making->content[index], &err),
          &err);
    free(lent);
}

static void write_index(struct making *making)
{
    struct error err;
    struct pg_control control;
    CLEANUP(buf_done) struct buf bytes = BUF(PG_CONTROL_BYTES);
    making->packer = packer_new(&making->packs.options);
    check(source_read_control(&making->source, &making->repo->cancel, &bytes, &control, &err),
          &err);
    add_content(making, 0, "backup_label", "START WAL LOCATION\n", 19);
    add_content(making, 1, "global/pg_control", bytes.data, bytes.size);
    const struct backup_index index = {
        .scan = making->scan,
        .source = &making->source,
        .content = making->content,
        .content_count = LABEL_AND_CONTROL,
    };
    check(backup_index_write(&index, making->packer, &making->manifest, &err), &err);
    check(packer_flush(making->packer, &err), &err);
    check(helper_packs_finish(&making->packs, &err), &err);
}

/* One part, from the start of the segment on. */
static void write_wal(const struct making *making)
{
    struct error err;
    uint64_t stored = 0;
    const uint64_t first =
        making->wanted->start_lsn / segment_bytes(making) * segment_bytes(making);
    const uint32_t size = (uint32_t)(making->wanted->stop_lsn - first);
    const struct wal_piece piece = {.timeline = HELPER_SERIES_TIMELINE,
                                    .segment_lsn = first,
                                    .segment_bytes = segment_bytes(making),
                                    .to = size};
    CLEANUP(own_freep) uint8_t *wal = own_alloc(size);
    memcpy(wal, making->wanted->id, strlen(making->wanted->id));
    check(wal_archive_put(making->repo->repo, &piece, wal, &stored, &err), &err);
    check(wal_archive_put_history(making->repo->repo, HELPER_SERIES_TIMELINE,
                                  "1\t0/100\tpromoted\n", 17, &stored, &err),
          &err);
}

static void describe(struct making *making)
{
    struct manifest *manifest = &making->manifest;
    const struct scan_page_error *errors;
    int64_t started_ms;
    assert_true(backup_id_parse(making->wanted->id, &manifest->type, &started_ms));
    manifest->started_ms = manifest->finished_ms = started_ms;
    manifest->policy_namespace = own_strdup("web");
    manifest->policy_name = own_strdup("shop");
    manifest->system_identifier = HELPER_SERIES_SYSTEM;
    manifest->version_num = 170002;
    manifest->wal_segment_bytes = segment_bytes(making);
    manifest->checksums = true;
    manifest->bootstrap_superuser = own_strdup("postgres");
    manifest->start_lsn = making->wanted->start_lsn;
    manifest->stop_lsn = making->wanted->stop_lsn;
    manifest->wal = own_alloc(sizeof(manifest->wal[0]));
    manifest->wal[manifest->wal_count++] = (struct manifest_wal_range){
        HELPER_SERIES_TIMELINE, manifest->start_lsn, manifest->stop_lsn};
    manifest->files += making->wanted->lie;
    manifest->page_error_count =
        scan_page_errors(making->scan, &errors, &manifest->page_error_shown);
    manifest->page_errors =
        own_alloc((manifest->page_error_shown + 1) * sizeof(manifest->page_errors[0]));
    for (size_t i = 0; i < manifest->page_error_shown; i++)
        manifest->page_errors[i] =
            (struct manifest_page_error){own_strdup(errors[i].path), errors[i].block};
    manifest->change_source = own_strdup(making->prior ? "pageHash" : "all");
    manifest->packs = own_alloc(sizeof(manifest->packs[0]));
    manifest->packs[manifest->pack_count] =
        (struct manifest_packs){.first = 1, .last = atomic_load(&making->packs.next_pack) - 1};
    memcpy(manifest->packs[manifest->pack_count++].backup, manifest->id, BACKUP_ID_BYTES);
    if (making->prior) {
        memcpy(manifest->parent, making->prior->manifest.id, BACKUP_ID_BYTES);
        prior_list_packs(making->prior, manifest);
    }
}

static void commit(struct making *making)
{
    struct error err;
    char name[REPO_NAME_MAX];
    CLEANUP(own_freep) char *text = NULL;
    check(witness_collect(making->repo->repo, &making->manifest, &err), &err);
    check(manifest_format(&making->manifest, &text, &err), &err);
    repo_manifest_name(making->manifest.id, name);
    const struct repo_blob blob = {
        .kind = CONTAINER_MANIFEST,
        .name = name,
        .plain = text,
        .size = strlen(text),
        .rule = PUT_NEW,
    };
    check(repo_put_sealed(making->repo->repo, &blob, NULL, NULL, &err), &err);
}

static void making_done(struct making *making)
{
    crew_freep(&making->packs.crew);
    packer_freep(&making->packer);
    scan_freep(&making->scan);
    helper_packs_close(&making->packs);
    prior_closep(&making->prior);
    source_done(&making->source);
    helper_tree_remove(&making->tree);
    for (size_t i = 0; i < LABEL_AND_CONTROL; i++)
        entry_done(&making->content[i]);
    manifest_done(&making->manifest);
}

void helper_series_add(struct helper_repo *repo, const struct helper_series *backup)
{
    CLEANUP(making_done) struct making making = {.wanted = backup, .repo = repo};
    memcpy(making.manifest.id, backup->id, strlen(backup->id) + 1);
    make_tree(&making);
    scan_tree(&making);
    write_index(&making);
    if (!backup->without_wal)
        write_wal(&making);
    describe(&making);
    commit(&making);
}
