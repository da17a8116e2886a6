// SPDX-License-Identifier: Apache-2.0
/* The name of the physical replication slot that a policy keeps on each of its servers. Pure. */
#pragma once

enum { WAL_SLOT_NAME_BYTES = sizeof("lifeboat_") + 16 };

/* "lifeboat_" and the first 16 hexadecimal digits of SHA-256("<namespace>/<policy>"): the same on
 * all servers, and another one for each policy. */
void wal_slot_name(const char *policy_namespace, const char *policy,
                   char ret_name[WAL_SLOT_NAME_BYTES]);
