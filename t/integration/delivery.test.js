'use strict';
// One host, four client workers, restless clients on all four transports: nothing is lost, nothing
// comes out of order, and after the last confirmation nothing is left.
// FULL=1 runs 1,000 sessions and 100,000 messages; CI runs a shorter form.

const assert = require('assert');
const test = require('node:test');
const { Random } = require('./lib/random');
const { Server } = require('./lib/server');
const { Swarm } = require('./lib/swarm');
const { until } = require('./lib/wait');

const SESSIONS = process.env.FULL ? 1000 : 200;
const MESSAGES = process.env.FULL ? 100000 : 10000;

test(`${MESSAGES} messages to ${SESSIONS} restless clients arrive in order, none is missing`, async (t) => {
    const random = new Random();
    t.diagnostic(`SEED=${random.seed}`);
    const server = await Server.start({ workers: 4 });
    t.after(() => server.dispose());
    const swarm = new Swarm(random, () => server.url);
    t.after(() => swarm.stop());

    await swarm.join(server.backend, SESSIONS);
    await swarm.rush([server.backend], MESSAGES);
    await swarm.settle();
    const status = await until('nothing is left', async () => {
        const now = await server.backend.status();
        return now.pending === 0 && now;
    });
    assert.strictEqual(status.accepted, MESSAGES);
    assert.strictEqual(status.confirmed, MESSAGES);
    const total = (field) => swarm.members.reduce((sum, member) => sum + field(member), 0);
    t.diagnostic(`${total((m) => m.connections)} connections, ${total((m) => m.inbox.duplicates)} redeliveries`);
});
