// SPDX-License-Identifier: Apache-2.0
/* The operator's command line. What it does not say comes from the environment of its pod. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/log.h"

enum { ARGUMENTS_NAMESPACES_MAX = 64 };

struct arguments {
    bool help, version;     /* print that and nothing else */
    const char *kubeconfig; /* NULL: in-cluster */
    const char *namespace;  /* the operator's own */
    const char *identity;   /* of this replica */
    const char *watch_namespaces[ARGUMENTS_NAMESPACES_MAX];
    size_t watch_namespace_count; /* 0: all namespaces */
    const char *sidecar_image;    /* of the pods that restore; NULL: not known */
    unsigned channel_port, probe_port;
    enum log_level log_level;
};

/* Texts are lent from argv and the environment. PERMANENT: wrong usage, which is exit status 2. */
MUST_CHECK int arguments_parse(struct arguments *ret_arguments, int argc, char **argv,
                               struct error *err);
const char *arguments_help(void);
