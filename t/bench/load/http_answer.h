/* HTTP answers, as far as a load generator has to understand them. */
#ifndef MSGSERVER_BENCH_HTTP_ANSWER_H
#define MSGSERVER_BENCH_HTTP_ANSWER_H

#include "base/slice.h"

/* The first whole answer in `in`. Returns its length, or 0 when it is not all there. Ends the
 * program when it has a body whose length it does not say. */
size_t http_answer_read(struct slice in, struct slice *head, struct slice *body);

/* The length of the head at the front of `in`, or 0 when it is not all there. */
size_t http_head_length(struct slice in);

/* Whether the first line has this status, like "200". */
bool http_has_status(struct slice head, const char *status);

#endif
