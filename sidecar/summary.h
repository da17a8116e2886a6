// SPDX-License-Identifier: Apache-2.0
/* What our commands print as JSON, made into what goes over the channel (docs/protocol.md). Pure;
 * what is missing is left out. */
#pragma once

#include <jansson.h>

/* Of "backup" and "show": the caller's reference. */
json_t *summary_backup(const json_t *printed);
/* Of "restore". */
json_t *summary_restore(const json_t *printed);
