// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_findings.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sidecar/findings.h"

void helper_findings_print(const struct findings *findings, bool notes)
{
    const struct finding *kept;
    size_t count;
    findings_get(findings, notes, &kept, &count);
    for (size_t i = 0; i < count; i++)
        print_error("%s %s: region %s, backup %s, object %s, frame %" PRId64 ", file %s, block "
                    "%" PRId64 ": %s\n",
                    notes ? "note" : "wrong", finding_kind_name(kept[i].kind), kept[i].region,
                    kept[i].backup, kept[i].object, kept[i].frame, kept[i].file, kept[i].block,
                    kept[i].text);
}
