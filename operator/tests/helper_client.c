// SPDX-License-Identifier: Apache-2.0
#include "operator/tests/helper_client.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/cancel.h"
#include "common/error.h"
#include "operator/kube.h"
#include "operator/kube_config.h"

int client_open(struct cancel *cancel, struct kube_config **ret_config, struct kube **ret_kube)
{
    const char *path = getenv("LIFEBOAT_TEST_KUBECONFIG");
    struct error err;
    if (!path)
        return EXIT_SKIPPED;
    if (cancel_init(cancel, &err) == 0 && kube_config_load(ret_config, path, &err) == 0 &&
        kube_new(ret_kube, *ret_config, cancel, &err) == 0)
        return 0;
    fprintf(stderr, "%s\n", err.text);
    return EXIT_FAILURE;
}

void client_close(struct cancel *cancel, struct kube_config **config, struct kube **kube)
{
    kube_freep(kube);
    kube_config_freep(config);
    cancel_done(cancel);
}
