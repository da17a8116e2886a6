// SPDX-License-Identifier: Apache-2.0
/*
 * YAML to JSON values, knowing the line of every value. Scalars follow the YAML 1.2 core schema as
 * Kubernetes reads manifests (plain true/false, null, integers, reals; quoted is always a string);
 * aliases, tags, merge keys, duplicate keys and more than one document are errors, so that a file
 * means the same to us and to kubectl.
 */
#pragma once

#include <stddef.h>

#include <jansson.h>

#include "common/error.h"

struct yaml {
    json_t *root;
    struct yaml_lines *lines;
    char *file; /* for messages */
};

enum { YAML_BYTES_MAX = 1 << 20, YAML_DEPTH_MAX = 64 };

/* PERMANENT "<file>:<line>: …". file is only named. */
MUST_CHECK int yaml_parse(struct yaml *ret_yaml, const char *file, const char *text, size_t size,
                          struct error *err);
MUST_CHECK int yaml_load(struct yaml *ret_yaml, const char *path, struct error *err);
void yaml_done(struct yaml *yaml);
/* The line (from 1) where the value at path ("spec.regions[0].s3.bucket"; "" is the root) begins; 0
 * if unknown. */
unsigned yaml_line(const struct yaml *yaml, const char *path);
