// SPDX-License-Identifier: Apache-2.0
/*
 * A peer of the channel that is not as ours: raw TLS and frames as it likes, to be hostile with.
 * Checks no certificate. What should not fail aborts the test program.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { PEER_TEXT = 1, PEER_BINARY = 2, PEER_CONTINUE = 0, PEER_CLOSE = 8, PEER_PING = 9 };

struct peer;

/* TCP only; then TLS: false if the server did not want it. */
struct peer *peer_connect(const char *address, unsigned port);
bool peer_secure(struct peer *peer);
void peer_freep(struct peer **peer); /* closes without a word */

/* false: the connection is gone. */
bool peer_send(struct peer *peer, const void *data, size_t size);
bool peer_send_frame(struct peer *peer, int opcode, bool final, const void *data, size_t size);
bool peer_send_text(struct peer *peer, const char *text);
/* Asks for an upgrade (protocol, token: NULL for none); the status of the answer, 0 if there was
 * none. */
int peer_upgrade(struct peer *peer, const char *path, const char *protocol, const char *token);
/* Secure, upgrade and nothing else: NULL unless all went well. */
struct peer *peer_open(unsigned port, const char *token);

/* Reads the whole answer to "GET <path>" (token: NULL for none) to the end of the connection; the
 * caller's (own_freep). */
char *peer_get(struct peer *peer, const char *path, const char *token);
/* Reads frames until a close frame: its code; -1: the connection ended without one; -2: nothing
 * came for timeout_ms. */
int peer_wait_close(struct peer *peer, int timeout_ms);
/* The next text message (the caller's, own_freep) or NULL. */
char *peer_receive(struct peer *peer, int timeout_ms);
/* SHA-256 of the server's certificate in hexadecimal. */
void peer_fingerprint(const struct peer *peer, char ret_hex[65]);
/* Whether TLS of at most that version (0x0302 is 1.1) works. */
bool peer_offers(unsigned port, int max_version);
/* The next index that OpenSSL gives to users of its contexts; it is used up. */
int peer_take_index(void);
