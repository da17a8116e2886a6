// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/crew.h"
#include "common/own.h"
#include "sidecar/captured_rows.h"
#include "sidecar/changes.h"
#include "sidecar/frame.h"
#include "sidecar/manifest.h"
#include "sidecar/pack_reader.h"
#include "sidecar/pg_page.h"
#include "sidecar/prior.h"
#include "sidecar/repo.h"
#include "sidecar/scan.h"
#include "sidecar/source.h"
#include "sidecar/tests/helper_backup.h"
#include "sidecar/upload.h"

enum { WORKERS = 2, CONTENT_MAX = 32 << 20, PAGE = PG_PAGE_BYTES };
#define CHILD "20261121T092118Z-incr-4711"
#define SCATTERED "base/5/104" /* its map is long */
#define RELATION "base/5/100"

static struct helper_backup parent;
static struct helper_packs packs;
static struct source source;
static struct prior *prior;
static struct captured_rows *known;
static struct changes *changes;
static struct scan *scan;

static int set_up(void **state)
{
    (void)state;
    source = (struct source){.pgdata = -1};
    helper_backup_open(&parent, 1);
    helper_backup_commit(&parent);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    crew_freep(&packs.crew);
    scan_freep(&scan);
    if (packs.upload)
        helper_packs_close(&packs);
    packs = (struct helper_packs){0};
    prior_closep(&prior);
    changes_freep(&changes);
    source_done(&source);
    helper_backup_close(&parent);
    return 0;
}

static int open_prior(struct error *err)
{
    return prior_open(&prior, parent.repo.repo, HELPER_PACKS_BACKUP, CHILD, 1, err);
}

static void join(void)
{
    struct error err;
    if (source_open(&source, parent.tree.data, &err) < 0 ||
        source_walk(&source, &parent.repo.cancel, &err) < 0 || open_prior(&err) < 0 ||
        prior_join(prior, &source, &known, &err) < 0)
        fail_msg("%s", err.text);
}

static void scan_child(bool page_lsn)
{
    struct error err;
    helper_packs_open(&packs, &parent.repo, WORKERS + 1);
    packs.options.backup_id = CHILD;
    const struct scan_options options = {.source = &source,
                                         .segment_blocks = 131072,
                                         .workers = WORKERS,
                                         .packer = packs.options,
                                         .prior = prior,
                                         .known = TAKE(known),
                                         .changes = changes,
                                         .page_lsn = page_lsn,
                                         .cancel = &parent.repo.cancel,
                                         .crew = packs.crew};
    if (scan_start(&scan, &options, &err) < 0 || scan_wait(scan, &err) < 0 ||
        helper_packs_finish(&packs, &err) < 0)
        fail_msg("%s", err.text);
}

static struct entry entry_of(const char *path)
{
    struct entry entry;
    for (size_t i = 0; i < source.file_count; i++)
        if (strcmp(source.files[i].path, path) == 0 && scan_entry(scan, i, &entry))
            return entry;
    fail_msg("no entry '%s'", path);
    return (struct entry){0};
}

static void read_runs(struct pack_reader *reader, const struct backup_table *table,
                      const struct map *map, struct buf *content)
{
    struct error err;
    for (size_t i = 0; i < map->count; i++) {
        const struct map_run *run = &map->runs[i];
        const uint8_t *data = NULL;
        uint8_t *space;
        if (buf_reserve(content, run->length, &space, &err) < 0)
            fail_msg("%s", err.text);
        memset(space, 0, run->length);
        if (!run->zero &&
            (pack_reader_open(reader, table->ids[run->place.backup], run->place.pack, &err) < 0 ||
             pack_reader_data(reader, run->place.frame * FRAME_PIECES + run->place.piece,
                              run->length, &data, &err) < 0))
            fail_msg("%s", err.text);
        if (data)
            memcpy(space, data, run->length);
        content->size += run->length;
    }
}

static void read_ref(struct pack_reader *reader, const struct entry_map_ref *ref,
                     struct buf *content)
{
    struct error err;
    CLEANUP(backup_table_done) struct backup_table table = {0};
    CLEANUP(map_done) struct map map = {0};
    const uint8_t *plain;
    size_t size;
    if (pack_reader_open(reader, scan_table(scan)->ids[ref->place.backup], ref->place.pack, &err) <
            0 ||
        pack_reader_frame(reader, ref->place.frame, FRAME_MAP, &plain, &size, &err) < 0 ||
        map_frame_parse(plain, size, ref->covers, &table, &map, &err) < 0)
        fail_msg("%s", err.text);
    read_runs(reader, &table, &map, content);
}

/* What the child's entry stands for is what the file holds now. */
static void assert_stored(const char *path)
{
    struct error err;
    CLEANUP(pack_reader_freep)
    struct pack_reader *reader = pack_reader_new(parent.repo.repo, PACK_READER_INTACT);
    CLEANUP(buf_done) struct buf content = BUF(CONTENT_MAX), file = BUF(CONTENT_MAX);
    struct entry entry = entry_of(path);
    read_runs(reader, scan_table(scan), &entry.map, &content);
    for (size_t i = 0; i < entry.map_ref_count; i++)
        read_ref(reader, &entry.map_refs[i], &content);
    assert_int_equal(buf_read_file(&file, parent.tree.fd, path, &err), 0);
    assert_int_equal(content.size, file.size);
    assert_int_equal(entry.size, file.size);
    if (file.size > 0)
        assert_memory_equal(content.data, file.data, file.size);
}

static void assert_all_stored(void)
{
    for (size_t i = 0; i < source.file_count; i++)
        assert_stored(source.files[i].path);
}

/* Bytes of the child's packs. */
static uint64_t stored_bytes(void)
{
    return upload_stored_bytes(packs.upload);
}

/* Changes a page but for its LSN. */
static void scribble(const char *path, uint32_t page)
{
    helper_tree_write(&parent.tree, path, (uint64_t)page * PAGE + 100, "scribble", 8);
}

static void what_did_not_change_is_taken_over(void **state)
{
    (void)state;
    join();
    scan_child(false);
    assert_int_equal(stored_bytes(), 0);
    assert_all_stored();
    struct entry entry = entry_of(SCATTERED);
    assert_int_equal(entry.map_ref_count, 1); /* the map frame, too */
    assert_int_equal(entry.map_refs[0].place.backup, 1);
    assert_true(scan_bytes_reused(scan) > (15 << 20) + 1200 * (uint64_t)PAGE);
    assert_true(scan_bytes_read(scan) > scan_bytes_reused(scan));
}

static void only_changed_pieces_are_stored(void **state)
{
    (void)state;
    scribble(RELATION, 7);
    scribble(SCATTERED, 8);
    scribble("pg_stat/large", 1000);
    helper_tree_text(&parent.tree, "postgresql.auto.conf", "# yyy\n");
    helper_tree_text(&parent.tree, "base/5/105", "new");
    helper_tree_write(&parent.tree, "base/5/103", 21 * PAGE, (char[PAGE]){0}, PAGE);
    assert_int_equal(unlinkat(parent.tree.fd, "base/5/101", 0), 0);
    join();
    scan_child(false);
    assert_all_stored();
    struct entry entry = entry_of(RELATION);
    assert_int_equal(entry.map.count, 5); /* it lay in three frames */
    assert_int_equal(entry.map.runs[1].place.backup, 0);
    assert_int_equal(entry.map.runs[1].length, PAGE);
    assert_int_equal(entry_of(SCATTERED).map_refs[0].place.backup, 0);
    assert_true(stored_bytes() < 20 * PAGE);
}

static void files_that_grow_and_shrink_keep_what_they_have_in_common(void **state)
{
    (void)state;
    helper_tree_pages(&parent.tree, RELATION, 0, 300, 310);
    int fd = openat(parent.tree.fd, "pg_stat/large", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 5 * PAGE + 1), 0);
    close(fd);
    join();
    scan_child(false);
    assert_all_stored();
    assert_int_equal(entry_of(RELATION).map.runs[0].place.backup, 1);
    assert_true(stored_bytes() < 20 * PAGE);
}

static void a_page_with_an_old_lsn_is_the_parents_in_the_same_file(void **state)
{
    (void)state;
    uint8_t page[PAGE];
    helper_tree_page(page, 9);
    bytes_store32(page + 4, 0x100028); /* the parent's start */
    helper_tree_write(&parent.tree, RELATION, 9 * PAGE, page, PAGE);
    scribble(RELATION, 7); /* a hint that was not logged */
    scribble("pg_stat/large", 3);
    join();
    scan_child(true);
    struct entry entry = entry_of(RELATION);
    assert_int_equal(entry.map.count, 5); /* it lay in three frames */
    assert_int_equal(entry.map.runs[1].offset, 9 * PAGE);
    assert_int_equal(entry.map.runs[1].place.backup, 0);
    assert_stored("pg_stat/large"); /* no relation: by its hashes */
    assert_stored(SCATTERED);
}

static void in_another_file_of_that_name_it_is_not(void **state)
{
    (void)state;
    assert_int_equal(renameat(parent.tree.fd, RELATION, parent.tree.fd, "base/5/999"), 0);
    helper_tree_pages(&parent.tree, RELATION, 0, 0, 300);
    scribble(RELATION, 7);
    join();
    scan_child(true);
    assert_all_stored();
    assert_int_equal(entry_of(RELATION).map.count, 5); /* but most is, by its hashes */
    assert_int_equal(entry_of("base/5/999").map.runs[0].place.backup, 0);
}

static void note_change(uint32_t relfilenode, uint32_t block, bool is_limit)
{
    const struct changes_row row = {
        .key = {1663, 5, relfilenode}, .block = block, .is_limit = is_limit};
    changes_add(changes, &row);
}

static void blocks_that_did_not_change_are_not_read(void **state)
{
    (void)state;
    changes = changes_new();
    scribble(RELATION, 7);
    note_change(100, 7, false);
    helper_tree_pages(&parent.tree, SCATTERED, 0, 40, 50);
    note_change(104, 40, true);
    helper_tree_pages(&parent.tree, "base/5/103", 0, 60, 70); /* behind the parent's end */
    join();
    scan_child(false);
    assert_all_stored();
    assert_int_equal(entry_of(RELATION).map.runs[1].length, PAGE);
    assert_int_equal(entry_of("base/5/102").map.count, 1); /* a hole */
    uint64_t relations = 0;
    for (size_t i = 0; i < source.file_count; i++)
        if (source.files[i].class == SOURCE_RELATION)
            relations += source.files[i].size;
    uint64_t scattered = entry_of(SCATTERED).size, grown = entry_of("base/5/103").size;
    assert_int_equal(scan_bytes_read(scan), source.bytes - relations + PAGE +
                                                (scattered - 40 * PAGE) + (grown - 40 * PAGE));
}

static void where_nothing_changed_the_map_frames_serve_again(void **state)
{
    (void)state;
    changes = changes_new();
    join();
    scan_child(false);
    assert_all_stored();
    assert_int_equal(stored_bytes(), 0);
    assert_int_equal(entry_of(SCATTERED).map_refs[0].place.backup, 1);
}

static void packs_that_are_referred_to_are_listed(void **state)
{
    (void)state;
    CLEANUP(manifest_done) struct manifest manifest = {0};
    join();
    scan_child(false);
    prior_list_packs(prior, &manifest);
    assert_int_equal(manifest.pack_count, 1);
    assert_string_equal(manifest.packs[0].backup, HELPER_PACKS_BACKUP);
    assert_int_equal(manifest.packs[0].first, 1);
    assert_true(manifest.packs[0].last >= 2);
}

static char *pack_path(unsigned number)
{
    char name[REPO_NAME_MAX];
    repo_pack_name(HELPER_PACKS_BACKUP, number, name);
    return helper_repo_path(&parent.repo, 0, name);
}

static void a_parent_whose_pack_is_gone_is_refused(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(own_freep) char *path = pack_path(1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_prior(&err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "'packs/" HELPER_PACKS_BACKUP "/000001' is not in every"));
}

static void a_parent_that_is_not_in_every_region_is_refused(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(prior_open(&prior, parent.repo.repo, HELPER_PACKS_BACKUP, CHILD, 3, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

static void a_damaged_index_is_corrupt(void **state)
{
    (void)state;
    struct error err;
    char name[REPO_NAME_MAX];
    assert_int_equal(open_prior(&err), 0);
    repo_pack_name(HELPER_PACKS_BACKUP, prior->manifest.index[0].pack, name);
    helper_repo_damage(&parent.repo, 0, name);
    assert_int_equal(source_open(&source, parent.tree.data, &err), 0);
    assert_int_equal(source_walk(&source, &parent.repo.cancel, &err), 0);
    assert_int_equal(prior_join(prior, &source, &known, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

static void what_a_lost_pack_holds_is_stored_anew(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *path = pack_path(1);
    join();
    assert_int_equal(unlink(path), 0);
    scan_child(false);
    assert_all_stored();
    assert_true(stored_bytes() > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_did_not_change_is_taken_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_changed_pieces_are_stored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_that_grow_and_shrink_keep_what_they_have_in_common,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_page_with_an_old_lsn_is_the_parents_in_the_same_file,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(in_another_file_of_that_name_it_is_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(blocks_that_did_not_change_are_not_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(where_nothing_changed_the_map_frames_serve_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(packs_that_are_referred_to_are_listed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_parent_whose_pack_is_gone_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_parent_that_is_not_in_every_region_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_index_is_corrupt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_lost_pack_holds_is_stored_anew, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
