// SPDX-License-Identifier: Apache-2.0
/* What a verification found, for whoever reads why a test failed. */
#pragma once

#include <stdbool.h>

struct findings;

void helper_findings_print(const struct findings *findings, bool notes);
