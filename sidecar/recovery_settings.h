// SPDX-License-Identifier: Apache-2.0
/*
 * What a restore adds to postgresql.auto.conf, which wins over every other file: a copy archives
 * nowhere, follows nobody, takes nobody's slot and runs none of the source's commands of recovery,
 * whatever its configuration says. What an earlier restore added is replaced. Pure.
 */
#pragma once

#define RECOVERY_SETTINGS_PATH "postgresql.auto.conf"

/* The file with ours behind what was there before (""); own_freep. */
char *recovery_settings_apply(const char *before);
