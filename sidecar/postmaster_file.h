// SPDX-License-Identifier: Apache-2.0
/* postmaster.pid, which a running server keeps in its data directory (include/utils/pidfile.h of
 * PostgreSQL): who it is, and how far it has come. */
#pragma once

#include <stdint.h>

#include "common/error.h"

enum postmaster_status {
    POSTMASTER_STARTING, /* also: the file is not complete yet */
    POSTMASTER_READY,
    POSTMASTER_STANDBY, /* in recovery; takes connections only if hot_standby is on */
    POSTMASTER_STOPPING,
};

struct postmaster_file {
    int64_t started_s; /* since the epoch; 0: not there yet */
    enum postmaster_status status;
};

/* Pure. What is missing or unknown reads as not there yet. */
struct postmaster_file postmaster_file_parse(const char *text);
/* directory may be AT_FDCWD, path is that of the file. NOT_FOUND: no server runs there; PERMANENT:
 * what is there is no file. Never waits. */
MUST_CHECK int postmaster_file_load(int directory, const char *path,
                                    struct postmaster_file *ret_file, struct error *err);
