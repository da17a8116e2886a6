// SPDX-License-Identifier: Apache-2.0
/*
 * A store in a bucket of S3 or of a service that speaks its language: signed requests, one per
 * object. That no object is ever replaced is left to the service (If-None-Match) where it keeps
 * that promise, which is tried once, and else is looked after here.
 */
#pragma once

#include "common/error.h"

struct cancel;
struct policy_region;
struct secrets;
struct store;

/* Reads the path of the CA, and credentials that lie in the Secret; lends and fails as store_open.
 * PERMANENT, NOT_FOUND: configuration or secrets. */
MUST_CHECK int store_s3_open(struct store **ret_store, const struct policy_region *region,
                             const struct secrets *secrets, const struct cancel *cancel,
                             struct error *err);
