// SPDX-License-Identifier: Apache-2.0
/*
 * The condition Archiving of a policy: does all WAL of its database get to a quorum of its regions?
 * With a reason of docs/resources.md, and a message that names LSNs, what is left until the server
 * can keep no more, and the remedy. Numbers in it are coarse. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct condition;
struct message_archiving;
struct policy_spec;
struct policy_view;
struct policy_view_pod;

enum { POLICY_ARCHIVING_HICCUP_MS = 30 * 1000 }; /* a stream that is back within is not missed */

struct policy_archiving_facts {
    const struct policy_spec *spec;         /* NULL: it could not be read */
    const struct policy_view *view;         /* NULL if spec is */
    const struct policy_view_pod *streamer; /* that was chosen; may be NULL */
    const json_t *gap;                      /* status.gap; may be NULL */
    const json_t *before;                   /* the condition as it was; may be NULL */
    int64_t now_ms;
};

/* ret_archiving has its type already. */
void policy_archiving(const struct policy_archiving_facts *facts, struct condition *ret_archiving);
/* Of the pods that stream, or are to, what the one says that counts: the chosen one, or another
 * one that still streams. NULL: none says anything. */
const struct message_state *policy_archiving_teller(const struct policy_view *view,
                                                    const struct policy_view_pod *streamer);
/* What it says of the WAL, or NULL. */
const struct message_archiving *policy_archiving_told(const struct policy_view *view,
                                                      const struct policy_view_pod *streamer);
/* Whether that stream gets into the region of that name at present. */
bool policy_archiving_reaches(const struct message_archiving *archiving, const char *region);
