// SPDX-License-Identifier: Apache-2.0
/* Bytes as text and back: hexadecimal, base64 (RFC 4648), percent-encoding (RFC 3986), and sizes
 * for people. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void text_hex(const void *data, size_t size, char *ret_text); /* 2 × size + 1 bytes, lower case */
bool text_parse_hex(const char *text, void *ret_data,
                    size_t size); /* exactly size bytes, either case */

/* Strict: padding demanded, no characters between but trailing white space. false if it is not
 * base64 or too long. */
bool text_parse_base64(const char *text, size_t text_size, void *ret_data, size_t capacity,
                       size_t *ret_size);
char *text_base64(const void *data, size_t size); /* the caller's, own_freep */

/* Percent-encodes all but unreserved characters; '/' stays if keep_slash. The caller's, own_freep.
 */
char *text_percent(const char *text, bool keep_slash);

/* "312 MB", "7.1 GB": decimal units, three digits. "1.2 s", "4 m 05 s" from milliseconds. */
void text_size(uint64_t bytes, char ret_text[16]);
void text_duration(int64_t ms, char ret_text[24]);
/* How long ago, in its largest unit that says enough: "119 s", "2 m", "47 h", "12 d". */
void text_age(int64_t ms, char ret_text[24]);

/* A name that may stand in a path, an argument or a log line and be taken for nothing else:
 * letters, digits, '.', '_' and '-', a letter or digit first. */
bool text_is_word(const char *text);
bool text_starts_with(const char *text, const char *prefix);

/* The same text, for a terminal or JSON, with \xNN for each byte that belongs to no character of
 * UTF-8 and for each control character; own_freep. */
char *text_escape(const char *text);
/* The same, cut at a character to fit into capacity bytes with NUL (at least 4); a text that was
 * cut ends with "…". */
void text_fit(const char *text, char *ret_text, size_t capacity);
/* Appends to a text in a buffer of that capacity, as far as there is room. */
void text_append(char *text, size_t capacity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
