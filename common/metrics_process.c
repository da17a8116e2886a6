// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/metrics.h"
#include "common/own.h"

/* The second number of /proc/self/statm: pages that are resident (proc(5)). */
static void update_resident(struct metric_family *family)
{
    struct error err;
    CLEANUP(buf_done) struct buf statm = BUF(4096);
    if (buf_read_file(&statm, AT_FDCWD, "/proc/self/statm", &err) < 0)
        return;
    CLEANUP(own_freep) char *text = buf_string(&statm);
    char *rest;
    strtoull(text, &rest, 10);
    double pages = (double)strtoull(rest, NULL, 10);
    metric_set(family, NULL, pages * (double)sysconf(_SC_PAGESIZE));
}

static double seconds(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static void update_cpu(struct metric_family *family)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        metric_set(family, NULL, seconds(&usage.ru_utime) + seconds(&usage.ru_stime));
}

static void update_fds(struct metric_family *family)
{
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        return;
    int count = -1; /* the directory's own */
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        count += entry->d_name[0] != '.';
    closedir(directory);
    metric_set(family, NULL, count);
}

void metrics_process_update(const struct metrics_process *process)
{
    update_resident(process->resident);
    update_cpu(process->cpu);
    update_fds(process->fds);
}

void metrics_process_declare(struct metrics_process *process, struct metrics *metrics)
{
    *process = (struct metrics_process){
        .resident = metrics_declare(metrics, METRIC_GAUGE, "process_resident_memory_bytes",
                                    "Resident memory size in bytes.", NULL, NULL),
        .cpu = metrics_declare(metrics, METRIC_COUNTER, "process_cpu_seconds_total",
                               "Total user and system CPU time spent in seconds.", NULL, NULL),
        .fds = metrics_declare(metrics, METRIC_GAUGE, "process_open_fds",
                               "Number of open file descriptors.", NULL, NULL)};
}
