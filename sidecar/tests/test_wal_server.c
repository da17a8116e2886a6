// SPDX-License-Identifier: Apache-2.0
/* Asked as PostgreSQL asks, over real directories, some of which fail or hang. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/policy.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_impostor.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_store_plan.h"
#include "sidecar/wal_ahead.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_lookup.h"
#include "sidecar/wal_request.h"
#include "sidecar/wal_server.h"
#include "sidecar/wal_shelf.h"

enum { MIB = 1 << 20, FIRST = 3, BOTH = 3, CALLS_MAX = 1 << 30, FOR_EVER = -1 };

struct fixture {
    struct helper_repo helper;
    char socket[96], postmaster[96];
    struct cancel cancel; /* of the server */
    struct crew *crew;
    unsigned idle_ms;
    const char *listed[2]; /* the regions that it asks; none: all */
    size_t listed_count;
    struct error failure; /* of the server, once it ended */
    int result;
    struct cancel asking; /* of who asks */
    struct error told;    /* the first reason to ask again */
    bool patient;         /* does not leave because of that */
    uint8_t wal[MIB];
};

/* The archive */

static const uint8_t *wal_of(struct fixture *f, uint32_t timeline, uint64_t segment)
{
    for (size_t i = 0; i < sizeof(f->wal); i++)
        f->wal[i] = (uint8_t)(i * 7 + i / 251 + segment * 3 + timeline);
    return f->wal;
}

/* Of the bits of regions those that get it. */
static void put_part(struct fixture *f, unsigned regions, uint64_t segment, uint32_t from,
                     uint32_t to)
{
    const struct wal_piece piece = {1, segment * MIB, MIB, from, to};
    struct error err;
    uint64_t stored = 0;
    struct repo_names names;
    if (wal_archive_put(f->helper.repo, &piece, wal_of(f, 1, segment) + from, &stored, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(repo_list(f->helper.repo, "wal/", &names, &err), 0);
    for (size_t i = 0; i < names.count; i++) {
        struct wal_piece found;
        if (wal_archive_parse_name(names.names[i].name, MIB, &found) < 0 ||
            found.segment_lsn != piece.segment_lsn || found.from != from)
            continue;
        for (size_t region = 0; region < regions_count(f->helper.regions); region++)
            if (!(regions & 1u << region) && names.names[i].regions & 1u << region)
                helper_repo_remove_object(&f->helper, region, names.names[i].name);
    }
    repo_names_done(&names);
}

static void put_segment(struct fixture *f, unsigned regions, uint64_t segment)
{
    put_part(f, regions, segment, 0, MIB);
}

static void put_history(struct fixture *f, uint32_t timeline, const char *text)
{
    struct error err;
    uint64_t stored = 0;
    if (wal_archive_put_history(f->helper.repo, timeline, text, strlen(text), &stored, &err) < 0)
        fail_msg("%s", err.text);
}

/* The server */

static int run_server(void *arg, struct error *err)
{
    struct fixture *f = arg;
    const struct wal_server_options options = {
        .policy = f->helper.policy,
        .secrets = f->helper.secrets,
        .regions = {.listed = f->listed, .listed_count = f->listed_count},
        .system_identifier = HELPER_REPO_SYSTEM,
        .segment_bytes = MIB,
        .socket = f->socket,
        .postmaster = f->postmaster,
        .idle_ms = f->idle_ms,
        .cancel = &f->cancel,
    };
    (void)err;
    f->result = wal_server_run(&options, &f->failure);
    return 0;
}

static void end_server(struct fixture *f)
{
    struct error err;
    if (!f->crew)
        return;
    assert_int_equal(crew_join(f->crew, &err), 0);
    crew_freep(&f->crew);
    cancel_done(&f->cancel);
}

static int start_server(void *arg, struct error *err)
{
    struct fixture *f = arg;
    if (f->crew)
        return 0; /* it does not listen yet */
    return cancel_init(&f->cancel, err) < 0 ||
                   crew_start(f->crew = crew_new(&f->cancel), "server", run_server, f, err) < 0
               ? -1
               : 0;
}

static void stop_server(struct fixture *f)
{
    if (f->crew)
        cancel_trigger(&f->cancel);
    end_server(f);
}

static int setup_regions(void **state, size_t regions)
{
    struct fixture *f = own_alloc(sizeof(*f));
    struct error err;
    *state = f;
    store_plan_nothing();
    helper_repo_open(&f->helper, regions, 0);
    snprintf(f->socket, sizeof(f->socket), "%s/socket", f->helper.directory);
    snprintf(f->postmaster, sizeof(f->postmaster), "%s/postmaster.pid", f->helper.directory);
    assert_int_equal(cancel_init(&f->asking, &err), 0);
    log_set_level(LOG_LEVEL_ERROR + 1);
    return 0;
}

static int setup(void **state)
{
    return setup_regions(state, 2);
}

static int setup_one_region(void **state)
{
    return setup_regions(state, 1);
}

static int teardown(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    stop_server(f);
    cancel_done(&f->asking);
    store_plan_nothing();
    helper_repo_close(&f->helper);
    log_set_level(LOG_LEVEL_INFO);
    return 0;
}

/* Asking */

static void note_reason(void *arg, const struct error *why)
{
    struct fixture *f = arg;
    if (why->kind == ERROR_NOT_FOUND)
        return; /* the server does not listen yet */
    if (f->told.kind == ERROR_NONE)
        f->told = *why;
    if (!f->patient)
        cancel_trigger(&f->asking);
}

static struct wal_request request_of(struct fixture *f, const char *name, const char *path)
{
    return (struct wal_request){
        .socket = f->socket,
        .name = name,
        .path = path,
        .patience_ms = FOR_EVER,
        .tell = note_reason,
        .arg = f,
        .cancel = &f->asking,
    };
}

static char *path_of(const struct fixture *f, const char *name)
{
    return own_format("%s/%s", f->helper.directory, name);
}

static void read_out(const char *path, struct buf *content)
{
    struct error err;
    if (buf_read_file(content, AT_FDCWD, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(unlink(path), 0);
}

/* No half file, and no file at all. */
static void expect_nothing_written(const struct fixture *f)
{
    DIR *directory = opendir(f->helper.directory);
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory));)
        if (strncmp(entry->d_name, "out", 3) == 0)
            fail_msg("'%s' was left", entry->d_name);
    closedir(directory);
}

static void name_segment(uint64_t segment, char ret_name[WAL_SEGMENT_NAME_BYTES])
{
    wal_segment_name(1, segment * MIB, MIB, ret_name);
}

static void expect_content(struct fixture *f, uint64_t segment, const struct buf *content,
                           uint32_t reach)
{
    static const uint8_t zeros[MIB];
    assert_int_equal(content->size, MIB);
    assert_memory_equal(content->data, wal_of(f, 1, segment), reach);
    assert_memory_equal(content->data + reach, zeros, MIB - reach);
}

/* A segment comes, with zeros behind reach. */
static void expect_segment(struct fixture *f, uint64_t segment, uint32_t reach)
{
    struct error err = {0};
    char name[WAL_SEGMENT_NAME_BYTES];
    CLEANUP(own_freep) char *path = path_of(f, "out");
    CLEANUP(buf_done) struct buf content = BUF(MIB);
    name_segment(segment, name);
    const struct wal_request request = request_of(f, name, path);
    if (wal_request_run(&request, &err) != WAL_REQUEST_DELIVERED)
        fail_msg("%s %s", err.text, f->told.text);
    read_out(path, &content);
    expect_content(f, segment, &content, reach);
    expect_nothing_written(f);
}

static void expect_status(struct fixture *f, const char *name, int status)
{
    struct error err = {0};
    CLEANUP(own_freep) char *path = path_of(f, "out");
    const struct wal_request request = request_of(f, name, path);
    const int got = wal_request_run(&request, &err);
    if (got != status)
        fail_msg("exit status %d: %s %s", got, err.text, f->told.text);
    expect_nothing_written(f);
}

static void expect_end(struct fixture *f, uint64_t segment)
{
    char name[WAL_SEGMENT_NAME_BYTES];
    name_segment(segment, name);
    expect_status(f, name, WAL_REQUEST_NONE);
}

/* Who asks is told this reason to ask again. */
static void expect_again(struct fixture *f, uint64_t segment, const char *reason)
{
    char name[WAL_SEGMENT_NAME_BYTES];
    name_segment(segment, name);
    expect_status(f, name, WAL_REQUEST_STOPPED);
    if (!strstr(f->told.text, reason))
        fail_msg("'%s' is not told in: %s", reason, f->told.text);
}

static void begin(struct fixture *f)
{
    struct error err;
    assert_int_equal(start_server(f, &err), 0);
}

/* Delivered */

static void segments_come_one_after_the_other(void **state)
{
    struct fixture *f = *state;
    for (uint64_t segment = FIRST; segment < FIRST + 12; segment++)
        put_segment(f, BOTH, segment);
    begin(f);
    for (uint64_t segment = FIRST; segment < FIRST + 12; segment++)
        expect_segment(f, segment, MIB);
    expect_end(f, FIRST + 12);
    expect_segment(f, FIRST + 2, MIB); /* PostgreSQL was started anew */
}

static void a_history_comes_as_it_is(void **state)
{
    static const char history[] = "1\t0/380000\tno recovery target specified\n";
    struct fixture *f = *state;
    struct error err;
    CLEANUP(own_freep) char *path = path_of(f, "out");
    CLEANUP(buf_done) struct buf content = BUF(MIB);
    put_history(f, 2, history);
    begin(f);
    const struct wal_request request = request_of(f, "00000002.history", path);
    assert_int_equal(wal_request_run(&request, &err), WAL_REQUEST_DELIVERED);
    read_out(path, &content);
    assert_int_equal(content.size, strlen(history));
    assert_memory_equal(content.data, history, content.size);
    expect_status(f, "00000003.history", WAL_REQUEST_NONE);
}

static void what_was_there_is_replaced(void **state)
{
    struct fixture *f = *state;
    CLEANUP(own_freep) char *path = path_of(f, "out");
    CLEANUP(own_closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 2 * MIB), 0);
    put_segment(f, BOTH, FIRST);
    begin(f);
    expect_segment(f, FIRST, MIB);
}

static void tails_are_a_segment_with_zeros_behind(void **state)
{
    struct fixture *f = *state;
    put_segment(f, BOTH, FIRST);
    put_part(f, 1, FIRST + 1, 0, 1000);
    put_part(f, 2, FIRST + 1, 500, 3000); /* each region has one of them */
    begin(f);
    expect_segment(f, FIRST, MIB);
    expect_segment(f, FIRST + 1, 3000);
    expect_end(f, FIRST + 2);
}

static void a_region_without_wal_is_made_up_for_by_the_other(void **state)
{
    struct fixture *f = *state;
    put_segment(f, 2, FIRST);
    put_segment(f, 1, FIRST + 1);
    begin(f);
    expect_segment(f, FIRST, MIB);
    expect_segment(f, FIRST + 1, MIB);
    expect_end(f, FIRST + 2);
}

static void regions_that_are_listed_are_asked_and_no_others(void **state)
{
    struct fixture *f = *state;
    f->listed[f->listed_count++] = "r1";
    put_segment(f, BOTH, FIRST);
    put_segment(f, 1, FIRST + 1);
    begin(f);
    expect_segment(f, FIRST, MIB);
    expect_end(f, FIRST + 1);
    stop_server(f);
    f->listed[f->listed_count++] = "r0";
    begin(f);
    expect_segment(f, FIRST + 1, MIB);
    stop_server(f);
    f->listed[1] = "r1";
    begin(f);
    expect_again(f, FIRST, "region 'r1' is named twice");
}

static void a_region_that_is_down_is_made_up_for_by_the_other(void **state)
{
    struct fixture *f = *state;
    put_segment(f, BOTH, FIRST);
    put_segment(f, BOTH, FIRST + 1);
    store_plan_fault("r0", 1, CALLS_MAX, STORE_FAULT_PERMANENT);
    begin(f);
    expect_segment(f, FIRST, MIB);
    expect_segment(f, FIRST + 1, MIB);
}

struct asker {
    struct fixture *f;
    char name[16];
    int status;
};

static int ask_for_all(void *arg, struct error *err)
{
    struct asker *asker = arg;
    CLEANUP(own_freep) char *path = path_of(asker->f, asker->name);
    for (uint64_t segment = FIRST; segment < FIRST + 6 && asker->status == 0; segment++) {
        char name[WAL_SEGMENT_NAME_BYTES];
        name_segment(segment, name);
        const struct wal_request request = request_of(asker->f, name, path);
        asker->status = wal_request_run(&request, err);
    }
    return 0;
}

static void several_can_ask_at_once(void **state)
{
    enum { ASKERS = 6 };
    struct fixture *f = *state;
    struct asker askers[ASKERS];
    struct error err;
    CLEANUP(buf_done) struct buf content = BUF(MIB);
    for (uint64_t segment = FIRST; segment < FIRST + 6; segment++)
        put_segment(f, BOTH, segment);
    begin(f);
    struct crew *crew = crew_new(&f->asking);
    for (int i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){.f = f};
        snprintf(askers[i].name, sizeof(askers[i].name), "out-%d", i);
        assert_int_equal(crew_start(crew, "asker", ask_for_all, &askers[i], &err), 0);
    }
    assert_int_equal(crew_join(crew, &err), 0);
    crew_freep(&crew);
    for (int i = 0; i < ASKERS; i++) {
        CLEANUP(own_freep) char *path = path_of(f, askers[i].name);
        assert_int_equal(askers[i].status, WAL_REQUEST_DELIVERED);
        read_out(path, &content);
        expect_content(f, FIRST + 5, &content, MIB);
    }
}

static void read_handed(int file, struct buf *content)
{
    struct error err;
    uint8_t *space;
    buf_clear(content);
    assert_int_equal(buf_reserve(content, MIB, &space, &err), 0);
    content->size = (size_t)buf_pread(file, space, MIB, 0, &err);
    close(file);
}

static void expect_fetched_ahead(struct fixture *f, const char *directory, bool as_file)
{
    struct error err;
    struct wal_shelf *shelf;
    const struct wal_lookup lookup = {f->helper.repo, MIB};
    const struct wal_ahead_segment next[] = {{1, FIRST * (uint64_t)MIB}, {1, 9 * (uint64_t)MIB}};
    CLEANUP(buf_done) struct buf content = BUF(MIB);
    put_segment(f, BOTH, FIRST);
    struct crew *crew = crew_new(&f->asking);
    const struct wal_shelf_options options = {directory, &lookup, 2, crew, &f->asking};
    assert_int_equal(wal_shelf_open(&shelf, &options, &err), 0);
    assert_int_equal(wal_shelf_places(shelf), 4);
    int taken = 0, file = -1;
    while (taken == 0) { /* who comes before a worker is not kept waiting */
        wal_shelf_want(shelf, next, ARRAY_SIZE(next));
        taken = wal_shelf_take(shelf, &next[0], &content, &file, &err);
    }
    assert_int_equal(taken, 1);
    assert_int_equal(file >= 0, as_file);
    if (file >= 0)
        read_handed(file, &content);
    expect_content(f, FIRST, &content, MIB);
    assert_int_equal(wal_shelf_take(shelf, &next[1], &content, &file, &err), 0); /* not there */
    assert_int_equal(wal_shelf_take(shelf, &next[0], &content, &file, &err), 0); /* taken away */
    crew_freep(&crew);
    wal_shelf_freep(&shelf);
}

static void what_was_fetched_ahead_is_what_the_archive_had(void **state)
{
    struct fixture *f = *state;
    expect_fetched_ahead(f, f->helper.directory, true);
}

static void and_waits_in_memory_where_no_file_can_be(void **state)
{
    expect_fetched_ahead(*state, "/proc", false);
}

/* The end, and what is none */

static void a_region_that_fails_never_looks_like_the_end(void **state)
{
    struct fixture *f = *state;
    put_segment(f, BOTH, FIRST);
    store_plan_fault("r1", 1, CALLS_MAX, STORE_FAULT_TRANSIENT);
    begin(f);
    expect_segment(f, FIRST, MIB);
    expect_again(f, FIRST + 1, "'r1'");
}

static void nor_for_a_history(void **state)
{
    struct fixture *f = *state;
    store_plan_fault("r1", 1, CALLS_MAX, STORE_FAULT_PERMANENT);
    begin(f);
    expect_status(f, "00000002.history", WAL_REQUEST_STOPPED);
    assert_non_null(strstr(f->told.text, "'r1'"));
}

static void nor_does_a_tail_while_a_region_fails(void **state)
{
    struct fixture *f = *state;
    put_segment(f, 2, FIRST); /* all of it is in the one that is down */
    put_part(f, 1, FIRST, 0, 1000);
    store_plan_fault("r1", 1, CALLS_MAX, STORE_FAULT_TRANSIENT);
    begin(f);
    expect_again(f, FIRST, "'r1'");
}

static void a_region_that_answers_again_is_asked_again(void **state)
{
    enum { ENOUGH_FOR_A_WHILE = 40 };
    struct fixture *f = *state;
    f->patient = true;
    put_segment(f, 2, FIRST);
    store_plan_fault("r1", 1, ENOUGH_FOR_A_WHILE, STORE_FAULT_TRANSIENT);
    begin(f);
    expect_segment(f, FIRST, MIB);
    expect_end(f, FIRST + 1);
    assert_in_range(store_plan.calls, ENOUGH_FOR_A_WHILE, CALLS_MAX);
}

static void who_asks_a_region_that_hangs_fails_when_its_patience_ends(void **state)
{
    struct fixture *f = *state;
    struct error err;
    char name[WAL_SEGMENT_NAME_BYTES];
    CLEANUP(own_freep) char *path = path_of(f, "out");
    store_plan_fault("r0", 1, CALLS_MAX, STORE_FAULT_HANG);
    begin(f);
    name_segment(FIRST, name);
    struct wal_request request = request_of(f, name, path);
    request.patience_ms = 300;
    f->patient = true;
    assert_int_equal(wal_request_run(&request, &err), WAL_REQUEST_FAILED);
    expect_nothing_written(f);
}

static void without_any_region_it_is_told_why_and_fails(void **state)
{
    struct fixture *f = *state;
    store_plan_fault("r0", 1, CALLS_MAX, STORE_FAULT_PERMANENT);
    begin(f);
    expect_again(f, FIRST, "open the repository");
    end_server(f); /* the next one may fare better */
    assert_int_equal(f->result, -1);
    assert_non_null(strstr(f->failure.text, "fault of the test"));
}

static void a_damaged_segment_is_not_the_end(void **state)
{
    struct fixture *f = *state;
    put_segment(f, BOTH, FIRST);
    CLEANUP(own_freep) char *name = helper_repo_name(&f->helper, "wal/");
    for (size_t region = 0; region < 2; region++)
        helper_repo_damage(&f->helper, region, name);
    begin(f);
    expect_again(f, FIRST, name);
}

static void a_gap_is_not_the_end(void **state)
{
    struct fixture *f = *state;
    put_segment(f, BOTH, FIRST);
    put_part(f, BOTH, FIRST + 1, 0, 1000);
    put_segment(f, 1, FIRST + 5000); /* in the next log */
    begin(f);
    expect_segment(f, FIRST, MIB);
    expect_again(f, FIRST + 1, "but there is more from 1/38B00000 on");
}

static void a_gap_is_the_end_for_who_says_so(void **state)
{
    struct fixture *f = *state;
    struct error err;
    char name[WAL_SEGMENT_NAME_BYTES];
    CLEANUP(own_freep) char *path = path_of(f, "out");
    CLEANUP(buf_done) struct buf content = BUF(MIB);
    put_part(f, BOTH, FIRST, 0, 1000);
    put_segment(f, BOTH, FIRST + 2);
    begin(f);
    name_segment(FIRST, name);
    struct wal_request request = request_of(f, name, path);
    request.stop_at_gaps = true;
    assert_int_equal(wal_request_run(&request, &err), WAL_REQUEST_DELIVERED);
    read_out(path, &content);
    expect_content(f, FIRST, &content, 1000);
    name_segment(FIRST + 1, name);
    assert_int_equal(wal_request_run(&request, &err), WAL_REQUEST_NONE);
}

static void wal_before_a_fork_is_not_the_end(void **state)
{
    struct fixture *f = *state;
    put_segment(f, BOTH, FIRST);
    put_history(f, 2, "1\t0/600000\tno recovery target specified\n");
    begin(f);
    expect_segment(f, FIRST, MIB);
    expect_again(f, FIRST + 1, "timeline 2 goes on from it at 0/600000");
}

static void wal_behind_a_fork_may_be(void **state)
{
    struct fixture *f = *state;
    put_segment(f, BOTH, FIRST);
    put_history(f, 2, "1\t0/400100\tno recovery target specified\n");
    begin(f);
    expect_segment(f, FIRST, MIB);
    expect_end(f, FIRST + 1);
}

static void what_is_no_name_is_refused_at_once(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"00000001000000000000", "0000000100000000FFFFFFFF",
                                        "00000002.partial", "../postgresql.conf", ""};
    begin(f);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        expect_status(f, names[i], WAL_REQUEST_FAILED);
}

/* Lives and deaths */

/* The first to answer is the impostor, then the server, if that is asked for. */
static void expect_in_spite_of(struct fixture *f, struct helper_impostor *impostor)
{
    struct error err;
    char name[WAL_SEGMENT_NAME_BYTES];
    CLEANUP(own_freep) char *path = path_of(f, "out");
    CLEANUP(buf_done) struct buf content = BUF(MIB);
    put_segment(f, BOTH, FIRST);
    struct crew *crew = crew_new(&f->asking);
    helper_impostor_start(impostor, f->socket, crew);
    name_segment(FIRST, name);
    struct wal_request request = request_of(f, name, path);
    request.start = start_server; /* in the place of the one that died */
    f->patient = true;
    assert_int_equal(wal_request_run(&request, &err), WAL_REQUEST_DELIVERED);
    read_out(path, &content);
    expect_content(f, FIRST, &content, MIB);
    expect_nothing_written(f);
    crew_freep(&crew);
}

static void half_an_answer_is_none(void **state)
{
    struct fixture *f = *state;
    struct helper_impostor impostor = {.line = "content 1048576\n", .file = -1};
    expect_in_spite_of(f, &impostor);
    assert_non_null(strstr(f->told.text, "in the middle of an answer"));
}

static void a_file_that_was_not_handed_over_is_none(void **state)
{
    struct fixture *f = *state;
    struct helper_impostor impostor = {.line = "file 1048576\n", .file = -1};
    expect_in_spite_of(f, &impostor);
    assert_non_null(strstr(f->told.text, "handed over no file of 1048576 bytes"));
}

static int memory_file(struct fixture *f, size_t size)
{
    struct error err;
    const int file = memfd_create("segment", MFD_CLOEXEC);
    assert_return_code(file, 0);
    assert_int_equal(buf_pwrite(file, wal_of(f, 1, FIRST), size, 0, &err), 0);
    return file;
}

static void nor_is_one_of_another_size(void **state)
{
    struct fixture *f = *state;
    CLEANUP(own_closep) int file = memory_file(f, MIB / 2);
    struct helper_impostor impostor = {.line = "file 1048576\n", .file = file};
    expect_in_spite_of(f, &impostor);
    assert_non_null(strstr(f->told.text, "handed over no file of 1048576 bytes"));
}

static void a_file_of_another_file_system_is_copied(void **state)
{
    struct fixture *f = *state;
    CLEANUP(own_closep) int file = memory_file(f, MIB);
    struct helper_impostor impostor = {.line = "file 1048576\n", .file = file};
    expect_in_spite_of(f, &impostor);
    assert_int_equal(f->told.kind, ERROR_NONE);
    assert_null(f->crew); /* nobody else was asked */
}

static void it_ends_when_nobody_asks(void **state)
{
    struct fixture *f = *state;
    struct stat gone;
    f->idle_ms = 1;
    begin(f);
    end_server(f);
    assert_int_equal(f->result, 0);
    assert_int_equal(stat(f->socket, &gone), -1);
    CLEANUP(own_freep) char *lock = path_of(f, "socket.lock");
    assert_int_equal(stat(lock, &gone), -1);
}

static void it_ends_with_the_server_in_its_directory(void **state)
{
    static const char text[] = "4711\n/data\n1763715678\n5432\n/tmp\n*\n  123 456\nready   \n";
    struct fixture *f = *state;
    struct error err;
    CLEANUP(own_closep) int fd = open(f->postmaster, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(buf_pwrite(fd, text, strlen(text), 0, &err), 0);
    begin(f);
    f->patient = true;
    expect_end(f, FIRST); /* it serves */
    assert_int_equal(unlink(f->postmaster), 0);
    end_server(f);
    assert_int_equal(f->result, 0);
}

static void it_ends_when_its_socket_is_gone(void **state)
{
    struct fixture *f = *state;
    begin(f);
    f->patient = true;
    expect_end(f, FIRST);
    assert_int_equal(unlink(f->socket), 0);
    end_server(f);
    assert_int_equal(f->result, 0);
}

static void there_is_one_for_a_socket(void **state)
{
    struct fixture *f = *state;
    begin(f);
    f->patient = true;
    expect_end(f, FIRST);
    struct fixture other = *f;
    struct error err;
    assert_int_equal(cancel_init(&other.cancel, &err), 0);
    run_server(&other, &err);
    assert_int_equal(other.result, -1);
    assert_int_equal(other.failure.kind, ERROR_CONFLICT);
    cancel_done(&other.cancel);
    expect_end(f, FIRST); /* it serves still */
}

static void one_that_was_killed_leaves_nothing_in_the_way(void **state)
{
    struct fixture *f = *state;
    close(helper_impostor_bind(f->socket));
    CLEANUP(own_freep) char *lock = path_of(f, "socket.lock");
    CLEANUP(own_closep) int unlocked = open(lock, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_return_code(unlocked, 0);
    put_segment(f, BOTH, FIRST);
    begin(f);
    expect_segment(f, FIRST, MIB);
}

int main(void)
{
#define WITH_TWO(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WITH_ONE(test) cmocka_unit_test_setup_teardown(test, setup_one_region, teardown)
    const struct CMUnitTest tests[] = {
        WITH_TWO(segments_come_one_after_the_other),
        WITH_TWO(a_history_comes_as_it_is),
        WITH_TWO(what_was_there_is_replaced),
        WITH_TWO(tails_are_a_segment_with_zeros_behind),
        WITH_TWO(a_region_without_wal_is_made_up_for_by_the_other),
        WITH_TWO(regions_that_are_listed_are_asked_and_no_others),
        WITH_TWO(a_region_that_is_down_is_made_up_for_by_the_other),
        WITH_TWO(several_can_ask_at_once),
        WITH_TWO(what_was_fetched_ahead_is_what_the_archive_had),
        WITH_TWO(and_waits_in_memory_where_no_file_can_be),
        WITH_TWO(a_region_that_fails_never_looks_like_the_end),
        WITH_TWO(nor_for_a_history),
        WITH_TWO(nor_does_a_tail_while_a_region_fails),
        WITH_TWO(a_region_that_answers_again_is_asked_again),
        WITH_ONE(who_asks_a_region_that_hangs_fails_when_its_patience_ends),
        WITH_ONE(without_any_region_it_is_told_why_and_fails),
        WITH_TWO(a_damaged_segment_is_not_the_end),
        WITH_TWO(a_gap_is_not_the_end),
        WITH_TWO(a_gap_is_the_end_for_who_says_so),
        WITH_TWO(wal_before_a_fork_is_not_the_end),
        WITH_TWO(wal_behind_a_fork_may_be),
        WITH_TWO(what_is_no_name_is_refused_at_once),
        WITH_TWO(half_an_answer_is_none),
        WITH_TWO(a_file_that_was_not_handed_over_is_none),
        WITH_TWO(nor_is_one_of_another_size),
        WITH_TWO(a_file_of_another_file_system_is_copied),
        WITH_TWO(it_ends_when_nobody_asks),
        WITH_TWO(it_ends_with_the_server_in_its_directory),
        WITH_TWO(it_ends_when_its_socket_is_gone),
        WITH_TWO(there_is_one_for_a_socket),
        WITH_TWO(one_that_was_killed_leaves_nothing_in_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
