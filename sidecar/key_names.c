// SPDX-License-Identifier: Apache-2.0
#include "sidecar/key_names.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"

enum { ID_LENGTH = KEY_ID_TEXT_BYTES - 1, CHOICE_DIGITS = 8 };

const char key_names_not_wrapped[] = "none";
static const char prefix[] = "keys/";
static const char choices[] = "keys/chosen/"; /* then <number>-<key-id> */

/* Copies the id of a key that text begins with; false: it does not. */
static bool take_id(const char *text, char ret_id[KEY_ID_TEXT_BYTES])
{
    if (strspn(text, "0123456789abcdef") != ID_LENGTH)
        return false;
    memcpy(ret_id, text, ID_LENGTH);
    ret_id[ID_LENGTH] = '\0';
    return true;
}

bool key_names_parse_object(const char *name, struct key_object *ret_object)
{
    struct key_object object = {0};
    if (!text_starts_with(name, prefix))
        return false;
    const char *key = name + strlen(prefix), *user = key + ID_LENGTH + 1;
    if (!take_id(key, object.key) || key[ID_LENGTH] != '.')
        return false;
    if (strcmp(user, key_names_not_wrapped) == 0)
        memcpy(object.user, key_names_not_wrapped, sizeof(key_names_not_wrapped));
    else if (!take_id(user, object.user) || user[ID_LENGTH] != '\0')
        return false;
    *ret_object = object;
    return true;
}

char *key_names_object(const struct key_object *object)
{
    return own_format("%s%s.%s", prefix, object->key, object->user);
}

uint32_t key_names_parse_choice(const char *name, char ret_key[KEY_ID_TEXT_BYTES])
{
    if (!text_starts_with(name, choices))
        return 0;
    const char *number = name + strlen(choices), *key = number + CHOICE_DIGITS + 1;
    if (strspn(number, "0123456789") != CHOICE_DIGITS || number[CHOICE_DIGITS] != '-' ||
        !take_id(key, ret_key) || key[ID_LENGTH] != '\0')
        return 0;
    return (uint32_t)strtoul(number, NULL, 10);
}

char *key_names_choice(uint32_t number, const char *key)
{
    return own_format("%s%0*" PRIu32 "-%s", choices, CHOICE_DIGITS, number, key);
}
