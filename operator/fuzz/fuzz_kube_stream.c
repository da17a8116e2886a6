// SPDX-License-Identifier: Apache-2.0
/* Any bytes, cut in two anywhere: events as the API has them, or CORRUPT, or what the server's own
 * ERROR event says; and the same whether they are cut or not. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "operator/kube_status.h"
#include "operator/kube_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(void *arg, const char *type, json_t *object, struct error *err)
{
    size_t *events = arg;
    (void)err;
    if (!strchr("AMDB", *type) || !json_is_object(object))
        abort();
    ++*events;
    return 0;
}

/* How many events there were; result is that of feeding all. */
static size_t feed(const uint8_t *data, size_t size, size_t cut, int *ret_result)
{
    CLEANUP(kube_stream_done) struct kube_stream stream;
    struct error err = {0};
    size_t events = 0;
    kube_stream_init(&stream, count, &events);
    *ret_result = kube_stream_feed(&stream, data, cut, &err);
    if (*ret_result == 0)
        *ret_result = kube_stream_feed(&stream, data + cut, size - cut, &err);
    if (*ret_result < 0 && (err.kind == ERROR_NONE || !err.text[0]))
        abort();
    if (stream.expired && *ret_result == 0)
        abort();
    if (*ret_result == 0 && kube_stream_end(&stream, &err) < 0 && err.kind != ERROR_TRANSIENT)
        abort();
    return events;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int whole, cut;
    struct error err = {0};
    size_t at = size > 0 ? data[0] % (size + 1) : 0;
    if (feed(data, size, size, &whole) != feed(data, size, at, &cut) || whole != cut)
        abort();
    if (kube_status_fail_body(500, data, size, &err) != -1 || !err.text[0])
        abort();
    return 0;
}
