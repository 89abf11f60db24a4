'use strict';
// Messages, confirmations and sessions, seen by a client and by the backend; and every kind of listener.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { Backend } = require('./lib/backend');
const { newClient } = require('./lib/clients');
const { Raw, frame } = require('./lib/raw');
const { Server, freePort, get } = require('./lib/server');
const { until } = require('./lib/wait');

const UNSET = (reason) => `{"0":[["session.unset","${reason}"]]}`;
const query = (parameters) => new URLSearchParams(parameters).toString();
const target = (parameters) => `/msgstream?${query(parameters)}`;

let server;
let backend;

before(async () => {
    server = await Server.start({ msgStream: { pollPace: '50ms' }, sessions: { ttl: '2s' } });
    ({ backend } = server);
});
after(() => server.dispose());

const long = { ttl: 600 };
const poll = (sessionKey, more = {}) => get(`${server.url}?${query({ transport: 'shortpolling', sessionKey, ...more })}`);

async function sessionWith(actor, count) {
    const key = await backend.createSession(actor, long);
    if (count > 0) {
        await backend.send(key, ...Array.from({ length: count }, (_, i) => [[`e${i + 1}`]]));
    }
    return key;
}

test('message bodies reach the client byte for byte', async () => {
    const key = await backend.createSession('bytes', long);
    const bodies = [
        '[["n",1.0]]', '[["n",1e2],["m",-0.0]]', '[ ["a" , { "x" : 1 } ] ]', '[["\\u00e9\\u0041","é"]]',
        '[["k",{"b":1,"a":2,"b":3}]]', '[["big",12345678901234567890.123456789]]', '[["s","\\/\\b\\f\\ud83d\\ude00"]]',
        '[["t",\t[true,\r\nfalse,null]]]', '[["e",[]],["o",{}]]', '[["nul","\\u0000"]]', `[["deep",${'['.repeat(40)}${']'.repeat(40)}]]`,
    ];
    for (const body of bodies.slice(0, -1)) {
        await backend.must('POST', '/messages', `{"to":${JSON.stringify(key)},"message":${body}}`);
    }
    await backend.must('POST', '/messages', `{"messages":[ ${bodies.at(-1)} ],"to":[${JSON.stringify(key)}]}`);
    const { body } = await poll(key);
    assert.equal(body, `{${bodies.map((text, i) => `"${i + 1}":${text}`).join(',')}}`);
    assert.doesNotThrow(() => JSON.parse(body));
    const raw = await Raw.open(server);
    raw.write(`GET ${target({ transport: 'sse', sessionKey: key })} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until('the last event', () => raw.input.includes(`id: ${bodies.length}\n`) && raw.input.toString().endsWith('\n\n'));
    const events = raw.input.toString().split('\n\n').filter((text) => text.includes('id: ')).map((text) =>
        [...text.matchAll(/^data: ?(.*)$/gm)].map((match) => match[1]).join('\n'));
    assert.deepEqual(Object.assign({}, ...events.map((data) => JSON.parse(data))), JSON.parse(body), 'also with line breaks in a body');
    raw.destroy();
});

test('IDs start at 1, go up by 1, and are never used again', async () => {
    const key = await sessionWith('ids', 3);
    assert.equal((await poll(key)).body, '{"1":[["e1"]],"2":[["e2"]],"3":[["e3"]]}');
    assert.equal((await poll(key, { confirmIds: '3' })).status, 204);
    const [result] = await backend.send(key, [['next']]);
    assert.deepEqual(result.ids, [4]);
    assert.equal((await poll(key)).body, '{"4":[["next"]]}');
    const session = await backend.session(key);
    assert.deepEqual([session.lastId, session.confirmed, session.pending, session.dropped], [4, 3, 1, 0]);
});

test('confirmations of a poll, in every spelling that clients use', async () => {
    for (const [text, left] of [
        ['1', 2], ['1,2', 1], ['1%2C2', 1], ['1%2c2', 1], ['2,1', 1], ['1,1,1', 2], ['1,2,', 1], [',,2,', 1],
        ['0', 3], ['', 3], ['0,1', 2], ['000', 3], ['01', 2], ['3', 0], ['1,2,3', 0], [',', 3],
    ]) {
        const key = await sessionWith(`spelling ${text}`, 3);
        await poll(key);
        const answer = await get(`${server.url}?${query({ transport: 'shortpolling', sessionKey: key })}&confirmIds=${text}`);
        assert.equal(answer.status, left ? 200 : 204, text);
        assert.equal((await backend.session(key)).pending, left, text);
    }
});

test('confirmations of a WebSocket, in every spelling that clients use', async () => {
    const key = await sessionWith('ws spellings', 8);
    const raw = await Raw.websocket(server, target({ sessionKey: key }));
    await raw.frame();
    for (const [text, left] of [['0', 8], ['', 8], ['1', 7], ['1', 7], ['2,3', 5], ['2,3,', 5], ['4,,0', 4], ['6', 2], ['8,7', 0]]) {
        raw.write(Buffer.concat([frame('text', text), frame('ping', text)]));
        assert.equal((await raw.frame()).payload.toString(), text);
        await until(`${left} are left after ${text}`, async () => (await backend.session(key)).pending === left);
    }
    await backend.send(key, [['after all']]);
    assert.equal((await raw.frame()).payload.toString(), '{"9":[["after all"]]}');
    raw.destroy();
});

test('a confirmation comes with a request of any transport, before its delivery', async () => {
    const key = await sessionWith('any transport', 4);
    await poll(key);
    const url = (transport, ids) => `${server.url}?${query({ transport, sessionKey: key, confirmIds: ids })}`;
    assert.equal((await get(url('longpolling', '1'))).body, '{"2":[["e2"]],"3":[["e3"]],"4":[["e4"]]}');
    const raw = await Raw.websocket(server, target({ sessionKey: key, confirmIds: '1,2' }));
    assert.equal((await raw.frame()).payload.toString(), '{"3":[["e3"]],"4":[["e4"]]}');
    raw.destroy();
    const stream = await Raw.open(server);
    stream.write(`GET ${target({ transport: 'sse', sessionKey: key, confirmIds: '3' })} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until('the event', () => stream.input.includes('\n\n'));
    assert.ok(stream.input.includes('data: {"4":[["e4"]]}\n'));
    stream.destroy();
});

test('what no client sends is refused, and confirms nothing', async () => {
    const key = await sessionWith('bad confirms', 2);
    await poll(key);
    for (const bad of ['x', '1;2', '-1', '1.0', '+1', '0x1', '99999999999999999999999']) {
        assert.equal((await poll(key, { confirmIds: bad })).status, 400, bad);
        const raw = await Raw.websocket(server, target({ sessionKey: key }));
        raw.write(frame('text', bad));
        assert.equal((await raw.closeFrame()).code, 1008, bad);
        raw.destroy();
    }
    assert.equal((await backend.session(key)).pending, 2);
});

test('a confirmation above the counter: hostGone, and the session is gone', async () => {
    for (const [name, confirm] of [
        ['poll', async (key) => (await poll(key, { confirmIds: '7' })).body],
        ['websocket', async (key) => {
            const raw = await Raw.websocket(server, target({ sessionKey: key }));
            await raw.frame();
            raw.write(frame('text', '7'));
            const pack = (await raw.frame()).payload.toString();
            assert.equal((await raw.closeFrame()).code, 1000);
            return pack;
        }],
    ]) {
        const key = await sessionWith(`above ${name}`, 2);
        assert.equal(await confirm(key), UNSET('hostGone'), name);
        assert.equal((await poll(key)).body, UNSET('noSession'), name);
        assert.equal((await backend.send(key, [['x']]))[0].outcome, 'noSession', name);
    }
});

test('everything unconfirmed comes again on a new attachment, and only there', async () => {
    const key = await sessionWith('again', 2);
    for (let round = 1; round <= 3; round++) {
        const raw = await Raw.websocket(server, target({ sessionKey: key }));
        assert.match((await raw.frame()).payload.toString(), /^\{"1":/);
        await backend.send(key, [['more']]);
        assert.equal((await raw.frame()).payload.toString(), `{"${round + 2}":[["more"]]}`);
        raw.destroy();
        await until('it is detached', async () => !(await backend.session(key)).attached);
    }
});

test('a session lives while its client is attached, and expires afterwards', async () => {
    const [held, idle, polled] = await Promise.all(['held', 'idle', 'polled'].map((actor) => backend.createSession(actor, { ttl: 1 })));
    const raw = await Raw.websocket(server, target({ sessionKey: held }));
    const start = Date.now();
    await until('the idle session expires', async () => {
        await poll(polled);
        return (await backend.call('GET', `/sessions/${encodeURIComponent(idle)}`)).status === 404;
    }, 8000);
    assert.ok(Date.now() - start >= 900, `after ${Date.now() - start} ms`);
    assert.equal((await poll(idle)).body, UNSET('noSession'));
    assert.equal((await backend.session(held)).attached, true);
    assert.equal((await backend.session(polled)).ttl, 1, 'a poll pushes it on');
    await backend.send(held, [['late']]);
    assert.equal((await raw.frame()).payload.toString(), '{"1":[["late"]]}');
    raw.destroy();
    await until('the held session expires', async () =>
        (await backend.call('GET', `/sessions/${encodeURIComponent(held)}`)).status === 404, 8000);
});

test('the configured TTL is the default', async () => {
    assert.equal((await backend.session(await backend.createSession('default ttl'))).ttl, 2);
    assert.equal((await backend.session(await backend.createSession('own ttl', { ttl: '1h' }))).ttl, 3600);
});

test('deleting a session tells its client, on every transport', async () => {
    for (const transport of ['websocket', 'sse', 'longpolling']) {
        const key = await backend.createSession(`deleted ${transport}`, long);
        const packs = [];
        const client = newClient(transport, server.url, key, { onPack: (pack, text) => { packs.push(text); client.close(); } });
        await client.connect();
        await until('it is attached', async () => (await backend.session(key)).attached);
        await backend.deleteSession(key);
        await until('the client is told', () => packs.length > 0);
        assert.match(packs[0], /^\{"0":\[\["session\.unset","\w+"\]\]\}$/, transport);
        assert.equal((await backend.call('GET', `/sessions/${encodeURIComponent(key)}`)).status, 404);
    }
});

test('one order to many sessions, one answer per recipient', async () => {
    const [a, b] = [await sessionWith('amy', 1), await sessionWith('bob', 0)];
    const results = await backend.send([a, 'nobody:AAAAAAAAAAAAAAAAAAAAAA', b, 'nonsense', a], [['x']], [['y']]);
    assert.deepEqual(results.map(({ outcome }) => outcome), ['queued', 'noSession', 'queued', 'invalidSessionKey', 'queued']);
    assert.deepEqual(results.map(({ ids }) => ids), [[2, 3], undefined, [1, 2], undefined, [4, 5]]);
    const lines = await backend.sendMany([{ to: a, message: [['bulk']] }, { to: b, message: 'bad' }, { to: [a, b], message: [['z']] }]);
    assert.deepEqual(lines.map(({ line }) => line), [1, 2, 3]);
    assert.deepEqual(lines[0].results[0].ids, [6]);
    assert.equal(lines[1].error.code, 'badMessage');
    assert.deepEqual(lines[2].results.map(({ ids }) => ids), [[7], [3]]);
    const before = (await backend.session(b)).lastId;
    assert.ok((await backend.broadcast([['all']])).queued >= 2);
    assert.equal((await backend.session(b)).lastId, before + 1);
});

test('clients on a Unix socket and on IPv6, a backend on TCP with a token', async () => {
    const directory = fs.mkdtempSync(path.join(server.directory, 'listeners.'));
    const socketPath = path.join(directory, 'clients.sock');
    const tokenFile = path.join(directory, 'token');
    fs.writeFileSync(tokenFile, 'S3cret-token\n', { mode: 0o600 });
    const port = await freePort();
    const other = new Server({ clientHost: { bind: { file: socketPath } },
        backendHost: { bind: { host: '127.0.0.1', port }, tokenFile } });
    other.ready = () => until('the TCP backend listener answers', async () => (await status(other, port)) === 200, 20000);
    await other.start();
    try {
        const api = (method, where, body, authorization) => get(`http://127.0.0.1:${port}${where}`,
            { method, body: body && JSON.stringify(body), headers: authorization ? { authorization } : {} });
        for (const bad of [undefined, 'Bearer wrong', 'Bearer S3cret-toke', 'Bearer S3cret-token2', 'Basic S3cret-token', 'Bearer']) {
            const answer = await api('POST', '/sessions', { actorId: 'tcp' }, bad);
            assert.equal(answer.status, 401, bad);
            assert.equal(JSON.parse(answer.body).error.code, 'unauthorized');
            assert.match(answer.headers['www-authenticate'], /^Bearer/);
        }
        const created = await api('POST', '/sessions', { actorId: 'tcp' }, 'Bearer S3cret-token');
        assert.equal(created.status, 201);
        const { sessionKey } = JSON.parse(created.body);
        await api('POST', '/messages', { to: sessionKey, message: [['x']] }, 'bearer S3cret-token');
        const answer = await get(`http://x${target({ transport: 'shortpolling', sessionKey })}`, { socketPath });
        assert.equal(answer.body, '{"1":[["x"]]}');
        const raw = await Raw.websocket({ path: socketPath }, target({ sessionKey }));
        assert.equal((await raw.frame()).payload.toString(), '{"1":[["x"]]}');
        raw.destroy();
    } finally {
        await other.dispose();
    }
    assert.equal(fs.existsSync(socketPath), false, 'the socket file is gone with its server');
});

async function status(other, port) {
    if (other.exit) {
        throw new Error(`msgserverd ended: ${other.log}`);
    }
    return (await get(`http://127.0.0.1:${port}/status`, { headers: { authorization: 'Bearer S3cret-token' } })).status;
}

test('clients on IPv6', async () => {
    const port = await freePort('::1');
    const other = await Server.start({ clientHost: { bind: `http://[::1]:${port}` }, workers: 1 });
    try {
        const key = await other.backend.createSession('six');
        await other.backend.send(key, [['x']]);
        const answer = await get(`http://[::1]:${port}/msgstream?${query({ transport: 'shortpolling', sessionKey: key })}`);
        assert.equal(answer.body, '{"1":[["x"]]}');
        const raw = await Raw.websocket({ host: '::1', port }, target({ sessionKey: key }));
        assert.equal((await raw.frame()).payload.toString(), '{"1":[["x"]]}');
        raw.destroy();
    } finally {
        await other.dispose();
    }
});

test('the default backend socket is named in the log and works', async () => {
    const other = new Server({ workers: 1, backendHost: {} });
    other.ready = () => until('a backend socket', () => {
        const name = fs.readdirSync(other.directory).find((file) => file.endsWith('.sock'));
        other.found = name && path.join(other.directory, name);
        return name;
    }, 20000);
    await other.start();
    const api = new Backend(other.found);
    try {
        await until('it answers', async () => (await api.call('GET', '/status')).status === 200);
        assert.ok(other.log.includes(other.found));
    } finally {
        api.close();
        await other.dispose();
    }
});
