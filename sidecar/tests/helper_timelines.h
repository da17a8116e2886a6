// SPDX-License-Identifier: Apache-2.0
/* Four timelines: 1 was left at 300 for 2, and that at 500 for 3; 4 was made of 1 at 200. */
#pragma once

#include "sidecar/timeline.h"

extern const struct timeline helper_timeline_1, helper_timeline_2, helper_timeline_3,
    helper_timeline_4;
