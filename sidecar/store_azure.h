// SPDX-License-Identifier: Apache-2.0
/*
 * A store in a container of Azure Blob Storage: block blobs, each put by one request, which the
 * service refuses where the name exists (If-None-Match: *).
 */
#pragma once

#include "common/error.h"

struct cancel;
struct policy_region;
struct secrets;
struct store;

/* region, secrets and cancel are lent for the store's life. Reads credentials, unless they are to
 * be asked for, and the path of the CA. PERMANENT, NOT_FOUND: configuration, secrets or
 * environment. */
MUST_CHECK int store_azure_open(struct store **ret_store, const struct policy_region *region,
                                const struct secrets *secrets, const struct cancel *cancel,
                                struct error *err);
