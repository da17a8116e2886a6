// SPDX-License-Identifier: Apache-2.0
/* What this process holds of the kernel besides memory, for tests of what must give all of it back.
 */
#pragma once

#include <stddef.h>

struct helper_held {
    size_t descriptors, threads;
};

struct helper_held helper_held_now(void);
/* Fails the test if more or less is held than before. A thread that was joined may be seen for a
 * moment: it is waited for. */
void helper_held_expect(const struct helper_held *before);
