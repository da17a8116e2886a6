// SPDX-License-Identifier: Apache-2.0
/*
 * Repositories that somebody made who has the right key, and who lies. Each is a whole backup with
 * one lie in it. A restore refuses it before anything outside the target is touched, verify has
 * something to say about it, and none of them takes much memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "sidecar/backup_table.h"
#include "sidecar/entry.h"
#include "sidecar/findings.h"
#include "sidecar/frame.h"
#include "sidecar/manifest.h"
#include "sidecar/pg_control.h"
#include "sidecar/repo.h"
#include "sidecar/restore.h"
#include "sidecar/scan.h"
#include "sidecar/source.h"
#include "sidecar/tests/helper_packs.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_series.h"
#include "sidecar/tests/helper_tree.h"
#include "sidecar/upload.h"
#include "sidecar/verify.h"
#include "sidecar/wal_archive.h"

enum {
    ENTRIES = 24,
    CONTENT = 3 * PIECE_BYTES,
    SEGMENT_BYTES = 16 << 20,
    WAL_BYTES = 0x3000,
    VARINT_MAX = 10,
    BOMB_BYTES = 60 << 20, /* of zeros: less than a kilobyte in a bucket */
/* more of it than before */
#ifdef __SANITIZE_ADDRESS__ /* which keeps 256 MiB of what was freed */
    MEMORY_MAX = 320 << 20,
#else
    MEMORY_MAX = 32 << 20,
#endif
};

/* A backup in the making. */
struct making {
    struct helper_repo repo;
    struct helper_packs packs;
    struct packer *packer;
    struct buf entries[ENTRIES]; /* coded, in their order */
    size_t count;
    uint64_t claimed; /* entries more than there are */
    struct manifest manifest;
    struct entry sample; /* a file of CONTENT bytes, for lies to start from */
    char *outside;       /* a directory with what nobody may touch */
    char *to;            /* where it will be restored to */
};

static void check(int result, const struct error *err)
{
    if (result < 0)
        fail_msg("%s", err->text);
}

/* The next entry, whose path may be one that no writer of ours puts into an index. */
static void add_entry(struct making *making, const struct entry *entry)
{
    assert_true(making->count < ENTRIES);
    struct buf *coded = &making->entries[making->count++];
    making->manifest.files += entry->type == ENTRY_FILE;
    making->manifest.bytes_total += entry->size;
    const size_t length = strlen(entry->path);
    CLEANUP(own_freep) char *valid = own_alloc(length + 1);
    struct entry copy = *entry;
    *coded = BUF(ENTRY_BYTES_MAX);
    memset(valid, '~', length);
    copy.path = valid;
    entry_format(&copy, 0, coded);
    uint8_t *found = memmem(coded->data, coded->size, valid, length);
    assert_non_null(found);
    memcpy(found, entry->path, length);
}

static void add_named(struct making *making, const char *path, enum entry_type type,
                      const char *target)
{
    CLEANUP(own_freep) char *copy = own_strdup(path);
    CLEANUP(own_freep) char *to = target ? own_strdup(target) : NULL;
    add_entry(making, &(struct entry){.path = copy, .type = type, .mode = 0700, .target = to});
}

static void add_directory(struct making *making, const char *path)
{
    add_named(making, path, ENTRY_DIRECTORY, NULL);
}

static void add_link(struct making *making, const char *path, const char *target)
{
    add_named(making, path, ENTRY_LINK, target);
}

/* The sample under another name. */
static void add_sample(struct making *making, const char *path)
{
    CLEANUP(own_freep) char *copy = own_strdup(path);
    struct entry entry = making->sample;
    entry.path = copy;
    add_entry(making, &entry);
}

static void add_content(struct making *making, const char *path, const void *content, size_t size)
{
    CLEANUP(own_freep) char *copy = own_strdup(path);
    const struct entry metadata = {.path = copy, .type = ENTRY_FILE, .mode = 0600};
    struct entry entry;
    struct error err;
    check(scan_add_content(making->packer, &metadata, content, size, &entry, &err), &err);
    add_entry(making, &entry);
    entry_done(&entry);
}

/* The lies. Each is called when the entry is due that it stands in the place of or before. */

static void no_lie(struct making *making)
{
    add_sample(making, "base/5/1");
}

static void a_path_beside_the_target(struct making *making)
{
    add_sample(making, "../outside/evil");
}

static void a_path_that_climbs(struct making *making)
{
    add_sample(making, "base/5/../../../outside/evil");
}

static void an_absolute_path(struct making *making)
{
    CLEANUP(own_freep) char *path = own_format("%s/evil", making->outside);
    add_sample(making, path);
}

static void a_link_as_a_directory(struct making *making)
{
    add_link(making, "base/5/1", making->outside);
    add_sample(making, "base/5/1/evil");
}

static void a_tablespace_beside_the_target(struct making *making)
{
    add_link(making, "pg_tblspc/16385", "../outside");
    add_directory(making, "pg_tblspc/16385/" HELPER_TREE_VERSION);
}

static void a_tablespace_that_climbs(struct making *making)
{
    CLEANUP(own_freep) char *path = own_format("%s/../outside", making->to);
    add_link(making, "pg_tblspc/16385", path);
}

static void a_tablespace_where_others_live(struct making *making)
{
    add_link(making, "pg_tblspc/16385", making->outside);
    add_directory(making, "pg_tblspc/16385/" HELPER_TREE_VERSION);
    add_sample(making, "pg_tblspc/16385/" HELPER_TREE_VERSION "/evil");
}

static void a_tablespace_in_the_target(struct making *making)
{
    CLEANUP(own_freep) char *path = own_format("%s/base", making->to);
    add_link(making, "pg_tblspc/16385", path);
}

static void two_tablespaces_in_one_place(struct making *making)
{
    CLEANUP(own_freep) char *path = own_format("%s-fast", making->to);
    add_link(making, "pg_tblspc/16385", path);
    add_link(making, "pg_tblspc/16386", path);
}

static void a_tablespace_of_no_number(struct making *making)
{
    add_link(making, "pg_tblspc/etc", making->outside);
}

static void the_same_path_twice(struct making *making)
{
    add_sample(making, "base/5/1");
    add_sample(making, "base/5/1");
}

static void a_file_that_is_a_directory(struct making *making)
{
    add_sample(making, "base/5/1");
    add_sample(making, "base/5/1/2");
}

static void more_entries_than_there_are(struct making *making)
{
    add_sample(making, "base/5/1");
    making->claimed = UINT64_C(1) << 19;
}

static void more_entries_than_there_can_be(struct making *making)
{
    add_sample(making, "base/5/1");
    making->claimed = UINT64_C(1) << 62;
}

/* A file that says that it has size bytes, with one run of CONTENT bytes. */
static void add_run(struct making *making, uint64_t size, const struct place *place)
{
    struct map_run run = {.length = CONTENT, .place = *place};
    char path[] = "base/5/1";
    CLEANUP(buf_done) struct buf honest = BUF(VARINT_MAX), said = BUF(VARINT_MAX);
    add_entry(making, &(struct entry){.path = path,
                                      .type = ENTRY_FILE,
                                      .mode = 0600,
                                      .size = CONTENT,
                                      .map = {.runs = &run, .count = 1, .size = CONTENT}});
    bytes_put_varint(&honest, CONTENT);
    bytes_put_varint(&said, size);
    assert_int_equal(honest.size, said.size);
    const struct buf *coded = &making->entries[making->count - 1];
    uint8_t *found = memmem(coded->data, coded->size, honest.data, honest.size);
    assert_non_null(found);
    memcpy(found, said.data, said.size);
}

static struct place sample_place(const struct making *making)
{
    assert_int_equal(making->sample.map.count, 1);
    return making->sample.map.runs[0].place;
}

static void bytes_that_no_run_covers(struct making *making)
{
    const struct place place = sample_place(making);
    add_run(making, CONTENT + 1, &place);
}

static void bytes_that_two_runs_cover(struct making *making)
{
    const struct place place = sample_place(making);
    add_run(making, CONTENT - PIECE_BYTES, &place);
}

static void a_frame_that_is_not_there(struct making *making)
{
    struct place place = sample_place(making);
    place.frame = 900;
    add_run(making, CONTENT, &place);
}

static void a_frame_of_another_type(struct making *making)
{
    struct place place = sample_place(making);
    place.frame++; /* of the index */
    add_run(making, CONTENT, &place);
}

static void pieces_behind_the_end_of_a_frame(struct making *making)
{
    struct place place = sample_place(making);
    place.piece = FRAME_PIECES - CONTENT / PIECE_BYTES;
    add_run(making, CONTENT, &place);
}

static void a_pack_that_is_not_listed(struct making *making)
{
    struct place place = sample_place(making);
    place.pack = UINT32_MAX;
    add_run(making, CONTENT, &place);
}

static void a_map_in_a_frame_of_data(struct making *making)
{
    struct entry_map_ref ref = {.place = sample_place(making), .covers = UINT64_C(1) << 62};
    char path[] = "base/5/1";
    add_entry(making, &(struct entry){.path = path,
                                      .type = ENTRY_FILE,
                                      .mode = 0600,
                                      .size = ref.covers,
                                      .map_refs = &ref,
                                      .map_ref_count = 1});
}

enum when { FIRST_ENTRY, IN_BASE, IN_TABLESPACES };

static const struct lie {
    void (*tell)(struct making *making);
    enum when when;
    const char *text; /* of the error of a restore; NULL: there is none */
    bool is_fine;     /* elsewhere it could be restored: nothing for verify */
} lies[] = {
    {no_lie, IN_BASE, NULL, true},
    {a_path_beside_the_target, FIRST_ENTRY, "malformed entry", false},
    {an_absolute_path, FIRST_ENTRY, "malformed entry", false},
    {a_path_that_climbs, IN_BASE, "malformed entry", false},
    {a_link_as_a_directory, IN_BASE, "not that of a tablespace", false},
    {a_tablespace_beside_the_target, IN_TABLESPACES, "is not an absolute path", true},
    {a_tablespace_that_climbs, IN_TABLESPACES, "is not an absolute path", true},
    {a_tablespace_where_others_live, IN_TABLESPACES, "not empty", true},
    {a_tablespace_in_the_target, IN_TABLESPACES, "pg_tblspc/16385", true},
    {two_tablespaces_in_one_place, IN_TABLESPACES, "pg_tblspc/16386", true},
    {a_tablespace_of_no_number, IN_TABLESPACES, "not that of a tablespace", false},
    {the_same_path_twice, IN_BASE, "malformed entry", false},
    {a_file_that_is_a_directory, IN_BASE, "its directory is not in the backup", false},
    {more_entries_than_there_are, IN_BASE, "index frame", false},
    {more_entries_than_there_can_be, IN_BASE, "index frame", false},
    {bytes_that_no_run_covers, IN_BASE, "malformed entry", false},
    {bytes_that_two_runs_cover, IN_BASE, "malformed entry", false},
    {a_frame_that_is_not_there, IN_BASE, "has no frame 900", false},
    {a_frame_of_another_type, IN_BASE, "of type", false},
    {pieces_behind_the_end_of_a_frame, IN_BASE, "bytes, not 1048576", false},
    {a_pack_that_is_not_listed, IN_BASE, "is not listed by the manifest", false},
    {a_map_in_a_frame_of_data, IN_BASE, "is of type", false},
};

static void tell(struct making *making, const struct lie *lie, enum when when)
{
    if (lie->when == when)
        lie->tell(making);
}

static void add_control(struct making *making)
{
    CLEANUP(source_done) struct source source = {.pgdata = -1};
    CLEANUP(buf_done) struct buf bytes = BUF(PG_CONTROL_BYTES);
    struct helper_tree tree;
    struct pg_control control;
    struct error err;
    helper_tree_make(&tree);
    check(source_open(&source, tree.data, &err), &err);
    check(source_read_control(&source, &making->repo.cancel, &bytes, &control, &err), &err);
    add_content(making, "global/pg_control", bytes.data, bytes.size);
    helper_tree_remove(&tree);
}

static void add_entries(struct making *making, const struct lie *lie)
{
    tell(making, lie, FIRST_ENTRY);
    add_content(making, "PG_VERSION", "17\n", 3);
    add_content(making, "backup_label", "START WAL LOCATION\n", 19);
    add_directory(making, "base");
    add_directory(making, "base/5");
    tell(making, lie, IN_BASE);
    add_directory(making, "global");
    add_control(making);
    add_directory(making, "pg_tblspc");
    tell(making, lie, IN_TABLESPACES);
    add_directory(making, "pg_wal");
    add_directory(making, "pg_wal/archive_status");
}

static void make_sample(struct making *making)
{
    uint8_t content[CONTENT];
    struct error err;
    memset(content, 'x', sizeof(content));
    char path[] = "sample";
    const struct entry metadata = {.path = path, .type = ENTRY_FILE, .mode = 0600};
    check(scan_add_content(making->packer, &metadata, content, sizeof(content), &making->sample,
                           &err),
          &err);
}

static void write_packs(struct making *making, const struct lie *lie)
{
    struct error err;
    struct place place;
    CLEANUP(buf_done) struct buf plain = BUF(FRAME_PLAIN_MAX);
    CLEANUP(backup_table_done) struct backup_table table = {0};
    helper_packs_open(&making->packs, &making->repo, 2);
    making->packer = packer_new(&making->packs.options);
    make_sample(making);
    add_entries(making, lie);
    backup_table_add(&table, HELPER_PACKS_BACKUP);
    backup_table_format(&table, &plain);
    bytes_put_varint(&plain, making->count + making->claimed);
    for (size_t i = 0; i < making->count; i++)
        bytes_put(&plain, making->entries[i].data, making->entries[i].size);
    check(packer_add_frame(making->packer, FRAME_INDEX, &plain, &place, &err), &err);
    check(packer_flush(making->packer, &err), &err);
    check(helper_packs_finish(&making->packs, &err), &err);
    making->manifest.index = own_alloc(sizeof(making->manifest.index[0]));
    making->manifest.index[0] = (struct manifest_index){.pack = place.pack, .frame = place.frame};
    making->manifest.index_count = 1;
}

static void write_wal(struct making *making)
{
    struct error err;
    uint64_t stored = 0;
    const struct wal_piece piece = {.timeline = 1,
                                    .segment_lsn = SEGMENT_BYTES,
                                    .segment_bytes = SEGMENT_BYTES,
                                    .to = WAL_BYTES};
    uint8_t wal[WAL_BYTES] = {0};
    check(wal_archive_put(making->repo.repo, &piece, wal, &stored, &err), &err);
}

static void put_manifest(struct making *making, const void *plain, size_t size)
{
    char name[REPO_NAME_MAX];
    struct error err;
    repo_manifest_name(HELPER_PACKS_BACKUP, name);
    const struct repo_blob blob = {
        .kind = CONTAINER_MANIFEST,
        .name = name,
        .plain = plain,
        .size = size,
        .rule = PUT_NEW,
    };
    check(repo_put_sealed(making->repo.repo, &blob, NULL, NULL, &err), &err);
}

static void commit(struct making *making)
{
    struct manifest *manifest = &making->manifest;
    CLEANUP(own_freep) char *text = NULL;
    struct error err;
    memcpy(manifest->id, HELPER_PACKS_BACKUP, sizeof(HELPER_PACKS_BACKUP));
    manifest->policy_namespace = own_strdup("web");
    manifest->policy_name = own_strdup("shop");
    manifest->system_identifier = HELPER_SERIES_SYSTEM;
    manifest->version_num = 170002;
    manifest->wal_segment_bytes = SEGMENT_BYTES;
    manifest->bootstrap_superuser = own_strdup("postgres");
    manifest->started_ms = manifest->finished_ms = 1795249278000;
    manifest->start_lsn = SEGMENT_BYTES + 0x28;
    manifest->stop_lsn = SEGMENT_BYTES + WAL_BYTES;
    manifest->wal = own_alloc(sizeof(manifest->wal[0]));
    manifest->wal[manifest->wal_count++] =
        (struct manifest_wal_range){1, manifest->start_lsn, manifest->stop_lsn};
    manifest->change_source = own_strdup("all");
    manifest->packs = own_alloc(sizeof(manifest->packs[0]));
    manifest->packs[manifest->pack_count++] =
        (struct manifest_packs){.backup = HELPER_PACKS_BACKUP,
                                .first = 1,
                                .last = atomic_load(&making->packs.next_pack) - 1};
    check(manifest_format(manifest, &text, &err), &err);
    put_manifest(making, text, strlen(text));
}

static void open_making(struct making *making, const char *scratch)
{
    *making = (struct making){0};
    making->outside = own_format("%s/outside", scratch);
    making->to = own_format("%s/pg", scratch);
    helper_directory_write(making->outside, "precious", "text");
    helper_repo_open(&making->repo, 1, HELPER_SERIES_SYSTEM);
}

static void close_making(struct making *making)
{
    if (making->packs.crew) {
        packer_freep(&making->packer);
        helper_packs_close(&making->packs);
    }
    for (size_t i = 0; i < making->count; i++)
        buf_done(&making->entries[i]);
    entry_done(&making->sample);
    manifest_done(&making->manifest);
    helper_repo_close(&making->repo);
    free(making->outside);
    free(making->to);
}

static int restore(struct making *making, bool delta, struct error *err)
{
    struct restore_result unused;
    CLEANUP(cancel_done) struct cancel cancel;
    assert_int_equal(cancel_init(&cancel, err), 0);
    const struct restore_options options = {
        .policy = making->repo.policy,
        .secrets = making->repo.secrets,
        .to = making->to,
        .delta = delta,
        .cancel = &cancel,
    };
    return restore_run(&options, &unused, err);
}

/* Whether verify has nothing to say. */
static bool passes(struct making *making)
{
    CLEANUP(findings_freep) struct findings *findings = findings_new();
    struct verify_result unused;
    const struct finding *kept;
    struct error err;
    size_t count;
    const struct verify_options options = {
        .policy = making->repo.policy,
        .secrets = making->repo.secrets,
        .sample = {.percent = 100, .seed = 1},
        .cancel = &making->repo.cancel,
    };
    if (verify_run(&options, findings, &unused, &err) < 0)
        return false;
    if (findings_get(findings, false, &kept, &count) == 0)
        return true;
    print_message("  verify: %s\n", kept[0].text);
    return false;
}

static void expect_refused(struct making *making, const char *text)
{
    struct error err;
    if (restore(making, false, &err) == 0)
        fail_msg("restored, but not '%s'", text);
    print_message("  restore: %s\n", err.text);
    if (!strstr(err.text, text))
        fail_msg("'%s', not '%s'", err.text, text);
    helper_directory_expect_missing(making->to, "global/pg_control");
}

static void expect_untouched(const struct making *making)
{
    struct stat st;
    helper_directory_expect(making->outside, "precious", "text");
    helper_directory_expect_missing(making->outside, "evil");
    helper_directory_expect_missing(making->outside, HELPER_TREE_VERSION);
    assert_int_equal(stat(making->outside, &st), 0);
    assert_int_equal(st.st_nlink, 2); /* no directory in it */
}

static void expose(const struct lie *lie)
{
    struct making making;
    struct error err;
    char *scratch = helper_directory_new();
    open_making(&making, scratch);
    write_packs(&making, lie);
    write_wal(&making);
    commit(&making);
    print_message("lie %zu\n", (size_t)(lie - lies));
    assert_int_equal(passes(&making), lie->is_fine);
    if (lie->text)
        expect_refused(&making, lie->text);
    else
        check(restore(&making, false, &err), &err);
    expect_untouched(&making);
    close_making(&making);
    helper_directory_remove(scratch);
}

/* Of memory, 0 where the thread sanitizer takes most of it. */
static long peak_bytes(void)
{
#ifdef __SANITIZE_THREAD__
    return 0;
#endif
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss * 1024;
}

static void a_backup_that_lies_is_refused_and_touches_nothing_outside(void **state)
{
    (void)state;
    expose(&lies[0]);
    const long before = peak_bytes();
    for (size_t i = 1; i < ARRAY_SIZE(lies); i++)
        expose(&lies[i]);
    assert_in_range(peak_bytes() - before, 0, MEMORY_MAX);
}

/* Over a database that is there, what lies outside is as far away. */
static void a_lie_is_refused_over_a_database_too(void **state)
{
    (void)state;
    struct making making;
    struct error err;
    char *scratch = helper_directory_new();
    open_making(&making, scratch);
    write_packs(&making, &lies[0]);
    write_wal(&making);
    commit(&making);
    check(restore(&making, false, &err), &err);
    close_making(&making);
    for (size_t i = 1; i < ARRAY_SIZE(lies); i++) {
        open_making(&making, scratch);
        write_packs(&making, &lies[i]);
        write_wal(&making);
        commit(&making);
        if (restore(&making, true, &err) == 0)
            fail_msg("lie %zu was restored", i);
        expect_untouched(&making);
        close_making(&making);
    }
    helper_directory_remove(scratch);
}

static void a_bomb_does_not_go_off(void **state)
{
    (void)state;
    struct making making;
    struct error err;
    CLEANUP(own_freep) uint8_t *zeros = own_alloc(BOMB_BYTES);
    char *scratch = helper_directory_new();
    open_making(&making, scratch);
    put_manifest(&making, zeros, BOMB_BYTES);
    const long before = peak_bytes();
    assert_int_equal(restore(&making, false, &err), -1);
    assert_non_null(strstr(err.text, "manifests/" HELPER_PACKS_BACKUP));
    assert_false(passes(&making));
    assert_in_range(peak_bytes() - before, 0, BOMB_BYTES / 2);
    expect_untouched(&making);
    close_making(&making);
    helper_directory_remove(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_that_lies_is_refused_and_touches_nothing_outside),
        cmocka_unit_test(a_lie_is_refused_over_a_database_too),
        cmocka_unit_test(a_bomb_does_not_go_off),
    };
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
