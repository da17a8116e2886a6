// SPDX-License-Identifier: Apache-2.0
/* Any bytes: a configuration with a server, or PERMANENT with a text. */
#include <stdint.h>
#include <stdlib.h>

#include "common/http.h"
#include "common/own.h"
#include "operator/kube_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(kube_config_freep) struct kube_config *config = NULL;
    struct http_options options = {0};
    struct error err = {0};
    const struct kube_config_text text = {
        .file = "config", .directory = "/", .text = (const char *)data, .size = size};
    if (kube_config_parse(&config, &text, &err) < 0) {
        if (config || err.kind != ERROR_PERMANENT || !err.text[0])
            abort();
        return 0;
    }
    kube_config_identify(config, &options);
    if (!kube_config_server(config) || !*kube_config_server(config) ||
        (options.certificate_pem != NULL && options.key_pem == NULL))
        abort();
    return 0;
}
