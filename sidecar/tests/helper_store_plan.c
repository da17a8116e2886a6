// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_store_plan.h"

#include <string.h>

#include "sidecar/store.h"

struct store_plan store_plan;

int __real_store_open(struct store **ret_store, const struct policy_region *region,
                      const struct secrets *secrets, const struct cancel *cancel,
                      struct error *err);
int __wrap_store_open(struct store **ret_store, const struct policy_region *region,
                      const struct secrets *secrets, const struct cancel *cancel,
                      struct error *err);

int __wrap_store_open(struct store **ret_store, const struct policy_region *region,
                      const struct secrets *secrets, const struct cancel *cancel, struct error *err)
{
    struct store *store;
    if (__real_store_open(&store, region, secrets, cancel, err) < 0)
        return -1;
    *ret_store = store;
    const char *const chosen = store_plan.region;
    if (!chosen || strcmp(store->region, chosen) != 0)
        return 0;
    *ret_store = store_fault_wrap(store);
    store_fault_count(*ret_store, &store_plan.calls);
    store_fault_watch(*ret_store, store_plan.watch);
    store_fault_watch_puts(*ret_store, store_plan.watch_puts);
    store_fault_set(*ret_store, store_plan.first, store_plan.first > 0 ? store_plan.count : 0,
                    store_plan.fault);
    return 0;
}

void store_plan_fault(const char *region, unsigned first, unsigned count, enum store_fault fault)
{
    store_plan.region = region;
    store_plan.first = first;
    store_plan.count = count;
    store_plan.fault = fault;
    store_plan.watch = NULL;
    store_plan.watch_puts = NULL;
    store_plan.calls = 0;
}

void store_plan_nothing(void)
{
    store_plan.region = NULL;
}
