// SPDX-License-Identifier: Apache-2.0
/*
 * The conditions of a policy: Ready (would a scheduled backup succeed now?), Archiving, Recoverable
 * and Replicated, each with a reason of docs/resources.md and a message that names field, value and
 * remedy. Pure.
 */
#pragma once

#include <stddef.h>

#include <jansson.h>

#include "operator/condition.h"

struct policy_spec;
struct policy_view;
struct policy_view_pod;

enum { POLICY_CONDITIONS = 4 };

struct policy_conditions_facts {
    const struct policy_spec *spec; /* NULL: it could not be read */
    const struct policy_view *view; /* NULL if spec is */
    const char *invalid;            /* what is wrong with the spec; NULL: nothing */
    const char *config_map_error;   /* why the ConfigMap could not be written; NULL: it was */
    const char *not_created;        /* why a slot's Backup could not be made; NULL: all could */
    const json_t *newest;           /* the Backup that succeeded last, or NULL */
    const struct policy_view_pod *streamer; /* that was chosen; may be NULL */
    const json_t *gap;                      /* status.gap; may be NULL */
    const json_t *before;                   /* status.conditions as they were; may be NULL */
    int64_t now_ms;
};

void policy_conditions(const struct policy_conditions_facts *facts,
                       struct condition ret_conditions[POLICY_CONDITIONS]);
