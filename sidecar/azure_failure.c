// SPDX-License-Identifier: Apache-2.0
#include "sidecar/azure_failure.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/azure_xml.h"

enum { SKEW_MAX_MS = 14 * 60 * 1000 }; /* Azure takes dates that are 15 minutes old at most */

/* What a person does about an error; each as it is for static credentials and for an identity. */
enum remedy {
    NOTHING,
    CREDENTIALS,
    PRIVILEGES,
    KEYS_OFF,
    CONTAINER,
    ACCOUNT,
    NAME,
    LOCKED,
    LEASED
};

/* The first that fits counts; NULL and 0 fit all. */
struct rule {
    const char *code;
    int status;
    enum error_kind kind;
    enum remedy remedy;
};

static const struct rule rules[] = {
    {"BlobNotFound", 0, ERROR_NOT_FOUND, NOTHING},
    {"BlobAlreadyExists", 0, ERROR_CONFLICT, NOTHING},
    {"UnauthorizedBlobOverwrite", 0, ERROR_CONFLICT,
     NOTHING}, /* a signature that may only create */
    {"ConditionNotMet", 0, ERROR_CONFLICT, NOTHING},
    {"ContainerNotFound", 0, ERROR_PERMANENT, CONTAINER},
    {"ContainerDisabled", 0, ERROR_PERMANENT, CONTAINER},
    {"ContainerBeingDeleted", 0, ERROR_PERMANENT, CONTAINER},
    {"InvalidResourceName", 0, ERROR_PERMANENT, NAME},
    {"ResourceNotFound", 0, ERROR_PERMANENT, NAME},
    {"AccountIsDisabled", 0, ERROR_PERMANENT, ACCOUNT},
    {"AuthenticationFailed", 0, ERROR_PERMANENT, CREDENTIALS},
    {"AuthorizationFailure", 0, ERROR_PERMANENT, CREDENTIALS},
    {"InvalidAuthenticationInfo", 0, ERROR_PERMANENT, CREDENTIALS},
    {"NoAuthenticationInformation", 0, ERROR_PERMANENT, CREDENTIALS},
    {"KeyBasedAuthenticationNotPermitted", 0, ERROR_PERMANENT, KEYS_OFF},
    {"BlobImmutableDueToPolicy", 0, ERROR_PERMANENT, LOCKED},
    {"LeaseIdMissing", 0, ERROR_PERMANENT, LEASED},
    {"AccountBeingCreated", 0, ERROR_TRANSIENT, NOTHING},
    {"InternalError", 0, ERROR_TRANSIENT, NOTHING},
    {"OperationTimedOut", 0, ERROR_TRANSIENT, NOTHING},
    {"ServerBusy", 0, ERROR_TRANSIENT, NOTHING},
    {"Md5Mismatch", 0, ERROR_TRANSIENT, NOTHING}, /* bytes that changed on the way */
    {NULL, 401, ERROR_PERMANENT, CREDENTIALS},
    {NULL, 403, ERROR_PERMANENT, PRIVILEGES},
    {NULL, 408, ERROR_TRANSIENT, NOTHING},
    {NULL, 429, ERROR_TRANSIENT, NOTHING},
    {NULL, 500, ERROR_TRANSIENT, NOTHING},
    {NULL, 502, ERROR_TRANSIENT, NOTHING},
    {NULL, 503, ERROR_TRANSIENT, NOTHING},
    {NULL, 504, ERROR_TRANSIENT, NOTHING},
    {NULL, 0, ERROR_PERMANENT, NOTHING},
};

static const char *remedy_text(enum remedy remedy, bool identity)
{
    switch (remedy) {
    case CREDENTIALS:
        return identity ? "; check azure.account and the identity of azure.auth"
                        : "; check azure.account and the key or the shared access signature that "
                          "azure.credentials names";
    case PRIVILEGES:
        return identity ? "; give the identity the role Storage Blob Data Contributor there"
                        : "; the shared access signature needs the permissions rwdl";
    case KEYS_OFF:
        return "; allow account keys in the storage account, or use azure.auth: WebIdentity";
    case CONTAINER:
        return "; create the container, or correct azure.container and azure.account";
    case ACCOUNT:
        return "; enable the storage account, or correct azure.account";
    case NAME:
        return "; correct azure.container, azure.account and azure.endpoint";
    case LOCKED:
        return "; a policy of the container or a hold protects it from that";
    case LEASED:
        return "; break the lease that somebody took on it";
    case NOTHING:
        break;
    }
    return "";
}

static const struct rule *find_rule(int status, const char *code)
{
    const struct rule *rule = rules;
    while ((rule->status && rule->status != status) ||
           (rule->code && strcmp(rule->code, code) != 0))
        rule++;
    return rule;
}

int azure_failure_set(struct error *err, const struct azure_target *target,
                      const struct azure_answer *answer)
{
    struct azure_xml_error error = {0};
    if (answer->size > 0)
        azure_xml_parse_error(&error, answer->body, answer->size);
    const char *code = answer->code ? answer->code : error.code;
    const char *message = error.detail[0] ? error.detail : error.message;
    const struct rule *rule = find_rule(answer->status, code);
    if (rule->kind == ERROR_NOT_FOUND)
        return error_set(err, rule->kind, "no such object");
    if (rule->kind == ERROR_CONFLICT)
        return error_set(err, rule->kind, "the object exists already");
    if (rule->remedy == CREDENTIALS && llabs(answer->clock_skew_ms) > SKEW_MAX_MS)
        return error_set(err, ERROR_PERMANENT,
                         "our clock and that of '%s' are %" PRId64
                         " s apart; set the clock of this machine",
                         target->host, answer->clock_skew_ms / 1000);
    return error_set(err, rule->kind, "container '%s' at '%s': Azure %d%s%s%s%s%s",
                     target->container, target->host, answer->status, code[0] ? " " : "", code,
                     message[0] ? ": " : "", message, remedy_text(rule->remedy, target->identity));
}
