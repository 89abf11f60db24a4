'use strict';
// Clients, strangers and backends that want to do harm, or do it by accident.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { newClient } = require('./lib/clients');
const { Raw } = require('./lib/raw');
const { Server, freePort, get } = require('./lib/server');
const { until } = require('./lib/wait');

async function withServer(config, work, options) {
    const server = await Server.start(config, options);
    try {
        await work(server, server.backend);
        assert.equal(server.exit, null);
    } finally {
        await server.dispose();
    }
}

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
