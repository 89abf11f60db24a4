#include "bench/load/sequence.h"

enum { REMEMBERED = 64 };

enum sequence_verdict sequence_take(struct sequence *sequence, uint64_t number)
{
    if (number > sequence->last) {
        uint64_t step = number - sequence->last;
        sequence->recent = (step < REMEMBERED ? sequence->recent << step : 0) | 1;
        sequence->last = number;
        return step == 1 ? SEQUENCE_IN_ORDER : SEQUENCE_GAP;
    }
    uint64_t age = sequence->last - number;
    if (age >= REMEMBERED || (sequence->recent >> age & 1))
        return SEQUENCE_DUPLICATE;
    sequence->recent |= UINT64_C(1) << age;
    return SEQUENCE_LATE;
}

const char *sequence_word(enum sequence_verdict verdict)
{
    static const char *const words[] = {
        [SEQUENCE_IN_ORDER] = "in order",
        [SEQUENCE_GAP] = "a gap",
        [SEQUENCE_DUPLICATE] = "a duplicate",
        [SEQUENCE_LATE] = "a wrong order",
    };
    return words[verdict];
}
