// SPDX-License-Identifier: Apache-2.0
#include "operator/kube_status.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"

enum { TEXT_SHOWN_MAX = 200 }; /* bytes of an answer that is no Status */

static enum error_kind kind_of(int code)
{
    switch (code) {
    case 404:
        return ERROR_NOT_FOUND;
    case 409:
        return ERROR_CONFLICT;
    case 401: /* the token may have been replaced meanwhile */
    case 408:
    case 410: /* a list or watch from the start may succeed */
    case 429:
        return ERROR_TRANSIENT;
    default:
        return code >= 500 ? ERROR_TRANSIENT : ERROR_PERMANENT;
    }
}

/* A member that is a text without control characters, else fallback; the caller's. */
static char *text_of(const json_t *status, const char *name, const char *fallback)
{
    const char *text = json_string_value(json_object_get(status, name));
    return text_escape(text && *text ? text : fallback);
}

int kube_status_code(const json_t *status)
{
    json_int_t code = json_integer_value(json_object_get(status, "code"));
    return code > 0 && code < INT_MAX ? (int)code : 0;
}

int kube_status_fail(int code, const json_t *status, struct error *err)
{
    CLEANUP(own_freep) char *reason = text_of(status, "reason", "");
    CLEANUP(own_freep) char *message = text_of(status, "message", "no message");
    return error_set(err, kind_of(code), "%d%s%s: %s", code, *reason ? " " : "", reason, message);
}

int kube_status_fail_body(int code, const void *body, size_t size, struct error *err)
{
    json_auto_t *status = json_loadb(body ? body : "", size, 0, NULL);
    const char *kind = json_string_value(json_object_get(status, "kind"));
    if (kind && strcmp(kind, "Status") == 0)
        return kube_status_fail(code, status, err);
    char shown[TEXT_SHOWN_MAX + 1];
    snprintf(shown, sizeof(shown), "%.*s", (int)(size < INT_MAX ? size : INT_MAX),
             body ? (const char *)body : "");
    CLEANUP(own_freep) char *text = text_escape(shown);
    return error_set(err, kind_of(code), "%d: %s", code, *text ? text : "no message");
}

bool kube_status_forbids(const struct error *err)
{
    /* the words of the API server's authorizer (k8s.io/apiserver, responsewriters/errors.go) */
    return strstr(err->text, "is forbidden: User ") != NULL;
}
