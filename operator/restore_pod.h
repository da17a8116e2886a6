// SPDX-License-Identifier: Apache-2.0
/*
 * The volume claim and the pod of a RestoreJob, as they are created. The pod is bare, of the
 * "restricted" standard, with one container of ours that has the policy's Secret and ConfigMap and
 * a token for nobody but us; it runs as the user that PostgreSQL will run as. Until the restore has
 * succeeded the claim is owned by the RestoreJob, so that Kubernetes removes a half restore with
 * it, whether there is an operator or not. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"

struct restore_object;

#define RESTORE_POD_DATA "/restore/pgdata"              /* where the claim's data is in the pod */
#define RESTORE_POD_OWNER "lifeboat.dev/restorejob-uid" /* annotation of a claim */
#define RESTORE_POD_ATTEMPT "lifeboat.dev/attempt"      /* annotation: which attempt it is for */

struct restore_pod_facts {
    const struct restore_object *restore;
    const json_t *policy;      /* the BackupPolicy */
    const json_t *members;     /* array of its pods */
    const char *default_image; /* may be NULL */
};

/* Texts and objects are lent from the facts. */
struct restore_pod {
    const struct restore_object *restore;
    const char *image;
    int64_t user, group;
    json_t *resources; /* of the container; may be NULL */
    bool identity;     /* a region is to be read as the pod's service account in Azure */
};

/* Image: the policy's sidecar.image, a member's sidecar's, the default. User: the RestoreJob's
 * pod.runAsUser, the policy's sidecar.runAsUser, a member's. PERMANENT names what has to be set. */
MUST_CHECK int restore_pod_plan(struct restore_pod *ret_pod, const struct restore_pod_facts *facts,
                                struct error *err);
/* The caller's. id: of the attempt. */
json_t *restore_pod_format(const struct restore_pod *pod, const char *id);
json_t *restore_pod_format_claim(const struct restore_object *restore, const char *id);
/* A merge patch: the claim belongs to nobody but its user from now on. */
json_t *restore_pod_format_keep(const json_t *claim);
