// SPDX-License-Identifier: Apache-2.0
/*
 * Where the API server is and who we are there: in a pod from the service account's files, whose
 * token is read again when its file changes; elsewhere from a kubeconfig (certificate-authority,
 * client-certificate and -key, token, tokenFile, each also as …-data; no exec plugins, said so).
 */
#pragma once

#include "common/error.h"

struct buf;
struct kube_config;

/* path NULL: in-cluster. PERMANENT names file, field and remedy. */
MUST_CHECK int kube_config_load(struct kube_config **ret_config, const char *path,
                                struct error *err);
void kube_config_freep(struct kube_config **config);

const char *kube_config_server(const struct kube_config *config);  /* "https://host:port" */
const char *kube_config_ca_file(const struct kube_config *config); /* NULL: the system's */
const char *kube_config_certificate_file(const struct kube_config *config); /* PEM; NULL: none */
const char *kube_config_key_file(const struct kube_config *config);
/* The token of this moment into a BUF_SECRET, empty if there is none; from any thread. */
MUST_CHECK int kube_config_token(struct kube_config *config, struct buf *ret_token,
                                 struct error *err);
/* The token was refused: read its file again whatever its age. */
void kube_config_refused(struct kube_config *config);
