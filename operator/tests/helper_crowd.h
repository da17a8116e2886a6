// SPDX-License-Identifier: Apache-2.0
/* Many peers at once, in a process of their own: so the memory of the program is the server's. */
#pragma once

struct crowd;

enum crowd_kind {
    CROWD_TCP,    /* connects and says nothing */
    CROWD_TLS,    /* the same after TLS */
    CROWD_AGENTS, /* says hello; the n-th of all is the pod crowd-<n>, uid c<n> */
};

/* Before there are other threads, as it forks. */
struct crowd *crowd_new(void);
void crowd_freep(struct crowd **crowd); /* all hang up */
/* Lets so many more come and stay; returns when they stand. */
void crowd_grow(struct crowd *crowd, unsigned port, unsigned count, enum crowd_kind kind);
/* All hang up. */
void crowd_leave(struct crowd *crowd);
