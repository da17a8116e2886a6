// SPDX-License-Identifier: Apache-2.0
/*
 * Where the API server is and who we are there: in a pod from the service account's files, whose
 * token is read again now and then and when it was refused; elsewhere from a kubeconfig
 * (certificate-authority, client-certificate and -key, each also as …-data; token, tokenFile; no
 * plug-ins, said so). Keys and tokens are wiped when freed.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"

struct buf;
struct http_options;
struct kube_config;

enum { KUBE_CONFIG_TOKEN_MAX = 64 * 1024 };

/* path NULL: in-cluster. PERMANENT names file, field and remedy. */
MUST_CHECK int kube_config_load(struct kube_config **ret_config, const char *path,
                                struct error *err);
/* For load and its tests: in-cluster with the service account's directory; a kubeconfig's text,
 * whose relative paths begin at directory. parse opens no files. */
MUST_CHECK int kube_config_load_pod(struct kube_config **ret_config, const char *directory,
                                    struct error *err);
struct kube_config_text {
    const char *file; /* for messages */
    const char *directory;
    const char *text;
    size_t size;
};
MUST_CHECK int kube_config_parse(struct kube_config **ret_config,
                                 const struct kube_config_text *text, struct error *err);
void kube_config_freep(struct kube_config **config);

const char *kube_config_server(const struct kube_config *config); /* "https://host:port" */
/* Fills in CA, certificate and key, lent. */
void kube_config_identify(const struct kube_config *config, struct http_options *options);
/* The token of this moment into a BUF_SECRET of at least KUBE_CONFIG_TOKEN_MAX, empty if there is
 * none; from any thread. */
MUST_CHECK int kube_config_token(struct kube_config *config, struct buf *ret_token,
                                 struct error *err);
/* The token was refused: read its file again whatever its age. */
void kube_config_refused(struct kube_config *config);
