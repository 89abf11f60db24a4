'use strict';
// Clients that read nothing, and clients that are silent: what they cost is bounded, nobody else on
// their worker notices, and a session whose client is gone is free for the next.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { Inbox, newClient } = require('./lib/clients');
const { OPCODES, Raw } = require('./lib/raw');
const { SANITIZED, Server } = require('./lib/server');
const { until } = require('./lib/wait');

const MIB = 1 << 20;
const KIB = 1 << 10;
const MESSAGES = 20000; // in each phase, for two mailboxes
const BULK = 100;
const BODY = JSON.stringify([['fill', 'x'.repeat(1980)]]);
// Beside a body: {"1234":} and a frame's header, or an event's id, data and ends of lines; the first
// IDs are shorter.
const FRAMING = { websocket: 13, sse: 26 };
const FRAMING_ERROR = 4 * KIB;
// An event stream ends by itself when it carried half of what a mailbox may hold.
const LIMITS = { mailboxMessages: 20000, mailboxBytes: '16MiB', attachmentWindow: '64KiB' };
const MAILBOX = 16 * MIB;
const WINDOW = 64 * KIB;
const query = (parameters) => new URLSearchParams(parameters).toString();
const target = (parameters) => `/msgstream?${query(parameters)}`;

function residentBytes(server, program) {
    const [pid] = server.pids(program);
    return KIB * Number(/^RssAnon:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}

// Samples the memory of worker and relay; stop() tells by how much each grew at most.
function watchMemory(server) {
    const programs = ['client-worker', 'relay-worker'];
    const before = programs.map((program) => residentBytes(server, program));
    const most = [...before];
    const look = () => programs.forEach((program, i) => { most[i] = Math.max(most[i], residentBytes(server, program)); });
    const timer = setInterval(look, 20);
    return () => {
        clearInterval(timer);
        look();
        return most.map((bytes, i) => bytes - before[i]);
    };
}

const ESTABLISHED = '01';

// The kernel's queues of the connection from port `from` to port `to`.
function queues(from, to) {
    const ends = [from, to].map((port) => port.toString(16).toUpperCase().padStart(4, '0'));
    for (const line of fs.readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').slice(1)) {
        const [, local, remote, state, bytes] = line.trim().split(/\s+/);
        if (state === ESTABLISHED && local.endsWith(`:${ends[0]}`) && remote.endsWith(`:${ends[1]}`)) {
            const [sending, receiving] = bytes.split(':').map((number) => parseInt(number, 16));
            return { sending, receiving };
        }
    }
    return { sending: 0, receiving: 0 };
}

const receivedBytes = (server, port) => queues(port, server.port).receiving;
// What the server wrote and the client did not read.
const kernelBytes = (server, port) => queues(server.port, port).sending + receivedBytes(server, port);

const middle = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

// Sends to the keys in bulk, and to the healthy client in between: its latencies in ms.
async function rush(backend, keys, healthy) {
    const latencies = [];
    const counts = { queued: 0, overLimit: 0 };
    for (let sent = 0; sent < MESSAGES; sent += BULK) {
        const orders = Array.from({ length: BULK }, (_, i) => `{"to":"${keys[i % keys.length]}","message":${BODY}}\n`).join('');
        const bulk = backend.call('POST', '/messages', orders, { 'content-type': 'application/x-ndjson' });
        latencies.push(await healthy());
        const answer = await bulk;
        assert.equal(answer.status, 200);
        answer.text.trim().split('\n').forEach((line) => { counts[JSON.parse(line).results[0].outcome] += 1; });
    }
    return { latencies, counts };
}

// A client that confirms what it gets; measure() resolves with how long a message took.
async function healthyClient(t, server) {
    const key = await server.backend.createSession('healthy');
    let arrived = 0;
    const client = newClient('websocket', server.url, key, {
        onPack: (pack) => {
            arrived = Math.max(arrived, ...Object.keys(pack).map(Number));
            client.confirm([arrived]);
        },
    });
    t.after(() => client.close(true));
    await client.connect();
    return async () => {
        const start = process.hrtime.bigint();
        const [{ outcome, ids: [id] }] = await server.backend.send(key, [['tick']]);
        assert.equal(outcome, 'queued');
        await until('the message arrives', () => arrived >= id);
        return Number(process.hrtime.bigint() - start) / 1e6;
    };
}

// One that reads and confirms: an event stream by its reconnects.
async function readingClient(t, server, transport) {
    const key = await server.backend.createSession(`reader ${transport}`);
    const client = newClient(transport, server.url, key, {
        onPack: (pack) => client.confirm(Object.keys(pack)),
    });
    t.after(() => client.close(true));
    await client.connect();
    return key;
}

// One that asks, reads the head of the answer at most, and no more: {raw, key, skipped (bytes)}.
async function deafClient(t, server, transport) {
    const key = await server.backend.createSession(`deaf ${transport}`);
    const raw = transport === 'websocket' ? await Raw.websocket(server, target({ sessionKey: key })) : await Raw.open(server);
    if (transport === 'sse') {
        raw.write(`GET ${target({ transport, sessionKey: key })} HTTP/1.1\r\nHost: x\r\n\r\n`);
        await until('the head', () => raw.input.includes('\r\n\r\n'));
        raw.take(raw.input.length);
    }
    raw.socket.pause();
    t.after(() => raw.destroy());
    await until('it is attached', async () => (await server.backend.session(key)).attached);
    return { raw, key, transport };
}

test(`two clients read nothing of ${MESSAGES} messages: they cost what the limits say, and delay nobody`, async (t) => {
    const server = await Server.start({ workers: 1, limits: LIMITS, store: { size: '256MiB' } },
        { env: { ASAN_OPTIONS: 'abort_on_error=1:quarantine_size_mb=1:thread_local_quarantine_size_kb=64' } });
    t.after(() => server.dispose());
    const { backend } = server;
    const healthy = await healthyClient(t, server);
    const readers = await Promise.all(['websocket', 'sse'].map((transport) => readingClient(t, server, transport)));
    const before = await rush(backend, readers, healthy);
    await Promise.all(readers.map((key) => backend.deleteSession(key)));

    const deaf = await Promise.all(['websocket', 'sse'].map((transport) => deafClient(t, server, transport)));
    const grown = watchMemory(server);
    const { delivered: atFirst } = await backend.status();
    const meanwhile = await rush(backend, deaf.map(({ key }) => key), healthy);
    const [worker, relay] = grown();
    const { delivered } = await backend.status();

    const states = await Promise.all(deaf.map(({ key }) => backend.session(key)));
    const kept = states.reduce((sum, { pending }) => sum + pending, 0);
    assert.deepEqual([meanwhile.counts.queued, meanwhile.counts.overLimit], [kept, MESSAGES - kept]);
    states.forEach(({ attached, pendingBytes }) => assert.ok(attached && pendingBytes <= MAILBOX && pendingBytes > MAILBOX - MIB,
        JSON.stringify(states)));

    // What the relay gave to the worker is in the kernel, or waits in the worker.
    const given = (delivered - atFirst - meanwhile.latencies.length) * BODY.length;
    const kernel = deaf.map(({ raw }) => kernelBytes(server, raw.socket.localPort) + raw.socket.readableLength + raw.input.length);
    const framing = (kernel[0] / BODY.length) * FRAMING.websocket + (kernel[1] / BODY.length) * FRAMING.sse;
    const waiting = given - (kernel[0] + kernel[1] - framing);
    t.diagnostic(`given ${given}, in the kernel ${kernel.join(' + ')}, in the worker at most ${Math.round(waiting)} bytes`);
    assert.ok(given < kept * BODY.length, 'all was given to the worker: the kernel takes more than this test knows');
    assert.ok(waiting <= 2 * (WINDOW + BODY.length) + FRAMING_ERROR, `${waiting} bytes wait in the worker`);

    t.diagnostic(`the worker grew by ${(worker / MIB).toFixed(1)} MiB, the relay by ${(relay / MIB).toFixed(1)} MiB`);
    if (!SANITIZED) {
        assert.ok(worker < 4 * MIB, `the worker grew by ${worker} bytes`);
        assert.ok(relay < 2 * MAILBOX * 1.25 + 6 * MIB, `the relay grew by ${relay} bytes`);
    }
    const [usual, slowed] = [before.latencies, meanwhile.latencies].map((each) => ({ middle: middle(each), most: Math.max(...each) }));
    const show = ({ middle: half, most }) => `${half.toFixed(1)} ms (median), ${most.toFixed(1)} (most)`;
    t.diagnostic(`a healthy client beside readers ${show(usual)}, beside deaf ones ${show(slowed)}`);
    assert.ok(slowed.middle <= 5 * usual.middle + 10, `${show(slowed)} against ${show(usual)}`);
    assert.ok(slowed.most <= 5 * usual.most + 1000, `${show(slowed)} against ${show(usual)}`);
});

for (const busy of [false, true]) {
    const who = busy ? 'reads nothing of many messages' : 'says nothing';
    test(`a WebSocket that ${who} is dropped within two pingIntervals, and its session is free`, async (t) => {
        const INTERVAL = 2000;
        const server = await Server.start({ workers: 2, limits: LIMITS, msgStream: { transports: { websocket: { pingInterval: INTERVAL / 1000 } } } });
        t.after(() => server.dispose());
        const { backend } = server;
        const key = await backend.createSession('silent');
        const raw = await Raw.websocket(server, target({ sessionKey: key }));
        t.after(() => raw.destroy());
        await until('it is attached', async () => (await backend.session(key)).attached);
        let sent = 1;
        await backend.send(key, [['hello']]);
        if (busy) {
            raw.socket.pause();
            for (; sent < 3001; sent += 100) {
                await backend.must('POST', '/messages', `{"to":"${key}","messages":[${Array(100).fill(BODY).join()}]}`);
            }
        }
        // What the kernels still take is a sign of life: the server cannot see whose kernel it was.
        let start = Date.now();
        let taken = 0;
        await until('it is dropped', async () => {
            const now = busy ? kernelBytes(server, raw.socket.localPort) : 0;
            if (now > taken) {
                [taken, start] = [now, Date.now()];
            }
            return !(await backend.session(key)).attached;
        }, 10 * INTERVAL);
        const took = Date.now() - start;
        t.diagnostic(`dropped ${took} ms after its last sign of life`);
        assert.ok(took <= 2 * INTERVAL + 1000, `${took} ms`);
        if (!busy) {
            assert.equal((await raw.frame()).payload.toString(), '{"1":[["hello"]]}');
            assert.equal((await raw.frame()).opcode, OPCODES.ping);
            assert.equal(await raw.frame(), null);
        }
        const inbox = new Inbox();
        const client = newClient('websocket', server.url, key, { onPack: (pack, text) => client.confirm(inbox.take(pack, text)) });
        t.after(() => client.close(true));
        await client.connect();
        await backend.send(key, [['last']]);
        await until('the next one gets everything', () => inbox.highest === sent + 1);
        await until('and confirms it', async () => (await backend.session(key)).pending === 0);
    });
}
