/* Apart from the rest of curve_key.h, so that only who makes keys links libcrypto. A CURVE key pair
 * is one of X25519 (RFC 7748): 32 random bytes, and the point that they make. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "codecs/curve_key.h"
#include "codecs/z85.h"

static int derive(const unsigned char secret_bytes[CURVE_KEY_BYTES],
                  char public_key[CURVE_KEY_ROOM])
{
    unsigned char bytes[CURVE_KEY_BYTES];
    size_t len = sizeof bytes;
    EVP_PKEY *pair =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret_bytes, CURVE_KEY_BYTES);
    bool derived =
        pair && EVP_PKEY_get_raw_public_key(pair, bytes, &len) == 1 && len == sizeof bytes;
    EVP_PKEY_free(pair);
    if (derived)
        z85_encode(bytes, sizeof bytes, public_key);
    return derived ? 0 : -1;
}

int curve_pair_make(char secret_key[CURVE_KEY_ROOM], char public_key[CURVE_KEY_ROOM])
{
    unsigned char bytes[CURVE_KEY_BYTES];
    int result = RAND_priv_bytes(bytes, sizeof bytes) == 1 ? derive(bytes, public_key) : -1;
    if (result == 0)
        z85_encode(bytes, sizeof bytes, secret_key);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return result;
}

int curve_pair_public(struct slice secret_key, char public_key[CURVE_KEY_ROOM])
{
    unsigned char bytes[CURVE_KEY_BYTES];
    int result = curve_key_is_valid(secret_key) && z85_decode(secret_key, bytes) == sizeof bytes
                     ? derive(bytes, public_key)
                     : -1;
    OPENSSL_cleanse(bytes, sizeof bytes);
    return result;
}
