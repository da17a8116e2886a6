// SPDX-License-Identifier: Apache-2.0
/*
 * Typed reading of the members of a JSON object. Every member must be asked for: fields_end refuses
 * what is left, so a misspelt name is never ignored (fields_end_open lets it pass). Messages name
 * file and line where known, path, value and what was expected: "policy.yaml:12:
 * spec.regions[0].s3.bucket: expected a string, not 5". Like a reader of bytes it turns bad at the
 * first error, gives fallbacks from then on, and is looked at once, in fields_end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"

struct yaml;

enum { FIELDS_MAX = 64, FIELDS_PATH_MAX = 256 };

struct fields {
    json_t *object;          /* lent; NULL reads as an empty object */
    const struct yaml *yaml; /* for lines; NULL for plain JSON */
    struct fields *parent;   /* goes bad with this one; NULL for the root */
    enum error_kind kind;    /* of errors: PERMANENT for configuration, CORRUPT for foreign bytes */
    char path[FIELDS_PATH_MAX];
    const char *seen[FIELDS_MAX]; /* names asked for */
    bool required[FIELDS_MAX];    /* the same index */
    size_t seen_count;
    struct error *err; /* where the first error is kept */
    bool bad;
};

/* Reads the root. err must outlive the fields and everything opened from it. */
void fields_init(struct fields *fields, json_t *object, const struct yaml *yaml,
                 enum error_kind kind, struct error *err);

/* A missing member (or null) gives the fallback; fields_require makes its absence an error, found
 * by fields_end after misspelt names. Strings are lent from the JSON value and have no NUL inside.
 */
const char *fields_string(struct fields *fields, const char *name, const char *fallback);
int64_t fields_integer(struct fields *fields, const char *name, int64_t min, int64_t max,
                       int64_t fallback);
bool fields_bool(struct fields *fields, const char *name, bool fallback);
/* One of choices (NULL-terminated); the index of the one found. */
int fields_choice(struct fields *fields, const char *name, const char *const *choices,
                  int fallback);
/* 64-bit unsigned integers and LSNs travel as strings in our JSON: "7351234567890123456". */
uint64_t fields_decimal(struct fields *fields, const char *name, uint64_t fallback);

bool fields_has(const struct fields *fields, const char *name);
void fields_require(struct fields *fields, const char *name);
/* Marks a member as known without reading it: somebody else's business. */
void fields_skip(struct fields *fields, const char *name);

/* Opens a member that is an object (missing: an empty one). child shares err and must not outlive
 * fields; end it too. */
void fields_object(struct fields *fields, const char *name, struct fields *ret_child);
/* The number of elements of a member that is an array (missing: 0) of at most max; then each by
 * index. */
size_t fields_array(struct fields *fields, const char *name, size_t max);
void fields_array_object(struct fields *fields, const char *name, size_t index,
                         struct fields *ret_child);
const char *fields_array_string(struct fields *fields, const char *name, size_t index);

/* Checks a member that is an object of at most max strings with any names (labels); iterate over it
 * with json_object_foreach. Missing: NULL. */
json_t *fields_string_map(struct fields *fields, const char *name, size_t max);

/* An error of the caller's about a member (NULL: about the object itself): "<file>:<line>:
 * <path>.<name>: <format>". The first error stays. */
void fields_fail(struct fields *fields, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, saying "expected <expected>, not <the member's value>". */
void fields_refuse(struct fields *fields, const char *name, const char *expected);
/* -1 if anything was wrong with this object, or a member was not asked for. */
MUST_CHECK int fields_end(struct fields *fields);
/* The same where others may know more members than we do: what was not asked for is ignored. Of a
 * child it need not be looked at, because its parent is bad then too. */
int fields_end_open(struct fields *fields);
