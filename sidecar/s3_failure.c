// SPDX-License-Identifier: Apache-2.0
#include "sidecar/s3_failure.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/s3_xml.h"

/* The first that fits counts; NULL and 0 fit all. */
struct rule {
    const char *code;
    int status;
    enum error_kind kind;
    const char *remedy;
};

static const char credentials[] = "check the two keys that s3.credentials names";
static const char privileges[] =
    "give the user of s3.credentials the right to get, put, list and delete objects there";
static const char token[] = "renew the session token that s3.credentials names";

static const char role_key[] =
    "look at the role that s3.auth stands for, and whether this service knows its keys";
static const char role_privileges[] =
    "give the role that s3.auth stands for the right to get, put, list and delete objects there";

static const struct rule rules[] = {
    {"NoSuchBucket", 0, ERROR_PERMANENT, "create the bucket, or correct s3.bucket and s3.region"},
    {"NoSuchKey", 0, ERROR_NOT_FOUND, NULL},
    {"SignatureDoesNotMatch", 0, ERROR_PERMANENT, credentials},
    {"InvalidAccessKeyId", 0, ERROR_PERMANENT, credentials},
    {"XAdminUserNotFound", 0, ERROR_PERMANENT, credentials}, /* versitygw */
    {"AccessDenied", 0, ERROR_PERMANENT, privileges},
    {"AllAccessDisabled", 0, ERROR_PERMANENT, privileges},
    {"ExpiredToken", 0, ERROR_PERMANENT, token},
    {"InvalidToken", 0, ERROR_PERMANENT, token},
    {"TokenRefreshRequired", 0, ERROR_PERMANENT, token},
    {"InvalidStorageClass", 0, ERROR_PERMANENT, "correct s3.storageClass"},
    {"InvalidBucketName", 0, ERROR_PERMANENT, "correct s3.bucket"},
    {"PreconditionFailed", 0, ERROR_CONFLICT, NULL},
    {"ConditionalRequestConflict", 0, ERROR_TRANSIENT, NULL}, /* "retry the upload" */
    {"OperationAborted", 0, ERROR_TRANSIENT, NULL},
    {"RequestTimeout", 0, ERROR_TRANSIENT, NULL},
    {"SlowDown", 0, ERROR_TRANSIENT, NULL},
    {"Throttling", 0, ERROR_TRANSIENT, NULL},
    {"ThrottlingException", 0, ERROR_TRANSIENT, NULL},
    {"InternalError", 0, ERROR_TRANSIENT, NULL},
    {"ServiceUnavailable", 0, ERROR_TRANSIENT, NULL},
    /* bytes that changed on the way */
    {"BadDigest", 0, ERROR_TRANSIENT, NULL},
    {"IncompleteBody", 0, ERROR_TRANSIENT, NULL},
    {"XAmzContentSHA256Mismatch", 0, ERROR_TRANSIENT, NULL},
    {NULL, 403, ERROR_PERMANENT, privileges},
    {"", 404, ERROR_NOT_FOUND, NULL}, /* of HEAD, which has no body */
    {NULL, 408, ERROR_TRANSIENT, NULL},
    {NULL, 412, ERROR_CONFLICT, NULL},
    {NULL, 429, ERROR_TRANSIENT, NULL},
    {NULL, 500, ERROR_TRANSIENT, NULL},
    {NULL, 502, ERROR_TRANSIENT, NULL},
    {NULL, 503, ERROR_TRANSIENT, NULL},
    {NULL, 504, ERROR_TRANSIENT, NULL},
    {NULL, 0, ERROR_PERMANENT, NULL},
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

/* The same for keys that are lent. */
static const char *remedy_of(const struct rule *rule, const struct s3_target *target)
{
    if (!target->by_role)
        return rule->remedy;
    return rule->remedy == credentials || rule->remedy == token ? role_key
           : rule->remedy == privileges                         ? role_privileges
                                                                : rule->remedy;
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

bool s3_failure_is_refusal(const struct s3_answer *answer)
{
    struct s3_xml_error error = {0};
    if (answer->size > 0)
        s3_xml_parse_error(&error, answer->body, answer->size);
    const char *remedy = find_rule(answer->status, error.code)->remedy;
    if (remedy == token || remedy == credentials) /* also with 400, and 404 of versitygw */
        return true;
    if (answer->status == 400)
        return !error.code[0];
    return (answer->status == 401 || answer->status == 403) &&
           !is_code(&error, "RequestTimeTooSkewed");
}

int s3_failure_set(struct error *err, const struct s3_target *target,
                   const struct s3_answer *answer)
{
    struct s3_xml_error error = {0};
    if (answer->size > 0)
        s3_xml_parse_error(&error, answer->body, answer->size);
    const struct rule *rule = find_rule(answer->status, error.code);
    const char *region = other_region(target, answer, &error), *remedy = remedy_of(rule, target);
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
                     error.message[0] ? ": " : "", error.message, remedy ? "; " : "",
                     remedy ? remedy : "");
}
