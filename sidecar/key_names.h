// SPDX-License-Identifier: Apache-2.0
/*
 * The names of what lies below "keys/": key objects, and choices of a data key. What is accepted is
 * exactly what would be written. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sidecar/keys.h"

/* A key object as its name says: "keys/<key-id>.<kek-id>". */
struct key_object {
    char key[KEY_ID_TEXT_BYTES];
    char user[KEY_ID_TEXT_BYTES]; /* the user key that wraps it, or key_names_not_wrapped */
    uint32_t regions;             /* bit mask of those that have it */
};
extern const char key_names_not_wrapped[]; /* "none" */

/* False: the name is no key object's. Leaves the regions empty. */
bool key_names_parse_object(const char *name, struct key_object *ret_object);
char *key_names_object(const struct key_object *object); /* below the repository; own_freep */

enum { KEY_NAMES_CHOICES_MAX = 99999999 };
/* "keys/chosen/00000001-836612db9c038210"; its number, or 0 if the name is none of a choice. */
uint32_t key_names_parse_choice(const char *name, char ret_key[KEY_ID_TEXT_BYTES]);
char *key_names_choice(uint32_t number, const char *key); /* own_freep */
