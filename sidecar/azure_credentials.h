// SPDX-License-Identifier: Apache-2.0
/*
 * The pass that requests to a region go with now. It is renewed before it ends, and read anew from
 * time to time where it has no end, because Kubernetes replaces the files of a Secret under us;
 * while a new one cannot be had, the old one is used as long as it lasts. Nobody waits for somebody
 * else's renewal: whoever has a pass that still counts goes on with it.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"

struct azure_credentials;
struct azure_pass;
struct cancel;
struct policy_region;
struct secrets;

/* Lends and fails as azure_pass_source_open; one of the Secret is read at once. */
MUST_CHECK int azure_credentials_open(struct azure_credentials **ret_credentials,
                                      const struct policy_region *region,
                                      const struct secrets *secrets, const struct cancel *cancel,
                                      struct error *err);
void azure_credentials_closep(struct azure_credentials **credentials);

/* Both from any number of threads. Errors as of azure_pass_source_fetch. ret_pass is
 * azure_pass_done's. */
MUST_CHECK int azure_credentials_get(struct azure_credentials *credentials,
                                     struct azure_pass *ret_pass, struct error *err);
/* The service refused pass: puts another one in its place, true if there is one. */
bool azure_credentials_replace(struct azure_credentials *credentials, struct azure_pass *pass);
