// SPDX-License-Identifier: Apache-2.0
/*
 * Conditions of a status (metav1.Condition): type, status, reason, message, observedGeneration and
 * lastTransitionTime, which moves only when status does. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

enum condition_status { CONDITION_FALSE, CONDITION_TRUE, CONDITION_UNKNOWN };

enum { CONDITION_REASON_BYTES = 64, CONDITION_MESSAGE_BYTES = 512 };

struct condition {
    const char *type; /* static */
    enum condition_status status;
    char reason[CONDITION_REASON_BYTES];
    char message[CONDITION_MESSAGE_BYTES]; /* for a person: field, value, remedy */
};

/* A message that is too long is cut; bytes that are no text are escaped, so that whatever a sidecar
 * or a server said can be told. */
void condition_set(struct condition *condition, enum condition_status status, const char *reason,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The conditions as JSON array (the caller's), with times taken over from before (the object's
 * conditions as they are; may be NULL) where the status did not change. */
json_t *conditions_format(const struct condition *conditions, size_t count, const json_t *before,
                          int64_t generation, int64_t now_ms);
/* Whether an object's conditions have that type with status True. */
bool condition_is_true(const json_t *object, const char *type);
/* The element of object.status.conditions with that type, lent; or NULL. */
const json_t *condition_find(const json_t *object, const char *type);
