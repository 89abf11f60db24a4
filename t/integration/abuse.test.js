'use strict';
// Clients, strangers and backends that want to do harm, or do it by accident.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { newClient } = require('./lib/clients');
const { Raw } = require('./lib/raw');
const { Server, freePort, get, withServer } = require('./lib/server');
const { until } = require('./lib/wait');

// A confirmation of everything in a pack must fit into a request head or a WebSocket message, or the
// client would be refused and get the same pack for ever.
for (const transport of ['longpolling', 'shortpolling', 'websocket']) {
    test(`very many tiny messages are confirmed pack by pack: ${transport}`, () => withServer({}, async (server, backend) => {
        const COUNT = 9000;
        const key = await backend.createSession('tiny');
        await backend.send(key, ...Array.from({ length: COUNT }, () => []));
        const ends = [];
        let received = 0;
        const client = newClient(transport, server.url, key, {
            onPack: (pack) => {
                received += Object.keys(pack).length;
                client.confirm(Object.keys(pack));
            },
            onEnd: (reason) => ends.push(reason),
        });
        await client.connect();
        await until('everything is confirmed', async () => ends.length > 0 ||
            (await backend.session(key)).confirmed === COUNT, 30000);
        assert.deepEqual(ends, []);
        assert.equal(received, COUNT);
        client.close();
    }));
}

// Each answer that a client does not read is kept until its connection ends, and it may open many.
test('the answer to a poll is bounded by the window too', () => withServer({}, async (server, backend) => {
    const key = await backend.createSession('hoarder');
    await backend.send(key, ...Array.from({ length: 100 }, () => [['e', 'x'.repeat(10000)]]));
    const { body } = await get(`${server.url}?transport=longpolling&sessionKey=${encodeURIComponent(key)}`);
    assert.ok(body.length > 50000 && body.length < 70000, `${body.length} bytes`);
}));

test('a stranger on the backend port is refused before its body', async (t) => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'msgserver-abuse.'));
    t.after(() => fs.rmSync(directory, { recursive: true }));
    const tokenFile = path.join(directory, 'token');
    fs.writeFileSync(tokenFile, 'S3cret\n', { mode: 0o600 });
    const port = await freePort();
    const server = await Server.start({ backendHost: { bind: { host: '127.0.0.1', port }, tokenFile } }, { ready: false });
    t.after(() => server.dispose());
    for (const head of ['Content-Length: 9999999', 'Transfer-Encoding: chunked',
        'Content-Length: 9999999\r\nAuthorization: Bearer wrong', 'Content-Length: 9999999\r\nExpect: 100-continue']) {
        const raw = await until('the port is open', () => Raw.open({ host: '127.0.0.1', port }));
        raw.write(`POST /messages HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`);
        const { status } = await raw.response();
        assert.equal(status, 401, head);
        await raw.closed();
    }
});

test('clients that use up all descriptors keep out neither backends nor a new relay', () => withServer({ workers: 1 }, async (server, backend) => {
    const [worker] = server.pids('client-worker');
    const [relay] = server.pids('relay-worker');
    const clients = await Promise.all(Array.from({ length: 400 }, () => Raw.open(server)));
    try {
        await until('some are closed', () => clients.some((client) => client.ended));
        server.backend.close(); // new connections
        await backend.createSession('early');
        process.kill(relay, 'SIGKILL');
        await until('there is a new relay', () => server.pids('relay-worker').some((pid) => pid !== relay));
        await until('it takes sessions', () => backend.createSession('late'));
        assert.deepEqual(server.pids('client-worker'), [worker]);
    } finally {
        clients.forEach((client) => client.destroy());
    }
}, { descriptors: 300 }));

test('strangers that use up the relay\'s descriptors do not keep it from a new worker', async (t) => {
    const server = await Server.start({ workers: 1, mmrp: { bind: { host: '127.0.0.1', port: '*' } } }, { descriptors: 300 });
    t.after(() => server.dispose());
    const [relay] = server.pids('relay-worker');
    const [worker] = server.pids('client-worker');
    const port = Number(/mmrp_port=(\d+)/.exec(server.log)[1]);
    const strangers = [];
    t.after(() => strangers.forEach((stranger) => stranger.destroy()));
    for (let i = 0; i < 350; i += 1) {
        strangers.push(new Raw(net.connect({ host: '127.0.0.1', port })));
    }
    await until('the relay is at its limit', () => fs.readdirSync(`/proc/${relay}/fd`).length >= 230);
    process.kill(worker, 'SIGKILL');
    await until('there is a new worker', () => server.pids('client-worker').some((pid) => pid !== worker));
    await until('it reaches the relay', () => server.backend.createSession('late'));
    assert.deepEqual(server.pids('relay-worker'), [relay]);
});

test('bulk requests of very many lines, recipients or homes cost no more than they should', () => withServer({ workers: 1 }, async (server, backend) => {
    const lines = await backend.call('POST', '/messages', 'x\n'.repeat(8000000), { 'content-type': 'application/x-ndjson' });
    assert.equal(lines.status, 400);
    assert.equal(lines.body.error.code, 'badRequest');
    const recipients = await backend.call('POST', '/messages', `{"message":[],"to":[""${',""'.repeat(4000000)}]}`);
    assert.equal(recipients.status, 400);
    assert.equal(recipients.body.error.code, 'badRequest');

    const start = Date.now();
    const to = Array.from({ length: 20000 }, (_, i) => `bob:x~host-${i}.1`);
    const { results } = await backend.must('POST', '/messages', { to, message: [] });
    assert.equal(results.filter((result) => result.outcome === 'hostGone').length, to.length);
    assert.ok(Date.now() - start < 10000, `${Date.now() - start} ms`);
}));
