// SPDX-License-Identifier: Apache-2.0
#include "operator/certificate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "operator/authority.h"
#include "operator/kube.h"
#include "operator/plan_certificate.h"

enum { WRITE_TRIES = 3 /* against other writers */ };

static const char secret_name[] = "lifeboat-tls", secret_type[] = "kubernetes.io/tls";
static const char label[] = "app.kubernetes.io/managed-by", label_value[] = "lifeboat";

struct certificate {
    struct certificate_options options;
    pthread_mutex_t lock; /* guards what follows */
    struct authority_pair server;
    char *bundle;
};

/* What the Secret holds, as far as it can be used. */
struct material {
    struct authority_certificate cas[AUTHORITY_CERTIFICATES_MAX];
    char *ca_keys[AUTHORITY_CERTIFICATES_MAX]; /* NULL: not there */
    size_t ca_count;
    struct authority_pair server; /* empty: none that is accepted */
    struct authority_validity server_validity;
    int issuer;
    const char *damaged; /* the first key of the Secret that could not be used; NULL */
};

static void material_done(struct material *material)
{
    for (size_t i = 0; i < material->ca_count; i++) {
        own_freep(&material->cas[i].pem);
        authority_wipe(&material->ca_keys[i]);
    }
    authority_pair_done(&material->server);
}

/* JSON that holds secrets wipes them before its memory is given back. */
static void secret_freep(json_t **secret)
{
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(*secret, "data"), name, value)
    {
        uintptr_t text = (uintptr_t)json_string_value(value); /* ours alone by now */
        if (text != 0)
            buf_wipe((void *)text, json_string_length(value));
    }
    json_decref(*secret);
}

/* The text below data.<name>, or NULL if there is none or it is no base64 of a text. */
static char *read_text(const json_t *secret, const char *name)
{
    const json_t *value = json_object_get(json_object_get(secret, "data"), name);
    size_t encoded = json_string_length(value), size;
    if (encoded == 0 || encoded > 2 * AUTHORITY_PEM_MAX * AUTHORITY_CERTIFICATES_MAX)
        return NULL;
    char *text = own_alloc(encoded + 1);
    if (text_parse_base64(json_string_value(value), encoded, text, encoded, &size) &&
        strlen(text) == size && size > 0)
        return text;
    authority_wipe(&text);
    return NULL;
}

static void read_cas(struct material *material, const json_t *secret)
{
    CLEANUP(own_freep) char *bundle = read_text(secret, "ca.crt");
    CLEANUP(authority_wipe) char *keys = read_text(secret, "ca.key");
    struct error ignored; /* damaged says it */
    if (!bundle || authority_parse(bundle, material->cas, &material->ca_count, &ignored) < 0)
        material->damaged = "ca.crt";
    bool any = false;
    for (size_t i = 0; keys && i < material->ca_count; i++) {
        material->ca_keys[i] = authority_find_key(keys, material->cas[i].pem);
        any |= material->ca_keys[i] != NULL;
    }
    if (!any && !material->damaged)
        material->damaged = "ca.key";
}

static void read_server(struct material *material, const json_t *secret, const char *const *names,
                        int64_t now_ms)
{
    CLEANUP(own_freep) char *chain = read_text(secret, "tls.crt");
    CLEANUP(authority_wipe) char *keys = read_text(secret, "tls.key");
    CLEANUP(authority_wipe) char *key = NULL;
    struct authority_certificate certificates[AUTHORITY_CERTIFICATES_MAX];
    size_t count = 0;
    struct error ignored;
    if (chain && authority_parse(chain, certificates, &count, &ignored) == 0 && keys)
        key = authority_find_key(keys, certificates[0].pem);
    if (!key && !material->damaged)
        material->damaged = count > 0 ? "tls.key" : "tls.crt";
    for (size_t i = 0; key && i < material->ca_count && material->issuer < 0; i++)
        if (authority_accepts(material->cas[i].pem, certificates[0].pem, names, now_ms))
            material->issuer = (int)i;
    if (material->issuer >= 0) {
        material->server_validity = certificates[0].validity;
        material->server = (struct authority_pair){TAKE(chain), TAKE(key)};
    }
    for (size_t i = 0; i < count; i++)
        own_freep(&certificates[i].pem);
}

/* The Secret as it is (a copy of ours) or NULL; PERMANENT: it is somebody else's. */
static int get_secret(const struct certificate_options *options, json_t **ret_secret,
                      struct error *err)
{
    CLEANUP(secret_freep) json_t *secret = NULL;
    struct kube_ref ref = {&kube_secrets, options->namespace, secret_name, NULL};
    if (kube_get(options->kube, &ref, &secret, err) < 0) {
        *ret_secret = NULL;
        return err->kind == ERROR_NOT_FOUND ? 0 : -1;
    }
    const char *owner = json_string_value(
        json_object_get(json_object_get(json_object_get(secret, "metadata"), "labels"), label));
    const char *type = json_string_value(json_object_get(secret, "type"));
    if (!owner || strcmp(owner, label_value) != 0)
        return error_set(err, ERROR_PERMANENT,
                         "secret '%s/%s' has no label %s=%s, so it is not ours: remove it",
                         options->namespace, secret_name, label, label_value);
    if (!type || strcmp(type, secret_type) != 0)
        return error_set(err, ERROR_PERMANENT, "secret '%s/%s' is of type '%s', not %s: remove it",
                         options->namespace, secret_name, type ? type : "", secret_type);
    *ret_secret = TAKE(secret);
    return 0;
}

static struct certificate_facts gather(const struct material *material, int64_t now_ms)
{
    struct certificate_facts facts = {.now_ms = now_ms,
                                      .ca_count = material->ca_count,
                                      .server = material->server_validity,
                                      .issuer = material->issuer};
    for (size_t i = 0; i < material->ca_count; i++) {
        facts.cas[i].validity = material->cas[i].validity;
        facts.cas[i].has_key = material->ca_keys[i] != NULL;
    }
    return facts;
}

/* Drops what the plan does not keep; the signer's place among the rest. */
static size_t prune(struct material *material, const struct certificate_plan *plan)
{
    size_t kept = 0, signer = 0;
    for (size_t i = 0; i < material->ca_count; i++) {
        if (!plan->keep_key[i])
            authority_wipe(&material->ca_keys[i]);
        if (!plan->keep[i]) {
            own_freep(&material->cas[i].pem);
            continue;
        }
        if (i == plan->signer)
            signer = kept;
        material->cas[kept] = material->cas[i];
        material->ca_keys[kept++] = material->ca_keys[i];
    }
    bool is_new = plan->signer == material->ca_count;
    for (size_t i = kept; i < material->ca_count; i++)
        material->ca_keys[i] = NULL; /* moved */
    material->ca_count = kept;
    return is_new ? kept : signer;
}

static int apply(struct material *material, const struct certificate_plan *plan,
                 const struct certificate_options *options, struct error *err)
{
    size_t signer = prune(material, plan);
    if (plan->make_ca) {
        CLEANUP(own_freep) char *domain = own_format("%s.svc", options->namespace);
        struct authority_pair ca;
        authority_make(domain, &plan->ca_validity, &ca);
        material->cas[material->ca_count] =
            (struct authority_certificate){ca.certificate, plan->ca_validity};
        material->ca_keys[material->ca_count++] = ca.key;
    }
    if (!plan->sign)
        return 0;
    struct authority_pair ca = {material->cas[signer].pem, material->ca_keys[signer]};
    authority_pair_done(&material->server);
    return authority_sign(&ca, options->names, &plan->server_validity, &material->server, err);
}

static char *join(char *const *texts, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += texts[i] ? strlen(texts[i]) : 0;
    char *joined = own_alloc(size + 1);
    for (size_t i = 0, at = 0; i < count; i++) {
        size_t part = texts[i] ? strlen(texts[i]) : 0;
        if (part > 0)
            memcpy(joined + at, texts[i], part);
        at += part;
    }
    return joined;
}

static char *format_bundle(const struct material *material)
{
    char *texts[AUTHORITY_CERTIFICATES_MAX];
    for (size_t i = 0; i < material->ca_count; i++)
        texts[i] = material->cas[i].pem;
    return join(texts, material->ca_count);
}

static void put_text(json_t *data, const char *name, const char *text)
{
    CLEANUP(authority_wipe) char *encoded = text_base64(text, strlen(text));
    json_object_set_new(data, name, json_string(encoded));
}

static int write_secret(const struct certificate_options *options, const struct material *material,
                        const json_t *before, struct error *err)
{
    CLEANUP(own_freep) char *bundle = format_bundle(material);
    CLEANUP(authority_wipe) char *keys = join(material->ca_keys, material->ca_count);
    CLEANUP(secret_freep)
    json_t *secret = json_pack("{s:s, s:s, s:s, s:{}}", "apiVersion", "v1", "kind", "Secret",
                               "type", secret_type, "data");
    json_t *metadata = json_object_get(before, "metadata");
    json_object_set_new(secret, "metadata",
                        metadata
                            ? json_deep_copy(metadata)
                            : json_pack("{s:s, s:s, s:{s:s}}", "name", secret_name, "namespace",
                                        options->namespace, "labels", label, label_value));
    json_t *data = json_object_get(secret, "data");
    put_text(data, "ca.crt", bundle);
    put_text(data, "ca.key", keys);
    put_text(data, "tls.crt", material->server.certificate);
    put_text(data, "tls.key", material->server.key);
    struct kube_ref ref = {&kube_secrets, options->namespace, before ? secret_name : NULL, NULL};
    return before ? kube_update(options->kube, &ref, secret, NULL, err)
                  : kube_create(options->kube, &ref, secret, NULL, err);
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* Takes over what the Secret holds now; 1 if that is something else. */
static int adopt(struct certificate *certificate, struct material *material)
{
    CLEANUP(own_freep) char *bundle = format_bundle(material);
    pthread_mutex_lock(&certificate->lock);
    bool changed = !same(bundle, certificate->bundle) ||
                   !same(material->server.certificate, certificate->server.certificate);
    if (changed) {
        authority_pair_done(&certificate->server);
        own_freep(&certificate->bundle);
        certificate->server = material->server;
        certificate->bundle = TAKE(bundle);
        material->server = (struct authority_pair){0};
    }
    pthread_mutex_unlock(&certificate->lock);
    return changed;
}

/* CONFLICT: somebody else wrote it meanwhile. */
static int improve(struct certificate *certificate, struct material *material, const json_t *secret,
                   int64_t now_ms, struct error *err)
{
    struct certificate_facts facts = gather(material, now_ms);
    struct certificate_plan plan = plan_certificate(&facts);
    if (!plan_certificate_changes(&plan, &facts))
        return 0;
    if (apply(material, &plan, &certificate->options, err) < 0 ||
        write_secret(&certificate->options, material, secret, err) < 0)
        return -1;
    if (secret && material->damaged)
        log_warn("Replaced damaged part of certificate", S("secret", secret_name),
                 S("part", material->damaged));
    log_info("Wrote certificate", S("secret", secret_name), B("newCA", plan.make_ca),
             B("newServerCertificate", plan.sign), U("bundle", material->ca_count));
    return 0;
}

static int refresh_once(struct certificate *certificate, bool may_write, int64_t now_ms,
                        struct error *err)
{
    CLEANUP(secret_freep) json_t *secret = NULL;
    CLEANUP(material_done) struct material material = {.issuer = -1};
    if (get_secret(&certificate->options, &secret, err) < 0)
        return -1;
    if (!secret && !may_write)
        return 0; /* the leader is about to make it */
    if (secret) {
        read_cas(&material, secret);
        read_server(&material, secret, certificate->options.names, now_ms);
    }
    if (may_write && improve(certificate, &material, secret, now_ms, err) < 0)
        return -1;
    if (!material.server.certificate)
        return error_set(err, ERROR_PERMANENT,
                         "secret '%s': '%s' cannot be used yet: the leader "
                         "has to renew it",
                         secret_name, material.damaged ? material.damaged : "tls.crt");
    return adopt(certificate, &material);
}

static char *copy(struct certificate *certificate, char *const *text)
{
    pthread_mutex_lock(&certificate->lock);
    char *duplicate = own_strdup(*text);
    pthread_mutex_unlock(&certificate->lock);
    return duplicate;
}

char *certificate_chain(struct certificate *certificate)
{
    return copy(certificate, &certificate->server.certificate);
}

char *certificate_key(struct certificate *certificate)
{
    return copy(certificate, &certificate->server.key);
}

char *certificate_bundle(struct certificate *certificate)
{
    return copy(certificate, &certificate->bundle);
}

bool certificate_ready(struct certificate *certificate)
{
    pthread_mutex_lock(&certificate->lock);
    bool ready = certificate->bundle != NULL;
    pthread_mutex_unlock(&certificate->lock);
    return ready;
}

int certificate_refresh(struct certificate *certificate, bool may_write, int64_t now_ms,
                        struct error *err)
{
    for (int left = WRITE_TRIES;; left--) {
        int changed = refresh_once(certificate, may_write, now_ms, err);
        if (changed >= 0 || err->kind != ERROR_CONFLICT || left == 1)
            return changed;
    }
}

void certificate_freep(struct certificate **certificate)
{
    struct certificate *c = TAKE(*certificate);
    if (!c)
        return;
    authority_pair_done(&c->server);
    own_freep(&c->bundle);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

struct certificate *certificate_new(const struct certificate_options *options)
{
    struct certificate *certificate = own_alloc(sizeof(*certificate));
    certificate->options = *options;
    pthread_mutex_init(&certificate->lock, NULL);
    return certificate;
}
