// SPDX-License-Identifier: Apache-2.0
/* Answers of stores that are no success, with whatever a proxy puts into them: two bytes of status,
 * then the body. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/azure_failure.h"
#include "sidecar/s3_failure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_told(int result, const struct error *err)
{
    if (result != -1 || err->kind == ERROR_NONE || err->kind == ERROR_CANCELED ||
        err->text[0] == '\0' || strpbrk(err->text, "\r\n\x1b"))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct s3_target s3 = {.host = "s3.example", .bucket = "b", .region = "eu-central-1"};
    const struct azure_target azure = {.host = "a.example", .container = "c"};
    struct error err;
    if (size < 2)
        return 0;
    const int status = 100 + (data[0] << 8 | data[1]) % 500;
    const struct s3_answer of_s3 = {.status = status, .body = data + 2, .size = size - 2};
    const struct azure_answer of_azure = {.status = status, .body = data + 2, .size = size - 2};
    if (!s3_failure_is_none(&of_s3)) {
        s3_failure_is_refusal(&of_s3);
        expect_told(s3_failure_set(&err, &s3, &of_s3), &err);
    }
    if (status / 100 != 2)
        expect_told(azure_failure_set(&err, &azure, &of_azure), &err);
    return 0;
}
