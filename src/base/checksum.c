#include "base/checksum.h"

/* Both steps can be undone, so that two inputs that differ in one word never meet. */
uint64_t checksum_u64(uint64_t sum, uint64_t value)
{
    sum = (sum ^ value) * 0x9e3779b97f4a7c15u;
    return sum ^ sum >> 29;
}

/* A step waits for the one before: of what is long, several sums are made side by side. */
enum { LANES = 4, LONG = 64 };

static uint64_t checksum_lanes(uint64_t sum, struct slice *bytes)
{
    uint64_t words[LANES], lanes[LANES];
    for (unsigned i = 0; i < LANES; i++)
        lanes[i] = sum + i;
    for (; bytes->len >= sizeof words; bytes->data += sizeof words, bytes->len -= sizeof words) {
        memcpy(words, bytes->data, sizeof words);
        for (unsigned i = 0; i < LANES; i++)
            lanes[i] = checksum_u64(lanes[i], words[i]);
    }
    for (unsigned i = 0; i < LANES; i++)
        sum = checksum_u64(sum, lanes[i]);
    return sum;
}

uint64_t checksum(uint64_t sum, struct slice bytes)
{
    uint64_t word;
    sum = checksum_u64(sum, bytes.len);
    if (bytes.len >= LONG)
        sum = checksum_lanes(sum, &bytes);
    for (; bytes.len >= sizeof word; bytes.data += sizeof word, bytes.len -= sizeof word) {
        memcpy(&word, bytes.data, sizeof word);
        sum = checksum_u64(sum, word);
    }
    word = 0;
    if (bytes.len > 0)
        memcpy(&word, bytes.data, bytes.len);
    return checksum_u64(sum, word);
}
