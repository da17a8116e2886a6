// SPDX-License-Identifier: Apache-2.0
#include "common/tests/helper_held.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

enum { WAITS_MAX = 60000 }; /* of a millisecond */

static size_t count_entries(const char *path)
{
    size_t count = 0;
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

struct helper_held helper_held_now(void)
{
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
    if (now.descriptors != before->descriptors || now.threads != before->threads)
        fail_msg("%zu file descriptors and %zu threads, not %zu and %zu as before", now.descriptors,
                 now.threads, before->descriptors, before->threads);
}
