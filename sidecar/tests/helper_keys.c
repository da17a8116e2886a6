// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_keys.h"

#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"

struct key helper_key(uint8_t first, enum key_purpose purpose)
{
    uint8_t bytes[KEY_BYTES];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(first + i);
    CLEANUP(own_freep) char *base64 = text_base64(bytes, sizeof(bytes));
    struct error err;
    struct key key;
    if (key_parse_kek(base64, strlen(base64), &key, &err) < 0)
        abort();
    key.purpose = purpose;
    return key;
}

struct keyring helper_keyring(uint8_t first)
{
    struct keyring keyring = {0};
    struct key key = helper_key(first, KEY_PURPOSE_DATA);
    keyring_add(&keyring, &key);
    keyring.active = &keyring.keys[0];
    return keyring;
}

struct container_identity helper_identity(enum container_kind kind)
{
    struct container_identity identity = {.kind = kind, .name = "packs/x/000001"};
    memset(identity.repository_id, 1, sizeof(identity.repository_id));
    return identity;
}
