'use strict';
// kill -9 of the processes under load.

const assert = require('assert');
const net = require('net');
const test = require('node:test');
const { Random } = require('./lib/random');
const { Server, alive } = require('./lib/server');
const { Swarm } = require('./lib/swarm');
const { newClient } = require('./lib/clients');
const { until } = require('./lib/wait');

test('a client worker is killed: only its clients reconnect, and nothing is lost', async (t) => {
    const random = new Random();
    t.diagnostic(`SEED=${random.seed}`);
    const server = await Server.start({ workers: 3 });
    t.after(() => server.dispose());
    const swarm = new Swarm(random, () => server.url);
    t.after(() => swarm.stop());
    await swarm.join(server.backend, 150);
    // Settled clients of one transport, so that a lost connection is told apart from a restless one.
    await Promise.all(swarm.members.map((member) => member.connect('websocket')));
    const [victim] = server.pids('client-worker');
    // The senders' own connection may be the victim's too: a refused bulk is sent again by its order.
    const before = swarm.members.map((member) => member.ends.length);
    process.kill(victim, 'SIGKILL');
    await until('the worker is replaced', () => server.pids('client-worker').length === 3 && !alive(victim));
    await until('its clients are back', async () => (await server.backend.call('GET', '/status')).body.attached_stream >= 150);
    const dropped = swarm.members.filter((member, i) => member.ends.length > before[i]).length;
    assert.ok(dropped > 0 && dropped < 150, `${dropped} of 150 clients lost their connection`);
    await swarm.rush([server.backend], 2000, { restlessness: 0 });
    await swarm.settle();
    await until('nothing is left', async () => (await server.backend.status()).pending === 0);
    t.diagnostic(`${dropped} of 150 clients reconnected`);
});

test('a client worker is killed: no queued connection is reset', async (t) => {
    const server = await Server.start({ workers: 2 });
    t.after(() => server.dispose());
    const key = await server.backend.createSession('bob');
    const workers = server.pids('client-worker');
    // Stopped workers accept nothing: the connections wait in the listening sockets' queues.
    workers.forEach((pid) => process.kill(pid, 'SIGSTOP'));
    const outcomes = Array.from({ length: 100 }, () => new Promise((resolve) => {
        const socket = net.connect(server.port, '127.0.0.1');
        let received = '';
        socket.on('data', (data) => {
            received += data;
            socket.end();
        });
        socket.on('error', (error) => resolve(error.code));
        socket.on('close', () => resolve(received.split('\r\n')[0]));
        socket.write(`GET /msgstream?transport=shortpolling&sessionKey=${encodeURIComponent(key)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    }));
    process.kill(workers[0], 'SIGKILL');
    process.kill(workers[1], 'SIGCONT');
    const results = await Promise.all(outcomes);
    const wrong = results.filter((result) => !result.startsWith('HTTP/1.1 20'));
    assert.deepStrictEqual(wrong, [], `${wrong.length} of 100 queued connections failed`);
});

test('the relay is killed, and its memory store with it: clients are told, and a new session works within 2 s', async (t) => {
    const server = await Server.start({ workers: 2, store: { engine: 'memory' } });
    t.after(() => server.dispose());
    const unset = {};
    const clients = await Promise.all(['websocket', 'sse', 'longpolling'].map(async (transport) => {
        const key = await server.backend.createSession(transport);
        const client = newClient(transport, server.url, key, {
            onPack: (pack) => { unset[transport] = unset[transport] || (pack[0] && pack[0][0]); },
        });
        await client.connect();
        await until('it is attached', async () => (await server.backend.session(key)).attached);
        return client;
    }));
    t.after(() => clients.forEach((client) => client.close(true)));
    const [relay] = server.pids('relay-worker');
    const start = Date.now();
    process.kill(relay, 'SIGKILL');
    const key = await until('a session is made', async () => server.backend.createSession('anew'), 5000);
    const [result] = await server.backend.send(key, [['hello']]);
    const elapsed = Date.now() - start;
    assert.strictEqual(result.outcome, 'queued');
    assert.ok(elapsed < 2000, `a new session took ${elapsed} ms`);
    await until('every client is told', () => Object.keys(unset).length === 3);
    for (const event of Object.values(unset)) {
        assert.deepStrictEqual(event, ['session.unset', 'hostGone']);
    }
    t.diagnostic(`a new session worked ${elapsed} ms after the kill`);
});

test('SIGTERM stops everything in under 3 s, with clients told, and exits 0', async (t) => {
    const server = await Server.start({ workers: 2 });
    t.after(() => server.dispose());
    const ends = {};
    const clients = await Promise.all(['websocket', 'longpolling'].map(async (transport) => {
        const key = await server.backend.createSession(transport);
        const client = newClient(transport, server.url, key, {
            onPack: () => {},
            onEnd: (reason) => { ends[transport] = reason; },
        });
        await client.connect();
        await until('it is attached', async () => (await server.backend.session(key)).attached);
        return client;
    }));
    const { code, ms } = await server.stop();
    await until('the WebSocket is told', () => ends.websocket);
    clients.forEach((client) => client.close(true));
    assert.strictEqual(code, 0);
    assert.ok(ms < 3000, `it took ${ms} ms`);
    assert.strictEqual(ends.websocket, 1001);
});
