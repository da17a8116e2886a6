// SPDX-License-Identifier: Apache-2.0
/*
 * Where a region's pass comes from, as azure.auth says, and one attempt to get one:
 *  - Static: the mounted Secret.
 *  - WebIdentity: the token of the pod's service account (AZURE_FEDERATED_TOKEN_FILE, read anew
 *    each time), for which Microsoft Entra ID (AZURE_AUTHORITY_HOST) gives one of the application
 *    AZURE_CLIENT_ID of AZURE_TENANT_ID: what the webhook of Azure AD Workload Identity sets in a
 *    pod. "Microsoft identity platform and the OAuth 2.0 client credentials flow", third case.
 *  - Instance: the machine's managed identity, AZURE_CLIENT_ID if it has several, from instance
 *    metadata (AZURE_POD_IDENTITY_AUTHORITY_HOST).
 * The environment is read once, in open.
 */
#pragma once

#include "common/error.h"

struct credential;
struct azure_pass_source;
struct cancel;
struct policy_region;
struct secrets;

/* region, secrets and cancel are lent for its life. Asks nobody. PERMANENT: something is missing in
 * the environment; names what. */
MUST_CHECK int azure_pass_source_open(struct azure_pass_source **ret_source,
                                      const struct policy_region *region,
                                      const struct secrets *secrets, const struct cancel *cancel,
                                      struct error *err);
void azure_pass_source_closep(struct azure_pass_source **source);

/* From any number of threads. TRANSIENT: worth another attempt; PERMANENT, NOT_FOUND: needs a
 * person, and says what to look at; CORRUPT: an answer that makes no sense. */
MUST_CHECK int azure_pass_source_fetch(struct azure_pass_source *source,
                                       struct credential *ret_pass, struct error *err);
