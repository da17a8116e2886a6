// SPDX-License-Identifier: Apache-2.0
/* The Kubernetes client of tests against the real API server that LIFEBOAT_TEST_KUBECONFIG names.
 */
#pragma once

struct cancel;
struct kube;
struct kube_config;

enum { EXIT_SKIPPED = 77 }; /* from main: there is no such server (SKIP_RETURN_CODE of ctest) */

/* 0, or what main returns: EXIT_SKIPPED, or EXIT_FAILURE with the reason on standard error. Never
 * cancelled by itself. */
int client_open(struct cancel *cancel, struct kube_config **ret_config, struct kube **ret_kube);
void client_close(struct cancel *cancel, struct kube_config **config, struct kube **kube);
