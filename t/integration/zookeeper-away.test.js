'use strict';
// ZooKeeper goes away, comes back empty, forgets a host, or is not there yet: clients notice nothing.
// FULL=1 keeps it away for a minute.

const assert = require('assert');
const test = require('node:test');
const { clusterIdOf, peersUp, startHost } = require('./lib/hosts');
const { Random } = require('./lib/random');
const { freePort } = require('./lib/server');
const { Swarm } = require('./lib/swarm');
const { until } = require('./lib/wait');
const { ZooKeeper, missing } = require('./lib/zookeeper');

const AWAY_MS = process.env.FULL ? 60000 : 8000;
const A = { host: '127.0.0.1' };
const B = { host: '127.0.0.2' };

const count = (text, pattern) => text.split(pattern).length - 1;

// Two hosts with settled clients of both at both; any connection that ends is noticed.
async function twoHosts(t) {
    const random = new Random();
    t.diagnostic(`SEED=${random.seed}`);
    const zookeeper = await ZooKeeper.start();
    t.after(() => zookeeper.dispose());
    const servers = await Promise.all([A, B].map((place) => startHost(zookeeper, place)));
    t.after(() => Promise.all(servers.map((server) => server.dispose())));
    await peersUp(servers);
    let next = 0;
    const swarm = new Swarm(random, () => servers[(next += 1) % 2].url);
    swarm.confirmChance = 1;
    t.after(() => swarm.stop());
    await swarm.join(servers[0].backend, 16);
    await swarm.join(servers[1].backend, 16);
    return { zookeeper, servers, swarm, nodes: await zookeeper.nodes() };
}

// Keeps messages flowing through both hosts until the condition holds, then for `more` ms.
async function meanwhile({ servers, swarm }, what, condition, more = 0) {
    let end = Infinity;
    const holds = until(what, condition, 60000).then(
        () => { end = Date.now() + more; },
        (error) => {
            end = 0;
            throw error;
        },
    );
    const send = async () => {
        while (Date.now() < end) {
            await swarm.rush(servers.map((server) => server.backend), 40, { bulk: 20, restlessness: 0 });
            await new Promise((resolve) => setTimeout(resolve, 20));
        }
    };
    await Promise.all([holds, send()]);
}

// Every message is there, and every client has the connection that it had.
async function nobodyNoticed({ swarm, servers }) {
    await until('every client has every message', () => {
        swarm.check();
        return swarm.members.every((member) => member.complete);
    });
    const disturbed = swarm.members.filter((member) => member.ends.length > 0 || member.connections !== 1 ||
        member.inbox.unset);
    assert.strictEqual(disturbed.length, 0, `${disturbed.map((m) => `${m.transport}: ${m.ends} ${m.inbox.unset}`)}`);
    const states = await Promise.all(servers.map((server) => server.backend.status()));
    assert.deepStrictEqual(states.map((state) => state.mesh_peers_up), [1, 1]);
}

const announcedAgain = ({ zookeeper, nodes }) => until('both are announced as before', async () => {
    assert.deepStrictEqual(await zookeeper.nodes(), nodes);
    return true;
}, 20000);

test.describe('with a real ZooKeeper', { skip: missing() }, () => {
    test(`ZooKeeper is stopped for ${AWAY_MS / 1000} s and started empty: nobody notices, the znodes are back`, async (t) => {
        const all = await twoHosts(t);
        const warnings = () => all.servers.map((server) => count(server.log, 'event=zookeeper-away'));
        const before = warnings();
        await all.zookeeper.stop();
        await meanwhile(all, 'both hosts miss ZooKeeper', () => warnings().every((n, i) => n === before[i] + 1), AWAY_MS);
        assert.deepStrictEqual(warnings(), before.map((n) => n + 1), 'they say so once');
        await all.zookeeper.wipe();
        await all.zookeeper.start();
        await meanwhile(all, 'both are announced as before', async () => {
            assert.deepStrictEqual(await all.zookeeper.nodes(), all.nodes);
            return true;
        }, 500);
        await nobodyNoticed(all);
    });

    test('a host whose session expires registers anew, and its peers keep it meanwhile', async (t) => {
        const all = await twoHosts(t);
        const { zookeeper, servers: [a, b], nodes } = all;
        const id = await clusterIdOf(a);
        a.process.kill('SIGSTOP'); // the master alone: its relay and workers go on
        t.after(() => a.process.kill('SIGCONT'));
        await meanwhile(all, 'ZooKeeper forgets it', async () => !(await zookeeper.nodes())[id], 1500);
        await until('B is told', () => b.log.includes(`event=peer-withdrawn peer=${id}`));
        await nobodyNoticed(all);
        a.process.kill('SIGCONT');
        await meanwhile(all, 'it is announced as before', async () => {
            assert.deepStrictEqual(await zookeeper.nodes(), nodes);
            return true;
        }, 200);
        assert.match(a.log, /event=zookeeper-session-over/);
        await nobodyNoticed(all);
    });

    test('ZooKeeper hangs for longer than sessions last: nobody notices', async (t) => {
        const all = await twoHosts(t);
        const before = all.servers.map((server) => count(server.log, 'event=zookeeper-away'));
        await all.zookeeper.pause();
        await meanwhile(all, 'both hosts miss ZooKeeper', () => all.servers.every((server, i) =>
            count(server.log, 'event=zookeeper-away') > before[i]), 2500);
        await all.zookeeper.resume();
        await announcedAgain(all);
        await meanwhile(all, 'both are still announced', async () => {
            assert.deepStrictEqual(await all.zookeeper.nodes(), all.nodes);
            return true;
        }, 1000);
        await nobodyNoticed(all);
    });

    test('ZooKeeper is absent at the start: the host serves, warns once, and registers when it comes', async (t) => {
        const zookeeper = new ZooKeeper();
        t.after(() => zookeeper.dispose());
        const port = await freePort();
        const server = await startHost({ hosts: `127.0.0.1:${port}` }, A);
        t.after(() => server.dispose());
        const key = await server.backend.createSession('bob');
        assert.strictEqual((await server.backend.send(key, [['hello']]))[0].outcome, 'queued');
        const attempts = () => count(server.log, /event=zookeeper-away/);
        await until('it warns', attempts);
        const start = Date.now();
        await until('it has tried some more', () => Date.now() - start > 3000);
        assert.strictEqual(attempts(), 1);
        await zookeeper.start(port);
        const node = await until('it is announced', async () => (await zookeeper.nodes())[await clusterIdOf(server)], 20000);
        assert.deepStrictEqual(node.data.ips, ['127.0.0.1']);
        assert.strictEqual((await server.stop()).code, 0);
        assert.deepStrictEqual(await zookeeper.nodes(), {}, 'a graceful stop removes the znode at once');
    });
});
