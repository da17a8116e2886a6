// SPDX-License-Identifier: Apache-2.0
/*
 * The credential that requests to a region go with now, whichever kind of store that is. It is
 * renewed before it ends, and read anew from time to time where it has no end, because Kubernetes
 * replaces the files of a Secret under us; while a new one cannot be had, the old one is used as
 * long as it lasts. Nobody waits for somebody else's renewal: whoever has one that still counts
 * goes on with it.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"

struct cancel;
struct credential;
struct credentials;
struct policy_region;
struct secrets;

/* Lends and fails as s3_key_source_open and azure_pass_source_open; what is of the Secret is read
 * at once. */
MUST_CHECK int credentials_open(struct credentials **ret_credentials,
                                const struct policy_region *region, const struct secrets *secrets,
                                const struct cancel *cancel, struct error *err);
void credentials_closep(struct credentials **credentials);

/* Both from any number of threads. Errors as of s3_key_source_fetch and azure_pass_source_fetch,
 * but PERMANENT in place of NOT_FOUND, which is what an object is. */
MUST_CHECK int credentials_get(struct credentials *credentials, struct credential *ret_credential,
                               struct error *err);
/* The store refused this one: puts another one in its place, true if there is one. */
bool credentials_replace(struct credentials *credentials, struct credential *refused);
