// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "common/throttle.h"
#include "common/tests/helper_directory.h"
#include "common/tests/helper_page_cache.h"
#include "sidecar/capture.h"
#include "sidecar/frame.h"
#include "sidecar/manifest.h"
#include "sidecar/pg_page.h"
#include "sidecar/scan.h"
#include "sidecar/source.h"
#include "sidecar/tests/helper_packs.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_tree.h"

enum { WORKERS = 3, SEGMENT_BLOCKS = 131072, PART = 32 << 20, PAGE = PG_PAGE_BYTES };
enum { CONTENT_MAX = 128 << 20 };

static struct helper_tree tree;
static char *disk; /* where the tree lies that must not be in memory; NULL: in no place */
static struct helper_repo repo;
static struct helper_packs packs;
static struct source source;
static struct scan *scan;
static struct scan_options options;

static int set_up(void **state)
{
    (void)state;
    helper_tree_make(&tree);
    helper_repo_open(&repo, 1, 0);
    helper_packs_open(&packs, &repo, WORKERS + 1);
    options = (struct scan_options){
        .source = &source,
        .checksums = true,
        .segment_blocks = SEGMENT_BLOCKS,
        .start_lsn = HELPER_TREE_LSN + 1,
        .workers = WORKERS,
        .packer = packs.options,
        .cancel = &repo.cancel,
        .crew = packs.crew,
    };
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    crew_freep(&packs.crew);
    scan_freep(&scan);
    helper_packs_close(&packs);
    helper_repo_close(&repo);
    source_done(&source);
    helper_tree_remove(&tree);
    return 0;
}

static void walk(void)
{
    struct error err;
    if (source_open(&source, tree.data, &err) < 0 || source_walk(&source, &repo.cancel, &err) < 0)
        fail_msg("%s", err.text);
}

/* Reads what was walked, and loads the packs. */
static void run(void)
{
    struct error err;
    if (scan_start(&scan, &options, &err) < 0 || scan_wait(scan, &err) < 0) {
        crew_fail(packs.crew, &err);
        assert_int_equal(crew_join(packs.crew, &err), -1);
        fail_msg("%s", err.text);
    }
    helper_packs_load(&packs);
}

static bool find(const char *path, struct entry *ret_entry)
{
    for (size_t i = 0; i < source.file_count; i++)
        if (strcmp(source.files[i].path, path) == 0)
            return scan_entry(scan, i, ret_entry);
    fail_msg("'%s' was not walked", path);
    return false;
}

static struct entry entry_of(const char *path)
{
    struct entry entry = {0};
    if (!find(path, &entry))
        fail_msg("'%s' vanished", path);
    assert_string_equal(entry.path, path);
    return entry;
}

/* What was stored of a file is its content, or the first size bytes of it. */
static void assert_stored(const char *path, size_t size)
{
    struct error err;
    struct entry entry = entry_of(path);
    CLEANUP(buf_done) struct buf stored = BUF(CONTENT_MAX);
    CLEANUP(buf_done) struct buf content = BUF(CONTENT_MAX);
    helper_packs_read(&packs, &entry, &stored);
    if (buf_read_file(&content, tree.fd, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(entry.size, size);
    assert_true(size <= content.size);
    if (size > 0)
        assert_memory_equal(stored.data, content.data, size);
}

static void truncate_to(const char *path, off_t size)
{
    CLEANUP(own_closep) int fd = openat(tree.fd, path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, size), 0);
}

/* Pages that differ from zero without a checksum: for files that are no relations. */
static void write_text_at(const char *path, uint64_t offset, const char *text)
{
    helper_tree_write(&tree, path, offset, text, strlen(text));
}

static void files_of_any_size_come_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        0, 1, 8191, 8192, 8193, 1000000, (1 << 20) - 1, 1 << 20, (1 << 20) + 5, (3 << 20) + 77};
    uint64_t total = 3; /* PG_VERSION */
    CLEANUP(own_freep) uint8_t *data = own_alloc(4 << 20);
    for (size_t i = 0; i < 4 << 20; i++)
        data[i] = (uint8_t)(i * 31 + i / 4096 + 1);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        CLEANUP(own_freep) char *path = own_format("file-%zu", i);
        helper_tree_file(&tree, path, data, sizes[i]);
        total += sizes[i];
    }
    walk();
    run();
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        CLEANUP(own_freep) char *path = own_format("file-%zu", i);
        assert_stored(path, sizes[i]);
    }
    assert_int_equal(scan_bytes_read(scan), total);
}

static void an_entry_has_the_files_metadata(void **state)
{
    (void)state;
    struct stat st;
    helper_tree_text(&tree, "pg_hba.conf", "local all all peer\n");
    assert_int_equal(fchmodat(tree.fd, "pg_hba.conf", 0640, 0), 0);
    const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1234567890}};
    assert_int_equal(utimensat(tree.fd, "pg_hba.conf", times, 0), 0);
    assert_int_equal(fstatat(tree.fd, "pg_hba.conf", &st, 0), 0);
    walk();
    run();
    struct entry entry = entry_of("pg_hba.conf");
    assert_int_equal(entry.type, ENTRY_FILE);
    assert_int_equal(entry.mode, 0640);
    assert_int_equal(entry.uid, st.st_uid);
    assert_int_equal(entry.gid, st.st_gid);
    assert_int_equal(entry.mtime_s, 1234567890);
    assert_int_equal(entry.inode, st.st_ino);
    assert_true(entry.birth_ns == 0 || entry.birth_ns / 1000000000 > 1234567890);
}

static void five_thousand_small_files_share_frames(void **state)
{
    (void)state;
    enum { FILES = 5000 };
    for (int i = 0; i < FILES; i++) {
        CLEANUP(own_freep) char *path = own_format("base/5/%d", 16384 + i);
        helper_tree_pages(&tree, path, 0, 0, 1);
    }
    walk();
    options.workers = 2;
    run();
    assert_true(packs.count <= 2);
    size_t frames = helper_packs_frames(&packs, FRAME_DATA);
    assert_true(frames >= FILES / FRAME_PIECES && frames <= FILES / FRAME_PIECES + 2);
    assert_stored("base/5/16384", PAGE);
    assert_stored("base/5/21383", PAGE);
    const struct scan_page_error *first;
    size_t shown;
    assert_int_equal(scan_page_errors(scan, &first, &shown), 0);
}

static void zero_pages_are_not_stored(void **state)
{
    (void)state;
    helper_tree_pages(&tree, "base/5/16384", 0, 2, 4);
    helper_tree_write(&tree, "base/5/16384", 4 * PAGE, NULL, 3 * PAGE);
    helper_tree_write(&tree, "base/5/16385", 0, NULL, 5 << 20);
    walk();
    run();
    struct entry entry = entry_of("base/5/16384");
    assert_int_equal(entry.map.count, 3);
    assert_true(entry.map.runs[0].zero && entry.map.runs[2].zero);
    assert_int_equal(entry.map.runs[1].length, 2 * PAGE);
    assert_stored("base/5/16384", 7 * PAGE);
    entry = entry_of("base/5/16385");
    assert_int_equal(entry.map.count, 1);
    assert_stored("base/5/16385", 5 << 20);
}

static void a_file_of_several_parts_comes_back(void **state)
{
    (void)state;
    uint64_t size = 2 * (uint64_t)PART + 5 * PAGE + 100;
    helper_tree_write(&tree, "base/5/16384", 0, NULL, size);
    helper_tree_pages(&tree, "base/5/16384", 0, 0, 3);
    helper_tree_pages(&tree, "base/5/16384", 0, PART / PAGE - 2, PART / PAGE + 200);
    helper_tree_pages(&tree, "base/5/16384", 0, 2 * PART / PAGE, 2 * PART / PAGE + 5);
    write_text_at("base/5/16384", size - 3, "end");
    walk();
    run();
    assert_stored("base/5/16384", size);
    assert_int_equal(scan_bytes_read(scan), size + 3);
}

/* Where its first page is among what was stored, in the order of storing. */
static uint64_t rank_of(const char *path)
{
    struct entry entry = entry_of(path);
    const struct place *place = &entry.map.runs[0].place;
    assert_false(entry.map.runs[0].zero);
    return ((uint64_t)place->pack << 32) + (uint64_t)place->frame * FRAME_PIECES + place->piece;
}

static void the_largest_file_is_read_first_and_small_ones_last(void **state)
{
    (void)state;
    options.workers = 1; /* packs fill in the order of reading */
    helper_tree_pages(&tree, "base/5/16384", 0, 0, 3);
    helper_tree_pages(&tree, "base/5/16385", 0, 0, 150);
    helper_tree_pages(&tree, "base/5/16386", 0, 0, 400);
    helper_tree_pages(&tree, "base/5/16387", 0, 0, 200);
    walk();
    run();
    assert_true(rank_of("base/5/16386") < rank_of("base/5/16387"));
    assert_true(rank_of("base/5/16387") < rank_of("base/5/16385"));
    assert_true(rank_of("base/5/16385") < rank_of("base/5/16384"));
}

/* Where each worker waits for all others, after its first read. */
static pthread_barrier_t meeting;

static void meet(void *arg, uint64_t bytes)
{
    static _Thread_local bool met;
    (void)arg;
    (void)bytes;
    if (!met)
        pthread_barrier_wait(&meeting);
    met = true;
}

static void all_workers_share_one_large_file(void **state)
{
    (void)state;
    helper_tree_write(&tree, "base/5/16384", 0, NULL, WORKERS * (size_t)PART);
    assert_int_equal(pthread_barrier_init(&meeting, NULL, WORKERS), 0);
    options.progress = meet; /* for ever, if one had the file for itself: PG_VERSION is for one */
    walk();
    run();
    assert_stored("base/5/16384", WORKERS * (size_t)PART);
    pthread_barrier_destroy(&meeting);
}

static void a_long_map_goes_into_map_frames(void **state)
{
    (void)state;
    enum { PAGES = 3000 };
    for (uint32_t i = 0; i < PAGES; i += 2)
        helper_tree_pages(&tree, "base/5/16384", 0, i, i + 1);
    walk();
    run();
    struct entry entry = entry_of("base/5/16384");
    assert_int_equal(entry.map.count, 0);
    assert_int_equal(entry.map_ref_count, 1);
    assert_int_equal(entry.map_refs[0].covers, (PAGES - 1) * PAGE);
    assert_int_equal(helper_packs_frames(&packs, FRAME_MAP), 1);
    assert_stored("base/5/16384", (PAGES - 1) * PAGE);
}

static void files_that_vanished_have_no_entry(void **state)
{
    (void)state;
    struct entry entry;
    helper_tree_text(&tree, "base/5/16384", "small");
    helper_tree_write(&tree, "base/5/16385", 0, NULL, 3 * (size_t)PART);
    helper_tree_text(&tree, "base/5/16386", "stays");
    walk();
    assert_int_equal(unlinkat(tree.fd, "base/5/16384", 0), 0);
    assert_int_equal(unlinkat(tree.fd, "base/5/16385", 0), 0);
    run();
    assert_false(find("base/5/16384", &entry));
    assert_false(find("base/5/16385", &entry));
    assert_stored("base/5/16386", 5);
}

static void a_file_has_the_size_at_which_it_was_opened(void **state)
{
    (void)state;
    helper_tree_write(&tree, "base/5/16384", 0, NULL, 2 * (size_t)PART);
    helper_tree_pages(&tree, "base/5/16385", 0, 0, 2);
    helper_tree_pages(&tree, "base/5/16386", 0, 0, 4);
    walk();
    truncate_to("base/5/16384", 10 * PAGE);
    helper_tree_pages(&tree, "base/5/16385", 0, 2, 300);
    truncate_to("base/5/16386", 0);
    run();
    assert_stored("base/5/16384", 10 * PAGE);
    assert_stored("base/5/16385", 300 * PAGE);
    assert_stored("base/5/16386", 0);
}

/* What happens to a file while it is read: called after each read of a single worker. */
static uint64_t read_so_far;

static void grow(void *arg, uint64_t bytes)
{
    (void)arg;
    read_so_far += bytes;
    helper_tree_pages(&tree, "base/5/16384", 0, 400, 500);
}

static void what_a_file_grows_while_it_is_read_is_the_wals(void **state)
{
    (void)state;
    helper_tree_pages(&tree, "base/5/16384", 0, 0, 400);
    walk();
    options.workers = 1;
    options.progress = grow;
    read_so_far = 0;
    run();
    assert_stored("base/5/16384", 400 * PAGE);
    assert_int_equal(read_so_far, scan_bytes_read(scan));
}

static void shrink(void *arg, uint64_t bytes)
{
    (void)arg;
    read_so_far += bytes;
    if (read_so_far == PART)
        truncate_to("base/5/16384", PART + 100);
}

static void a_file_that_shrinks_while_it_is_read_ends_there(void **state)
{
    (void)state;
    helper_tree_write(&tree, "base/5/16384", 0, NULL, 3 * (size_t)PART);
    helper_tree_pages(&tree, "base/5/16384", 0, PART / PAGE, PART / PAGE + 3);
    walk();
    options.workers = 1;
    options.progress = shrink;
    read_so_far = 0;
    run();
    assert_stored("base/5/16384", PART + 100);
}

/* Truncated within a piece before its second part is read, filled again before its third. */
static void shrink_and_grow(void *arg, uint64_t bytes)
{
    (void)arg;
    read_so_far += bytes;
    if (read_so_far == PART)
        truncate_to("base/5/16384", PART + PAGE + 100);
    if (read_so_far == PART + PAGE + 100) {
        truncate_to("base/5/16384", 3 * (off_t)PART);
        helper_tree_pages(&tree, "base/5/16384", 0, 2 * PART / PAGE, 2 * PART / PAGE + 2);
    }
}

static void a_hole_between_parts_is_zero(void **state)
{
    (void)state;
    helper_tree_write(&tree, "base/5/16384", 0, NULL, 3 * (size_t)PART);
    helper_tree_pages(&tree, "base/5/16384", 0, 0, 1);
    helper_tree_pages(&tree, "base/5/16384", 0, PART / PAGE, PART / PAGE + 5);
    walk();
    options.workers = 1;
    options.progress = shrink_and_grow;
    read_so_far = 0;
    run();
    struct entry entry = entry_of("base/5/16384");
    assert_true(entry.map.count >= 4);
    assert_stored("base/5/16384", 3 * (size_t)PART);
}

static void damage(const char *path, uint32_t block)
{
    write_text_at(path, (uint64_t)block * PAGE + 5000, "damaged");
}

static void bad_pages_are_counted_named_and_stored(void **state)
{
    (void)state;
    const struct scan_page_error *first;
    size_t shown;
    helper_tree_pages(&tree, "base/5/16384", 0, 0, 20);
    helper_tree_pages(&tree, "base/5/16384.1", SEGMENT_BLOCKS, 0, 200);
    helper_tree_pages(&tree, "base/5/16384_vm", 0, 0, 2);
    helper_tree_pages(&tree, "base/5/16385_init", 0, 0, 1);
    helper_tree_pages(&tree, "base/5/notes", 0, 0, 2);
    damage("base/5/16384.1", 7);
    damage("base/5/16384.1", 150);
    damage("base/5/16384_vm", 1);
    damage("base/5/16385_init", 0);
    damage("base/5/notes", 1);
    walk();
    run();
    assert_int_equal(scan_page_errors(scan, &first, &shown), 4);
    assert_int_equal(shown, 4);
    assert_string_equal(first[0].path, "base/5/16384.1");
    assert_int_equal(first[0].block, 7);
    assert_int_equal(first[1].block, 150);
    assert_string_equal(first[2].path, "base/5/16384_vm");
    assert_int_equal(first[2].block, 1);
    assert_string_equal(first[3].path, "base/5/16385_init");
    struct entry entry = entry_of("base/5/16384.1");
    assert_int_equal(entry.bad_block_count, 2);
    assert_int_equal(entry.bad_blocks[0], 7);
    assert_int_equal(entry.bad_blocks[1], 150);
    assert_stored("base/5/16384.1", 200 * PAGE);
    assert_int_equal(entry_of("base/5/16384").bad_block_count, 0);
}

static void bad_pages_of_all_parts_are_kept_in_order(void **state)
{
    (void)state;
    const struct scan_page_error *first;
    size_t shown;
    static const uint32_t blocks[] = {3, PART / PAGE, PART / PAGE + 1, 2 * PART / PAGE + 9};
    helper_tree_write(&tree, "base/5/16384", 0, NULL, 3 * (size_t)PART);
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
        helper_tree_pages(&tree, "base/5/16384", 0, blocks[i], blocks[i] + 1);
        damage("base/5/16384", blocks[i]);
    }
    walk();
    run();
    assert_int_equal(scan_page_errors(scan, &first, &shown), ARRAY_SIZE(blocks));
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
        assert_int_equal(first[i].block, blocks[i]);
}

static void more_bad_pages_than_are_listed_are_counted(void **state)
{
    (void)state;
    enum { BAD = ENTRY_BAD_BLOCKS_MAX + 100 };
    const struct scan_page_error *first;
    size_t shown;
    CLEANUP(own_freep) uint8_t *garbage = own_alloc(BAD * PAGE);
    memset(garbage, 0x11, BAD * PAGE);
    for (size_t i = 0; i < BAD; i++)
        memset(garbage + i * PAGE, 0, 8); /* an LSN before the start */
    helper_tree_file(&tree, "base/5/16384", garbage, BAD * PAGE);
    walk();
    run();
    assert_int_equal(scan_page_errors(scan, &first, &shown), BAD);
    assert_int_equal(shown, MANIFEST_PAGE_ERRORS_MAX);
    struct entry entry = entry_of("base/5/16384");
    assert_int_equal(entry.bad_block_count, BAD);
    assert_int_equal(entry.bad_blocks[ENTRY_BAD_BLOCKS_MAX - 1], ENTRY_BAD_BLOCKS_MAX - 1);
}

static void without_checksums_nothing_is_verified(void **state)
{
    (void)state;
    const struct scan_page_error *first;
    size_t shown;
    helper_tree_pages(&tree, "base/5/16384", 0, 0, 3);
    damage("base/5/16384", 1);
    walk();
    options.checksums = false;
    run();
    assert_int_equal(scan_page_errors(scan, &first, &shown), 0);
}

static void an_empty_tree_is_scanned(void **state)
{
    (void)state;
    assert_int_equal(unlinkat(tree.fd, "global/pg_control", 0), 0);
    helper_tree_file(&tree, "PG_VERSION", "", 0);
    truncate_to("PG_VERSION", 0);
    walk();
    run();
    assert_int_equal(packs.count, 0);
    assert_int_equal(entry_of("PG_VERSION").size, 0);
}

static void cancel_in_progress(void *arg, uint64_t bytes)
{
    (void)bytes;
    cancel_trigger(arg);
}

static void a_canceled_scan_ends(void **state)
{
    (void)state;
    struct error err;
    helper_tree_write(&tree, "base/5/16384", 0, NULL, 3 * (size_t)PART);
    walk();
    options.progress = cancel_in_progress;
    options.progress_arg = &repo.cancel;
    assert_int_equal(scan_start(&scan, &options, &err), 0);
    assert_int_equal(scan_wait(scan, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    assert_int_equal(crew_join(packs.crew, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

/* No faster with three workers than with one; test_throttle.c shows that neither is slower. */
static void scan_with_limit(size_t workers)
{
    enum { SIZE = 768 << 10, RATE = 1 << 20 };
    struct throttle limit;
    options.limit = &limit;
    options.workers = workers;
    helper_tree_pages(&tree, "base/5/16384", 0, 0, SIZE / PAGE / 3);
    helper_tree_pages(&tree, "base/5/16385", 0, 0, SIZE / PAGE / 3);
    helper_tree_pages(&tree, "base/5/16386", 0, 0, SIZE / PAGE / 3);
    walk();
    int64_t started_ms = clock_monotonic_ms();
    throttle_init(&limit, RATE);
    run();
    int64_t took_ms = clock_monotonic_ms() - started_ms;
    if (took_ms < INT64_C(1000) * SIZE / RATE)
        fail_msg("took %d ms", (int)took_ms);
    throttle_done(&limit);
}

static void a_limit_holds_for_one_worker(void **state)
{
    (void)state;
    scan_with_limit(1);
}

static void a_limit_holds_for_all_workers_together(void **state)
{
    (void)state;
    scan_with_limit(WORKERS);
}

static bool is_asked(struct throttle *limit)
{
    pthread_mutex_lock(&limit->lock);
    bool asked = limit->paid_ns / 1000000 > clock_monotonic_ms();
    pthread_mutex_unlock(&limit->lock);
    return asked;
}

static void cancel_ends_a_scan_that_waits_for_its_limit(void **state)
{
    (void)state;
    struct error err;
    struct throttle limit;
    throttle_init(&limit, 1); /* hours for a page */
    options.limit = &limit;
    helper_tree_write(&tree, "base/5/16384", 0, NULL, 3 * (size_t)PART);
    walk();
    assert_int_equal(scan_start(&scan, &options, &err), 0);
    while (!is_asked(&limit))
        assert_int_equal(cancel_sleep(&repo.cancel, 1, &err), 0);
    cancel_trigger(&repo.cancel);
    assert_int_equal(scan_wait(scan, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    assert_int_equal(crew_join(packs.crew, &err), -1);
    throttle_done(&limit);
}

static char *in_tree(const char *path)
{
    return own_format("%s/%s", tree.data, path);
}

enum {
    OS_PAGES = 2, /* so many of the kernel's in one */
    CACHED_PAGES = 2 * PART / PAGE + 77,
    CACHE_TRIES = 5,
};

static int set_up_on_disk(void **state)
{
    set_up(state);
    disk = helper_page_cache_directory();
    if (disk) {
        helper_tree_remove(&tree);
        helper_tree_make_below(&tree, disk);
    }
    return 0;
}

static int tear_down_on_disk(void **state)
{
    tear_down(state);
    if (disk)
        helper_directory_remove(TAKE(disk));
    return 0;
}

static bool is_left(const char *path, const char *before)
{
    CLEANUP(own_freep) char *after = helper_page_cache_read(path);
    assert_int_equal(strlen(after), strlen(before));
    for (size_t i = 0; before[i]; i++)
        if (after[i] != before[i]) {
            print_message("page %zu of '%s' was%s in the cache, and is%s\n", i, path,
                          before[i] == 'x' ? "" : " not", after[i] == 'x' ? "" : " not");
            return false;
        }
    return true;
}

/* Scans files of which nothing, all and some is in the cache; gives whether that still is. */
static bool scan_leaves_the_cache(void)
{
    CLEANUP(own_freep) char *cold = in_tree("base/5/16384"), *warm = in_tree("base/5/16385");
    CLEANUP(own_freep) char *mixed = in_tree("base/5/16386"), *small = in_tree("base/5/16387");
    helper_tree_pages(&tree, "base/5/16384", 0, 0, CACHED_PAGES);
    helper_tree_pages(&tree, "base/5/16385", 0, 0, CACHED_PAGES);
    helper_tree_pages(&tree, "base/5/16386", 0, 0, CACHED_PAGES);
    helper_tree_pages(&tree, "base/5/16387", 0, 0, 3);
    helper_page_cache_drop(cold);
    helper_page_cache_sync(warm);
    helper_page_cache_drop(mixed);
    helper_page_cache_drop(small);
    helper_page_cache_touch(mixed, 0);
    helper_page_cache_touch(mixed, 1000);
    helper_page_cache_touch(mixed, OS_PAGES * PART / PAGE - 1);
    helper_page_cache_touch(mixed, OS_PAGES * PART / PAGE + 5);
    CLEANUP(own_freep) char *of_cold = helper_page_cache_read(cold);
    CLEANUP(own_freep) char *of_warm = helper_page_cache_read(warm);
    CLEANUP(own_freep) char *of_mixed = helper_page_cache_read(mixed);
    CLEANUP(own_freep) char *of_small = helper_page_cache_read(small);
    walk();
    run();
    const bool left = is_left(cold, of_cold) && is_left(warm, of_warm) &&
                      is_left(mixed, of_mixed) && is_left(small, of_small);
    assert_stored("base/5/16384", CACHED_PAGES * PAGE);
    return left;
}

/* A kernel may take what nobody uses at any moment, some ahead of need (DAMON), and what it is
 * about to take cannot be dropped: only trying again tells that from a fault of ours. */
static void the_page_cache_is_left_as_it_was(void **state)
{
    if (!disk || sysconf(_SC_PAGESIZE) != PAGE / OS_PAGES)
        skip();
    for (int i = 0; i < CACHE_TRIES; i++) {
        if (scan_leaves_the_cache())
            return;
        tear_down_on_disk(state);
        set_up_on_disk(state);
    }
    fail_msg("after none of %d scans the cache was as before", CACHE_TRIES);
}

static void a_pack_that_cannot_be_put_fails_the_scan(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(own_freep)
    char *path = helper_repo_path(&repo, 0, "packs/" HELPER_PACKS_BACKUP "/000001");
    CLEANUP(own_freep)
    char *parent = helper_repo_path(&repo, 0, "packs");
    assert_int_equal(mkdir(parent, 0700), 0);
    *strrchr(path, '/') = '\0';
    FILE *file = fopen(path, "w"); /* where a directory should be */
    assert_non_null(file);
    fclose(file);
    helper_tree_pages(&tree, "base/5/16384", 0, 0, 3);
    walk();
    assert_int_equal(scan_start(&scan, &options, &err), 0);
    (void)!scan_wait(scan, &err); /* the packs may be on their way still */
    assert_int_equal(helper_packs_finish(&packs, &err), -1);
    assert_non_null(strstr(err.text, "packs/" HELPER_PACKS_BACKUP)); /* of whichever is first */
}

static void an_unreadable_file_names_the_remedy(void **state)
{
    (void)state;
    enum { NOBODY = 65534 };
    struct error err;
    if (geteuid() != 0)
        skip();
    helper_tree_pages(&tree, "base/5/16384", 0, 0, 3);
    walk();
    assert_int_equal(chown(tree.data, NOBODY, NOBODY), 0);
    assert_int_equal(fchownat(tree.fd, "base", NOBODY, NOBODY, 0), 0);
    assert_int_equal(fchownat(tree.fd, "base/5", NOBODY, NOBODY, 0), 0);
    struct capture_options capture_options = {.source = &source, .cancel = &repo.cancel};
    struct capture_file file;
    CLEANUP(capture_done) struct capture capture;
    capture_init(&capture, &capture_options, &source.files[1], &(struct captured){0});
    assert_int_equal(seteuid(NOBODY), 0);
    int result = capture_open(&capture, &file, &err);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(result, -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "open 'base/5/16384': permission denied: make it readable "
                                     "for uid 65534"));
}

static void an_io_error_names_the_file(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(packer_freep) struct packer *packer = packer_new(&options.packer);
    struct capture_options capture_options = {.source = &source, .cancel = &repo.cancel};
    struct source_file file = {.path = (char[]){"base/5/16384"}, .size = PAGE};
    struct capture_worker worker = {.packer = packer};
    CLEANUP(capture_done) struct capture capture;
    capture_init(&capture, &capture_options, &file, &(struct captured){0});
    /* nothing is mapped at address 0, and that is EIO */
    capture.file =
        (struct capture_file){.fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC), .size = PAGE};
    source.pgdata = -1;
    assert_true(capture.file.fd >= 0);
    assert_int_equal(capture_read(&capture, 0, &worker, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "read 'base/5/16384'"));
    assert_non_null(strstr(err.text, "Input/output error"));
}

static void content_that_is_no_file_becomes_an_entry(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(entry_done) struct entry label = {0};
    CLEANUP(packer_freep) struct packer *packer = packer_new(&options.packer);
    struct entry metadata = {.path = (char[]){"backup_label"}, .mode = 0600, .uid = 999};
    static const char text[] = "START WAL LOCATION: 0/2000028";
    CLEANUP(buf_done) struct buf stored = BUF(1000);
    assert_int_equal(scan_add_content(packer, &metadata, text, sizeof(text) - 1, &label, &err), 0);
    assert_int_equal(packer_flush(packer, &err), 0);
    source.pgdata = -1;
    helper_packs_load(&packs);
    assert_string_equal(label.path, "backup_label");
    assert_int_equal(label.uid, 999);
    assert_int_equal(label.size, sizeof(text) - 1);
    helper_packs_read(&packs, &label, &stored);
    assert_memory_equal(stored.data, text, sizeof(text) - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_of_any_size_come_back),
        TEST(an_entry_has_the_files_metadata),
        TEST(five_thousand_small_files_share_frames),
        TEST(zero_pages_are_not_stored),
        TEST(a_file_of_several_parts_comes_back),
        TEST(the_largest_file_is_read_first_and_small_ones_last),
        TEST(all_workers_share_one_large_file),
        TEST(a_long_map_goes_into_map_frames),
        TEST(files_that_vanished_have_no_entry),
        TEST(a_file_has_the_size_at_which_it_was_opened),
        TEST(what_a_file_grows_while_it_is_read_is_the_wals),
        TEST(a_file_that_shrinks_while_it_is_read_ends_there),
        TEST(a_hole_between_parts_is_zero),
        TEST(bad_pages_are_counted_named_and_stored),
        TEST(bad_pages_of_all_parts_are_kept_in_order),
        TEST(more_bad_pages_than_are_listed_are_counted),
        TEST(without_checksums_nothing_is_verified),
        TEST(an_empty_tree_is_scanned),
        TEST(a_canceled_scan_ends),
        TEST(a_limit_holds_for_one_worker),
        TEST(a_limit_holds_for_all_workers_together),
        TEST(cancel_ends_a_scan_that_waits_for_its_limit),
        cmocka_unit_test_setup_teardown(the_page_cache_is_left_as_it_was, set_up_on_disk,
                                        tear_down_on_disk),
        TEST(a_pack_that_cannot_be_put_fails_the_scan),
        TEST(an_unreadable_file_names_the_remedy),
        TEST(an_io_error_names_the_file),
        TEST(content_that_is_no_file_becomes_an_entry),
    };
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
