// SPDX-License-Identifier: Apache-2.0
/* One that answers a connection in the place of the server of WAL, and then dies. Failures abort
 * the test program. */
#pragma once

struct crew;

struct helper_impostor {
    int listener;
    const char *line; /* lent: what it says; half a MiB follows, or: */
    int file;         /* is handed over with the line; -1: none */
};

/* A socket with that path that nobody listens at; the caller's. */
int helper_impostor_bind(const char *socket_path);
/* Listens at that socket from now on; lends impostor until the crew has ended. */
void helper_impostor_start(struct helper_impostor *impostor, const char *socket_path,
                           struct crew *crew);
