/* A mesh without sockets: envelopes between the relays of one test, and to peers that only exist as
 * a state. */
#ifndef MSGSERVER_FAKE_MESH_H
#define MSGSERVER_FAKE_MESH_H

#include "base/buffer.h"
#include "workers/relay/mesh/mesh.h"

/* Every envelope sent, a line each: "type route,… | message;… | return route,…". */
struct buffer *fake_mesh_journal(struct mesh *mesh);

/* Changes a peer's state and tells the relay. */
void fake_mesh_set_peer(struct mesh *mesh, const char *id, struct mesh_peer_state state);
/* The peer's queue is full, or takes envelopes again. */
void fake_mesh_set_full(struct mesh *mesh, const char *id, bool full);

/* What mesh_each_peer() tells from now on; `reports` outlives the mesh. */
void fake_mesh_set_reports(struct mesh *mesh, const struct mesh_peer_report *reports, size_t count);

bool fake_mesh_holds(const struct mesh *mesh);

/* Hands on what relays of this test sent to each other. Returns how many envelopes. */
size_t fake_mesh_pump(void);
/* What waits for one relay, envelope by envelope: how many there are; hands on the first one that
 * is about the same attachment as the n-th, so that only what is about different ones is
 * reordered; loses all, as when a connection dies. */
size_t fake_mesh_waiting(const struct mesh *mesh);
void fake_mesh_hand_on(struct mesh *mesh, size_t n);
void fake_mesh_lose(struct mesh *mesh);
/* Whether one of them is a connect. */
bool fake_mesh_connect_waits(const struct mesh *mesh);

/* An envelope arrives, from whom its return route begins with, else from
 * `sender`, else from the first peer. `line` is
 * like a line of the journal, with messages joined by semicolons. */
void fake_mesh_receive(struct mesh *mesh, const char *line);
void fake_mesh_receive_from(struct mesh *mesh, const char *sender, const char *line);
void fake_mesh_receive_envelope(struct mesh *mesh, const struct envelope *envelope);

#endif
