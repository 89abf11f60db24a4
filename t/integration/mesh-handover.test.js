'use strict';
// A connection that reads nothing, whose name another one takes over, and which then breaks: libzmq 4.3
// aborts when a heartbeat of its own is due there. Anybody who reaches the port can bring that about.

const assert = require('assert');
const net = require('net');
const test = require('node:test');
const { freePort, withServer } = require('./lib/server');
const { until } = require('./lib/wait');

const HOST = '127.0.0.1';
const LONG = 2;
const MORE = 1;
const READY = 4;
const HEARTBEATS_MS = 4500; // two intervals, and some more

// ZMTP 3.1, NULL mechanism (RFC 37).
const GREETING = Buffer.concat([Buffer.from('ff00000000000000007f0301', 'hex'), Buffer.from('NULL'), Buffer.alloc(48)]);

function uint32(number) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(number);
    return bytes;
}

function frame(body, flags) {
    const bytes = Buffer.from(body);
    return Buffer.concat([Buffer.from([flags | LONG]), uint32(0), uint32(bytes.length), bytes]);
}

const property = (name, value) => Buffer.concat([Buffer.from([name.length]), Buffer.from(name), uint32(value.length), Buffer.from(value)]);

const multipart = (...frames) => Buffer.concat(frames.map((body, i) => frame(body, i < frames.length - 1 ? MORE : 0)));

async function connect(port, identity) {
    const socket = net.connect(port, HOST);
    socket.on('error', () => {});
    let received = 0;
    socket.on('data', (data) => { received += data.length; });
    const ready = Buffer.concat([Buffer.from('\x05READY'), property('Socket-Type', 'DEALER'), property('Identity', identity)]);
    socket.write(Buffer.concat([GREETING, Buffer.from([READY, ready.length]), ready]));
    await until('the server is ready', () => received > GREETING.length);
    return socket;
}

test('a connection that was taken over and breaks does no harm', async () => {
    const port = await freePort(HOST);
    await withServer({ workers: 1, mmrp: { bind: { host: HOST, port } } }, async (server, backend) => {
        const [relay] = server.pids('relay-worker');
        // A handshake for somebody else comes back, with all that it said.
        const refused = multipart('nobody:1', '', JSON.stringify({ text: 'x'.repeat(3900) }), '', '\x01mmrp.handshake');
        const deaf = await connect(port, 'them:1');
        deaf.pause();
        for (let i = 0; i < 3000; i += 1) {
            deaf.write(refused);
        }
        await until('all of it is answered', async () => deaf.writableLength === 0 && (await backend.status()).workers === 1);
        const heir = await connect(port, 'them:1');
        heir.write(refused);
        await until('it is served', () => heir.bytesRead > 3900);
        deaf.write(refused);
        deaf.write(refused);
        await until('it is sent', () => deaf.writableLength === 0);
        deaf.resetAndDestroy();
        const end = Date.now() + HEARTBEATS_MS;
        await until('heartbeats were due', () => Date.now() > end || !server.pids('relay-worker').includes(relay));
        assert.deepStrictEqual(server.pids('relay-worker'), [relay], server.log);
        heir.destroy();
    });
});
