// SPDX-License-Identifier: Apache-2.0
/*
 * The commands of the command line. Each does its work, prints its result on stdout, as text or
 * JSON, and leaves errors to main.
 */
#pragma once

#include "common/error.h"

struct cancel;
struct cli_options;

MUST_CHECK int command_backup(const struct cli_options *options, struct cancel *cancel,
                              struct error *err);
MUST_CHECK int command_restore(const struct cli_options *options, struct cancel *cancel,
                               struct error *err);
/* Fails after printing what it found if anything is wrong. */
MUST_CHECK int command_verify(const struct cli_options *options, struct cancel *cancel,
                              struct error *err);
/* Fails after printing the result if any region could not be pruned. */
MUST_CHECK int command_prune(const struct cli_options *options, struct cancel *cancel,
                             struct error *err);
/* Fails after printing what it did if anything could not be copied. */
MUST_CHECK int command_copy(const struct cli_options *options, struct cancel *cancel,
                            struct error *err);
MUST_CHECK int command_rotate_key(const struct cli_options *options, struct cancel *cancel,
                                  struct error *err);
/* Until it is told to stop; fails only with what needs a person. */
MUST_CHECK int command_wal_receive(const struct cli_options *options, struct cancel *cancel,
                                   struct error *err);
/* PostgreSQL's restore_command, run in its data directory: gives the exit status (wal_request_run).
 */
MUST_CHECK int command_wal_fetch(const struct cli_options *options, const struct cancel *cancel,
                                 struct error *err);
/* Answers it, until nobody asks any longer. */
MUST_CHECK int command_wal_serve(const struct cli_options *options, struct cancel *cancel,
                                 struct error *err);
/* Damaged manifests are rows of the list; the command fails after printing it. */
MUST_CHECK int command_list(const struct cli_options *options, struct cancel *cancel,
                            struct error *err);
/* serve: the supervisor, given the whole command line, which ends on request only … */
void command_supervise(int argc, char **argv);
/* … and the server that it runs. */
MUST_CHECK int command_serve(const struct cli_options *options, struct cancel *cancel,
                             struct error *err);
MUST_CHECK int command_show(const struct cli_options *options, struct cancel *cancel,
                            struct error *err);
