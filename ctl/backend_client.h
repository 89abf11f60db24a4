/* Questions to the backend API of the server that runs with a configuration. */
#ifndef MSGSERVER_CTL_BACKEND_CLIENT_H
#define MSGSERVER_CTL_BACKEND_CLIENT_H

#include <jansson.h>

#include "base/buffer.h"
#include "ctl/options.h"

struct backend_answer {
    struct buffer text;
    json_t *object;
};

/* GET `path` and, percent-encoded, `rest` (NULL: none). Returns EXIT_OK and the answer of status
 * 200, a JSON object; or another exit status, when why was written to stderr. Either way it is to
 * be freed. */
int backend_ask(const struct ctl_options *options, const char *path, const char *rest,
                struct backend_answer *answer);
void backend_answer_free(struct backend_answer *answer);

/* An answer that lacks what it should have: says so, and returns EXIT_PROTOCOL. */
int backend_not_understood(void);

#endif
