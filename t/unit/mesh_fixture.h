/* Meshes and pretended MAGE hosts in one process and one loop, on 127.0.0.1. */
#ifndef MSGSERVER_MESH_FIXTURE_H
#define MSGSERVER_MESH_FIXTURE_H

#include <zmq.h>

#include "unit.h"
#include "workers/relay/mesh/mesh.h"

enum { NODE_ENVELOPES_MAX = 256, NODE_TEXT_MAX = 512 };

struct node {
    struct mesh *mesh;
    char id[32];
    char uri[64];
    /* What came, each as "route|<>|message|<>|return route|flags type", cut at NODE_TEXT_MAX. */
    char envelopes[NODE_ENVELOPES_MAX][NODE_TEXT_MAX];
    size_t envelope_count; /* all; the first NODE_ENVELOPES_MAX are kept */
    unsigned ups, downs, writables;
};

extern struct ev_loop *loop;

/* `bound_port`: 0 for any. */
void node_start(struct node *node, const char *id, uint16_t bound_port);
/* The same with CURVE on. One node of a process alone can have it, as ZAP has one handler. */
struct node_curve {
    const char *secret_key, *public_key, *peers_file;
};
void node_start_with_curve(struct node *node, const char *id, uint16_t bound_port,
                           const struct node_curve *curve);
void node_stop(struct node *node);
/* Tells `node` of the others, each "ID" and "URI" in turn, up to a NULL. */
#define node_announce(node, ...) node_announce_list((node), (const char *const[]){__VA_ARGS__})
void node_announce_with_key(struct node *node, const char *id, const char *uri, const char *key);
void node_announce_list(struct node *node, const char *const *texts);
/* Starts them on free ports, tells each of the others, and waits until all are up. */
void nodes_join(struct node *nodes, size_t count);
bool node_sees(const struct node *node, const char *id);
bool node_got(const struct node *node, const char *text);

/* Runs the loop until `condition`, for at most ten seconds. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        uint64_t limit_ = wait_limit();                                                            \
        while (!(condition))                                                                       \
            ck_assert_msg(run_once(limit_), "still not: %s", #condition);                          \
    } while (0)
uint64_t wait_limit(void);
bool run_once(uint64_t limit);
/* Lets the loop run for a while, to see that something does not happen. */
void run_for(unsigned milliseconds);

/* "A|B:1|*:c" (empty: no entries) as a route. */
void fill_route(struct slice *route, size_t *len, const char *text);
int send_text(struct node *node, const char *route, const char *body, const char *return_route,
              enum envelope_type type, uint8_t flags);

/* A host that is not ours: sockets driven by hand, with frames written as "A|<>|x|\x01type". */
struct mage {
    void *context;
    void *router;
    void *dealer;
    char uri[64];
};
void mage_start(struct mage *mage, const char *id, int receive_high_water);
void mage_connect(struct mage *mage, const struct node *node);
void mage_stop(struct mage *mage);
void raw_send(void *socket, const char *text);
/* Waits for a multipart and writes it as text. */
const char *raw_receive(void *socket, char text[NODE_TEXT_MAX]);
bool raw_receive_now(void *socket, char text[NODE_TEXT_MAX]);

#endif
