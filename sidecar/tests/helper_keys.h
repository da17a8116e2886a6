// SPDX-License-Identifier: Apache-2.0
/* Keys and identities for tests: always the same, so that what goes wrong can be repeated. */
#pragma once

#include <stdint.h>

#include "sidecar/container.h"
#include "sidecar/keys.h"

/* The key whose bytes are first, first + 1, first + 2 … */
struct key helper_key(uint8_t first, enum key_purpose purpose);
/* One data key: helper_key(first, KEY_PURPOSE_DATA). */
struct keyring helper_keyring(uint8_t first);
/* Repository id 01 01 01 …, a name that does not matter. */
struct container_identity helper_identity(enum container_kind kind);
