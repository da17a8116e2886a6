// SPDX-License-Identifier: Apache-2.0
/*
 * What the API server says when it refuses: a Status object (meta/v1), or whatever a proxy before
 * it sends. Pure. Source: Kubernetes API conventions, "Response Status Kind".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "common/error.h"

enum { KUBE_STATUS_GONE = 410 /* a resourceVersion or continue token that is too old */ };

/* Sets err: kind by code (see kube.h), "<code> <reason>: <message>". status may be NULL. -1 */
int kube_status_fail(int code, const json_t *status, struct error *err);
/* The same from the bytes of an answer, which may be anything. -1 */
int kube_status_fail_body(int code, const void *body, size_t size, struct error *err);
/* The code that a Status object has; 0: none. */
int kube_status_code(const json_t *status);
/* Whether an error (its text, as set above) says that our account lacks a right, which is a matter
 * of roles; other 403s are about the object: quotas, admission. */
bool kube_status_forbids(const struct error *err);
