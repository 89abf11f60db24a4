'use strict';
// WebSockets and event streams: handshakes, packs, closes, heartbeats, dead peers.

const assert = require('node:assert/strict');
const { after, before, test } = require('node:test');
const EventSource = require('eventsource');
const WebSocket = require('ws');
const { OPCODES, Raw, closePayload, frame } = require('./lib/raw');
const { Server, get } = require('./lib/server');
const { until } = require('./lib/wait');

const UNSET = (reason) => `{"0":[["session.unset","${reason}"]]}`;
const query = (parameters) => new URLSearchParams(parameters).toString();
const target = (parameters) => `/msgstream?${query(parameters)}`;

let server; // its heartbeats and pings come every second
let backend;

before(async () => {
    server = await Server.start({
        workers: 1,
        msgStream: {
            pollPace: '100ms',
            transports: { longpolling: { heartbeat: '1s' }, websocket: { pingInterval: '1s' }, sse: { heartbeat: '1s' } },
        },
    });
    ({ backend } = server);
});
after(() => server.dispose());

// An npm `ws` that remembers what came: {texts, code, reason, pings}.
function open(key, options = {}) {
    const url = `${(options.url || server.url).replace(/^http/, 'ws')}?${query({ sessionKey: key, ...options.more })}`;
    const socket = new WebSocket(key === undefined ? url.replace(/\?.*/, '') : url, options);
    const seen = { socket, texts: [], pings: 0 };
    socket.on('message', (data, isBinary) => seen.texts.push(isBinary ? null : data.toString()));
    socket.on('ping', () => { seen.pings += 1; });
    socket.on('error', (error) => { seen.error = error; });
    seen.closed = new Promise((resolve) => {
        socket.on('close', (code, reason) => resolve([code, reason.toString()]));
    });
    seen.opened = new Promise((resolve) => { socket.on('open', resolve); });
    return seen;
}

const texts = (client, count) => until(`${count} packs`, () => client.texts.length >= count && client.texts);
const attached = (key) => until('the client is attached', async () => (await backend.session(key)).attached);

test('a WebSocket gets packs as text frames: what waits, then only what is new', async () => {
    const key = await backend.createSession('ws');
    await backend.send(key, [['1']], [['2', { x: 1.5 }]]);
    const client = open(key);
    await texts(client, 1);
    const [result] = await backend.send(key, [['3']]);
    assert.deepEqual([result.outcome, result.ids, result.attached], ['queued', [3], true]);
    await texts(client, 2);
    assert.deepEqual(client.texts, ['{"1":[["1"]],"2":[["2",{"x":1.5}]]}', '{"3":[["3"]]}']);
    client.socket.send('1,2');
    await until('1 and 2 are confirmed', async () => (await backend.session(key)).pending === 1);
    client.socket.close(1000);
    assert.deepEqual(await client.closed, [1000, '']);
});

test('the handshake: accept, versions, and what is none', async () => {
    const key = await backend.createSession('handshake');
    const handshake = (lines) => `GET ${target({ sessionKey: key })} HTTP/1.1\r\nHost: x\r\n${lines}\r\n`;
    const ask = async (lines) => {
        const raw = await Raw.open(server);
        raw.write(handshake(lines));
        const answer = await raw.response();
        raw.destroy();
        return answer;
    };
    const rest = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    const good = await ask(`Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n${rest}`);
    assert.equal(good.status, 101);
    assert.equal(good.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    assert.equal(good.headers.upgrade.toLowerCase(), 'websocket');
    assert.equal(good.headers.connection.toLowerCase(), 'upgrade');
    assert.equal(good.headers['sec-websocket-extensions'], undefined);
    assert.equal((await ask(`Upgrade: WebSocket\r\nConnection: upgrade\r\n${rest}`)).status, 101);
    const old = await ask(`Upgrade: websocket\r\nConnection: Upgrade\r\n${rest.replace('13', '8')}`);
    assert.deepEqual([old.status, old.headers['sec-websocket-version']], [426, '13']);
    assert.equal((await ask(`Upgrade: websocket\r\n${rest}`)).status, 400);
    assert.equal((await ask('Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n')).status, 400);
});

test('a WebSocket with a bad session gets the reason as a text frame, then close 1000', async () => {
    for (const [key, reason] of [['nobody:AAAAAAAAAAAAAAAAAAAAAA', 'noSession'], ['nonsense', 'invalidSessionKey']]) {
        const client = open(key);
        assert.equal((await client.closed)[0], 1000, reason);
        assert.deepEqual(client.texts, [UNSET(reason)]);
    }
});

test('a WebSocket without sessionKey: close 1008', async () => {
    assert.equal((await open(undefined).closed)[0], 1008);
    assert.equal((await open('').closed)[0], 1008);
});

test('a second WebSocket for the address: the first is closed with 4001', async () => {
    const key = await backend.createSession('twice');
    const first = open(key);
    await attached(key);
    const second = open(key);
    assert.equal((await first.closed)[0], 4001);
    await backend.send(key, [['for the second']]);
    assert.deepEqual(await texts(second, 1), ['{"1":[["for the second"]]}']);
    assert.deepEqual(first.texts, []);
    second.socket.close();
    await second.closed;
});

test('a second connection of any transport: an event stream is told to stay away for 5 seconds, and ends', async () => {
    const key = await backend.createSession('evicted');
    for (const evict of [
        async () => { open(key).socket.on('open', function close() { this.close(); }); },
        () => get(`${server.url}?${query({ transport: 'shortpolling', sessionKey: key })}`),
        async () => { (await Raw.open(server)).write(`GET ${target({ transport: 'sse', sessionKey: key })} HTTP/1.1\r\nHost: x\r\n\r\n`); },
    ]) {
        await until('nobody is attached', async () => !(await backend.session(key)).attached);
        const stream = await Raw.open(server);
        stream.write(`GET ${target({ transport: 'sse', sessionKey: key })} HTTP/1.1\r\nHost: x\r\n\r\n`);
        await attached(key);
        await evict();
        await stream.closed();
        assert.match(stream.input.toString(), /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n(:[^\n]*\n\n)?retry: 5000\n\n$/);
    }
});

test('a binary frame: close 1003 with the original\'s sentence', async () => {
    const key = await backend.createSession('binary');
    const client = open(key);
    await client.opened;
    client.socket.send(Buffer.from([1, 2, 3]));
    assert.deepEqual(await client.closed, [1003, 'MAGE only supports text data']);
});

test('fragments, control frames in between, bytes one by one', async () => {
    const key = await backend.createSession('fragments');
    await backend.send(key, [['1']], [['2']], [['3']]);
    const raw = await Raw.websocket(server, target({ sessionKey: key }));
    await raw.frame();
    const bytes = Buffer.concat([frame('text', '1,', { fin: false }), frame('ping', 'between'),
        frame('continuation', '', { fin: false }), frame('pong'), frame('continuation', '2')]);
    for (const byte of bytes) {
        raw.write(Buffer.from([byte]));
    }
    const pong = await raw.frame();
    assert.deepEqual([pong.opcode, pong.payload.toString()], [OPCODES.pong, 'between']);
    await until('1 and 2 are confirmed', async () => (await backend.session(key)).pending === 1);
    raw.write(frame('close', closePayload(4321, 'bye')));
    assert.equal((await raw.closeFrame()).code, 4321);
    await raw.closed();
});

test('a confirmation may come in the same packet as the handshake', async () => {
    const key = await backend.createSession('eager');
    await backend.send(key, [['1']]);
    const raw = await Raw.open(server);
    raw.write(Buffer.concat([Buffer.from(`GET ${target({ sessionKey: key, confirmIds: '0' })} HTTP/1.1\r\nHost: x\r\n` +
        'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'), frame('ping', 'early')]));
    assert.equal((await raw.response()).status, 101);
    const frames = [await raw.frame(), await raw.frame()].map(({ payload }) => payload.toString()).sort();
    assert.deepEqual(frames, ['early', '{"1":[["1"]]}']);
    raw.destroy();
});

test('silent WebSockets are pinged, live ones stay, a dead peer is dropped', async () => {
    const key = await backend.createSession('alive');
    const alive = open(key);
    const deadKey = await backend.createSession('dead');
    const dead = await Raw.websocket(server, target({ sessionKey: deadKey }));
    await attached(deadKey);
    assert.equal((await dead.frame()).opcode, OPCODES.ping);
    await dead.closed(5000);
    await until('the dead one is detached', async () => !(await backend.session(deadKey)).attached);
    await until('two pings', () => alive.pings >= 2);
    await backend.send(key, [['still here']]);
    await texts(alive, 1);
    alive.socket.close();
    await alive.closed;
});

test('a long poll with nothing to say ends with 204 after its heartbeat', async () => {
    const key = await backend.createSession('heartbeat');
    const start = Date.now();
    const answer = await get(`${server.url}?${query({ transport: 'longpolling', sessionKey: key })}`);
    assert.equal(answer.status, 204);
    assert.equal(answer.headers.pragma, 'no-cache');
    assert.ok(Date.now() - start >= 950, `after ${Date.now() - start} ms`);
    await until('it is detached', async () => !(await backend.session(key)).attached);
});

test('an event stream: events with ids, a comment as heartbeat, the end of a session', async () => {
    const key = await backend.createSession('events');
    const raw = await Raw.open(server);
    raw.write(`GET ${target({ transport: 'sse', sessionKey: key })} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until('the head', () => raw.input.includes('\r\n\r\n'));
    const head = raw.take(raw.input.indexOf('\r\n\r\n') + 4).toString();
    assert.match(head, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(head, /\r\ncontent-type: text\/event-stream\r\n/);
    assert.match(head, /\r\ncache-control: no-cache\r\n/);
    await until('a comment', () => /^:.*\n/.test(raw.input.toString()));
    raw.take(raw.input.length);
    await backend.send(key, [['one']], [['two']]);
    await until('the events', () => raw.input.includes('id: 1\ndata: {"1":[["one"]]}\n\nid: 2\ndata: {"2":[["two"]]}\n\n'));
    await backend.deleteSession(key);
    await raw.closed();
    assert.match(raw.input.toString(), /data: \{"0":\[\["session\.unset","\w+"\]\]\}\n\n/);
});

test('Last-Event-ID and confirmIds confirm; a new stream gets what is unconfirmed', async () => {
    const key = await backend.createSession('resume');
    const url = `${server.url}?${query({ transport: 'sse', sessionKey: key })}`;
    const listen = (count, options, address = url) => new Promise((resolve, reject) => {
        const source = new EventSource(address, options);
        const events = [];
        source.onerror = reject;
        source.onmessage = (event) => {
            events.push(`${event.lastEventId} ${event.data}`);
            if (events.length === count) {
                source.close();
                resolve(events);
            }
        };
    });
    await backend.send(key, [['a']], [['b']], [['c']], [['d']]);
    assert.deepEqual(await listen(4), ['1 {"1":[["a"]]}', '2 {"2":[["b"]]}', '3 {"3":[["c"]]}', '4 {"4":[["d"]]}']);
    assert.deepEqual(await listen(2, { headers: { 'Last-Event-ID': '2' } }), ['3 {"3":[["c"]]}', '4 {"4":[["d"]]}']);
    assert.equal((await backend.session(key)).confirmed, 2);
    assert.deepEqual(await listen(1, {}, `${url}&confirmIds=3`), ['4 {"4":[["d"]]}']);
    assert.equal((await get(`${server.url}?${query({ transport: 'shortpolling', sessionKey: key, confirmIds: 4 })}`)).status, 204);
    assert.equal((await backend.session(key)).pending, 0);
});

test('an event stream reconnects by itself and misses nothing', async () => {
    const key = await backend.createSession('browser');
    const events = [];
    const source = new EventSource(`${server.url}?${query({ transport: 'sse', sessionKey: key })}`);
    source.onmessage = (event) => events.push(event.data);
    await attached(key);
    await backend.send(key, [['1']]);
    await until('the first event', () => events.length === 1);
    const [worker] = server.pids('client-worker');
    process.kill(worker, 'SIGKILL');
    await until('another worker', () => server.pids('client-worker').some((pid) => pid !== worker));
    await until('the message is sent', async () => (await backend.send(key, [['2']]))[0].outcome === 'queued');
    await until('the second event', () => events.some((data) => data.includes('"2"')), 15000);
    assert.deepEqual(events, ['{"1":[["1"]]}', '{"2":[["2"]]}'], 'the first was confirmed by Last-Event-ID');
    source.close();
});

test('a bad session on an event stream: the reason as an event, and the end', async () => {
    const raw = await Raw.open(server);
    raw.write(`GET ${target({ transport: 'sse', sessionKey: 'nobody:BBBBBBBBBBBBBBBBBBBBBB' })} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const answer = await raw.response();
    assert.equal(answer.status, 200);
    assert.ok(answer.body.startsWith(`data: ${UNSET('noSession')}\n\n`), answer.body);
});

test('a stop tells everybody: polls 204 and Connection: close, WebSockets 1001', async () => {
    const other = await Server.start({ workers: 2 });
    const keys = await Promise.all(['ws', 'long', 'sse'].map((name) => other.backend.createSession(name)));
    const client = open(keys[0], { url: other.url });
    const [long, sse, idle] = [await Raw.open(other), await Raw.open(other), await Raw.open(other)];
    long.write(`GET ${target({ transport: 'longpolling', sessionKey: keys[1] })} HTTP/1.1\r\nHost: x\r\n\r\n`);
    sse.write(`GET ${target({ transport: 'sse', sessionKey: keys[2] })} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until('all are attached', async () => (await Promise.all(keys.map((key) => other.backend.session(key))))
        .every((session) => session.attached));
    const stopped = other.stop();
    const answer = await long.response();
    assert.equal(answer.status, 204);
    assert.equal(answer.headers.connection, 'close');
    assert.equal((await client.closed)[0], 1001);
    await Promise.all([long.closed(), sse.closed(), idle.closed()]);
    const { code, ms } = await stopped;
    assert.equal(code, 0);
    assert.ok(ms < 3000, `stopped after ${ms} ms`);
    await other.dispose();
});
