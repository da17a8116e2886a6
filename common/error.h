// SPDX-License-Identifier: Apache-2.0
/*
 * An error is a kind, which answers "what now?", and a text for a person. Functions that can fail
 * return 0 or -1 and take a struct error of the caller's stack as last parameter; it is written
 * only on failure. Text: lower case, no full stop, names quoted, outside-in: "put 'packs/…/000007':
 * S3 503 SlowDown".
 */
#pragma once

#define MUST_CHECK __attribute__((warn_unused_result))

enum error_kind {
    ERROR_NONE,
    ERROR_TRANSIENT, /* may succeed when tried again: time-outs, resets, 503 */
    ERROR_PERMANENT, /* needs a person: configuration, privileges, a full disk */
    ERROR_NOT_FOUND,
    ERROR_CONFLICT, /* exists already, or is something else than expected */
    ERROR_CORRUPT,  /* foreign bytes that break the format, damaged or forged */
    ERROR_CANCELED, /* somebody asked to stop */
};

struct error {
    enum error_kind kind;
    char text[480];
};

/* Each returns -1, so that a caller can "return error_set(…)". Texts that are too long are cut. */
int error_set(struct error *err, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "<format>: " before the text that err has; the kind stays. */
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "<format>: <text of errnum>"; the kind follows errnum (ENOENT: NOT_FOUND, EEXIST and ENOTEMPTY:
 * CONFLICT, EAGAIN, EINTR, ETIMEDOUT, ECONN*, EPIPE, EHOSTUNREACH, ENETUNREACH: TRANSIENT, else
 * PERMANENT). */
int error_errno(struct error *err, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "transient", "not-found" …; for logs and -o json. */
const char *error_kind_name(enum error_kind kind);
