// SPDX-License-Identifier: Apache-2.0
/*
 * The operator at the other end of the channel, for tests of the server: in the place of
 * channel_client, whose functions it defines, so that what is said, heard and lost is the test's
 * choice. Messages go through their real text both ways. What goes wrong fails the test.
 */
#pragma once

#include <stdbool.h>

#include <jansson.h>

/* The connection comes and goes; what is said meanwhile is lost. */
void helper_operator_connect(void);
void helper_operator_disconnect(void);
/* Says a message; its members as json_pack takes them, without version and epoch. */
void helper_operator_say(json_t *message);
/* Waits until the server says a message of that type for which is_wanted (NULL: any) holds; the
 * caller's reference. Others are dropped. */
json_t *helper_operator_hear(const char *type, bool (*is_wanted)(const json_t *message));
/* The same of what was said already; NULL: no such message. */
json_t *helper_operator_heard(const char *type, bool (*is_wanted)(const json_t *message));
/* Forgets what was said so far. */
void helper_operator_forget(void);
/* The last endpoint that was set, "" for none; own_freep. */
char *helper_operator_endpoint(void);
