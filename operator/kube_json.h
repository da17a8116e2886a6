// SPDX-License-Identifier: Apache-2.0
/*
 * JSON as the API server sends it. It passes on what its users wrote, and each of them may write
 * what jansson does not read: NUL characters, numbers beyond 64 bits, thousands of levels. One
 * object of that kind must not hide all others, so such parts are read as something harmless. Pure.
 */
#pragma once

#include <stddef.h>

#include <jansson.h>

#include "common/error.h"

enum { KUBE_JSON_DEPTH_MAX = 512 };

/* A NUL in a string becomes U+FFFD; an integer beyond 64 bits a real number; what lies deeper than
 * KUBE_JSON_DEPTH_MAX null. text is changed on the way. CORRUPT: no JSON. */
MUST_CHECK int kube_json_parse(char *text, size_t size, json_t **ret_value, struct error *err);
