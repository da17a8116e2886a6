// SPDX-License-Identifier: Apache-2.0
#include "common/tests/helper_held.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { WAITS_MAX = 60000 }; /* of a millisecond */

static int is_entry(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* By calls of the system that no test makes fail, as they are libc's own. */
static size_t count_entries(const char *path)
{
    struct dirent **entries;
    const int count = scandir(path, &entries, is_entry, NULL);
    assert_true(count >= 0);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return (size_t)count;
}

static void *do_nothing(void *arg)
{
    return arg;
}

/* With the first thread of a process a sanitizer makes one of its own, which stays. */
static void have_had_a_thread(void)
{
    static bool had;
    pthread_t thread;
    if (had)
        return;
    had = true;
    assert_int_equal(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

struct helper_held helper_held_now(void)
{
    have_had_a_thread();
    return (struct helper_held){
        .descriptors = count_entries("/proc/self/fd"),
        .threads = count_entries("/proc/self/task"),
    };
}

void helper_held_expect(const struct helper_held *before)
{
    static const struct timespec pause = {.tv_nsec = 1000000};
    struct helper_held now = helper_held_now();
    for (int i = 0; i < WAITS_MAX && now.threads > before->threads; i++) {
        nanosleep(&pause, NULL);
        now = helper_held_now();
    }
    /* fewer are right, too: one that had just been joined may have been there before */
    if (now.descriptors != before->descriptors || now.threads > before->threads)
        fail_msg("%zu file descriptors and %zu threads, not %zu and %zu as before", now.descriptors,
                 now.threads, before->descriptors, before->threads);
}
