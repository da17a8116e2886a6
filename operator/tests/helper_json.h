// SPDX-License-Identifier: Apache-2.0
/* What tests look for in objects of Kubernetes. */
#pragma once

#include <jansson.h>

/* What is at a path of names, and of indexes below 10; NULL: nothing. */
const json_t *json_at(const json_t *object, const char *path);
/* The text at a path of names, and of indexes below 10 ("status/pods/0/role"), or "(none)". */
const char *text_at(const json_t *object, const char *path);
