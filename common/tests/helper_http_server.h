// SPDX-License-Identifier: Apache-2.0
/*
 * A server on loopback that answers as a test tells it to, also wrongly: one thread, one request at
 * a time, connections kept open.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct http_server;

struct http_server_request {
    unsigned number; /* from 1, over all connections */
    char method[16];
    char target[4096]; /* path and query */
    const char *head;  /* all of the request before its body */
    const char *body;
    size_t body_size;
};

/* Runs on the server's thread; false closes the connection. */
typedef bool (*http_server_answer)(void *arg, int fd, const struct http_server_request *request);

struct http_server *http_server_new(http_server_answer answer, void *arg);
void http_server_freep(struct http_server **server); /* joins the thread */
/* "http://127.0.0.1:40123", lent */
const char *http_server_url(const struct http_server *server);
/* How many connections were accepted so far. */
unsigned http_server_connections(const struct http_server *server);

/* For answers. fields: "Name: value\r\n" each; gives true. */
bool http_server_reply(int fd, int status, const char *fields, const char *body);
void http_server_send(int fd, const char *text);
/* Lets the closing of the connection be a reset; gives false. */
bool http_server_reset(int fd);
/* The value of a field of the request's head in buffer, or NULL. */
const char *http_server_field(const struct http_server_request *request, const char *name,
                              char *buffer, size_t size);
