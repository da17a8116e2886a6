// SPDX-License-Identifier: Apache-2.0
#include "operator/kube_config.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/fields.h"
#include "common/http.h"
#include "common/own.h"
#include "common/text.h"
#include "common/yaml.h"

enum {
    PEM_MAX = 256 * 1024,
    ENTRIES_MAX = 1000,       /* of each list of a kubeconfig */
    TOKEN_AGE_MAX_MS = 60000, /* the kubelet replaces a token long before it ends */
};

static const char pod_directory[] = "/var/run/secrets/kubernetes.io/serviceaccount";

struct kube_config {
    char *server;
    char *ca_file; /* read by http for each connection, so that a new CA is noticed */
    char *certificate_file, *key_file, *token_file;
    struct buf ca, certificate, key; /* PEM with a NUL behind, or empty */
    pthread_mutex_t lock;            /* guards what follows */
    struct buf token;
    int64_t token_read_ms;
    bool token_refused;
};

/* A member of a kubeconfig's lists: {name: …, <body>: {…}}. */
struct entry {
    struct fields element, body;
};

static struct kube_config *config_new(void)
{
    struct kube_config *config = own_alloc(sizeof(*config));
    config->ca = BUF(PEM_MAX);
    config->certificate = BUF(PEM_MAX);
    config->key = BUF_SECRET(PEM_MAX);
    config->token = BUF_SECRET(KUBE_CONFIG_TOKEN_MAX);
    pthread_mutex_init(&config->lock, NULL);
    return config;
}

/* Cuts white space at the end; what is left has to be able to stand in a header. */
static int check_token(struct buf *token, struct error *err)
{
    while (token->size > 0 && strchr(" \t\r\n", token->data[token->size - 1]))
        token->size--;
    if (token->size == 0)
        return error_set(err, ERROR_PERMANENT, "the token is empty");
    for (size_t i = 0; i < token->size; i++)
        if (token->data[i] <= ' ' || token->data[i] >= 0x7f)
            return error_set(err, ERROR_PERMANENT, "the token has bytes that no token has");
    return 0;
}

static int read_token(const char *path, struct buf *ret_token, struct error *err)
{
    if (buf_read_file(ret_token, AT_FDCWD, path, err) < 0 || check_token(ret_token, err) < 0)
        return error_wrap(err, "token file '%s'", path);
    return 0;
}

static int read_pem(const char *path, struct buf *pem, struct error *err)
{
    if (!path)
        return 0;
    if (buf_read_file(pem, AT_FDCWD, path, err) < 0) {
        err->kind = ERROR_PERMANENT;
        return error_wrap(err, "certificate or key of the kubeconfig");
    }
    return buf_append(pem, "", 1, err);
}

/* The PEM of a …-data member, which goes before that of a file. */
static void take_data(struct fields *user, const char *name, struct buf *pem)
{
    const char *data = fields_string(user, name, NULL);
    size_t size = data ? strlen(data) : 0;
    struct error ignored;
    uint8_t *space;
    if (size == 0)
        return;
    if (size > PEM_MAX || buf_reserve(pem, size + 1, &space, &ignored) < 0 ||
        !text_parse_base64(data, size, space, size, &pem->size))
        fields_fail(user, name, "expected PEM in base64");
    else
        pem->data[pem->size++] = '\0';
}

/* The path that a member has, as it is from anywhere; the caller's, or NULL. */
static char *take_path(struct fields *fields, const char *name, const char *directory)
{
    const char *path = fields_string(fields, name, "");
    if (!*path)
        return NULL;
    return *path == '/' ? own_strdup(path) : own_format("%s/%s", directory, path);
}

static bool is_plain_loopback(const char *server)
{
    static const char *const hosts[] = {"http://127.0.0.1", "http://[::1]", "http://localhost"};
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        size_t size = strlen(hosts[i]);
        if (strncmp(server, hosts[i], size) == 0 && (!server[size] || strchr(":/", server[size])))
            return true;
    }
    return false;
}

static void take_server(struct fields *cluster, struct kube_config *config)
{
    fields_require(cluster, "server");
    const char *server = fields_string(cluster, "server", NULL);
    if (!server)
        return;
    size_t size = strlen(server);
    while (size > 0 && server[size - 1] == '/')
        size--;
    config->server = own_format("%.*s", (int)size, server);
    if (!text_starts_with(server, "https://") && !is_plain_loopback(server))
        fields_refuse(cluster, "server", "https://host:port (http only on loopback)");
    else if (strpbrk(server, "?#@ \t\r\n"))
        fields_refuse(cluster, "server", "a URL of scheme, host, port and path alone");
}

/* A member that would change what we do, if we could do it. */
static void refuse_member(struct fields *fields, const char *name, const char *remedy)
{
    if (!fields_has(fields, name) || json_is_false(json_object_get(fields->object, name)))
        return;
    fields_fail(fields, name, "not supported: %s", remedy);
}

static int take_cluster(struct fields *cluster, const char *directory, struct kube_config *config)
{
    refuse_member(cluster, "insecure-skip-tls-verify",
                  "give the CA of the API server in certificate-authority-data");
    refuse_member(cluster, "tls-server-name",
                  "let server be a name that the API server's certificate has");
    refuse_member(cluster, "proxy-url", "set HTTPS_PROXY in the environment");
    take_server(cluster, config);
    config->ca_file = take_path(cluster, "certificate-authority", directory);
    take_data(cluster, "certificate-authority-data", &config->ca);
    return fields_end_open(cluster);
}

static void refuse_users(struct fields *user)
{
    static const char plugin[] = "plug-ins are not run; use a client certificate, or a token "
                                 "(kubectl create token) in tokenFile";
    static const char impersonation[] = "no impersonation; use that user's own credentials";
    static const char password[] = "Kubernetes has no passwords any more; use a token";
    refuse_member(user, "exec", plugin);
    refuse_member(user, "auth-provider", plugin);
    refuse_member(user, "as", impersonation);
    refuse_member(user, "as-uid", impersonation);
    refuse_member(user, "as-groups", impersonation);
    refuse_member(user, "username", password);
}

static void take_token(struct fields *user, const char *directory, struct kube_config *config)
{
    const char *token = fields_string(user, "token", "");
    struct error wrong;
    config->token_file = take_path(user, "tokenFile", directory);
    if (!*token || config->token_file) /* as kubectl: the file goes before */
        return;
    if (buf_append(&config->token, token, strlen(token), &wrong) < 0 ||
        check_token(&config->token, &wrong) < 0)
        fields_fail(user, "token", "%s", wrong.text);
}

static int take_user(struct fields *user, const char *directory, struct kube_config *config)
{
    refuse_users(user);
    take_token(user, directory, config);
    config->certificate_file = take_path(user, "client-certificate", directory);
    config->key_file = take_path(user, "client-key", directory);
    take_data(user, "client-certificate-data", &config->certificate);
    take_data(user, "client-key-data", &config->key);
    if ((config->certificate_file || config->certificate.size > 0) !=
        (config->key_file || config->key.size > 0))
        fields_fail(user, NULL, "client-certificate and client-key belong together");
    return fields_end_open(user);
}

/* Opens the entry of that name; false: there is none, which is an error then. */
static bool open_entry(struct fields *root, const char *list, const char *body, const char *name,
                       struct entry *ret_entry)
{
    size_t count = fields_array(root, list, ENTRIES_MAX);
    for (size_t i = 0; i < count; i++) {
        fields_array_object(root, list, i, &ret_entry->element);
        const char *found = fields_string(&ret_entry->element, "name", NULL);
        if (found && strcmp(found, name) == 0) {
            fields_object(&ret_entry->element, body, &ret_entry->body);
            return true;
        }
    }
    fields_fail(root, list, "none of them has the name '%s'", name);
    return false;
}

static int take_root(struct fields *root, const char *directory, struct kube_config *config)
{
    static const char *const kinds[] = {"Config", NULL};
    struct entry context, cluster, user;
    fields_choice(root, "kind", kinds, 0);
    const char *current = fields_string(root, "current-context", "");
    if (!*current)
        fields_fail(root, "current-context",
                    "no context is chosen: run kubectl config use-context");
    if (!open_entry(root, "contexts", "context", current, &context))
        return -1;
    const char *cluster_name = fields_string(&context.body, "cluster", "");
    const char *user_name = fields_string(&context.body, "user", "");
    if (!open_entry(root, "clusters", "cluster", cluster_name, &cluster) ||
        take_cluster(&cluster.body, directory, config) < 0)
        return -1;
    if (*user_name && (!open_entry(root, "users", "user", user_name, &user) ||
                       take_user(&user.body, directory, config) < 0))
        return -1;
    return fields_end_open(root);
}

/* What kube_config_parse left to be read. */
static int read_files(struct kube_config *config, struct error *err)
{
    struct buf *token = &config->token;
    if (config->certificate.size == 0 &&
        read_pem(config->certificate_file, &config->certificate, err) < 0)
        return -1;
    if (config->key.size == 0 && read_pem(config->key_file, &config->key, err) < 0)
        return -1;
    if (config->token_file && read_token(config->token_file, token, err) < 0) {
        err->kind = ERROR_PERMANENT;
        return -1;
    }
    config->token_read_ms = clock_monotonic_ms();
    return 0;
}

/* "/home/me/.kube" of "/home/me/.kube/config"; the caller's. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return own_strdup(".");
    return own_format("%.*s", slash == path ? 1 : (int)(slash - path), path);
}

void kube_config_freep(struct kube_config **config)
{
    struct kube_config *c = *config;
    if (!c)
        return;
    buf_done(&c->ca);
    buf_done(&c->certificate);
    buf_done(&c->key);
    buf_done(&c->token);
    pthread_mutex_destroy(&c->lock);
    own_freep(&c->server);
    own_freep(&c->ca_file);
    own_freep(&c->certificate_file);
    own_freep(&c->key_file);
    own_freep(&c->token_file);
    own_freep(config);
}

const char *kube_config_server(const struct kube_config *config)
{
    return config->server;
}

void kube_config_identify(const struct kube_config *config, struct http_options *options)
{
    if (config->ca.size > 0)
        options->ca_pem = (const char *)config->ca.data;
    else
        options->ca_file = config->ca_file;
    if (config->certificate.size == 0)
        return;
    options->certificate_pem = (const char *)config->certificate.data;
    options->key_pem = (const char *)config->key.data;
}

void kube_config_refused(struct kube_config *config)
{
    pthread_mutex_lock(&config->lock);
    config->token_refused = true;
    pthread_mutex_unlock(&config->lock);
}

/* Whether this thread shall read the file; another one goes on with the token that there is. */
static bool must_read_token(struct kube_config *config)
{
    int64_t now = clock_monotonic_ms();
    pthread_mutex_lock(&config->lock);
    bool must = config->token_file &&
                (config->token_refused || now - config->token_read_ms >= TOKEN_AGE_MAX_MS);
    if (must) {
        config->token_refused = false;
        config->token_read_ms = now;
    }
    pthread_mutex_unlock(&config->lock);
    return must;
}

/* A file that cannot be read leaves the token that there is: it may be good for a while yet, and if
 * it is not, the server says so. */
int kube_config_token(struct kube_config *config, struct buf *ret_token, struct error *err)
{
    CLEANUP(buf_done) struct buf token = BUF_SECRET(KUBE_CONFIG_TOKEN_MAX);
    struct error unread;
    bool fresh = must_read_token(config) && read_token(config->token_file, &token, &unread) == 0;
    buf_clear(ret_token);
    pthread_mutex_lock(&config->lock);
    if (fresh) {
        struct buf former = config->token;
        config->token = token;
        token = former;
    }
    int result = buf_append(ret_token, config->token.data, config->token.size, err);
    pthread_mutex_unlock(&config->lock);
    return result;
}

int kube_config_parse(struct kube_config **ret_config, const struct kube_config_text *text,
                      struct error *err)
{
    CLEANUP(kube_config_freep) struct kube_config *config = config_new();
    CLEANUP(yaml_done) struct yaml yaml = {0};
    struct fields root;
    if (yaml_parse(&yaml, text->file, text->text, text->size, err) < 0)
        return -1;
    fields_init(&root, yaml.root, &yaml, ERROR_PERMANENT, err);
    if (take_root(&root, text->directory, config) < 0)
        return -1;
    *ret_config = TAKE(config);
    return 0;
}

int kube_config_load_pod(struct kube_config **ret_config, const char *directory, struct error *err)
{
    CLEANUP(kube_config_freep) struct kube_config *config = config_new();
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    if (!host || !*host || !port || !*port)
        return error_set(err, ERROR_PERMANENT,
                         "not in a pod of Kubernetes (KUBERNETES_SERVICE_HOST and _PORT are not "
                         "set): give --kubeconfig FILE");
    bool bare_v6 = strchr(host, ':') && host[0] != '[';
    config->server =
        own_format("https://%s%s%s:%s", bare_v6 ? "[" : "", host, bare_v6 ? "]" : "", port);
    config->ca_file = own_format("%s/ca.crt", directory);
    config->token_file = own_format("%s/token", directory);
    if (read_files(config, err) < 0)
        return error_wrap(err, "service account of this pod (is automountServiceAccountToken "
                               "false?)");
    *ret_config = TAKE(config);
    return 0;
}

int kube_config_load(struct kube_config **ret_config, const char *path, struct error *err)
{
    CLEANUP(kube_config_freep) struct kube_config *config = NULL;
    CLEANUP(buf_done) struct buf text = BUF_SECRET(YAML_BYTES_MAX);
    if (!path)
        return kube_config_load_pod(ret_config, pod_directory, err);
    CLEANUP(own_freep) char *directory = directory_of(path);
    if (buf_read_file(&text, AT_FDCWD, path, err) < 0) {
        err->kind = ERROR_PERMANENT;
        return error_wrap(err, "kubeconfig");
    }
    const struct kube_config_text from = {
        .file = path, .directory = directory, .text = (const char *)text.data, .size = text.size};
    if (kube_config_parse(&config, &from, err) < 0 || read_files(config, err) < 0)
        return -1;
    *ret_config = TAKE(config);
    return 0;
}
