// SPDX-License-Identifier: Apache-2.0
/*
 * What a Backup's status tells of the backup that was committed, from the summary that a sidecar
 * gave. Sidecars are not trusted: what the schema of a Backup would not take is left out. Pure.
 */
#pragma once

#include <jansson.h>

void backup_result_put(json_t *status, const json_t *summary);
