// SPDX-License-Identifier: Apache-2.0
#include "operator/tests/helper_peer.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "common/own.h"
#include "common/text.h"

enum { PATIENCE_MS = 10000, MESSAGE_MAX = 1 << 20, REQUEST_MAX = 16384 };

struct peer {
    int fd;
    SSL_CTX *context;
    SSL *ssl; /* NULL: in clear */
};

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

struct peer *peer_connect(const char *address, unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct peer *peer = own_alloc(sizeof(*peer));
    inet_pton(AF_INET, address, &to.sin_addr);
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(peer->fd >= 0, "socket");
    check(connect(peer->fd, (const struct sockaddr *)&to, sizeof(to)) == 0, "connect");
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(peer->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return peer;
}

static bool secure(struct peer *peer, int max_version)
{
    peer->context = SSL_CTX_new(TLS_client_method());
    check(peer->context, "SSL_CTX_new");
    SSL_CTX_set_max_proto_version(peer->context, max_version);
    SSL_CTX_set_security_level(peer->context, 0);
    peer->ssl = SSL_new(peer->context);
    SSL_set_fd(peer->ssl, peer->fd);
    return SSL_connect(peer->ssl) == 1;
}

bool peer_secure(struct peer *peer)
{
    return secure(peer, 0);
}

bool peer_offers(unsigned port, int max_version)
{
    CLEANUP(peer_freep) struct peer *peer = peer_connect("127.0.0.1", port);
    return secure(peer, max_version);
}

void peer_freep(struct peer **peer)
{
    struct peer *p = TAKE(*peer);
    if (!p)
        return;
    SSL_free(p->ssl);
    SSL_CTX_free(p->context);
    close(p->fd);
    free(p);
}

bool peer_send(struct peer *peer, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        int sent = peer->ssl ? SSL_write(peer->ssl, at, (int)size)
                             : (int)send(peer->fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* -2: nothing came in time; 0: the end. */
static int receive(struct peer *peer, void *data, size_t size, int timeout_ms)
{
    struct pollfd readable = {.fd = peer->fd, .events = POLLIN};
    if (!(peer->ssl && SSL_pending(peer->ssl) > 0) && poll(&readable, 1, timeout_ms) == 0)
        return -2;
    int got = peer->ssl ? SSL_read(peer->ssl, data, (int)size) : (int)recv(peer->fd, data, size, 0);
    return got > 0 ? got : 0;
}

static int receive_all(struct peer *peer, void *data, size_t size, int timeout_ms)
{
    for (size_t at = 0; at < size;) {
        int got = receive(peer, (char *)data + at, size - at, timeout_ms);
        if (got <= 0)
            return got;
        at += (size_t)got;
    }
    return 1;
}

/* RFC 6455, 5.2; the mask is zero, which leaves the data as they are. */
bool peer_send_frame(struct peer *peer, int opcode, bool final, const void *data, size_t size)
{
    unsigned char head[14] = {(unsigned char)((final ? 0x80 : 0) | opcode)};
    size_t length = 2;
    if (size < 126) {
        head[1] = (unsigned char)(0x80 | size);
    } else if (size < 65536) {
        head[1] = 0x80 | 126;
        head[2] = (unsigned char)(size >> 8);
        head[3] = (unsigned char)size;
        length = 4;
    } else {
        head[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (unsigned char)((uint64_t)size >> (56 - 8 * i));
        length = 10;
    }
    length += 4; /* the mask */
    return peer_send(peer, head, length) && peer_send(peer, data, size);
}

bool peer_send_text(struct peer *peer, const char *text)
{
    return peer_send_frame(peer, PEER_TEXT, true, text, strlen(text));
}

static char *request(const char *path, const char *token, const char *fields)
{
    const char *start = token ? "Authorization: Bearer " : "";
    return own_format("GET %s HTTP/1.1\r\nHost: localhost\r\n%s%s%s%s\r\n", path, start,
                      token ? token : "", token ? "\r\n" : "", fields);
}

/* Up to the empty line, byte by byte. */
static int read_status(struct peer *peer)
{
    char head[REQUEST_MAX];
    size_t size = 0;
    while (size < sizeof(head) - 1 && receive(peer, head + size, 1, PATIENCE_MS) > 0) {
        head[++size] = '\0';
        if (size >= 4 && strcmp(head + size - 4, "\r\n\r\n") == 0)
            break;
    }
    return size > 12 ? (int)strtol(head + 9, NULL, 10) : 0;
}

int peer_upgrade(struct peer *peer, const char *path, const char *protocol, const char *token)
{
    CLEANUP(own_freep)
    char *fields = own_format("Upgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s",
                              protocol ? "Sec-WebSocket-Protocol: " : "", protocol ? protocol : "",
                              protocol ? "\r\n" : "");
    CLEANUP(own_freep) char *text = request(path, token, fields);
    return peer_send(peer, text, strlen(text)) ? read_status(peer) : 0;
}

struct peer *peer_open(unsigned port, const char *token)
{
    CLEANUP(peer_freep) struct peer *peer = peer_connect("127.0.0.1", port);
    if (!peer_secure(peer) || peer_upgrade(peer, "/channel", "lifeboat.v1", token) != 101)
        return NULL;
    return TAKE(peer);
}

char *peer_get(struct peer *peer, const char *path, const char *token)
{
    CLEANUP(own_freep) char *text = request(path, token, "");
    CLEANUP(own_freep) char *answer = own_alloc(MESSAGE_MAX + 1);
    size_t size = 0;
    if (!peer_send(peer, text, strlen(text)))
        return own_strdup("");
    for (int got; size < MESSAGE_MAX &&
                  (got = receive(peer, answer + size, MESSAGE_MAX - size, PATIENCE_MS)) > 0;)
        size += (size_t)got;
    return own_strdup(answer);
}

/* A frame's opcode, or what receive_all says; the payload is the caller's. */
static int read_frame(struct peer *peer, char **ret_payload, size_t *ret_size, int timeout_ms)
{
    unsigned char head[10];
    int got = receive_all(peer, head, 2, timeout_ms);
    if (got <= 0)
        return got == 0 ? -1 : got;
    size_t size = head[1] & 127;
    size_t extra = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (extra > 0 && receive_all(peer, head + 2, extra, PATIENCE_MS) <= 0)
        return -1;
    for (size_t i = 0; i < extra; i++)
        size = i == 0 ? head[2] : size << 8 | head[2 + i];
    check(size <= MESSAGE_MAX, "frame of the server");
    CLEANUP(own_freep) char *payload = own_alloc(size + 1);
    if (size > 0 && receive_all(peer, payload, size, PATIENCE_MS) <= 0)
        return -1;
    *ret_payload = TAKE(payload);
    *ret_size = size;
    return head[0] & 15;
}

int peer_wait_close(struct peer *peer, int timeout_ms)
{
    for (;;) {
        CLEANUP(own_freep) char *payload = NULL;
        size_t size;
        int opcode = read_frame(peer, &payload, &size, timeout_ms);
        if (opcode < 0)
            return opcode;
        if (opcode == PEER_CLOSE)
            return size < 2 ? 1005 : (unsigned char)payload[0] << 8 | (unsigned char)payload[1];
    }
}

char *peer_receive(struct peer *peer, int timeout_ms)
{
    for (;;) {
        CLEANUP(own_freep) char *payload = NULL;
        size_t size;
        int opcode = read_frame(peer, &payload, &size, timeout_ms);
        if (opcode < 0 || opcode == PEER_CLOSE)
            return NULL;
        if (opcode == PEER_TEXT)
            return TAKE(payload);
    }
}

void peer_fingerprint(const struct peer *peer, char ret_hex[65])
{
    unsigned char digest[32];
    unsigned size = 0;
    X509 *certificate = SSL_get1_peer_certificate(peer->ssl);
    check(certificate && X509_digest(certificate, EVP_sha256(), digest, &size) == 1 && size == 32,
          "fingerprint");
    X509_free(certificate);
    text_hex(digest, sizeof(digest), ret_hex);
}

int peer_take_index(void)
{
    return SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}
