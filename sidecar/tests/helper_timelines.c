// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_timelines.h"

#include <stdint.h>

#include "common/own.h"

static struct timeline_span of_1[] = {{1, 0, UINT64_MAX}},
                            of_2[] = {{1, 0, 300}, {2, 300, UINT64_MAX}},
                            of_3[] = {{1, 0, 300}, {2, 300, 500}, {3, 500, UINT64_MAX}},
                            of_4[] = {{1, 0, 200}, {4, 200, UINT64_MAX}};

const struct timeline helper_timeline_1 = {of_1, ARRAY_SIZE(of_1)},
                      helper_timeline_2 = {of_2, ARRAY_SIZE(of_2)},
                      helper_timeline_3 = {of_3, ARRAY_SIZE(of_3)},
                      helper_timeline_4 = {of_4, ARRAY_SIZE(of_4)};
