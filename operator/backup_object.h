// SPDX-License-Identifier: Apache-2.0
/*
 * A Backup as the API server has it: spec and what its status says of the run. Its schema has
 * checked it; what got past it is an error. Pure. Reference: docs/resources.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "operator/run.h"

enum { BACKUP_OBJECT_ID_BYTES = 32 }; /* of a backup id, with NUL */

enum backup_object_type { BACKUP_TYPE_FULL, BACKUP_TYPE_DIFFERENTIAL, BACKUP_TYPE_INCREMENTAL };

/* Texts are lent from the object. */
struct backup_object {
    struct run run;
    const char *policy; /* of its namespace */
    enum backup_object_type type;
    const char *unsupported; /* static: the field that asks for what we cannot do; NULL: none */
};

/* object is lent for the life of the result. PERMANENT. */
MUST_CHECK int backup_object_read(struct backup_object *ret_backup, json_t *object,
                                  struct error *err);
/* "full" … as in messages, "Full" … as in resources. */
const char *backup_object_type_word(enum backup_object_type type);
/* The resources' word for a message's, or NULL. */
const char *backup_object_type_name(const char *word);
/* A new id: 20261121T082118Z-full-3fa2, the last four from random. */
void backup_object_new_id(enum backup_object_type type, int64_t now_ms, uint32_t random,
                          char ret_id[BACKUP_OBJECT_ID_BYTES]);
