/* Apart from the frames, so that only who shakes hands links libcrypto. */
#include <openssl/evp.h>

#include "base/encoding.h"
#include "codecs/websocket.h"

enum { KEY_BYTES = 16, KEY_TEXT = 24, SHA1_BYTES = 20 };

/* Looked up once: EVP_sha1() is looked up anew for each digest, which takes three times as long as
 * the digest. */
static const EVP_MD *sha1(void)
{
    static EVP_MD *fetched;
    if (!fetched)
        fetched = EVP_MD_fetch(NULL, "SHA1", NULL);
    return fetched ? fetched : EVP_sha1();
}

/* RFC 6455 section 4.2.2. */
bool websocket_accept(struct slice key, char accept[WEBSOCKET_ACCEPT_ROOM])
{
    static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KEY_TEXT + sizeof GUID - 1];
    unsigned char decoded[KEY_TEXT / 4 * 3], digest[SHA1_BYTES];
    if (key.len != KEY_TEXT || decode_base64(key, decoded) != KEY_BYTES)
        return false;
    memcpy(text, key.data, KEY_TEXT);
    memcpy(text + KEY_TEXT, GUID, sizeof GUID - 1);
    if (EVP_Digest(text, sizeof text, digest, NULL, sha1(), NULL) != 1)
        return false;
    encode_base64(digest, sizeof digest, accept);
    return true;
}
