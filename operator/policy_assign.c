// SPDX-License-Identifier: Apache-2.0
#include "operator/policy_assign.h"

#include "common/message.h"
#include "operator/agents.h"
#include "operator/policy_memory.h"
#include "operator/reconcile.h"

enum { HEARTBEAT_SECONDS = 10 };

int policy_assign(const struct reconcile *reconcile, const struct policy_told *told,
                  struct error *err)
{
    const struct message message = {.type = MESSAGE_ASSIGN,
                                    .assign = {.policy_namespace = told->namespace,
                                               .policy = told->policy,
                                               .region = told->region,
                                               .generation = told->generation,
                                               .heartbeat_seconds = HEARTBEAT_SECONDS,
                                               .wal = told->wal}};
    if (!policy_memory_tell(reconcile->policy_memory, told) ||
        agents_send(reconcile->agents, told->pod_uid, &message, err) == 0)
        return 0;
    policy_memory_untell(reconcile->policy_memory, told->pod_uid);
    return -1;
}
