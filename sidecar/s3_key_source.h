// SPDX-License-Identifier: Apache-2.0
/*
 * Where a region's keys come from, as s3.auth says, and one attempt to get one:
 *  - Static: the mounted Secret.
 *  - WebIdentity: the token of the pod's service account (AWS_WEB_IDENTITY_TOKEN_FILE, read anew
 *    each time), for which STS lends the key of the role AWS_ROLE_ARN. STS API Reference,
 *    AssumeRoleWithWebIdentity.
 *  - Instance: the machine's role by the instance metadata service (version 2: "Use IMDSv2", Amazon
 *    EC2 User Guide), or the pod's by the agent that AWS_CONTAINER_CREDENTIALS_FULL_URI or
 *    _RELATIVE_URI names ("Container credential provider", AWS SDKs and Tools Reference Guide).
 * The environment is read once, in open.
 */
#pragma once

#include "common/error.h"

struct cancel;
struct policy_region;
struct credential;
struct s3_key_source;
struct secrets;

/* region, secrets and cancel are lent for its life. Asks nobody. PERMANENT: something is
 * missing in the environment; names what. */
MUST_CHECK int s3_key_source_open(struct s3_key_source **ret_source,
                                  const struct policy_region *region, const struct secrets *secrets,
                                  const struct cancel *cancel, struct error *err);
void s3_key_source_closep(struct s3_key_source **source);

/* From any number of threads. ret_key is credential_done's. TRANSIENT: worth another attempt;
 * PERMANENT, NOT_FOUND: needs a person, and says what to look at; CORRUPT: an answer that makes no
 * sense. */
MUST_CHECK int s3_key_source_fetch(struct s3_key_source *source, struct credential *ret_key,
                                   struct error *err);
