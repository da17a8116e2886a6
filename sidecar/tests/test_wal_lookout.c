// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/own.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_lookout.h"
#include "sidecar/wal_stream.h"

enum { MIB = 1 << 20, TIMELINE = 2, LENGTH = 5000, DIFFERS = 1500 };

static const uint64_t segment_lsn = 0x100100000;

struct fixture {
    struct helper_repo helper;
    struct wal_lookout *lookout;
    uint8_t ours[LENGTH], theirs[LENGTH];
};

static int set_up(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    *state = f;
    helper_repo_open(&f->helper, 2, 0);
    for (size_t i = 0; i < LENGTH; i++)
        f->ours[i] = f->theirs[i] = (uint8_t)(i * 7 + i / 251);
    const struct wal_lookout_options options = {f->helper.repo, TIMELINE, MIB};
    f->lookout = wal_lookout_new(&options);
    return 0;
}

static int tear_down(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    wal_lookout_freep(&f->lookout);
    helper_repo_close(&f->helper);
    return 0;
}

static void differ(struct fixture *f)
{
    memset(f->theirs + DIFFERS, 0xEE, LENGTH - DIFFERS);
}

static void put(struct fixture *f, const uint8_t *wal, uint32_t from, uint32_t to,
                char ret_name[WAL_ARCHIVE_NAME_MAX])
{
    struct error err;
    CLEANUP(wal_sealed_done) struct wal_sealed sealed = {0};
    const struct wal_piece piece = {TIMELINE, segment_lsn, MIB, from, to};
    if (wal_archive_seal(f->helper.repo, &piece, wal + from, &sealed, &err) < 0 ||
        wal_archive_put_sealed(f->helper.repo, &sealed, NULL, &err) < 0)
        fail_msg("%s", err.text);
    memcpy(ret_name, sealed.name, WAL_ARCHIVE_NAME_MAX);
}

/* As a stream does that has more than that by now. */
static void put_ours(struct fixture *f, uint32_t from, uint32_t to,
                     char ret_name[WAL_ARCHIVE_NAME_MAX])
{
    const struct wal_lookout_view view = {segment_lsn, segment_lsn + to + 100, f->ours};
    wal_lookout_show(f->lookout, &view);
    put(f, f->ours, from, to, ret_name);
    wal_lookout_own(f->lookout, ret_name);
    wal_lookout_store(f->lookout, segment_lsn + to);
}

static void expect_nothing(struct fixture *f)
{
    struct error err;
    if (wal_lookout_look(f->lookout, &err) < 0 || wal_lookout_check(f->lookout, &err) < 0)
        fail_msg("%s", err.text);
}

static void expect_conflict(struct fixture *f, const char *name)
{
    struct error err;
    assert_int_equal(wal_lookout_look(f->lookout, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_int_equal(wal_lookout_check(f->lookout, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, name));
}

static bool is_there(struct fixture *f, size_t region, const char *name)
{
    CLEANUP(own_freep) char *path = helper_repo_path(&f->helper, region, name);
    return access(path, F_OK) == 0;
}

static void who_is_alone_finds_nothing(void **state)
{
    struct fixture *f = *state;
    char name[WAL_ARCHIVE_NAME_MAX];
    expect_nothing(f);
    put_ours(f, 0, 1000, name);
    put_ours(f, 1000, 2000, name);
    expect_nothing(f);
}

static void another_receiver_of_the_same_server_does_no_harm(void **state)
{
    struct fixture *f = *state;
    char name[WAL_ARCHIVE_NAME_MAX];
    put_ours(f, 0, 1000, name);
    put(f, f->theirs, 0, 900, name);
    put(f, f->theirs, 900, 4000, name);
    expect_nothing(f);
    put_ours(f, 1000, 4000, name);
    expect_nothing(f);
}

static void who_came_later_is_in_conflict_and_takes_its_own_away(void **state)
{
    struct fixture *f = *state;
    char theirs[WAL_ARCHIVE_NAME_MAX], before[WAL_ARCHIVE_NAME_MAX], behind[WAL_ARCHIVE_NAME_MAX];
    differ(f);
    put(f, f->theirs, 0, 3000, theirs);
    put_ours(f, 0, 1000, before);
    expect_nothing(f); /* it is the same so far */
    put_ours(f, 1000, 2000, behind);
    expect_conflict(f, theirs);
    wal_lookout_withdraw(f->lookout);
    for (size_t region = 0; region < 2; region++) {
        assert_true(is_there(f, region, theirs));
        assert_true(is_there(f, region, before));
        assert_false(is_there(f, region, behind));
    }
}

static void who_came_first_goes_on(void **state)
{
    struct fixture *f = *state;
    char ours[WAL_ARCHIVE_NAME_MAX], theirs[WAL_ARCHIVE_NAME_MAX];
    differ(f);
    put_ours(f, 0, 2000, ours);
    expect_nothing(f);
    put(f, f->theirs, 0, 1800, theirs);
    expect_nothing(f);
    put(f, f->theirs, 1800, 1900, theirs); /* the same, and all that follows */
    expect_nothing(f);
}

static void a_look_before_the_bytes_were_stored_makes_nobody_the_first(void **state)
{
    struct fixture *f = *state;
    char ours[WAL_ARCHIVE_NAME_MAX], theirs[WAL_ARCHIVE_NAME_MAX];
    differ(f);
    put_ours(f, 0, 1000, ours);
    expect_nothing(f);
    put_ours(f, 1000, 2000, ours);
    put(f, f->theirs, 0, 1800, theirs);
    expect_conflict(f, theirs);
}

/* It may have been there for long, only longer than what we could compare. */
static void nobody_is_first_while_another_says_more(void **state)
{
    struct fixture *f = *state;
    char ours[WAL_ARCHIVE_NAME_MAX], theirs[WAL_ARCHIVE_NAME_MAX];
    put_ours(f, 0, 1000, ours);
    put(f, f->theirs, 0, 4000, theirs);
    expect_nothing(f);
    f->theirs[999] ^= 1;
    put(f, f->theirs, 0, 1050, theirs);
    expect_conflict(f, theirs);
}

static void a_damaged_object_says_nothing(void **state)
{
    struct fixture *f = *state;
    char ours[WAL_ARCHIVE_NAME_MAX], theirs[WAL_ARCHIVE_NAME_MAX];
    differ(f);
    put(f, f->theirs, 0, 1800, theirs);
    for (size_t region = 0; region < 2; region++)
        helper_repo_damage(&f->helper, region, theirs);
    put_ours(f, 0, 2000, ours);
    expect_nothing(f);
}

static void what_is_in_one_region_only_is_seen(void **state)
{
    struct fixture *f = *state;
    char ours[WAL_ARCHIVE_NAME_MAX], theirs[WAL_ARCHIVE_NAME_MAX];
    differ(f);
    put(f, f->theirs, 0, 1800, theirs);
    helper_repo_remove_object(&f->helper, 0, theirs);
    put_ours(f, 0, 2000, ours);
    expect_conflict(f, theirs);
}

/* As tails go that later ones take the place of: else there is no end of their names. */
static void what_is_ours_is_forgotten_when_it_is_gone(void **state)
{
    struct fixture *f = *state;
    char gone[WAL_ARCHIVE_NAME_MAX], later[WAL_ARCHIVE_NAME_MAX], again[WAL_ARCHIVE_NAME_MAX];
    differ(f);
    put(f, f->theirs, 0, 2000, gone);
    wal_lookout_own(f->lookout, gone);
    for (size_t region = 0; region < 2; region++)
        helper_repo_remove_object(&f->helper, region, gone);
    for (uint32_t i = 1; i <= WAL_STREAM_FLYING_MAX; i++)
        put_ours(f, 0, i, later);
    expect_nothing(f);
    put(f, f->theirs, 0, 2000, again);
    assert_string_equal(again, gone);
    const struct wal_lookout_view view = {segment_lsn, segment_lsn + LENGTH, f->ours};
    wal_lookout_show(f->lookout, &view);
    expect_conflict(f, gone);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(who_is_alone_finds_nothing),
        TEST(another_receiver_of_the_same_server_does_no_harm),
        TEST(who_came_later_is_in_conflict_and_takes_its_own_away),
        TEST(who_came_first_goes_on),
        TEST(a_look_before_the_bytes_were_stored_makes_nobody_the_first),
        TEST(nobody_is_first_while_another_says_more),
        TEST(a_damaged_object_says_nothing),
        TEST(what_is_in_one_region_only_is_seen),
        TEST(what_is_ours_is_forgotten_when_it_is_gone),
    };
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
