// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_slot_name.h"

#include <stdint.h>
#include <string.h>

#include "common/digest.h"
#include "common/own.h"
#include "common/text.h"

enum { HASHED_BYTES = 8 };

static const char prefix[] = "lifeboat_";

void wal_slot_name(const char *policy_namespace, const char *policy,
                   char ret_name[WAL_SLOT_NAME_BYTES])
{
    uint8_t hash[DIGEST_BYTES];
    CLEANUP(own_freep) char *whole = own_format("%s/%s", policy_namespace, policy);
    digest_sha256(whole, strlen(whole), hash);
    memcpy(ret_name, prefix, sizeof(prefix));
    text_hex(hash, HASHED_BYTES, ret_name + sizeof(prefix) - 1);
}
