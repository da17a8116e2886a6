// SPDX-License-Identifier: Apache-2.0
/* Key objects from a hostile bucket, with a user key and without, and choices of a data key. */
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static void fuzz_with(const struct key *kek, const uint8_t *data, size_t size)
{
    CLEANUP(key_done) struct key key = {0};
    struct error err;
    if (key_parse_object(data, size, kek, &key, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT || err.kind == ERROR_PERMANENT);
        return;
    }
    CLEANUP(own_freep) char *text = NULL;
    CLEANUP(key_done) struct key again = {0};
    expect(key_format_object(&key, kek, &text, &err) == 0);
    expect(key_parse_object(text, strlen(text), kek, &again, &err) == 0);
    expect(memcmp(&key, &again, sizeof(key)) == 0);
    /* what opens is of the right form */
    char id[KEY_ID_TEXT_BYTES], kek_id[KEY_ID_TEXT_BYTES] = "none";
    key_id_text(&key, id);
    if (kek)
        key_id_text(kek, kek_id);
    expect(key_check_object(data, size, id, kek_id, &err) == 0);
}

static void fuzz_choice(const uint8_t *data, size_t size)
{
    static const char id[] = "836612db9c038210";
    CLEANUP(own_freep) char *text = key_format_choice(id);
    struct error err;
    expect(key_check_choice(text, strlen(text), id, &err) == 0);
    if (key_check_choice(data, size, id, &err) == 0)
        expect(key_check_choice(data, size, "0f4eef1b1b8a4b5c", &err) < 0 &&
               err.kind == ERROR_CORRUPT);
    else
        expect(err.kind == ERROR_CORRUPT || err.kind == ERROR_PERMANENT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* the user key of the test vectors */
    static const char text[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    struct key kek;
    struct error err;
    expect(key_parse_kek(text, strlen(text), &kek, &err) == 0);
    fuzz_with(&kek, data, size);
    fuzz_with(NULL, data, size);
    fuzz_choice(data, size);
    return 0;
}
