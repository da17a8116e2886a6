// SPDX-License-Identifier: Apache-2.0
/*
 * The key that requests to a region are signed with now. It is renewed before it ends, and read
 * anew from time to time where it has no end, because Kubernetes replaces the files of a Secret
 * under us; while a new one cannot be had, the old one is used as long as it lasts. Nobody waits
 * for somebody else's renewal: whoever has a key that still counts goes on with it.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"

struct cancel;
struct policy_region;
struct s3_credentials;
struct s3_key;
struct secrets;

/* Lends and fails as s3_key_source_open; a key of the Secret is read at once. */
MUST_CHECK int s3_credentials_open(struct s3_credentials **ret_credentials,
                                   const struct policy_region *region,
                                   const struct secrets *secrets, const struct cancel *cancel,
                                   struct error *err);
void s3_credentials_closep(struct s3_credentials **credentials);

/* Both from any number of threads. Errors as of s3_key_source_fetch. */
MUST_CHECK int s3_credentials_get(struct s3_credentials *credentials, struct s3_key *ret_key,
                                  struct error *err);
/* The service refused key: gets another one in its place, true if there is one. */
bool s3_credentials_replace(struct s3_credentials *credentials, struct s3_key *key);
