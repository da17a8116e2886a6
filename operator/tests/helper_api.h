// SPDX-License-Identifier: Apache-2.0
/*
 * For tests of reconcilers against the real API server of LIFEBOAT_TEST_KUBECONFIG: a namespace of
 * their own that takes no pod but "restricted" ones, and everything a reconciler has at hand.
 * Objects lie on the server; caches show what is listed from it, when a test says so. Members of
 * policies, and what their sidecars say, are given: nothing runs pods there. Failures end the test.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "operator/kube_path.h"
#include "operator/reconcile.h"

struct api;

/* NULL (and a message): there is no server. Time stands still from then on. */
struct api *api_new(const char *namespace_prefix);
void api_freep(struct api **api);
struct reconcile *api_reconcile(struct api *api);
const char *api_namespace(const struct api *api);
void api_pass_time(int64_t ms);
/* A leader as of now. Objects are as old as the server's clock says, which stays behind when time
 * is passed; but nothing is late before there was a leader. */
void api_lead(struct api *api);

json_t *api_parse(const char *text); /* JSON; the caller's */
json_t *api_get(struct api *api, const struct kube_resource *resource, const char *name);
/* text: JSON of an object, of which apiVersion, kind and namespace are filled in. */
void api_create(struct api *api, const struct kube_resource *resource, const char *text);
void api_patch(struct api *api, const struct kube_resource *resource, const char *name,
               const char *text);
void api_delete(struct api *api, const struct kube_resource *resource, const char *name);
/* All caches but that of members, as after a start of the operator. */
void api_list(struct api *api);

/* The Events of the namespace, all that were told until now; the caller's. */
json_t *api_events(struct api *api);

/* Among those is one about that object, with that reason and type. */
void api_expect_event(const json_t *events, const char *kind, const char *name, const char *type,
                      const char *reason);
/* A line of /metrics; "$" stands for the namespace. */
void api_expect_metric(struct api *api, const char *line);
/* What is logged goes to a place of its own, and then has to have that line about an object, with
 * that text as its error or detail. */
void api_log_begin(struct api *api);
void api_log_end(struct api *api, const char *message, const char *name, const char *text);

/* "spec/type", "attempts/0/pod"; "" if there is no such text. */
const char *api_text(const json_t *object, const char *path);
void api_expect_text(const json_t *object, const char *path, const char *text);

/* A member of a policy, in the cache only; its uid is "uid-<name>". */
void api_add_member(struct api *api, const char *policy, const char *name, const char *region);
/* A pod's sidecar connects, and says something: members of a message beside version and type. */
void api_join(struct api *api, const char *pod, const char *uid, uint64_t connection);
void api_hear(struct api *api, const char *uid, uint64_t connection, const char *type,
              const char *members);
/* The next message to that sidecar; NULL: none. The caller's, own_freep. */
char *api_said(struct api *api, const char *uid, uint64_t connection);
