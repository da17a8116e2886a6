// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_tails.h"

enum { SEGMENT = 1 << 20, POLL_US = 5000, POLLS = 12000 };

struct fixture {
    struct helper_repo helper;
    struct cancel cancel;
    struct crew *crew;
    struct wal_tails *tails;
};

static int set_up(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    struct error err;
    *state = f;
    log_set_level(LOG_LEVEL_ERROR);
    helper_repo_open(&f->helper, 2, 0);
    assert_int_equal(cancel_init(&f->cancel, &err), 0);
    f->crew = crew_new(&f->cancel);
    assert_int_equal(wal_tails_new(&f->tails, f->helper.repo, f->crew, &f->cancel, &err), 0);
    return 0;
}

static int tear_down(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    crew_freep(&f->crew);
    wal_tails_freep(&f->tails);
    cancel_done(&f->cancel);
    helper_repo_close(&f->helper);
    return 0;
}

static struct wal_piece piece_of(uint64_t segment, uint32_t from, uint32_t to)
{
    return (struct wal_piece){1, segment * SEGMENT, SEGMENT, from, to};
}

/* Puts it, and gives its name. */
static void put(struct fixture *f, const struct wal_piece *piece,
                char ret_name[WAL_ARCHIVE_NAME_MAX])
{
    struct error err;
    CLEANUP(own_freep) uint8_t *data = own_alloc(piece->to - piece->from);
    CLEANUP(wal_sealed_done) struct wal_sealed sealed = {0};
    if (wal_archive_seal(f->helper.repo, piece, data, &sealed, &err) < 0 ||
        wal_archive_put_sealed(f->helper.repo, &sealed, NULL, &err) < 0)
        fail_msg("%s", err.text);
    memcpy(ret_name, sealed.name, WAL_ARCHIVE_NAME_MAX);
}

static void add(struct fixture *f, const struct wal_piece *piece)
{
    char name[WAL_ARCHIVE_NAME_MAX];
    put(f, piece, name);
    wal_tails_add(f->tails, name, piece);
}

static void cover(struct fixture *f, const struct wal_piece *piece)
{
    char name[WAL_ARCHIVE_NAME_MAX];
    put(f, piece, name);
    wal_tails_cover(f->tails, name, piece);
}

static bool is_there(struct fixture *f, size_t region, const struct wal_piece *piece)
{
    char name[WAL_ARCHIVE_NAME_MAX];
    CLEANUP(own_freep) uint8_t *data = own_alloc(piece->to - piece->from);
    CLEANUP(wal_sealed_done) struct wal_sealed sealed = {0};
    struct error err;
    assert_int_equal(wal_archive_seal(f->helper.repo, piece, data, &sealed, &err), 0);
    memcpy(name, sealed.name, sizeof(name));
    CLEANUP(own_freep) char *path = helper_repo_path(&f->helper, region, name);
    return access(path, F_OK) == 0;
}

static void await_removal(struct fixture *f, size_t region, const struct wal_piece *piece)
{
    for (int i = 0; i < POLLS && is_there(f, region, piece); i++)
        usleep(POLL_US);
    assert_false(is_there(f, region, piece));
}

static void what_a_stored_piece_covers_goes_from_every_region(void **state)
{
    struct fixture *f = *state;
    const struct wal_piece first = piece_of(3, 0, 100), second = piece_of(3, 100, 200),
                           beyond = piece_of(3, 150, 300), other = piece_of(4, 0, 100),
                           both = piece_of(3, 0, 200), whole = piece_of(3, 0, SEGMENT);
    add(f, &first);
    add(f, &second);
    add(f, &beyond);
    add(f, &other);
    add(f, &both);
    cover(f, &both);
    await_removal(f, 0, &first);
    await_removal(f, 1, &second);
    assert_true(is_there(f, 0, &both) && is_there(f, 0, &beyond) && is_there(f, 1, &other));
    cover(f, &whole);
    await_removal(f, 0, &both);
    await_removal(f, 1, &beyond);
    assert_true(is_there(f, 0, &other) && is_there(f, 1, &whole));
}

/* Where what covers it never came. */
static void a_lost_region_keeps_its_tails(void **state)
{
    struct fixture *f = *state;
    const struct wal_piece tail = piece_of(3, 0, 100), whole = piece_of(3, 0, SEGMENT);
    struct error why;
    add(f, &tail);
    error_set(&why, ERROR_TRANSIENT, "it does not answer");
    assert_int_equal(regions_lose(f->helper.regions, 0, &why), 0);
    cover(f, &whole);
    await_removal(f, 1, &tail);
    assert_true(is_there(f, 0, &tail));
    assert_false(is_there(f, 0, &whole));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_stored_piece_covers_goes_from_every_region, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_lost_region_keeps_its_tails, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
