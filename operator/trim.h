// SPDX-License-Identifier: Apache-2.0
/*
 * What of the objects that we have many of is kept in memory: what their readers read, and nothing
 * else. Whoever reads more of them adds it here. Pure; changes the object in place, and twice is as
 * once.
 */
#pragma once

#include <jansson.h>

/* Of a policy's pod: member, restore_pod, reviewer. */
void trim_pod(json_t *pod);
/* Of a Backup at its end, of which nothing more will become: policy_status, policy_conditions,
 * backup_queue. One that is not keeps all. */
void trim_backup(json_t *backup);
