// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_series.h"
#include "sidecar/wal_presence.h"

#define BACKUP "20261121T000000Z-full-0003"

struct fixture {
    struct helper_repo helper;
    struct manifest manifest;
    char *wal; /* its only object */
};

static int set_up(void **state)
{
    static const struct helper_series backup = {
        .id = BACKUP, .start_lsn = 0x5000028, .stop_lsn = 0x5002000};
    struct fixture *f = own_alloc(sizeof(*f));
    struct error err;
    *state = f;
    helper_repo_open(&f->helper, 2, HELPER_SERIES_SYSTEM);
    helper_series_add(&f->helper, &backup);
    if (repo_load_manifest(f->helper.repo, BACKUP, &f->manifest, &err) < 0)
        fail_msg("%s", err.text);
    f->wal = helper_repo_name(&f->helper, "wal/00000002/");
    return 0;
}

static int tear_down(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    manifest_done(&f->manifest);
    own_freep(&f->wal);
    helper_repo_close(&f->helper);
    return 0;
}

static void what_a_backup_needs_is_in_every_region(void **state)
{
    struct fixture *f = *state;
    struct error err;
    assert_int_equal(wal_presence_check(f->helper.repo, &f->manifest, &err), 0);
}

static void what_one_region_lacks_is_a_conflict(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(own_freep) char *path = helper_repo_path(&f->helper, 1, f->wal);
    assert_return_code(unlink(path), 0);
    assert_int_equal(wal_presence_check(f->helper.repo, &f->manifest, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, "WAL from 0/5000000 to 0/5002000 on timeline 2"));
    assert_non_null(strstr(err.text, "'r1'"));
}

static void what_is_missing_at_the_end_is_missed(void **state)
{
    struct fixture *f = *state;
    struct error err;
    f->manifest.wal[0].stop_lsn++;
    assert_int_equal(wal_presence_check(f->helper.repo, &f->manifest, &err), -1);
    assert_non_null(strstr(err.text, "WAL from 0/5002000 to 0/5002001"));
}

static void a_lost_region_is_not_asked(void **state)
{
    struct fixture *f = *state;
    struct error err = {.kind = ERROR_PERMANENT, .text = "lost by the test"};
    CLEANUP(own_freep) char *path = helper_repo_path(&f->helper, 1, f->wal);
    assert_return_code(unlink(path), 0);
    assert_int_equal(regions_lose(f->helper.regions, 1, &err), 0);
    assert_int_equal(wal_presence_check(f->helper.repo, &f->manifest, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_backup_needs_is_in_every_region, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_one_region_lacks_is_a_conflict, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_missing_at_the_end_is_missed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lost_region_is_not_asked, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
