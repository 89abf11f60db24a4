'use strict';
// What n sends without a confirmation cost on the wire: n messages, not n * n / 2. Each ID goes once
// over a stream; a poll gets everything; what is never confirmed comes again only when it is to.

const assert = require('node:assert/strict');
const { after, before, test } = require('node:test');
const { Raw } = require('./lib/raw');
const { Server, get } = require('./lib/server');
const { newClient } = require('./lib/clients');
const { until } = require('./lib/wait');

const COUNT = 1000;
const PACE = 300;
const query = (parameters) => new URLSearchParams(parameters).toString();
const target = (parameters) => `/msgstream?${query(parameters)}`;
const ids = (count, first = 1) => Array.from({ length: count }, (_, i) => first + i);
const bodyOf = (id) => [['update', { number: id, text: 'x'.repeat(id % 200) }]];
const textOf = (id) => JSON.stringify(bodyOf(id));

let server;
let backend;

before(async () => {
    server = await Server.start({ workers: 2, msgStream: { pollPace: `${PACE}ms` } });
    ({ backend } = server);
});
after(() => server.dispose());

// One by one, so that each is a delivery of its own.
async function sendAll(key, count) {
    for (const id of ids(count)) {
        const [{ outcome, ids: given }] = await backend.send(key, bodyOf(id));
        assert.deepEqual([outcome, given], ['queued', [id]]);
    }
}

const attached = (key) => until('the client is attached', async () => (await backend.session(key)).attached);

// The frames that a server sent (not masked): [{header (bytes), payload}].
function framesIn(bytes) {
    const frames = [];
    for (let at = 0; at < bytes.length;) {
        const short = bytes[at + 1];
        const header = short < 126 ? 2 : (short === 126 ? 4 : 10);
        const length = short < 126 ? short
            : (short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2)));
        frames.push({ header, payload: bytes.subarray(at + header, at + header + length).toString() });
        at += header + length;
    }
    return frames;
}

test(`${COUNT} sends without a confirmation over one WebSocket`, async (t) => {
    const key = await backend.createSession('linear');
    const raw = await Raw.websocket(server, target({ sessionKey: key }));
    await attached(key);
    await sendAll(key, COUNT);
    await until('the last one is here', () => raw.input.includes(`"${COUNT}":`) && raw.input.subarray(-4).toString() === '}]]}');
    const frames = framesIn(raw.input);
    const packs = frames.map(({ payload }) => JSON.parse(payload));
    assert.deepEqual(packs.flatMap((pack) => Object.keys(pack).map(Number)), ids(COUNT), 'each ID once, in order');
    // For each message its pack and a WebSocket header of 2 bytes, of 4 for packs from 126 bytes on.
    const most = ids(COUNT).reduce((sum, id) => {
        const pack = `{"${id}":${textOf(id)}}`.length;
        return sum + pack + (pack < 126 ? 2 : 4);
    }, 0);
    const bodies = ids(COUNT).reduce((sum, id) => sum + textOf(id).length, 0);
    const wire = raw.input.length;
    t.diagnostic(`${wire} bytes in ${frames.length} frames; messages in packs and frames of their own: ${most}; ` +
        `ratio ${(wire / most).toFixed(4)}; to bare bodies ${(wire / bodies).toFixed(4)}`);
    assert.ok(wire <= most * 1.05, `${wire} bytes, ${most} were expected`);
    assert.equal(wire, frames.reduce((sum, { header, payload }) => sum + header + payload.length, 0));
    assert.equal((await backend.session(key)).pending, COUNT);
    raw.destroy();
});

test('the same over an event stream; a new one gets everything once more', async (t) => {
    const key = await backend.createSession('events');
    const listen = async () => {
        const raw = await Raw.open(server);
        raw.write(`GET ${target({ transport: 'sse', sessionKey: key })} HTTP/1.1\r\nHost: x\r\n\r\n`);
        return raw;
    };
    const events = ids(COUNT).map((id) => `id: ${id}\ndata: {"${id}":${textOf(id)}}\n\n`).join('');
    const first = await listen();
    await attached(key);
    await sendAll(key, COUNT);
    for (const raw of [first, await listen()]) {
        await until('the last event', () => raw.input.includes(`id: ${COUNT}\n`) && raw.input.subarray(-2).toString() === '\n\n');
        const text = raw.input.toString();
        const stream = text.slice(text.indexOf('\r\n\r\n') + 4).replace(/retry: \d+\n\n$/, '');
        assert.equal(stream, events);
        t.diagnostic(`${stream.length} bytes for ${events.length}`);
    }
});

test('each poll gets everything unconfirmed; identical answers are paced', async () => {
    const key = await backend.createSession('polls');
    const poll = (more = {}) => get(`${server.url}?${query({ transport: 'shortpolling', sessionKey: key, ...more })}`);
    const pack = (first, last) => `{${ids(last - first + 1, first).map((id) => `"${id}":${textOf(id)}`).join()}}`;
    await backend.send(key, ...ids(100).map(bodyOf));
    const start = Date.now();
    for (let polls = 1; polls <= 3; polls += 1) {
        assert.equal((await poll()).body, pack(1, 100));
        const took = Date.now() - start;
        assert.ok(took >= (polls - 1) * (PACE - 10), `${polls} polls took ${took} ms`);
    }
    await backend.send(key, bodyOf(101));
    assert.equal((await poll()).body, pack(1, 101));
    assert.equal((await poll({ confirmIds: '60' })).body, pack(61, 101));
    assert.equal((await poll({ transport: 'longpolling' })).body, pack(61, 101));
});

test('server.msgStream.redeliverAfter: what is never confirmed comes again, what is confirmed does not', async (t) => {
    const other = await Server.start({ workers: 2, msgStream: { redeliverAfter: '300ms' } });
    t.after(() => other.dispose());
    const clients = await Promise.all(['forgetful', 'proper'].map(async (name) => {
        const key = await other.backend.createSession(name);
        const packs = [];
        const client = newClient('websocket', other.url, key, { onPack: (pack, text) => packs.push(text) });
        t.after(() => client.close(true));
        await client.connect();
        await other.backend.send(key, [['one']]);
        await other.backend.send(key, [['two']]);
        return { key, client, packs, times: (id) => packs.filter((text) => text.includes(`"${id}":`)).length };
    }));
    const [forgetful, proper] = clients;
    await until('both have both', () => clients.every(({ times }) => times(2) > 0));
    proper.client.confirm([1, 2]);
    await until('one of them confirmed', async () => (await other.backend.session(proper.key)).pending === 0);
    const had = proper.packs.length;
    await until('everything comes again and again', () => forgetful.times(1) >= 4 && forgetful.times(2) >= 4);
    assert.equal(proper.packs.length, had);
    forgetful.client.confirm([1]);
    await until('the first is confirmed', async () => (await other.backend.session(forgetful.key)).pending === 1);
    await until('the second comes alone', () => forgetful.packs[forgetful.packs.length - 1].startsWith('{"2":'));
    const [ones, twos] = [forgetful.times(1), forgetful.times(2)];
    await until('the second comes still', () => forgetful.times(2) >= twos + 2);
    assert.equal(forgetful.times(1), ones);
    assert.ok((await other.backend.status()).redeliveries >= 5);
});
