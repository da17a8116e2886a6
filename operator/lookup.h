// SPDX-License-Identifier: Apache-2.0
/* Finding something in JSON that may have any shape. Pure. */
#pragma once

#include <jansson.h>

/* The text of a member; NULL: there is none, it is no text, or object is no object. Lent. */
const char *lookup_text(const json_t *object, const char *member);
/* The first element of an array whose member is that text; NULL: none is, or it is no array. Lent.
 */
const json_t *lookup_element(const json_t *array, const char *member, const char *text);
