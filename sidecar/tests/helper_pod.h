// SPDX-License-Identifier: Apache-2.0
/*
 * What a pod of ours has mounted, in a temporary directory: a ConfigMap whose files are replaced as
 * the kubelet does it, a Secret, and directories for buckets. What goes wrong fails the test.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

struct helper_pod {
    char *directory;
    char *config, *secrets; /* directories in it */
    char *policy;           /* the file of the policy */
    char *program;          /* lifeboat-sidecar as it was built */
    unsigned versions;      /* of the ConfigMap so far */
};

/* Nothing is there yet: the mounts are empty, as optional ones are. */
void helper_pod_open(struct helper_pod *pod);
void helper_pod_close(struct helper_pod *pod); /* for CLEANUP */

struct helper_pod_policy {
    int64_t generation;
    const char *port;               /* of the server; NULL: 5432 */
    uint64_t read_bytes_per_second; /* 0: no limit */
    const char *more;               /* lines of the spec, indented by two; NULL: none */
    const char *second_region; /* its directory, below the pod's or absolute; NULL: there is none */
};
/* A policy "web/shop" with the region "eu" in the directory "eu"; own_freep. */
char *helper_pod_policy_text(const struct helper_pod *pod, const struct helper_pod_policy *policy);
/* Replaces all files at once; those that are NULL are not there then. */
void helper_pod_configure(struct helper_pod *pod, const char *policy, const char *endpoint,
                          const char *ca);
/* Makes the Secret with the key that the policy wants. */
void helper_pod_add_secret(struct helper_pod *pod);
/* The time of now in a backup id of that word ("full"), own_freep. */
char *helper_pod_backup_id(const char *word, unsigned dice);
/* The job that this process runs with that command ("backup"), as soon as there is one. */
pid_t helper_pod_find_job(const char *command);
