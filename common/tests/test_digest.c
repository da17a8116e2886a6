// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/digest.h"
#include "common/own.h"
#include "common/text.h"

enum { HEX_BYTES = 2 * DIGEST_BYTES + 1 };

static void expect_hash(const uint8_t *hash, const char *expected)
{
    char hex[HEX_BYTES];
    text_hex(hash, DIGEST_BYTES, hex);
    assert_string_equal(hex, expected);
}

/* NIST, "SHA-256 example values" and the empty message of the SHAVS short messages */
static void the_published_messages_have_their_hashes(void **state)
{
    (void)state;
    static const struct {
        const char *message, *hash;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t hash[DIGEST_BYTES];
        digest_sha256(cases[i].message, strlen(cases[i].message), hash);
        expect_hash(hash, cases[i].hash);
    }
}

static void a_running_hash_equals_that_of_the_whole(void **state)
{
    (void)state;
    uint8_t hash[DIGEST_BYTES];
    CLEANUP(digest_freep) struct digest *digest = digest_new();
    digest_get(digest, hash);
    expect_hash(hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_update(digest, "a", 1);
    digest_get(digest, hash); /* looking changes nothing */
    digest_update(digest, "bc", 2);
    digest_update(digest, NULL, 0);
    digest_get(digest, hash);
    expect_hash(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void a_field_is_hashed_behind_its_length(void **state)
{
    (void)state;
    uint8_t by_field[DIGEST_BYTES], by_hand[DIGEST_BYTES];
    CLEANUP(digest_freep) struct digest *digest = digest_new();
    digest_update_field(digest, "abc", 3);
    digest_update_field(digest, NULL, 0);
    digest_get(digest, by_field);
    digest_sha256("\3\0\0\0\0\0\0\0abc\0\0\0\0\0\0\0\0", 19, by_hand);
    assert_memory_equal(by_field, by_hand, DIGEST_BYTES);
}

/* RFC 4231, test cases 1, 2 and 6 */
static void the_published_keys_and_data_have_their_macs(void **state)
{
    (void)state;
    uint8_t key[131], mac[DIGEST_BYTES];
    memset(key, 0x0b, 20);
    digest_hmac_sha256(key, 20, "Hi There", 8, mac);
    expect_hash(mac, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    digest_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
    expect_hash(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    const char *text = "Test Using Larger Than Block-Size Key - Hash Key First";
    digest_hmac_sha256(key, sizeof(key), text, strlen(text), mac);
    expect_hash(mac, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* `printf '' | openssl dgst -sha256 -hmac ''` */
static void an_empty_key_is_a_key(void **state)
{
    (void)state;
    uint8_t mac[DIGEST_BYTES];
    digest_hmac_sha256(NULL, 0, NULL, 0, mac);
    expect_hash(mac, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_messages_have_their_hashes),
        cmocka_unit_test(a_running_hash_equals_that_of_the_whole),
        cmocka_unit_test(a_field_is_hashed_behind_its_length),
        cmocka_unit_test(the_published_keys_and_data_have_their_macs),
        cmocka_unit_test(an_empty_key_is_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
