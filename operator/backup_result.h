// SPDX-License-Identifier: Apache-2.0
/*
 * What a Backup's status tells of the backup that was committed, from the summary that a sidecar
 * gave. Sidecars are not trusted: what the schema of a Backup would not take is left out. Pure.
 */
#pragma once

#include <jansson.h>

void backup_result_put(json_t *status, const json_t *summary);
enum { BACKUP_RESULT_NAMES_BYTES = 8 * 65 };
/* "eu, us": the names in that list of a summary or status, cut to what fits; "" for none. */
void backup_result_names(const json_t *regions, char ret_names[BACKUP_RESULT_NAMES_BYTES]);
