// SPDX-License-Identifier: Apache-2.0
#include "sidecar/s3_key_source.h"

#include <stdbool.h>
#include <string.h>

#include "common/buf.h"
#include "common/http.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/connection.h"
#include "sidecar/credential.h"
#include "sidecar/policy.h"
#include "sidecar/s3_key.h"
#include "sidecar/s3_xml.h"
#include "sidecar/secrets.h"
#include "sidecar/token_exchange.h"

enum {
    STS_TIMEOUT_MS = 20000,
    /* link-local services answer at once or, where a network policy drops packets, never */
    METADATA_CONNECT_MS = 2000,
    METADATA_TIMEOUT_MS = 5000,
    ROLE_BYTES_MAX = 256, /* a role's name has at most 64 */
};

struct s3_key_source {
    const struct policy_region *region;
    const struct secrets *secrets;
    struct http *http;      /* NULL for Static */
    const char *url;        /* WebIdentity: of STS; Instance: of the agent or of the metadata */
    char *url_owned;        /* NULL: url is the environment's */
    bool is_agent;          /* Instance: url gives the key itself */
    const char *token;      /* what the agent wants to see; may be NULL */
    const char *token_file; /* or WebIdentity's: where it is; may be NULL */
    const char *role;       /* WebIdentity; NULL: the service knows it by the token */
    const char *session;    /* WebIdentity: how the service's log names us */
    bool role_is_optional;  /* services of one's own may know the role by the token */
};

/* Static */

static int take_text(struct buf *ret_text, const char *name, const struct buf *text,
                     struct error *err)
{
    return credential_set(ret_text, name, text->data, text->size, err);
}

static int fetch_static(const struct s3_key_source *source, struct credential *key,
                        struct error *err)
{
    CLEANUP(secrets_s3_done) struct secrets_s3 values = {0};
    if (secrets_get_s3(source->secrets, source->region, &values, err) < 0 ||
        take_text(&key->id, "access-key-id", &values.access_key_id, err) < 0 ||
        take_text(&key->secret, "secret-access-key", &values.secret_access_key, err) < 0 ||
        take_text(&key->session, "session-token", &values.session_token, err) < 0)
        return -1;
    return s3_key_complete(key, err);
}

/* Requests */

static bool is_transient(int status, const char *code)
{
    static const char *const codes[] = {"IDPCommunicationError", "Throttling",
                                        "ThrottlingException", "RequestLimitExceeded"};
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
        if (strcmp(code, codes[i]) == 0)
            return true;
    return status >= 500 || status == 429 || status == 408;
}

/* Of one that lends keys; remedy tells a person where to look. */
static int refusal(const struct http_response *response, const char *who, const char *remedy,
                   struct error *err)
{
    struct s3_xml_error error = {0};
    if (!s3_xml_parse_error(&error, response->body.data, response->body.size))
        error = (struct s3_xml_error){0};
    bool transient = is_transient(response->status, error.code);
    return error_set(err, transient ? ERROR_TRANSIENT : ERROR_PERMANENT, "%s: %d%s%s%s%s%s%s", who,
                     response->status, error.code[0] ? " " : "", error.code,
                     error.message[0] ? ": " : "", error.message, transient ? "" : "; ",
                     transient ? "" : remedy);
}

static struct http_response secret_response(void)
{
    return (struct http_response){.body = BUF_SECRET(0), .headers = BUF(0)};
}

/* WebIdentity */

static int make_form(const struct s3_key_source *source, struct buf *form, struct error *err)
{
    static const char action[] = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15";
    CLEANUP(buf_done) struct buf token = BUF_SECRET(CREDENTIAL_TEXT_MAX);
    if (token_exchange_read(&token, source->token_file, err) < 0 ||
        buf_append(form, action, strlen(action), err) < 0 ||
        (source->role && token_exchange_add(form, "RoleArn", source->role, err) < 0) ||
        token_exchange_add(form, "RoleSessionName", source->session, err) < 0)
        return -1;
    return token_exchange_add(form, "WebIdentityToken", credential_text(&token), err);
}

static int fetch_web_identity(struct s3_key_source *source, struct credential *ret_key,
                              struct error *err)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
                                          "Accept: application/xml", NULL};
    CLEANUP(buf_done) struct buf form = BUF_SECRET(TOKEN_EXCHANGE_FORM_MAX);
    CLEANUP(http_response_done) struct http_response response = secret_response();
    if (make_form(source, &form, err) < 0)
        return -1;
    const struct http_request request = {
        .method = "POST",
        .url = source->url,
        .headers = headers,
        .body = form.data,
        .body_size = form.size,
        .response_max = CREDENTIAL_ANSWER_MAX,
        .timeout_ms = STS_TIMEOUT_MS,
    };
    if (http_perform(source->http, &request, &response, err) < 0)
        return -1;
    CLEANUP(own_freep) char *who = own_format("'%s'", source->url);
    if (response.status != 200)
        return refusal(&response, who,
                       "look at the role that AWS_ROLE_ARN names and at whom it trusts", err);
    if (s3_xml_parse_key(ret_key, response.body.data, response.body.size, err) < 0)
        return error_wrap(err, "answer of '%s'", source->url);
    return 0;
}

/* Instance */

static int ask(struct s3_key_source *source, const char *method, const char *url,
               const char *header, struct http_response *response, struct error *err)
{
    const char *const headers[] = {header, NULL};
    const struct http_request request = {
        .method = method,
        .url = url,
        .headers = headers,
        .body = strcmp(method, "PUT") == 0 ? "" : NULL,
        .response_max = CREDENTIAL_ANSWER_MAX,
        .timeout_ms = METADATA_TIMEOUT_MS,
    };
    if (http_perform(source->http, &request, response, err) < 0)
        return -1;
    if (response->status == 200)
        return 0;
    CLEANUP(own_freep) char *who = own_format("'%s'", url);
    return refusal(response, who,
                   source->is_agent ? "look at the role that goes with the pod's service account"
                                    : "give the machine a role (instance profile)",
                   err);
}

static int take_key(const char *url, const struct http_response *response,
                    struct credential *ret_key, struct error *err)
{
    if (s3_key_parse_json(ret_key, response->body.data, response->body.size, err) < 0)
        return error_wrap(err, "answer of '%s'", url);
    return 0;
}

static int fetch_agent(struct s3_key_source *source, struct credential *ret_key, struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = secret_response();
    CLEANUP(buf_done) struct buf token = BUF_SECRET(CREDENTIAL_TEXT_MAX);
    CLEANUP(buf_done) struct buf header = BUF_SECRET(CREDENTIAL_TEXT_MAX + 64);
    if (source->token_file && token_exchange_read(&token, source->token_file, err) < 0)
        return -1;
    const char *text = source->token_file ? credential_text(&token) : source->token;
    if (text && (buf_format(&header, err, "Authorization: %s", text) < 0 ||
                 buf_append(&header, "", 1, err) < 0))
        return -1;
    if (ask(source, "GET", source->url, text ? (const char *)header.data : NULL, &response, err) <
        0)
        return -1;
    return take_key(source->url, &response, ret_key, err);
}

/* The first line of the answer, which becomes part of a URL or of a header. */
static char *first_line(const struct http_response *response, struct error *err)
{
    CLEANUP(own_freep) char *text = buf_string(&response->body);
    text[strcspn(text, "\r\n")] = '\0';
    CLEANUP(buf_done) struct buf checked = BUF_SECRET(0);
    if (*text && strlen(text) <= ROLE_BYTES_MAX &&
        credential_set(&checked, "it", text, strlen(text), err) == 0)
        return TAKE(text);
    error_set(err, ERROR_CORRUPT, "expected one line of text");
    return NULL;
}

/* A session of the metadata service: a token, then questions with it. */
static char *metadata_session(struct s3_key_source *source, struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = secret_response();
    CLEANUP(own_freep) char *url = own_format("%s/latest/api/token", source->url);
    if (ask(source, "PUT", url, "X-aws-ec2-metadata-token-ttl-seconds: 60", &response, err) < 0) {
        if (err->kind == ERROR_TRANSIENT)
            error_wrap(err, "in a pod, let its answers travel two hops "
                            "(HttpPutResponseHopLimit), or give the pod a role of its own");
        return NULL;
    }
    CLEANUP(own_freep) char *token = first_line(&response, err);
    if (!token)
        error_wrap(err, "answer of '%s'", url);
    return token ? own_format("X-aws-ec2-metadata-token: %s", token) : NULL;
}

static int fetch_metadata(struct s3_key_source *source, struct credential *ret_key,
                          struct error *err)
{
    static const char path[] = "latest/meta-data/iam/security-credentials";
    CLEANUP(http_response_done) struct http_response response = secret_response();
    CLEANUP(own_freep) char *session = metadata_session(source, err);
    CLEANUP(own_freep) char *list = own_format("%s/%s/", source->url, path);
    if (!session || ask(source, "GET", list, session, &response, err) < 0)
        return -1;
    CLEANUP(own_freep) char *role = first_line(&response, err);
    if (!role)
        return error_wrap(err, "answer of '%s'", list);
    CLEANUP(own_freep) char *encoded = text_percent(role, false);
    CLEANUP(own_freep) char *url = own_format("%s%s", list, encoded);
    return ask(source, "GET", url, session, &response, err) < 0
               ? -1
               : take_key(url, &response, ret_key, err);
}

/* Opening */

static int prepare_web_identity(struct s3_key_source *source, struct error *err)
{
    const struct policy_s3 *s3 = &source->region->s3;
    bool china = text_starts_with(s3->region, "cn-");
    const char *endpoint = connection_environment("AWS_ENDPOINT_URL_STS", NULL);
    bool own = s3->endpoint && !strstr(s3->endpoint, ".amazonaws.com");
    if (!endpoint && own)
        endpoint = s3->endpoint; /* where MinIO, Ceph and others speak STS as well */
    if (endpoint)
        source->url_owned =
            own_format("%s%s", endpoint, endpoint[strlen(endpoint) - 1] == '/' ? "" : "/");
    else
        source->url_owned =
            own_format("https://sts.%s.amazonaws.com%s/", s3->region, china ? ".cn" : "");
    source->url = source->url_owned;
    source->token_file = connection_environment("AWS_WEB_IDENTITY_TOKEN_FILE", NULL);
    source->role = connection_environment("AWS_ROLE_ARN", NULL);
    source->session = connection_environment("AWS_ROLE_SESSION_NAME", "lifeboat");
    if (!source->token_file)
        return error_set(err, ERROR_PERMANENT,
                         "WebIdentity: AWS_WEB_IDENTITY_TOKEN_FILE is not set: give the pod a "
                         "service account with a role, or mount a token and set it");
    if (!source->role && !endpoint)
        return error_set(err, ERROR_PERMANENT,
                         "WebIdentity: AWS_ROLE_ARN is not set: set it to the role that the pod's "
                         "service account may take on");
    return 0;
}

static int prepare_instance(struct s3_key_source *source, struct error *err)
{
    const char *full = connection_environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", NULL);
    const char *relative = connection_environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", NULL);
    source->is_agent = full || relative;
    if (relative)
        source->url_owned = own_format("http://169.254.170.2%s", relative);
    source->url = relative ? source->url_owned
                  : full   ? full
                           : connection_environment("AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                                    "http://169.254.169.254");
    if (!source->is_agent)
        return 0;
    source->token_file = connection_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", NULL);
    source->token = connection_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN", NULL);
    CLEANUP(buf_done) struct buf checked = BUF_SECRET(0);
    if (source->token && credential_set(&checked, "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        source->token, strlen(source->token), err) < 0)
        return -1;
    if (!token_exchange_is_safe(source->url))
        return error_set(err, ERROR_PERMANENT,
                         "Instance: AWS_CONTAINER_CREDENTIALS_FULL_URI: expected https:// or an "
                         "address of this machine, not '%s'",
                         source->url);
    return 0;
}

static int prepare(struct s3_key_source *source, const struct cancel *cancel, struct error *err)
{
    CLEANUP(own_freep) char *ca_file = NULL;
    struct http_options options = {.cancel = cancel};
    switch (source->region->s3.auth) {
    case POLICY_S3_STATIC:
        return 0;
    case POLICY_S3_WEB_IDENTITY:
        if (secrets_ca_path(source->secrets, source->region, &ca_file, err) < 0 ||
            prepare_web_identity(source, err) < 0)
            return -1;
        options.ca_file = ca_file;
        break;
    case POLICY_S3_INSTANCE:
        if (prepare_instance(source, err) < 0)
            return -1;
        options.direct = true;
        options.connect_timeout_ms = METADATA_CONNECT_MS;
        break;
    }
    return http_new(&source->http, &options, err);
}

int s3_key_source_fetch(struct s3_key_source *source, struct credential *ret_key, struct error *err)
{
    CLEANUP(credential_done) struct credential key = {0};
    int result = -1;
    switch (source->region->s3.auth) {
    case POLICY_S3_STATIC:
        result = fetch_static(source, &key, err);
        break;
    case POLICY_S3_WEB_IDENTITY:
        result = fetch_web_identity(source, &key, err);
        break;
    case POLICY_S3_INSTANCE:
        result =
            source->is_agent ? fetch_agent(source, &key, err) : fetch_metadata(source, &key, err);
        break;
    }
    if (result < 0)
        return -1;
    *ret_key = key;
    key = (struct credential){0};
    return 0;
}

void s3_key_source_closep(struct s3_key_source **source)
{
    if (!*source)
        return;
    http_freep(&(*source)->http);
    own_freep(&(*source)->url_owned);
    own_freep(source);
}

int s3_key_source_open(struct s3_key_source **ret_source, const struct policy_region *region,
                       const struct secrets *secrets, const struct cancel *cancel,
                       struct error *err)
{
    CLEANUP(s3_key_source_closep) struct s3_key_source *source = own_alloc(sizeof(*source));
    source->region = region;
    source->secrets = secrets;
    if (prepare(source, cancel, err) < 0)
        return error_wrap(err, "s3.auth");
    *ret_source = TAKE(source);
    return 0;
}
