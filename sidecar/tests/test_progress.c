// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/own.h"
#include "sidecar/progress.h"

enum { MB = 1000 * 1000, START_MS = 1000 * 1000 };

/* What stands on stderr meanwhile goes to a terminal, or into a pipe. */
struct fixture {
    int stderr_fd, ours;
    char said[4096];
};

static void divert(struct fixture *f, bool terminal)
{
    int ends[2];
    if (terminal) {
        ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
        assert_return_code(grantpt(ends[0]), 0);
        assert_return_code(unlockpt(ends[0]), 0);
        ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
    } else {
        assert_return_code(pipe(ends), 0);
    }
    assert_return_code(ends[1], 0);
    f->ours = ends[0];
    f->stderr_fd = dup(STDERR_FILENO);
    assert_return_code(dup2(ends[1], STDERR_FILENO), 0);
    close(ends[1]);
    clock_fake(START_MS);
}

/* All that was said. */
static const char *restore(struct fixture *f)
{
    size_t size = 0;
    clock_fake(-1);
    dup2(f->stderr_fd, STDERR_FILENO);
    close(f->stderr_fd);
    for (ssize_t got; size < sizeof(f->said) - 1 &&
                      (got = read(f->ours, f->said + size, sizeof(f->said) - 1 - size)) > 0;)
        size += (size_t)got; /* the end of a terminal is an error, that of a pipe is not */
    close(f->ours);
    f->said[size] = '\0';
    return f->said;
}

static void a_terminal_shows_phase_share_rate_and_time_left(void **state)
{
    (void)state;
    struct fixture f;
    divert(&f, true);
    struct progress *progress = progress_new("Backing up", PROGRESS_TERMINAL);
    progress_set_phase(progress, "starting");
    clock_fake(START_MS + 60000); /* a minute of waiting slows nothing down */
    progress_set_phase(progress, "copying");
    progress_set_total(progress, 1000 * MB);
    clock_fake(START_MS + 62000);
    progress_add(progress, 200 * MB);
    clock_fake(START_MS + 62199);
    progress_add(progress, MB); /* too soon after the last */
    clock_fake(START_MS + 70000);
    progress_add(progress, 1799 * MB); /* files have grown */
    progress_set_phase(progress, "finishing");
    progress_freep(&progress);
    assert_string_equal(restore(&f),
                        "\r\033[KBacking up: starting"
                        "\r\033[KBacking up: copying"
                        "\r\033[KBacking up:  20 %  200 MB of 1.0 GB, 100 MB/s, 8.0 s left"
                        "\r\033[KBacking up: 100 %  2.0 GB of 1.0 GB, 200 MB/s, 0.0 s left"
                        "\r\033[KBacking up: finishing, 2.0 GB"
                        "\r\033[K");
}

static void a_program_gets_a_line_a_second_and_at_each_phase(void **state)
{
    (void)state;
    struct fixture f;
    divert(&f, false);
    struct progress *progress = progress_new("Restoring", PROGRESS_JSON);
    progress_set_phase(progress, "copying");
    clock_fake(START_MS + 999);
    progress_add(progress, MB);
    clock_fake(START_MS + 1000);
    progress_set_total(progress, 3 * MB);
    progress_add_file(progress);
    progress_add(progress, MB);
    progress_freep(&progress);
    assert_string_equal(
        restore(&f),
        "{\"progress\":{\"phase\":\"copying\",\"bytes\":0,\"totalBytes\":0,\"files\":0}}\n"
        "{\"progress\":{\"phase\":\"copying\",\"bytes\":2000000,\"totalBytes\":3000000,"
        "\"files\":1}}\n");
}

static void without_a_terminal_an_event_says_it_every_half_minute(void **state)
{
    (void)state;
    struct fixture f;
    divert(&f, false);
    struct progress *progress = progress_new("Verifying", PROGRESS_TERMINAL);
    progress_set_phase(progress, "reading");
    progress_set_total(progress, 3 * MB);
    clock_fake(START_MS + 29999);
    progress_add(progress, MB);
    clock_fake(START_MS + 40000);
    progress_add(progress, MB);
    progress_freep(&progress);
    const char *said = restore(&f);
    assert_non_null(strstr(said, "\"message\":\"Made progress\",\"job\":\"Verifying\",\"phase\":"
                                 "\"reading\",\"bytes\":2000000,\"totalBytes\":3000000,"
                                 "\"bytesPerSecond\":50000}\n"));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* and nothing else */
}

static void a_note_stands_behind_the_figures_of_a_terminal(void **state)
{
    (void)state;
    struct fixture f;
    divert(&f, true);
    struct progress *progress = progress_new("Receiving WAL", PROGRESS_TERMINAL);
    progress_note(progress, "nothing stored yet");
    clock_fake(START_MS + 1000);
    progress_add(progress, MB);
    progress_note(progress, "stored to 0/3A000148, 2 s behind");
    progress_freep(&progress);
    assert_string_equal(restore(&f),
                        "\r\033[KReceiving WAL: starting, nothing stored yet"
                        "\r\033[KReceiving WAL: 1.0 MB, 1.0 MB/s, nothing stored yet"
                        "\r\033[KReceiving WAL: 1.0 MB, 1.0 MB/s, stored to 0/3A000148, 2 s behind"
                        "\r\033[K");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_note_stands_behind_the_figures_of_a_terminal),
        cmocka_unit_test(a_terminal_shows_phase_share_rate_and_time_left),
        cmocka_unit_test(a_program_gets_a_line_a_second_and_at_each_phase),
        cmocka_unit_test(without_a_terminal_an_event_says_it_every_half_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
