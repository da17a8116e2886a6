// SPDX-License-Identifier: Apache-2.0
#include "sidecar/s3_failure.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/s3_xml.h"

/* The first that fits counts; NULL and 0 fit all. */
struct rule {
    int status;
    const char *code;
    enum error_kind kind;
    const char *remedy;
};

static const char credentials[] = "check the two keys that s3.credentials names";
static const char privileges[] =
    "give the user of s3.credentials the right to get, put, list and delete objects there";
static const char token[] = "renew the session token that s3.credentials names";

static const struct rule rules[] = {
    {0, "NoSuchBucket", ERROR_PERMANENT, "create the bucket, or correct s3.bucket and s3.region"},
    {0, "NoSuchKey", ERROR_NOT_FOUND, NULL},
    {0, "SignatureDoesNotMatch", ERROR_PERMANENT, credentials},
    {0, "InvalidAccessKeyId", ERROR_PERMANENT, credentials},
    {0, "XAdminUserNotFound", ERROR_PERMANENT, credentials}, /* versitygw */
    {0, "AccessDenied", ERROR_PERMANENT, privileges},
    {0, "AllAccessDisabled", ERROR_PERMANENT, privileges},
    {0, "ExpiredToken", ERROR_PERMANENT, token},
    {0, "InvalidToken", ERROR_PERMANENT, token},
    {0, "TokenRefreshRequired", ERROR_PERMANENT, token},
    {0, "InvalidStorageClass", ERROR_PERMANENT, "correct s3.storageClass"},
    {0, "InvalidBucketName", ERROR_PERMANENT, "correct s3.bucket"},
    {0, "PreconditionFailed", ERROR_CONFLICT, NULL},
    {0, "ConditionalRequestConflict", ERROR_TRANSIENT, NULL}, /* "retry the upload" */
    {0, "OperationAborted", ERROR_TRANSIENT, NULL},
    {0, "RequestTimeout", ERROR_TRANSIENT, NULL},
    {0, "SlowDown", ERROR_TRANSIENT, NULL},
    {0, "Throttling", ERROR_TRANSIENT, NULL},
    {0, "ThrottlingException", ERROR_TRANSIENT, NULL},
    {0, "InternalError", ERROR_TRANSIENT, NULL},
    {0, "ServiceUnavailable", ERROR_TRANSIENT, NULL},
    /* bytes that changed on the way */
    {0, "BadDigest", ERROR_TRANSIENT, NULL},
    {0, "IncompleteBody", ERROR_TRANSIENT, NULL},
    {0, "XAmzContentSHA256Mismatch", ERROR_TRANSIENT, NULL},
    {403, NULL, ERROR_PERMANENT, privileges},
    {404, "", ERROR_NOT_FOUND, NULL}, /* of HEAD, which has no body */
    {408, NULL, ERROR_TRANSIENT, NULL},
    {412, NULL, ERROR_CONFLICT, NULL},
    {429, NULL, ERROR_TRANSIENT, NULL},
    {500, NULL, ERROR_TRANSIENT, NULL},
    {502, NULL, ERROR_TRANSIENT, NULL},
    {503, NULL, ERROR_TRANSIENT, NULL},
    {504, NULL, ERROR_TRANSIENT, NULL},
    {0, NULL, ERROR_PERMANENT, NULL},
};

static bool is_code(const struct s3_xml_error *error, const char *code)
{
    return strcmp(error->code, code) == 0;
}

static const struct rule *find_rule(int status, const char *code)
{
    const struct rule *rule = rules;
    while ((rule->status && rule->status != status) ||
           (rule->code && strcmp(rule->code, code) != 0))
        rule++;
    return rule;
}

/* Where the bucket really is, if the answer tells that this is the matter; else NULL. */
static const char *other_region(const struct s3_target *target, const struct s3_answer *answer,
                                const struct s3_xml_error *error)
{
    bool redirected = answer->status == 301 || answer->status == 307;
    if (!redirected && !is_code(error, "AuthorizationHeaderMalformed") &&
        !is_code(error, "PermanentRedirect"))
        return NULL;
    const char *region = error->region[0] ? error->region : answer->bucket_region;
    return region && strcmp(region, target->region) != 0 ? region : NULL;
}

bool s3_failure_is_none(const struct s3_answer *answer)
{
    struct s3_xml_error error;
    return answer->status >= 200 && answer->status < 300 &&
           !(answer->size > 0 && *(const char *)answer->body == '<' &&
             s3_xml_parse_error(&error, answer->body, answer->size));
}

int s3_failure_set(struct error *err, const struct s3_target *target,
                   const struct s3_answer *answer)
{
    struct s3_xml_error error = {0};
    if (answer->size > 0)
        s3_xml_parse_error(&error, answer->body, answer->size);
    const struct rule *rule = find_rule(answer->status, error.code);
    const char *region = other_region(target, answer, &error);
    if (region)
        return error_set(err, ERROR_PERMANENT,
                         "bucket '%s' is in region '%s', not in '%s'; correct s3.region",
                         target->bucket, region, target->region);
    if (is_code(&error, "RequestTimeTooSkewed"))
        return error_set(err, ERROR_PERMANENT,
                         "our clock and that of '%s' are %" PRId64
                         " s apart; set the clock of this machine",
                         target->host, answer->clock_skew_ms / 1000);
    if (rule->kind == ERROR_NOT_FOUND)
        return error_set(err, rule->kind, "no such object");
    if (rule->kind == ERROR_CONFLICT)
        return error_set(err, rule->kind, "the object exists already");
    return error_set(err, rule->kind, "bucket '%s' at '%s': S3 %d%s%s%s%s%s%s", target->bucket,
                     target->host, answer->status, error.code[0] ? " " : "", error.code,
                     error.message[0] ? ": " : "", error.message, rule->remedy ? "; " : "",
                     rule->remedy ? rule->remedy : "");
}
