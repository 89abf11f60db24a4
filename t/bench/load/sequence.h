/* Whether numbers come once and in order. */
#ifndef MSGSERVER_BENCH_SEQUENCE_H
#define MSGSERVER_BENCH_SEQUENCE_H

#include <stdint.h>

/* All-zero: the first number is 1. */
struct sequence {
    uint64_t last;   /* the highest so far */
    uint64_t recent; /* bit n: last - n has come */
};

enum sequence_verdict {
    SEQUENCE_IN_ORDER,
    SEQUENCE_GAP,       /* numbers before this one have not come, so far */
    SEQUENCE_DUPLICATE, /* it has come before, or is so old that nobody knows */
    SEQUENCE_LATE       /* a higher one came before it */
};

enum sequence_verdict sequence_take(struct sequence *sequence, uint64_t number);

/* A word for the verdict: "a gap", say. */
const char *sequence_word(enum sequence_verdict verdict);

#endif
