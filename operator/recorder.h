// SPDX-License-Identifier: Apache-2.0
/*
 * Kubernetes Events (events.k8s.io/v1) about our resources: written by a thread of its own, from a
 * bounded queue, so that nobody waits for them; what cannot be written is logged. The same event
 * again within ten minutes becomes a series (one object, counted), as client-go does.
 */
#pragma once

#include <jansson.h>

#include "common/error.h"

struct cancel;
struct crew;
struct kube;
struct recorder;

enum event_type { EVENT_NORMAL, EVENT_WARNING };

struct recorder *recorder_new(struct kube *kube, const char *identity, const struct cancel *cancel);
void recorder_freep(struct recorder **recorder);
int recorder_run(void *recorder, struct error *err); /* crew_main */

/* about: the whole object (apiVersion, kind, metadata); reason in CamelCase; action what was being
 * done ("Backup", "Schedule" …); note for a person, at most 1 kB, never a secret. */
void recorder_event(struct recorder *recorder, const json_t *about, enum event_type type,
                    const char *reason, const char *action, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
