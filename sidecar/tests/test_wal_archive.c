// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
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
#include "common/log.h"
#include "common/own.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_rivals.h"

enum { MIB = 1 << 20, TIMELINE = 2 };

/* The second segment of a log file, 1 MiB. */
static const uint64_t segment_lsn = 0x100100000;
#define DIRECTORY "wal/00000002/00000001/"
#define SEGMENT DIRECTORY "000000020000000100000001"

struct fixture {
    struct helper_repo helper;
    uint8_t wal[MIB];
    uint64_t stored_bytes;
    struct buf segment;
};

static int setup(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    *state = f;
    helper_repo_open(&f->helper, 2, 0);
    for (size_t i = 0; i < sizeof(f->wal); i++)
        f->wal[i] = (uint8_t)(i * 7 + i / 251);
    f->segment = BUF(MIB);
    log_set_level(LOG_LEVEL_ERROR); /* warnings of what is damaged on purpose */
    return 0;
}

static int teardown(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    buf_done(&f->segment);
    helper_repo_close(&f->helper);
    log_set_level(LOG_LEVEL_INFO);
    return 0;
}

static struct wal_piece piece_of(uint32_t from, uint32_t to)
{
    return (struct wal_piece){
        .timeline = TIMELINE,
        .segment_lsn = segment_lsn,
        .segment_bytes = MIB,
        .from = from,
        .to = to,
    };
}

static void put(struct fixture *f, uint32_t from, uint32_t to)
{
    struct wal_piece piece = piece_of(from, to);
    struct error err;
    if (wal_archive_put(f->helper.repo, &piece, f->wal + from, &f->stored_bytes, &err) < 0)
        fail_msg("%s", err.text);
}

static int get(struct fixture *f, uint32_t need, struct error *err)
{
    return wal_archive_get(f->helper.repo, TIMELINE, segment_lsn + 100, segment_lsn + need, MIB,
                           &f->segment, err);
}

/* The segment has the WAL of the fixture up to reach, and zeros from there on. */
static void expect_segment(struct fixture *f, uint32_t need, uint32_t reach)
{
    static const uint8_t zeros[MIB];
    struct error err;
    if (get(f, need, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(f->segment.size, MIB);
    assert_memory_equal(f->segment.data, f->wal, reach);
    assert_memory_equal(f->segment.data + reach, zeros, MIB - reach);
}

static void expect_failure(struct fixture *f, uint32_t need, enum error_kind kind, const char *text)
{
    struct error err;
    assert_int_equal(get(f, need, &err), -1);
    if (err.kind != kind || !strstr(err.text, text))
        fail_msg("%s: '%s' is not '%s'", error_kind_name(err.kind), err.text, text);
}

/* In every region; the name starts with prefix. */
static void damage(struct fixture *f, const char *prefix)
{
    CLEANUP(own_freep) char *name = helper_repo_name(&f->helper, prefix);
    for (size_t region = 0; region < 2; region++)
        helper_repo_damage(&f->helper, region, name);
}

/* Names */

static void names_are_those_of_the_format(void **state)
{
    (void)state;
    char name[WAL_ARCHIVE_NAME_MAX];
    struct wal_piece whole = piece_of(0, MIB), part = piece_of(0x2000, 0xabcde);
    wal_archive_format_name(&whole, "0123456789abcdef", name);
    assert_string_equal(name, SEGMENT "-0123456789abcdef");
    wal_archive_format_name(&part, "0123456789abcdef", name);
    assert_string_equal(name, SEGMENT ".00002000-000abcde-0123456789abcdef");
}

static void a_name_gives_back_what_it_was_made_of(void **state)
{
    (void)state;
    const struct wal_piece pieces[] = {
        {1, 0, 16 * MIB, 0, 16 * MIB},
        {1, 16 * MIB, 16 * MIB, 0, 1},
        {UINT32_MAX, UINT64_MAX - (16 * MIB - 1), 16 * MIB, 16 * MIB - 1, 16 * MIB},
        {7, UINT64_C(0xabcdef) << 32, 1024u * MIB, 16 * MIB, 32 * MIB},
        {7, UINT64_C(3) << 30, 1024u * MIB, 0, 1024u * MIB},
    };
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        char name[WAL_ARCHIVE_NAME_MAX];
        struct wal_piece parsed;
        wal_archive_format_name(&pieces[i], "00000000000000ff", name);
        assert_int_equal(wal_archive_parse_name(name, pieces[i].segment_bytes, &parsed), 0);
        assert_int_equal(parsed.timeline, pieces[i].timeline);
        assert_int_equal(parsed.segment_lsn, pieces[i].segment_lsn);
        assert_int_equal(parsed.segment_bytes, pieces[i].segment_bytes);
        assert_int_equal(parsed.from, pieces[i].from);
        assert_int_equal(parsed.to, pieces[i].to);
    }
}

static void names_of_histories_say_their_timeline(void **state)
{
    (void)state;
    static const char *const none[] = {
        "wal/0000000A.history-0123456789abcde",
        "wal/0000000A.history-0123456789abcdeg",
        "wal/0000000a.history-0123456789abcdef",
        "wal/0000000A.history0123456789abcdef",
        "wal/0000000G.history-0123456789abcdef",
        SEGMENT "-0123456789abcdef",
        "wal/",
        "",
    };
    uint32_t timeline = 0;
    assert_true(wal_archive_parse_history_name("wal/0000000A.history-0123456789abcdef", &timeline));
    assert_int_equal(timeline, 10);
    for (size_t i = 0; i < ARRAY_SIZE(none); i++)
        if (wal_archive_parse_history_name(none[i], &timeline))
            fail_msg("'%s' is no history's", none[i]);
}

static void names_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        "wal/00000002.history-0123456789abcdef",
        SEGMENT,
        SEGMENT "-0123456789abcde",
        SEGMENT "-0123456789abcdef0",
        SEGMENT "-0123456789ABCDEF",
        SEGMENT "-0123456789abcdeg",
        SEGMENT "_0123456789abcdef",
        SEGMENT ".00000000-00100000-0123456789abcdef", /* that is a complete one */
        SEGMENT ".00002000-00002000-0123456789abcdef",
        SEGMENT ".00002001-00002000-0123456789abcdef",
        SEGMENT ".00000000-00100001-0123456789abcdef",
        SEGMENT ".00000000-0000ABCD-0123456789abcdef",
        SEGMENT ".+0000000-00002000-0123456789abcdef",
        SEGMENT ".00000000.00002000-0123456789abcdef",
        SEGMENT "-00000000-00002000-0123456789abcdef",
        "wal/00000001/00000001/000000020000000100000001-0123456789abcdef",
        "wal/00000002/00000002/000000020000000100000001-0123456789abcdef",
        "wal/00000002.00000001/000000020000000100000001-0123456789abcdef",
        "xal/00000002/00000001/000000020000000100000001-0123456789abcdef",
        "wal/00000002/00000001/000000020000000100001001-0123456789abcdef",
        "wal/0000000a/00000001/0000000a0000000100000001-0123456789abcdef",
        "wal/00000000/00000001/000000000000000100000001-0123456789abcdef/",
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct wal_piece piece;
        if (wal_archive_parse_name(names[i], MIB, &piece) == 0)
            fail_msg("'%s' was taken for a name", names[i]);
    }
}

/* Segments */

static void a_complete_segment_comes_back(void **state)
{
    struct fixture *f = *state;
    put(f, 0, MIB);
    expect_segment(f, MIB, MIB);
    expect_segment(f, 101, MIB);
    assert_in_range(f->stored_bytes, 1, MIB);
}

static void putting_the_same_again_is_fine(void **state)
{
    struct fixture *f = *state;
    put(f, 0, MIB);
    put(f, 0, MIB);
    expect_segment(f, MIB, MIB);
}

static void what_there_is_of_a_segment_is_given_with_what_is_missing(void **state)
{
    struct fixture *f = *state;
    struct error err;
    const struct wal_piece whole = piece_of(0, MIB);
    put(f, 0, 1000);
    put(f, 900, 5000);
    put(f, 6000, MIB);
    assert_int_equal(wal_archive_get_whole(f->helper.repo, &whole, &f->segment, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "no WAL from 1/101388 on"));
    assert_int_equal(f->segment.size, 5000);
    assert_memory_equal(f->segment.data, f->wal, 5000);
    put(f, 0, MIB);
    assert_int_equal(wal_archive_get_whole(f->helper.repo, &whole, &f->segment, &err), 0);
    assert_int_equal(f->segment.size, MIB);
}

static void parts_are_put_together_and_padded(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 1000);
    put(f, 1000, 9000);
    put(f, 5000, 70000);
    expect_segment(f, 70000, 70000);
    expect_segment(f, 900, 1000);
}

/* A bucket in which a segment becomes complete, and its part goes, just before something is read.
 */
static struct {
    struct store_driver driver;
    int (*get)(struct store *store, const char *name, uint64_t offset, uint64_t size,
               struct buf *data, struct error *err);
    struct fixture *fixture;
} bucket;

static int complete_and_get(struct store *store, const char *name, uint64_t offset, uint64_t size,
                            struct buf *data, struct error *err)
{
    struct fixture *f = TAKE(bucket.fixture);
    if (f) {
        CLEANUP(own_freep) char *part = helper_repo_name(&f->helper, SEGMENT);
        for (size_t region = 0; region < 2; region++)
            helper_repo_remove_object(&f->helper, region, part);
        put(f, 0, MIB);
    }
    return bucket.get(store, name, offset, size, data, err);
}

static void a_part_may_go_for_its_segment_while_it_is_read(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 9000);
    struct store *store = regions_at(f->helper.regions, 0)->store;
    bucket.get = store->driver->get;
    bucket.driver = *store->driver;
    bucket.driver.get = complete_and_get;
    bucket.fixture = f;
    store->driver = &bucket.driver;
    expect_segment(f, 9000, MIB);
    assert_null(bucket.fixture);
}

static void a_missing_end_is_named_by_its_lsn(void **state)
{
    struct fixture *f = *state;
    expect_failure(f, MIB, ERROR_NOT_FOUND, "no WAL from 1/100000 on");
    put(f, 0, 1000);
    put(f, 2000, MIB);
    expect_failure(f, MIB, ERROR_NOT_FOUND,
                   "WAL segment '000000020000000100000001': no WAL from 1/1003E8 on");
    expect_segment(f, 1000, 1000);
}

static void names_of_others_in_the_archive_do_not_disturb(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct store_bytes bytes = {.data = "x", .size = 1};
    digest_sha256("x", 1, bytes.sha256);
    assert_int_equal(
        repo_put(f->helper.repo, SEGMENT "-0123456789abcdef.partial", &bytes, PUT_NEW, &err), 0);
    put(f, 0, MIB);
    expect_segment(f, MIB, MIB);
}

static void an_object_damaged_in_one_region_is_read_from_the_next(void **state)
{
    struct fixture *f = *state;
    put(f, 0, MIB);
    CLEANUP(own_freep) char *name = helper_repo_name(&f->helper, SEGMENT);
    helper_repo_damage(&f->helper, 0, name);
    expect_segment(f, MIB, MIB);
}

static void parts_stand_in_for_a_damaged_segment(void **state)
{
    struct fixture *f = *state;
    put(f, 0, MIB);
    damage(f, SEGMENT "-");
    put(f, 0, 5000);
    put(f, 5000, MIB);
    expect_segment(f, MIB, MIB);
}

static void a_damaged_object_that_nothing_replaces_is_named(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 5000);
    put(f, 5000, MIB);
    damage(f, SEGMENT ".00001388");
    expect_failure(f, MIB, ERROR_CORRUPT, "WAL from 1/101388 on: ");
    expect_failure(f, MIB, ERROR_CORRUPT, SEGMENT ".00001388-00100000-");
    expect_segment(f, 5000, 5000);
}

static void intact_segments_that_differ_are_a_conflict(void **state)
{
    struct fixture *f = *state;
    put(f, 0, MIB);
    CLEANUP(own_freep) char *first = helper_repo_name(&f->helper, SEGMENT);
    f->wal[MIB / 2] ^= 1;
    put(f, 0, MIB);
    expect_failure(f, MIB, ERROR_CONFLICT, first);
    expect_failure(f, MIB, ERROR_CONFLICT, "contradict each other");
}

/* The whole segment. */
static int put_guarded(struct fixture *f, struct error *err)
{
    CLEANUP(wal_sealed_done) struct wal_sealed sealed = {0};
    const struct wal_rivals rivals = wal_rivals_new(f->helper.repo, MIB);
    const struct wal_piece piece = piece_of(0, MIB);
    if (wal_archive_seal(f->helper.repo, &piece, f->wal, &sealed, err) < 0)
        fail_msg("%s", err->text);
    return wal_archive_put_sealed(f->helper.repo, &sealed, &rivals.guard, err);
}

static void another_past_is_seen_before_it_is_put(void **state)
{
    struct fixture *f = *state;
    struct error err;
    put(f, 0, 5000);
    assert_int_equal(put_guarded(f, &err), 0);
    CLEANUP(own_freep) char *name = helper_repo_name(&f->helper, SEGMENT "-");
    assert_int_equal(put_guarded(f, &err), 0); /* the same is there */
    f->wal[MIB / 2] ^= 1;
    assert_int_equal(put_guarded(f, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, name));
    damage(f, SEGMENT "-");
    assert_int_equal(put_guarded(f, &err), 0);
    expect_segment(f, MIB, MIB);
}

/* pg_resetwal --wal-segsize makes names begin anew. */
static void a_segment_of_another_size_is_no_rival(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(own_freep) uint8_t *wal = own_alloc(2 * MIB);
    const uint64_t log = segment_lsn >> 32 << 32;
    const struct wal_piece larger = {.timeline = TIMELINE,
                                     .segment_lsn = log + 2 * (segment_lsn - log),
                                     .segment_bytes = 2 * MIB,
                                     .to = 2 * MIB};
    if (wal_archive_put(f->helper.repo, &larger, wal, &f->stored_bytes, &err) < 0)
        fail_msg("%s", err.text);
    CLEANUP(own_freep) char *name = helper_repo_name(&f->helper, SEGMENT "-");
    struct wal_piece found;
    assert_int_equal(wal_archive_check(f->helper.repo, name, &found, &err), 0);
    assert_int_equal(found.segment_lsn, larger.segment_lsn);
    assert_int_equal(found.segment_bytes, larger.segment_bytes);
    assert_int_equal(put_guarded(f, &err), 0);
    expect_segment(f, MIB, MIB);
}

static void a_damaged_rival_is_no_conflict(void **state)
{
    struct fixture *f = *state;
    put(f, 0, MIB);
    damage(f, SEGMENT);
    f->wal[MIB / 2] ^= 1;
    put(f, 0, MIB);
    expect_segment(f, MIB, MIB);
}

static void overlapping_parts_that_differ_are_a_conflict(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 5000);
    f->wal[4999] ^= 1;
    put(f, 4000, MIB);
    expect_failure(f, MIB, ERROR_CONFLICT, SEGMENT ".00000000-00001388-");
    expect_failure(f, MIB, ERROR_CONFLICT, SEGMENT ".00000fa0-00100000-");
}

/* Seals what a writer of ours never would. */
static void put_forged(struct fixture *f, const char *name, const struct wal_piece *says,
                       size_t size)
{
    struct error err;
    CLEANUP(buf_done) struct buf footer = BUF(64);
    bytes_put_varint(&footer, says->timeline);
    bytes_put_varint(&footer, says->segment_lsn);
    bytes_put_varint(&footer, says->segment_bytes);
    bytes_put_varint(&footer, says->from);
    bytes_put_varint(&footer, says->to);
    struct repo_blob blob = {
        .kind = CONTAINER_WAL,
        .name = name,
        .plain = f->wal,
        .size = size,
        .footer = footer.data,
        .footer_size = footer.size,
        .rule = PUT_NEW,
    };
    assert_int_equal(repo_put_sealed(f->helper.repo, &blob, NULL, NULL, &err), 0);
}

static void a_footer_that_belies_the_name_is_corrupt(void **state)
{
    struct fixture *f = *state;
    const struct wal_piece lies[] = {
        {TIMELINE + 1, segment_lsn, MIB, 0, 5000}, {TIMELINE, segment_lsn + MIB, MIB, 0, 5000},
        {TIMELINE, segment_lsn, 2 * MIB, 0, 5000}, {TIMELINE, segment_lsn, MIB, 1, 5000},
        {TIMELINE, segment_lsn, MIB, 0, 5001},
    };
    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        char name[WAL_ARCHIVE_NAME_MAX];
        snprintf(name, sizeof(name), SEGMENT ".00000000-00001388-000000000000000%zu", i);
        put_forged(f, name, &lies[i], 5000);
    }
    expect_failure(f, 5000, ERROR_CORRUPT, "its footer describes other WAL than its name");
}

static void fewer_bytes_than_the_name_says_are_corrupt(void **state)
{
    struct fixture *f = *state;
    struct wal_piece piece = piece_of(0, 5000);
    put_forged(f, SEGMENT ".00000000-00001388-0000000000000000", &piece, 4999);
    expect_failure(f, 5000, ERROR_CORRUPT, "holds 4999 bytes instead of 5000");
}

/* Histories */

static int get_history(struct fixture *f, uint32_t timeline, char **ret_text, struct error *err)
{
    CLEANUP(buf_done) struct buf content = BUF(MIB);
    int result = wal_archive_get_history(f->helper.repo, timeline, &content, err);
    *ret_text = result == 0 ? buf_string(&content) : NULL;
    return result;
}

static void put_history(struct fixture *f, const char *text)
{
    struct error err;
    assert_int_equal(wal_archive_put_history(f->helper.repo, TIMELINE, text, strlen(text),
                                             &f->stored_bytes, &err),
                     0);
}

static void a_history_comes_back(void **state)
{
    struct fixture *f = *state;
    struct error err;
    put_history(f, "1\t0/5000000\tno recovery target specified\n");
    put_history(f, "1\t0/5000000\tno recovery target specified\n");
    CLEANUP(own_freep) char *text = NULL;
    assert_int_equal(get_history(f, TIMELINE, &text, &err), 0);
    assert_string_equal(text, "1\t0/5000000\tno recovery target specified\n");
    assert_true(f->stored_bytes > 0);
}

static void a_missing_history_is_not_found(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(own_freep) char *text = NULL;
    put_history(f, "1\t0/5000000\tx\n");
    assert_int_equal(get_history(f, TIMELINE + 1, &text, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "history of timeline 3"));
}

/* Goes on as another process, for which a region has another directory than it has. */
static void reopen(struct fixture *f, bool write, const char *from, const char *to)
{
    struct error err;
    CLEANUP(own_freep) char *there = own_format("%s/%s", f->helper.directory, from);
    CLEANUP(own_freep) char *away = own_format("%s/%s", f->helper.directory, to);
    assert_return_code(rename(there, away), errno);
    if (helper_repo_reopen(&f->helper, write, HELPER_REPO_SYSTEM, &err) < 0)
        fail_msg("%s", err.text);
}

static void what_a_region_that_cannot_be_listed_may_have_is_not_missing(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(own_freep) char *text = NULL;
    put(f, 0, 1000);
    reopen(f, false, "r1", "away");
    expect_segment(f, 1000, 1000);
    expect_failure(f, 1001, ERROR_TRANSIENT, "but not all regions could be listed");
    assert_int_equal(get_history(f, TIMELINE, &text, &err), -1);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    reopen(f, false, "away", "r1");
    expect_failure(f, 1001, ERROR_NOT_FOUND, "is in the repository");
    assert_int_equal(get_history(f, TIMELINE, &text, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

static void whoever_writes_has_done_with_such_a_region(void **state)
{
    static const char history[] = "1\t0/5000000\tx\n";
    struct fixture *f = *state;
    struct error err;
    reopen(f, true, "r1", "away");
    assert_int_equal(
        wal_archive_check_history(f->helper.repo, TIMELINE, history, strlen(history), &err), 0);
    expect_failure(f, 1001, ERROR_NOT_FOUND, "is in the repository");
}

static void histories_that_differ_are_a_conflict_unless_one_is_damaged(void **state)
{
    struct fixture *f = *state;
    struct error err;
    char *text = NULL;
    put_history(f, "1\t0/5000000\tone\n");
    CLEANUP(own_freep) char *first = helper_repo_name(&f->helper, "wal/00000002.history-");
    put_history(f, "1\t0/6000000\tother\n");
    assert_int_equal(get_history(f, TIMELINE, &text, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    for (size_t region = 0; region < 2; region++)
        helper_repo_damage(&f->helper, region, first);
    assert_int_equal(get_history(f, TIMELINE, &text, &err), 0);
    assert_string_equal(text, "1\t0/6000000\tother\n");
    own_freep(&text);
}

static void another_history_of_the_timeline_is_seen_before_it_is_put(void **state)
{
    struct fixture *f = *state;
    struct error err;
    static const char one[] = "1\t0/5000000\tone\n", other[] = "1\t0/6000000\tother\n";
    struct repo *repo = f->helper.repo;
    assert_int_equal(wal_archive_check_history(repo, TIMELINE, one, strlen(one), &err), 0);
    put_history(f, one);
    assert_int_equal(wal_archive_check_history(repo, TIMELINE, one, strlen(one), &err), 0);
    assert_int_equal(wal_archive_check_history(repo, TIMELINE, other, strlen(other), &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, "another history of timeline 2"));
}

static void a_damaged_history_is_named(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(own_freep) char *text = NULL;
    put_history(f, "1\t0/5000000\tone\n");
    damage(f, "wal/00000002.history-");
    assert_int_equal(get_history(f, TIMELINE, &text, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_non_null(strstr(err.text, "wal/00000002.history-"));
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_the_format),
        cmocka_unit_test(a_name_gives_back_what_it_was_made_of),
        cmocka_unit_test(names_of_histories_say_their_timeline),
        cmocka_unit_test(names_that_are_none_are_refused),
        test(a_complete_segment_comes_back),
        test(putting_the_same_again_is_fine),
        test(what_there_is_of_a_segment_is_given_with_what_is_missing),
        test(parts_are_put_together_and_padded),
        test(a_part_may_go_for_its_segment_while_it_is_read),
        test(a_missing_end_is_named_by_its_lsn),
        test(names_of_others_in_the_archive_do_not_disturb),
        test(an_object_damaged_in_one_region_is_read_from_the_next),
        test(parts_stand_in_for_a_damaged_segment),
        test(a_damaged_object_that_nothing_replaces_is_named),
        test(intact_segments_that_differ_are_a_conflict),
        test(another_past_is_seen_before_it_is_put),
        test(a_segment_of_another_size_is_no_rival),
        test(a_damaged_rival_is_no_conflict),
        test(overlapping_parts_that_differ_are_a_conflict),
        test(a_footer_that_belies_the_name_is_corrupt),
        test(fewer_bytes_than_the_name_says_are_corrupt),
        test(a_history_comes_back),
        test(a_missing_history_is_not_found),
        test(what_a_region_that_cannot_be_listed_may_have_is_not_missing),
        test(whoever_writes_has_done_with_such_a_region),
        test(histories_that_differ_are_a_conflict_unless_one_is_damaged),
        test(another_history_of_the_timeline_is_seen_before_it_is_put),
        test(a_damaged_history_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
