'use strict';
// Two hosts joined through a real ZooKeeper: on two loopback addresses, and in two network
// namespaces. A session's home is one of them; its client may be at either.

const assert = require('assert');
const { spawnSync } = require('child_process');
const test = require('node:test');
const { Inbox, TRANSPORTS, newClient } = require('./lib/clients');
const { clusterIdOf, killHost, peersUp, startHost } = require('./lib/hosts');
const { Namespaces, impossible } = require('./lib/namespaces');
const { Random } = require('./lib/random');
const { Swarm } = require('./lib/swarm');
const { until } = require('./lib/wait');
const { ZooKeeper, missing } = require('./lib/zookeeper');

const LOOPBACK = {
    zookeeper: { host: '127.0.0.1' },
    a: { host: '127.0.0.1' },
    b: { host: '127.0.0.2' },
    c: { host: '127.0.0.3' },
};
const NAMESPACED = {
    zookeeper: { host: '10.77.0.9' },
    a: { host: '10.77.0.1', clusterHost: 'e2dd6de0a6166a3f' },
    b: { host: '10.77.0.2', clusterHost: '47a0d75b81b4d3ad' },
    c: { host: '10.77.0.3' },
};
// A client whose home went away is told at the latest after this.
const HOST_GONE_LIMIT = 15000;
const MESSAGES = process.env.FULL ? 20000 : 2000;
const SWARM = process.env.FULL ? 200 : 60;

// A client that keeps what it received, and confirms it at once.
async function attach(t, transport, url, key) {
    const inbox = new Inbox();
    const end = { reason: null };
    const client = newClient(transport, url, key, {
        onPack: (pack, text) => {
            const ids = inbox.take(pack, text);
            if (ids.length > 0) {
                client.confirm(ids);
            }
        },
        onEnd: (reason) => { end.reason = reason; },
    });
    t.after(() => client.close(true));
    await client.connect();
    return { client, inbox, end };
}

const attached = (backend, key) => until('the client is attached', async () => (await backend.session(key)).attached);

function scenario(place) {
    let zookeeper;
    let a;
    let b;

    test.before(async () => {
        zookeeper = await ZooKeeper.start(place.zookeeper);
        [a, b] = await Promise.all([startHost(zookeeper, place.a), startHost(zookeeper, place.b)]);
        await peersUp([a, b]);
    });
    test.after(async () => {
        await Promise.all([a, b].filter(Boolean).map((server) => server.dispose()));
        await zookeeper.dispose();
    });

    test('both hosts are announced as MAGE does, under their own names', async () => {
        const nodes = await zookeeper.nodes();
        const ids = await Promise.all([a, b].map(clusterIdOf));
        assert.deepStrictEqual(Object.keys(nodes).sort(), [...ids].sort());
        [[a, place.a, ids[0]], [b, place.b, ids[1]]].forEach(([server, { host, clusterHost }, id]) => {
            const { data, ephemeral } = nodes[id];
            assert.ok(ephemeral);
            assert.deepStrictEqual(Object.keys(data), ['ips', 'data']);
            assert.deepStrictEqual(data.ips, [host]);
            assert.deepStrictEqual(Object.keys(data.data), ['game', 'version', 'clusterId', 'timestamp']);
            assert.deepStrictEqual({ ...data.data, timestamp: 0 },
                { game: 'game', version: '1.2.3', clusterId: id, timestamp: 0 });
            assert.ok(Math.abs(Date.now() - data.data.timestamp) < 600000);
            assert.strictEqual(id.split(':')[1], String(server.config.mmrp.bind.port));
            if (clusterHost) {
                assert.strictEqual(id.split(':')[0], clusterHost);
            }
        });
    });

    for (const transport of TRANSPORTS) {
        test(`a session of A attaches at B by ${transport}: sends through A and B arrive in order`, async (t) => {
            const key = await a.backend.createSession(`bob-${transport}`);
            const { inbox } = await attach(t, transport, b.url, key);
            const count = 60;
            for (let i = 1; i <= count; i += 1) {
                const [result] = await (i % 2 ? a : b).backend.send(key, [['tick', i]]);
                assert.deepStrictEqual([result.to, result.outcome, result.ids], [key, 'queued', [i]]);
            }
            await until('all have arrived', () => inbox.highest === count);
            for (let i = 1; i <= count; i += 1) {
                assert.strictEqual(inbox.bodies.get(i), JSON.stringify([['tick', i]]));
            }
            if (transport !== 'sse') { // an event stream confirms with its next connection
                await until('all are confirmed', async () => (await a.backend.session(key)).pending === 0);
            }
        });
    }

    test('a session is read, told of and deleted through the other host', async (t) => {
        const key = await a.backend.createSession('carol', { ttl: 77 });
        const { inbox } = await attach(t, 'websocket', b.url, key);
        await attached(a.backend, key);
        const lines = await b.backend.sendMany([{ to: key, message: [['one']] }, { to: key, message: [['two']] }]);
        assert.deepStrictEqual(lines.map(({ results }) => results[0]), [
            { to: key, outcome: 'queued', ids: [1], attached: true }, { to: key, outcome: 'queued', ids: [2], attached: true }]);
        await until('both are confirmed', async () => (await b.backend.session(key)).pending === 0);
        const [here, there] = await Promise.all([a, b].map((server) => server.backend.session(key)));
        const { seconds } = here.attachment;
        assert.deepStrictEqual({ ...there, age: here.age, attachment: { ...there.attachment, seconds } }, here);
        assert.deepStrictEqual([there.sessionKey, there.ttl, there.lastId, there.confirmed], [key, 77, 2, 2]);
        await b.backend.deleteSession(key);
        await until('the client is told', () => inbox.unset === 'expired');
        for (const server of [a, b]) {
            const { status } = await server.backend.call('GET', `/sessions/${encodeURIComponent(key)}`);
            assert.strictEqual(status, 404);
            assert.strictEqual((await server.backend.send(key, [['late']]))[0].outcome, 'noSession');
        }
    });

    test('a client that guesses a key is refused at the other host as at home', async (t) => {
        const id = await clusterIdOf(a);
        const { inbox } = await attach(t, 'websocket', b.url, `bob:AAAAAAAAAAAAAAAAAAAAAA~${id.replace(':', '.')}`);
        await until('it is refused', () => inbox.unset === 'noSession');
        const gone = await attach(t, 'websocket', b.url, 'bob:AAAAAAAAAAAAAAAAAAAAAA~nobody.1');
        await until('an unknown home is given up', () => gone.inbox.unset === 'hostGone', HOST_GONE_LIMIT);
    });

    test('a broadcast through either host reaches every mailbox exactly once', async (t) => {
        const sessions = [];
        for (const home of [a, b]) {
            for (const at of [a, b, null]) {
                const key = await home.backend.createSession(`listener-${sessions.length}`);
                sessions.push({ key, home, ...(at ? await attach(t, 'websocket', at.url, key) : {}) });
                if (at) {
                    await attached(home.backend, key);
                }
            }
        }
        for (const server of [a, b]) {
            const answer = await server.backend.broadcast([['all', server === a ? 'from a' : 'from b']]);
            assert.deepStrictEqual([answer.peers, answer.peersFailed, answer.overLimit], [1, 0, 0]);
            await until('it is everywhere', async () => (await Promise.all(sessions.map(({ key, home }) =>
                home.backend.session(key)))).every((state) => state.lastId === (server === a ? 1 : 2)));
        }
        await until('every client has both', () => sessions.every(({ inbox }) => !inbox || inbox.highest === 2));
        for (const { key, home, inbox } of sessions) {
            const state = await until('it is confirmed', async () => {
                const now = await home.backend.session(key);
                return now.pending === (inbox ? 0 : 2) && now;
            });
            assert.strictEqual(state.lastId, 2);
            if (inbox) {
                assert.deepStrictEqual([...inbox.bodies.values()], ['[["all","from a"]]', '[["all","from b"]]']);
                assert.strictEqual(inbox.duplicates, 0);
            }
            await home.backend.deleteSession(key);
        }
    });

    test(`${MESSAGES} messages to clients that hop between the hosts: none is lost or out of order`, async (t) => {
        const random = new Random();
        t.diagnostic(`SEED=${random.seed}`);
        const swarm = new Swarm(random, () => random.pick([a, b]).url);
        t.after(() => swarm.stop());
        await swarm.join(a.backend, SWARM / 2, 'hopper');
        await swarm.join(b.backend, SWARM / 2, 'hopper');
        await swarm.rush([a.backend, b.backend], MESSAGES, { bulk: 40, restlessness: 0.04 });
        await swarm.settle();
        await until('nothing is left', async () => (await Promise.all(swarm.members.map((member) =>
            a.backend.session(member.key)))).every((state) => state.pending === 0));
    });

    test('another name or version is no peer', async (t) => {
        const strangers = await Promise.all([{ serviceVersion: '1.2.4' }, { serviceName: 'other' }].map((more) =>
            startHost(zookeeper, place.c, { workers: 1, ...more })));
        t.after(() => Promise.all(strangers.map((server) => server.dispose())));
        await until('all four are announced', async () => Object.keys(await zookeeper.nodes()).length === 4);
        const alike = await startHost(zookeeper, place.c, { workers: 1 });
        await peersUp([a, b, alike]); // whoever saw this one saw the others before
        await peersUp(strangers, 0);
        assert.strictEqual((await alike.stop()).code, 0);
        await peersUp([a, b]);
        await alike.dispose();
    });

    for (const [how, end] of [['stops in good order', (server) => server.stop()], ['is killed', killHost]]) {
        test(`B ${how}: its clients go on at A and miss nothing`, async (t) => {
            const random = new Random();
            t.diagnostic(`SEED=${random.seed}`);
            const up = new Set([a, b]);
            const swarm = new Swarm(random, () => (up.has(b) ? b : a).url);
            t.after(() => swarm.stop());
            await swarm.join(a.backend, 24, 'mover');
            await swarm.rush([a.backend, b.backend], 200, { bulk: 20 });
            const rush = swarm.rush([a.backend], 600, { bulk: 10 });
            up.delete(b);
            const result = await end(b);
            if (result) {
                assert.ok(result.code === 0 && result.ms < 3000, JSON.stringify(result));
            }
            await rush;
            swarm.members.forEach((member) => member.connect());
            await swarm.settle();
            await until('nothing is left', async () => (await Promise.all(swarm.members.map((member) =>
                a.backend.session(member.key)))).every((state) => state.pending === 0));
            await b.start();
            up.add(b);
            await peersUp([a, b]);
            const [member] = swarm.members;
            const [{ outcome }] = await b.backend.send(member.key, [['again']]);
            assert.strictEqual(outcome, 'queued');
        });
    }

    test('the home stops: its clients at the other host are told hostGone', async (t) => {
        const clients = [];
        for (const transport of TRANSPORTS) {
            const key = await a.backend.createSession(`left-${transport}`);
            clients.push({ key, ...await attach(t, transport, b.url, key) });
            await a.backend.send(key, [['hello']]);
        }
        await until('all are served', () => clients.every(({ inbox }) => inbox.highest === 1));
        const start = Date.now();
        assert.strictEqual((await a.stop()).code, 0);
        await until('all are told', () => clients.every(({ inbox }) => inbox.unset === 'hostGone'), HOST_GONE_LIMIT)
            .catch((error) => assert.fail(`${error.message}: ${clients.map(({ client, inbox }) => `${client.transport || client.constructor.name} ${inbox.unset}`)}`));
        t.diagnostic(`they were told ${Date.now() - start} ms after the stop began`);
        const [{ outcome }] = await b.backend.send(clients[0].key, [['late']]);
        assert.strictEqual(outcome, 'hostGone');
    });
}

// The namespaces' scenario runs in a process inside the one that has ZooKeeper and the clients.
if (process.env.TWO_HOSTS_PLACE) {
    scenario(JSON.parse(process.env.TWO_HOSTS_PLACE));
} else {
    const lacking = missing();
    test.describe('on two loopback addresses', { skip: lacking }, () => {
        if (!lacking) {
            scenario(LOOPBACK);
        }
    });
    test('in two network namespaces', { skip: lacking || impossible() }, (t) => {
        const addresses = Object.fromEntries(Object.entries(NAMESPACED).map(([name, { host }]) => [name, host]));
        const namespaces = new Namespaces(addresses);
        t.after(() => namespaces.dispose());
        const place = Object.fromEntries(Object.entries(NAMESPACED).map(([name, value]) =>
            [name, name === 'zookeeper' ? value : { ...value, netns: namespaces.names[name] }]));
        const { NODE_TEST_CONTEXT, ...env } = process.env;
        const { status, stdout, stderr } = spawnSync('ip', ['netns', 'exec', namespaces.names.zookeeper, process.execPath,
            '--test-reporter=spec', __filename], { env: { ...env, TWO_HOSTS_PLACE: JSON.stringify(place) }, encoding: 'utf8' });
        assert.strictEqual(status, 0, `${stdout}\n${stderr}`);
        t.diagnostic(stdout.split('\n').filter((line) => /^. (tests|pass|fail) /.test(line)).join(', '));
    });
}
