// SPDX-License-Identifier: Apache-2.0
/*
 * What a failure of PostgreSQL means and what a person must do about it: the GRANT, the line of
 * pg_hba.conf, the field of the policy. Pure. Texts are one line and never hold a password.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"

struct pg_failure {
    const char *sqlstate; /* five characters (PostgreSQL documentation, appendix A); "" when it is
                             libpq that failed */
    const char *message;  /* the server's or libpq's; what follows its first line is left out */
    const char *hint;     /* the server's, or NULL */
    const char *role, *database; /* of the connection */
    bool replication;            /* a connection for streaming replication */
    bool connected;              /* the connection had been made */
};

/* Sets err and gives -1. TRANSIENT: may pass by itself; PERMANENT: all else. */
int pg_failure_set(const struct pg_failure *failure, struct error *err);

/* libpq has no field for the SQLSTATE of a refused connection; with verbosity VERBOSE it stands in
 * the text, "…: FATAL:  28P01: password authentication failed…". Finds it: ret_sqlstate gets it, or
 * "", and the result points to what follows it, or to text. */
const char *pg_failure_split(const char *text, char ret_sqlstate[6]);

/* An SQL identifier or a name in pg_hba.conf in double quotes; the caller's (own_freep). */
char *pg_failure_quote(const char *name);
