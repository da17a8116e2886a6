// SPDX-License-Identifier: Apache-2.0
/* What every store keeps to, as tests; each gets an empty store. */
#pragma once

#include "sidecar/tests/helper_store.h"

typedef void (*helper_store_opener)(struct helper_store *helper);

/* Runs all of them; like cmocka_run_group_tests. */
int helper_store_contract(const char *name, helper_store_opener opener);
