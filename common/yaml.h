// SPDX-License-Identifier: Apache-2.0
/*
 * YAML to JSON values, knowing the line of every value. Plain scalars follow the YAML 1.2 core
 * schema (true/false, null, integers, reals; what is quoted is always a string). Whatever kubectl,
 * which reads YAML 1.1, might take for something else is an error: plain yes/no/on/off/y/n, numbers
 * with leading zeros or '_', infinities, keys that are not strings, aliases, tags, merge keys,
 * duplicate keys and a second document. So a file that is accepted means the same to us and to
 * kubectl (sigs.k8s.io/yaml, goyaml.v2/resolve.go).
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

/* PERMANENT "<file>:<line>: …". file is only named. The result is the caller's (yaml_done). */
MUST_CHECK int yaml_parse(struct yaml *ret_yaml, const char *file, const char *text, size_t size,
                          struct error *err);
/* The same from a file; as buf_read_file and yaml_parse fail. */
MUST_CHECK int yaml_load(struct yaml *ret_yaml, const char *path, struct error *err);
void yaml_done(struct yaml *yaml); /* for CLEANUP; zeroed is empty */
/* The line (from 1) where the member (its key) or the element at path begins
 * ("spec.regions[0].s3.bucket"; "" is the root); 0 if unknown. */
unsigned yaml_line(const struct yaml *yaml, const char *path);
