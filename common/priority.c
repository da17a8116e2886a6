// SPDX-License-Identifier: Apache-2.0
#include "common/priority.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct level {
    int nice, io;
};

/* Both calls mean the calling thread alone; threads are born with their maker's. */
static int lower_nice(int nice, struct error *err)
{
    errno = 0;
    int now = getpriority(PRIO_PROCESS, 0);
    if (now == -1 && errno != 0)
        return error_errno(err, errno, "look at the priority");
    if (now < nice && setpriority(PRIO_PROCESS, 0, nice) < 0)
        return error_errno(err, errno, "set the priority to nice %d", nice);
    return 0;
}

/* Larger numbers, of class and of level, stand back; without a class of its own a thread is "best
 * effort" at a level that nice gives. */
static int lower_io(int io, struct error *err)
{
    long now = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
    if (now >= io)
        return 0;
    if (now < 0 || syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, io) < 0)
        return error_errno(err, errno, "set the priority for disks");
    return 0;
}

int priority_lower(enum priority priority, struct error *err)
{
    static const struct level levels[] = {
        [PRIORITY_LOW] = {10, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7)},
        [PRIORITY_IDLE] = {19, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)},
    };
    if (priority == PRIORITY_NORMAL)
        return 0;
    struct error second;
    int first = lower_nice(levels[priority].nice, err);
    if (lower_io(levels[priority].io, first < 0 ? &second : err) < 0 || first < 0) {
        err->kind = ERROR_PERMANENT;
        return -1;
    }
    return 0;
}
