// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_sidecar.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "sidecar/tests/helper_operator.h"
#include "sidecar/tests/helper_pod.h"
#include "sidecar/tests/helper_postgres.h"

static struct {
    struct cancel cancel;
    pthread_t thread;
    struct server_options options;
    int result;
    bool running;
} sidecar;

static void *run_server(void *unused)
{
    struct error err = {0};
    sidecar.result = server_run(&sidecar.options, &err);
    return unused;
}

struct server_options helper_sidecar_options(const struct helper_pod *pod,
                                             const struct helper_postgres *database)
{
    return (struct server_options){
        .config = pod->config,
        .secrets = pod->secrets,
        .token = "/nowhere",
        .host = database->directory,
        .pgdata = database->data,
        .namespace = "web",
        .pod = "shop-0",
        .uid = "0b9e",
        .program = pod->program,
        .ledger = -1,
        .tick_ms = 100,
    };
}

void helper_sidecar_start(const struct server_options *options)
{
    struct error err;
    assert_int_equal(cancel_init(&sidecar.cancel, &err), 0);
    sidecar.options = *options;
    sidecar.options.cancel = &sidecar.cancel;
    assert_int_equal(pthread_create(&sidecar.thread, NULL, run_server, NULL), 0);
    sidecar.running = true;
    helper_operator_connect();
}

void helper_sidecar_stop(void)
{
    if (!sidecar.running)
        return;
    cancel_trigger(&sidecar.cancel);
    pthread_join(sidecar.thread, NULL);
    cancel_done(&sidecar.cancel);
    sidecar.running = false;
    assert_int_equal(sidecar.result, 0);
}
