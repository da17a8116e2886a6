// SPDX-License-Identifier: Apache-2.0
/*
 * A way to the test's API server that can be cut, and stopped up: connections stay open and are
 * still accepted, but no byte gets through any more, as behind a firewall that drops.
 */
#pragma once

struct kube_config;
struct pipe;

struct pipe *pipe_new(const char *server); /* "https://127.0.0.1:6443" */
void pipe_freep(struct pipe **pipe);
void pipe_stop_up(struct pipe *pipe);
/* Closes all connections that there are at this moment; new ones are accepted. */
void pipe_cut(struct pipe *pipe);
/* The kubeconfig that LIFEBOAT_TEST_KUBECONFIG names, through this pipe; the caller's. */
struct kube_config *pipe_config(const struct pipe *pipe);
