// SPDX-License-Identifier: Apache-2.0
/*
 * A server on loopback that expects certain requests, one after the other, and does with each what
 * the test says. Requests that are not expected get status 400 and are told at the end.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct http_server;

struct http_step {
    const char *method;
    const char *expects; /* in the request's head; NULL: nothing in particular */
    int status;          /* 0: sends raw, or nothing, and closes */
    const char *fields, *body;
    const char *raw;
    bool reset;
    const char *expects_body; /* in the request's body; NULL: nothing in particular */
    const char *refuses;      /* not in the request's head; NULL: nothing in particular */
};

struct http_play {
    const struct http_step *steps;
    size_t count;
    atomic_uint done;
    char fault[512]; /* the first request that was not expected */
    struct http_server *server;
};

/* What a step leaves out is nothing. */
#define HTTP_PLAY(...)                                                                             \
    {                                                                                              \
        .steps = (const struct http_step[]){__VA_ARGS__},                                          \
        .count = sizeof((const struct http_step[]){__VA_ARGS__}) / sizeof(struct http_step),       \
    }

void http_play_start(struct http_play *play);
/* Asserts that all steps were taken, and nothing else was asked. */
void http_play_end(struct http_play *play);
