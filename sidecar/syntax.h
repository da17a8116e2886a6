// SPDX-License-Identifier: Apache-2.0
/*
 * What texts in our resources may look like. A rule gives NULL for a good text, else a phrase that
 * says what was expected, made to stand after "expected". Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct fields;

typedef const char *(*syntax_rule)(const char *text);

/* fields_string with a rule: a text that breaks it is refused. */
const char *syntax_string(struct fields *fields, const char *name, const char *fallback,
                          syntax_rule rule);
bool syntax_is_among(const char *text, const char *const *texts, size_t count);

/* DNS labels (RFC 1123): of at most 63 characters, 40 (policies), 20 (schedules, drills). */
const char *syntax_label(const char *text);
const char *syntax_policy_name(const char *text);
const char *syntax_short_name(const char *text);
/* A key of a Secret (Kubernetes API, SecretSpec data), and the start of several such keys. */
const char *syntax_secret_key(const char *text);
const char *syntax_secret_prefix(const char *text);
/* A name in PostgreSQL: NAMEDATALEN - 1 bytes. */
const char *syntax_identifier(const char *text);
/* S3: general purpose bucket naming rules of the Amazon S3 user guide; header values. */
const char *syntax_bucket(const char *text);
const char *syntax_storage_class(const char *text);
const char *syntax_s3_region(const char *text);
/* AWS KMS: the ARN of a key, its id, or the ARN of an alias. */
const char *syntax_kms_key(const char *text);
/* Azure: naming rules of containers and storage accounts. */
const char *syntax_container(const char *text);
const char *syntax_account(const char *text);
/* "https://host[:port]" or http, with nothing after it. */
const char *syntax_endpoint(const char *text);
/* The start of object names: parts of [A-Za-z0-9._-] between single slashes (store.h), or "". */
const char *syntax_prefix(const char *text);
/* A directory: absolute, without ".." parts. */
const char *syntax_directory(const char *text);
/* A name of the IANA time zone database. */
const char *syntax_time_zone(const char *text);
/* A container image reference. */
const char *syntax_image(const char *text);
