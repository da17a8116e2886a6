// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "common/text.h"
#include "sidecar/keys.h"
#include "sidecar/tests/helper_keys.h"

static const uint8_t ad[SEAL_AD_BYTES] = "associated data of one message in a test";

static void assert_kek_refused(const char *text, const char *because)
{
    struct error err = {0};
    struct key key;
    assert_int_equal(key_parse_kek(text, strlen(text), &key, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    if (!strstr(err.text, because))
        fail_msg("'%s' does not say '%s'", err.text, because);
}

static int parse(const char *text, const struct key *kek, struct key *ret_key, struct error *err)
{
    *err = (struct error){0};
    return key_parse_object(text, strlen(text), kek, ret_key, err);
}

static void a_user_key_is_what_openssl_rand_prints(void **state)
{
    (void)state;
    static const char text[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    struct error err;
    struct key key;
    assert_int_equal(key_parse_kek(text, strlen(text), &key, &err), 0);
    for (uint8_t i = 0; i < KEY_BYTES; i++)
        assert_int_equal(key.bytes[i], i);
    char id[KEY_ID_TEXT_BYTES];
    key_id_text(&key, id);
    assert_int_equal(strlen(id), 16);
}

static void a_user_key_that_is_none_is_refused_with_a_remedy(void **state)
{
    (void)state;
    assert_kek_refused("", "not 0");
    assert_kek_refused("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", "not 31");
    assert_kek_refused("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", "not 33");
    assert_kek_refused("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                       "not 48");
    assert_kek_refused("my secret password", "openssl rand -base64 32");
    char large[8192];
    memset(large, 'A', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    assert_kek_refused(large, "base64");
}

static void a_wrapped_key_comes_back(void **state)
{
    (void)state;
    struct error err;
    struct key kek = helper_key(0, 0), key, back;
    assert_int_equal(key_generate(KEY_PURPOSE_ID, &key, &err), 0);
    CLEANUP(own_freep) char *text = NULL;
    assert_int_equal(key_format_object(&key, &kek, &text, &err), 0);
    assert_int_equal(parse(text, &kek, &back, &err), 0);
    assert_memory_equal(back.bytes, key.bytes, KEY_BYTES);
    assert_memory_equal(back.id, key.id, KEY_ID_BYTES);
    assert_int_equal(back.purpose, KEY_PURPOSE_ID);
}

static void an_unwrapped_key_comes_back_only_without_a_user_key(void **state)
{
    (void)state;
    struct error err;
    struct key kek = helper_key(0, 0), key = helper_key(32, KEY_PURPOSE_DATA), back;
    CLEANUP(own_freep) char *text = NULL;
    assert_int_equal(key_format_object(&key, NULL, &text, &err), 0);
    assert_int_equal(parse(text, NULL, &back, &err), 0);
    assert_memory_equal(back.bytes, key.bytes, KEY_BYTES);
    assert_int_equal(parse(text, &kek, &back, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "not wrapped"));
}

static void a_wrong_user_key_is_told_from_damage(void **state)
{
    (void)state;
    struct error err;
    struct key kek = helper_key(0, 0), other = helper_key(1, 0),
               key = helper_key(32, KEY_PURPOSE_DATA), back;
    CLEANUP(own_freep) char *text = NULL;
    assert_int_equal(key_format_object(&key, &kek, &text, &err), 0);
    assert_int_equal(parse(text, &other, &back, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_int_equal(parse(text, NULL, &back, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);

    char *wrapped = strstr(text, "\"wrapped\": \"");
    assert_non_null(wrapped);
    wrapped += strlen("\"wrapped\": \"");
    *wrapped = *wrapped == 'A' ? 'B' : 'A';
    assert_int_equal(parse(text, &kek, &back, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

static int check_object(const char *text, const char *id, const char *kek_id, struct error *err)
{
    return key_check_object(text, strlen(text), id, kek_id, err);
}

static void a_key_object_is_held_against_its_name_without_its_user_key(void **state)
{
    (void)state;
    struct error err;
    char id[KEY_ID_TEXT_BYTES], kek_id[KEY_ID_TEXT_BYTES];
    struct key kek = helper_key(0, 0), key = helper_key(32, KEY_PURPOSE_DATA);
    CLEANUP(own_freep) char *wrapped = NULL;
    CLEANUP(own_freep) char *clear = NULL;
    key_id_text(&key, id);
    key_id_text(&kek, kek_id);
    assert_int_equal(key_format_object(&key, &kek, &wrapped, &err), 0);
    assert_int_equal(key_format_object(&key, NULL, &clear, &err), 0);
    assert_int_equal(check_object(wrapped, id, kek_id, &err), 0);
    assert_int_equal(check_object(clear, id, "none", &err), 0);
    assert_int_equal(check_object(wrapped, kek_id, kek_id, &err), -1);
    assert_int_equal(check_object(wrapped, id, id, &err), -1);
    assert_int_equal(check_object(wrapped, id, "none", &err), -1);
    assert_int_equal(check_object(clear, id, kek_id, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_non_null(strstr(err.text, id));
    char *end = strrchr(wrapped, '"');
    memcpy(end - 4, "\"}", sizeof("\"}")); /* three bytes less are wrapped */
    assert_int_equal(check_object(wrapped, id, kek_id, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_non_null(strstr(err.text, "base64"));
}

static void a_gap_in_a_keyring_says_why(void **state)
{
    (void)state;
    struct error why;
    struct key key = helper_key(32, KEY_PURPOSE_DATA), other = helper_key(33, KEY_PURPOSE_DATA);
    CLEANUP(keyring_done) struct keyring keyring = {0};
    error_set(&why, ERROR_CORRUPT, "damaged");
    assert_null(keyring_gap(&keyring, key.id));
    keyring_add_gap(&keyring, key.id, &why);
    assert_string_equal(keyring_gap(&keyring, key.id)->text, "damaged");
    assert_null(keyring_gap(&keyring, other.id));
    assert_null(keyring_find(&keyring, key.id));
}

/* The unwrapped form has no integrity of its own: what it holds must have the id that it names. */
static void a_key_under_another_keys_id_is_corrupt(void **state)
{
    (void)state;
    struct error err;
    struct key one = helper_key(32, KEY_PURPOSE_DATA), two = helper_key(33, KEY_PURPOSE_DATA), back;
    memcpy(one.id, two.id, KEY_ID_BYTES);
    CLEANUP(own_freep) char *text = NULL;
    assert_int_equal(key_format_object(&one, NULL, &text, &err), 0);
    assert_int_equal(parse(text, NULL, &back, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

static void every_flipped_byte_of_a_key_object_is_refused(void **state)
{
    (void)state;
    struct error err;
    struct key kek = helper_key(0, 0), key = helper_key(32, KEY_PURPOSE_DATA), back;
    CLEANUP(own_freep) char *text = NULL;
    assert_int_equal(key_format_object(&key, &kek, &text, &err), 0);
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        text[i] ^= 0x05; /* turns a space into '%', a digit into another */
        err = (struct error){0};
        int result = key_parse_object(text, size, &kek, &back, &err);
        if (result == 0)
            fail_msg("byte %zu does not matter: %s", i, text);
        assert_true(err.kind == ERROR_CORRUPT || err.kind == ERROR_PERMANENT);
        text[i] ^= 0x05;
    }
}

static void a_malformed_key_object_is_corrupt(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "null",
        "{\"format\": 1}",
        "{\"format\": \"1\", \"key\": \"0011223344556677\", \"wrappedBy\": \"none\", "
        "\"wrapped\": \"AAAA\"}",
        "{\"format\": 1, \"key\": \"0011223344556677\", \"wrappedBy\": \"none\", "
        "\"wrapped\": \"AAAA\"}",
        "{\"format\": 1, \"key\": \"001122334455667\", \"wrappedBy\": \"none\", "
        "\"wrapped\": \"AAAA\"}",
        "{\"format\": 1, \"key\": \"0011223344556677\", \"wrappedBy\": \"nobody\", "
        "\"wrapped\": \"AAAA\"}",
        "{\"format\": 1, \"key\": 5, \"wrappedBy\": \"none\", \"wrapped\": \"AAAA\"}",
        "{\"format\": 1, \"key\": \"0011223344556677\", \"wrappedBy\": \"none\", "
        "\"wrapped\": \"not base64\"}",
        "{\"format\": 1, \"key\": \"0011223344556677\", \"wrappedBy\": \"none\", "
        "\"wrapped\": \"AAAA\", \"more\": 1}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct error err;
        struct key back;
        assert_int_equal(parse(texts[i], NULL, &back, &err), -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
    }
}

static void a_key_object_of_a_newer_format_is_no_damage(void **state)
{
    (void)state;
    struct error err;
    struct key back;
    assert_int_equal(parse("{\"format\": 2, \"kyber\": true}", NULL, &back, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "newer"));
}

static void a_keyring_holds_each_key_once_and_its_active_key_stays(void **state)
{
    (void)state;
    CLEANUP(keyring_done) struct keyring keyring = {0};
    for (uint8_t i = 0; i < 20; i++) {
        struct key key = helper_key(i, KEY_PURPOSE_DATA);
        keyring_add(&keyring, &key);
        keyring_add(&keyring, &key);
        if (i == 3)
            keyring.active = keyring_find(&keyring, key.id);
    }
    assert_int_equal(keyring.count, 20);
    struct key third = helper_key(3, KEY_PURPOSE_DATA), none = helper_key(99, KEY_PURPOSE_DATA);
    assert_ptr_equal(keyring.active, keyring_find(&keyring, third.id));
    assert_memory_equal(keyring.active->bytes, third.bytes, KEY_BYTES);
    assert_null(keyring_find(&keyring, none.id));
}

static void sealing_in_place_gives_the_same_bytes(void **state)
{
    (void)state;
    struct key dek = helper_key(32, KEY_PURPOSE_DATA);
    uint8_t salt[KEY_SALT_BYTES] = {7}, commitment[KEY_COMMITMENT_BYTES];
    CLEANUP(seal_freep) struct seal *seal = seal_new(&dek, salt, 1, commitment);
    uint8_t apart[21 + SEAL_TAG_BYTES], place[sizeof(apart)] = "twenty-one bytes long";
    seal_encrypt(seal, SEAL_FRAME, 5, ad, place, 21, apart);
    seal_encrypt(seal, SEAL_FRAME, 5, ad, place, 21, place);
    assert_memory_equal(apart, place, sizeof(apart));
    struct error err;
    assert_int_equal(seal_decrypt(seal, SEAL_FRAME, 5, ad, place, sizeof(place), place, &err), 0);
    assert_memory_equal(place, "twenty-one bytes long", 21);
}

static void what_was_sealed_opens_only_in_its_place(void **state)
{
    (void)state;
    struct key dek = helper_key(32, KEY_PURPOSE_DATA);
    uint8_t salt[KEY_SALT_BYTES] = {7}, commitment[KEY_COMMITMENT_BYTES];
    uint8_t other_commitment[KEY_COMMITMENT_BYTES], other_ad[SEAL_AD_BYTES] = {1};
    uint8_t sealed[4 + SEAL_TAG_BYTES], plain[4];
    CLEANUP(seal_freep) struct seal *seal = seal_new(&dek, salt, 1, commitment);
    CLEANUP(seal_freep) struct seal *other = seal_new(&dek, salt, 2, other_commitment);
    assert_memory_not_equal(commitment, other_commitment, sizeof(commitment));
    seal_encrypt(seal, SEAL_FRAME, 5, ad, "page", 4, sealed);
    const struct {
        struct seal *seal;
        enum seal_domain domain;
        uint64_t index;
        const uint8_t *ad;
        size_t size;
    } wrong[] = {
        {other, SEAL_FRAME, 5, ad, sizeof(sealed)},
        {seal, SEAL_FOOTER, 5, ad, sizeof(sealed)},
        {seal, SEAL_FRAME, 6, ad, sizeof(sealed)},
        {seal, SEAL_FRAME, 5, other_ad, sizeof(sealed)},
        {seal, SEAL_FRAME, 5, ad, sizeof(sealed) - 1},
        {seal, SEAL_FRAME, 5, ad, SEAL_TAG_BYTES},
        {seal, SEAL_FRAME, 5, ad, SEAL_TAG_BYTES - 1},
        {seal, SEAL_FRAME, 5, ad, 0},
    };
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_int_equal(seal_decrypt(wrong[i].seal, wrong[i].domain, wrong[i].index, wrong[i].ad,
                                      sealed, wrong[i].size, plain, &err),
                         -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
    }
    assert_int_equal(seal_decrypt(seal, SEAL_FRAME, 5, ad, sealed, sizeof(sealed), plain, &err), 0);
    assert_memory_equal(plain, "page", 4);
}

static void nothing_can_be_sealed_too(void **state)
{
    (void)state;
    struct key dek = helper_key(32, KEY_PURPOSE_DATA);
    uint8_t salt[KEY_SALT_BYTES] = {7}, commitment[KEY_COMMITMENT_BYTES];
    CLEANUP(seal_freep) struct seal *seal = seal_new(&dek, salt, 1, commitment);
    uint8_t sealed[SEAL_TAG_BYTES], nothing[1];
    struct error err;
    seal_encrypt(seal, SEAL_FOOTER, 0, ad, "", 0, sealed);
    assert_int_equal(seal_decrypt(seal, SEAL_FOOTER, 0, ad, sealed, sizeof(sealed), nothing, &err),
                     0);
}

static void content_ids_differ_by_key_and_by_content(void **state)
{
    (void)state;
    struct key one = helper_key(64, KEY_PURPOSE_ID), two = helper_key(65, KEY_PURPOSE_ID);
    char id[KEY_ID_TEXT_BYTES], again[KEY_ID_TEXT_BYTES], other[KEY_ID_TEXT_BYTES];
    key_content_id(&one, "wal", 3, id);
    key_content_id(&one, "wal", 3, again);
    assert_string_equal(id, again);
    key_content_id(&one, "wam", 3, other);
    assert_string_not_equal(id, other);
    key_content_id(&two, "wal", 3, other);
    assert_string_not_equal(id, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_key_is_what_openssl_rand_prints),
        cmocka_unit_test(a_user_key_that_is_none_is_refused_with_a_remedy),
        cmocka_unit_test(a_wrapped_key_comes_back),
        cmocka_unit_test(an_unwrapped_key_comes_back_only_without_a_user_key),
        cmocka_unit_test(a_wrong_user_key_is_told_from_damage),
        cmocka_unit_test(a_key_object_is_held_against_its_name_without_its_user_key),
        cmocka_unit_test(a_gap_in_a_keyring_says_why),
        cmocka_unit_test(a_key_under_another_keys_id_is_corrupt),
        cmocka_unit_test(every_flipped_byte_of_a_key_object_is_refused),
        cmocka_unit_test(a_malformed_key_object_is_corrupt),
        cmocka_unit_test(a_key_object_of_a_newer_format_is_no_damage),
        cmocka_unit_test(a_keyring_holds_each_key_once_and_its_active_key_stays),
        cmocka_unit_test(sealing_in_place_gives_the_same_bytes),
        cmocka_unit_test(what_was_sealed_opens_only_in_its_place),
        cmocka_unit_test(nothing_can_be_sealed_too),
        cmocka_unit_test(content_ids_differ_by_key_and_by_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
