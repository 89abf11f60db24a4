#include "base/checksum.h"

/* Both steps can be undone, so that two inputs that differ in one word never meet. */
uint64_t checksum_u64(uint64_t sum, uint64_t value)
{
    sum = (sum ^ value) * 0x9e3779b97f4a7c15u;
    return sum ^ sum >> 29;
}

uint64_t checksum(uint64_t sum, struct slice bytes)
{
    uint64_t word;
    sum = checksum_u64(sum, bytes.len);
    for (; bytes.len >= sizeof word; bytes.data += sizeof word, bytes.len -= sizeof word) {
        memcpy(&word, bytes.data, sizeof word);
        sum = checksum_u64(sum, word);
    }
    word = 0;
    if (bytes.len > 0)
        memcpy(&word, bytes.data, bytes.len);
    return checksum_u64(sum, word);
}
