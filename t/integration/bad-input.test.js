'use strict';
// Malformed requests, frames and API calls, sent to a live server: each gets its error, and neither a
// process nor another client notices.

const assert = require('node:assert/strict');
const { after, before, beforeEach, afterEach, test } = require('node:test');
const { newClient } = require('./lib/clients');
const { Raw, closePayload, frame } = require('./lib/raw');
const { Server, get } = require('./lib/server');
const { until } = require('./lib/wait');

const query = (parameters) => new URLSearchParams(parameters).toString();

let server;
let backend;
let processes;
let witness; // another client, connected all the time

const allProcesses = () => [server.process.pid, ...server.pids('relay-worker'), ...server.pids('client-worker')].join();

before(async () => {
    server = await Server.start({ workers: 2, limits: { backendBodyBytes: '64KiB', messageBytes: '1KiB' } });
    ({ backend } = server);
    processes = allProcesses();
    const key = await backend.createSession('witness');
    witness = { key, packs: [], ended: false };
    witness.client = newClient('websocket', server.url, key, {
        onPack: (pack) => witness.packs.push(pack), onEnd: () => { witness.ended = true; },
    });
    await witness.client.connect();
});
after(async () => {
    witness.client.close();
    await server.dispose();
});

beforeEach(() => assert.equal(allProcesses(), processes));
afterEach(async () => {
    assert.equal(allProcesses(), processes, `a process died:\n${server.log.slice(-4000)}`);
    const before = witness.packs.length;
    await backend.send(witness.key, [['still there']]);
    await until('the witness gets its message', () => witness.packs.length > before);
    assert.equal(witness.ended, false);
    assert.equal((await get(`http://${server.host}:${server.port}/check.txt`)).body, 'OK');
});

// --- HTTP -----------------------------------------------------------------------------------------

const HOST = 'Host: x\r\n';
const GET = 'GET /check.txt HTTP/1.1\r\n';
const chunked = (body) => `POST /check.txt HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${body}`;
const line = (text) => `${text}\r\n${HOST}\r\n`;
const fields = (text) => `${GET}${text}\r\n`;

const BAD_HTTP = [
    // request lines
    ['GET\r\n\r\n', 400], ['GET /\r\n\r\n', 400], ['\n\nGET / HTTP/1.1\r\n', 400], [line(' GET / HTTP/1.1'), 400],
    [line('GET  / HTTP/1.1'), 400], [line('GET /  HTTP/1.1'), 400], [line('GET / HTTP/1.1 '), 400],
    [line('GET / http/1.1'), 400], [line('GET / HTTP/11'), 400], [line('GET / HTTP/1'), 400],
    [line('GET / HTTP/1.1.1'), 400], [line('GET / HTTX/1.1'), 400], [line('GET foo HTTP/1.1'), 400],
    [line('GET * HTTP/1.1'), 400], [line('CONNECT x:80 HTTP/1.1'), 400], [line('GET /a#b HTTP/1.1'), 400],
    [line('GET /\x01 HTTP/1.1'), 400], [line('GET /\x7f HTTP/1.1'), 400], [line('GET /é HTTP/1.1'), 400],
    [line('G\0ET / HTTP/1.1'), 400], [line('GET\t/ HTTP/1.1'), 400], [`GET / HTTP/1.1\n${HOST}\n`, 400],
    [`GET / HTTP/1.1\r\r\n${HOST}\r\n`, 400], [line('(GET) / HTTP/1.1'), 400], [line(`${'A'.repeat(33)} / HTTP/1.1`), 400],
    [line('GET http:// HTTP/1.1'), 400], [line('GET http://a,b/ HTTP/1.1'), 400], [line('GET ftp://x/ HTTP/1.1'), 400],
    [Buffer.from('160301020001000100', 'hex'), 400], [Buffer.alloc(64), 400], [Buffer.alloc(64, 0xff), 400],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505], [line('GET / HTTP/2.0'), 505], [line('GET / HTTP/0.9'), 505],
    [line('GET / HTTP/3.1'), 505], [`GET /${'a'.repeat(20000)}`, 414], ['B'.repeat(20000), 400],
    // Host
    [fields(''), 400], [fields('Host: x\r\nHost: x\r\n'), 400], [fields('Host:\r\n'), 400], [fields('Host: a b\r\n'), 400],
    [fields('Host: a,b\r\n'), 400], [fields('Host: x:port\r\n'), 400], [fields('Host: [::1\r\n'), 400],
    [fields('Host: x/y\r\n'), 400], [fields('Host: x:123456\r\n'), 400],
    // fields
    [fields(`Host : x\r\n`), 400], [fields(`${HOST}NoColon\r\n`), 400], [fields(`${HOST}: x\r\n`), 400],
    [fields(`${HOST}X Y: z\r\n`), 400], [fields(`${HOST}A: b\r\n c\r\n`), 400], [fields(`${HOST}A: b\0c\r\n`), 400],
    [fields(`${HOST}A: b\x01\r\n`), 400], [fields(`${HOST}A: b\nB: c\r\n`), 400], [fields(`${HOST}A: \x7f\r\n`), 400],
    [fields(`${HOST}A: b\rc\r\n`), 400], [fields(`${HOST}é: x\r\n`), 400], [fields(`${HOST}A: ${'b'.repeat(20000)}`), 431],
    [fields(`${HOST}${'A: b\r\n'.repeat(64)}`), 431],
    // lengths
    ...['-1', '+1', 'a', '1,1', '1 1', '', '0x10', '99999999999999999999', '1.0', '1\r\nContent-Length: 1',
        '1\r\nContent-Length: 2', '1\r\nTransfer-Encoding: chunked'].map((length) =>
        [fields(`${HOST}Content-Length: ${length}\r\n`), 400]),
    [fields(`${HOST}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n`), 400],
    [`GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n`, 400],
    ...['gzip', 'chunked, gzip', 'gzip, chunked', 'identity', 'xchunked', 'chunked\r\nTransfer-Encoding: chunked'].map(
        (coding) => [fields(`${HOST}Transfer-Encoding: ${coding}\r\n`), 501]),
    [fields(`${HOST}Content-Length: 999999999999999\r\n`), 413],
    // chunks
    ...['zz\r\n', '-1\r\n', ' 5\r\n', '5 \r\n', '5\n', '5;\0\r\n', ';x\r\n', '\r\n', '1\r\nab\r\n', '1\r\na\nb', '0x1\r\n',
        '00000000000000000000001\r\n', `1;${'x'.repeat(100)}`, '0\r\n\n', '0\r\nA b: c\r\n', '0\r\n:\r\n'].map(
        (body) => [chunked(body), 400]),
    [chunked('ffffffff\r\n'), 413], [chunked('fffffffffffffff0\r\n'), 413],
    [chunked(`0\r\nA: ${'b'.repeat(5000)}`), 431],
];

test(`${BAD_HTTP.length} malformed requests: a status, Connection: close, and the end`, async () => {
    assert.ok(BAD_HTTP.length >= 50);
    await Promise.all(BAD_HTTP.map(async ([text, expected]) => {
        const name = JSON.stringify(text.toString('latin1').slice(0, 120));
        const raw = await Raw.open(server);
        raw.write(typeof text === 'string' ? Buffer.from(text) : text);
        const answer = await raw.response().catch((error) => assert.fail(`${name}: ${error.message}`));
        assert.equal(answer.status, expected, name);
        assert.equal(answer.headers.connection, 'close', name);
        assert.equal(answer.headers['content-type'], 'text/plain; charset=UTF-8', name);
        assert.ok(answer.body.length > 10, name);
        await raw.closed();
        raw.destroy();
    }));
});

test('the same bytes one by one end with the same status', async () => {
    await Promise.all(BAD_HTTP.filter(([text]) => text.length < 200).map(async ([text, expected]) => {
        const raw = await Raw.open(server);
        for (const byte of Buffer.from(text)) {
            raw.write(Buffer.from([byte]));
            await new Promise(setImmediate);
        }
        const name = JSON.stringify(text.toString('latin1'));
        const answer = await raw.response().catch((error) => assert.fail(`${name}: ${error.message}`));
        assert.equal(answer.status, expected, name);
        raw.destroy();
    }));
});

test('a malformed request after a good one; on the backend listener the error is JSON', async () => {
    for (const [text, expected] of BAD_HTTP.filter((_, i) => i % 7 === 0)) {
        const raw = await Raw.open(server);
        raw.write(`${GET}${HOST}\r\n`);
        assert.equal((await raw.response()).status, 200);
        raw.write(Buffer.from(text));
        assert.equal((await raw.response()).status, expected);
        await raw.closed();
        const api = await Raw.open({ path: server.backendSocket });
        api.write(Buffer.from(text));
        const answer = await api.response();
        if (expected !== 413) { // a backend may send more
            assert.equal(answer.status, expected);
            assert.match(JSON.parse(answer.body).error.code, /^\w+$/);
        }
        api.destroy();
    }
});

// --- WebSocket ------------------------------------------------------------------------------------

const INVALID_UTF8 = ['ff', '80', 'c080', 'eda080', 'f4908080', 'e282', 'f0288cbc', 'c1bf', '31e28231', 'fe'].map((hex) =>
    Buffer.from(hex, 'hex'));
const start = frame('text', '0', { fin: false });

const BAD_FRAMES = [
    ...['text', 'binary', 'ping', 'pong', 'close', 'continuation'].map((opcode) => [frame(opcode, '', { mask: false }), 1002]),
    ...[1, 2, 3, 4, 5, 6, 7].map((rsv) => [frame('text', '1', { rsv }), 1002]),
    ...['ping', 'continuation', 'close'].map((opcode) => [frame(opcode, '', { rsv: 4 }), 1002]),
    ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [frame(opcode, '1'), 1002]),
    ...['ping', 'pong', 'close'].map((opcode) => [frame(opcode, '', { fin: false }), 1002]),
    ...['ping', 'pong', 'close'].map((opcode) => [frame(opcode, 'x'.repeat(126)), 1002]),
    [frame('ping', '', { lengthForm: 8, length: 2 ** 40 }), 1002],
    [frame('continuation', '1'), 1002], [frame('continuation', '', { fin: false }), 1002],
    [Buffer.concat([start, frame('text', '2')]), 1002], [Buffer.concat([start, frame('binary', '2')]), 1002],
    [Buffer.concat([start, frame('continuation', ''), frame('continuation', '')]), 1002],
    [Buffer.concat([start, frame('ping', '', { fin: false })]), 1002],
    [frame('close', 'x'), 1002],
    ...[0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535].map((code) =>
        [frame('close', closePayload(code)), 1002]),
    [frame('close', Buffer.concat([closePayload(1000), Buffer.from([0xff])])), 1007],
    ...INVALID_UTF8.map((text) => [frame('text', text), 1007]),
    [Buffer.concat([frame('text', Buffer.from([0xe2]), { fin: false }), frame('continuation', 'x')]), 1007],
    [Buffer.concat([frame('text', Buffer.from([0xe2]), { fin: false }), frame('continuation', '')]), 1007],
    ...['x', 'é', '{"a":1}', '-1', '1.5', '1e3', ' 1', '1 2', '1;2', '99999999999999999999', '\0', 'NaN', '[1]'].map((text) =>
        [frame('text', text), 1008]),
    [frame('text', '1', { lengthForm: 2 }), 1002], [frame('text', '1', { lengthForm: 8 }), 1002],
    [frame('text', '', { lengthForm: 8, length: 65535 }), 1002],
    [frame('text', '', { lengthForm: 8, length: '9223372036854775808' }), 1002],
    [frame('text', '1'.repeat(16385)), 1009], [frame('text', '', { lengthForm: 8, length: 2 ** 40 }), 1009],
    [Buffer.concat([frame('text', ','.repeat(16000), { fin: false }), frame('continuation', ','.repeat(385))]), 1009],
    [frame('binary', ''), 1003], [frame('binary', '123'), 1003], [frame('binary', '1', { fin: false }), 1003],
];

test(`${BAD_FRAMES.length} malformed sequences of frames: each its close code`, async () => {
    assert.ok(BAD_FRAMES.length >= 50);
    const key = await backend.createSession('frames');
    for (const [bytes, expected] of BAD_FRAMES) {
        const raw = await Raw.websocket(server, `/msgstream?${query({ sessionKey: key })}`);
        raw.write(bytes);
        const close = await raw.closeFrame();
        assert.equal(close && close.code, expected, bytes.subarray(0, 40).toString('hex'));
        assert.ok(close.reason.length > 0);
        raw.write(frame('close', closePayload(expected === 1002 ? 1002 : 1000)));
        await raw.closed();
        raw.destroy();
    }
    await until('nobody is attached', async () => !(await backend.session(key)).attached);
});

test('connections that end anywhere leave nothing behind', async () => {
    const key = await backend.createSession('cut');
    const upgrade = `GET /msgstream?${query({ sessionKey: key })} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n` +
        'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
    const bytes = Buffer.concat([Buffer.from(upgrade), frame('text', '0,0'), frame('close', closePayload(1000))]);
    for (let length = 0; length < bytes.length; length += 7) {
        const raw = await Raw.open(server);
        raw.write(bytes.subarray(0, length));
        if (length % 2) {
            raw.socket.resetAndDestroy();
        } else {
            raw.socket.end();
        }
    }
    await until('nobody is attached', async () => !(await backend.session(key)).attached);
});

// --- backend API ----------------------------------------------------------------------------------

const KEY = 'nobody:AAAAAAAAAAAAAAAAAAAAAA';
const message = (text) => ['POST', '/messages', `{"to":"${KEY}","message":${text}}`, 400];
const NDJSON = { 'content-type': 'application/x-ndjson' };

const BAD_CALLS = [
    ['GET', '/', undefined, 404, 'notFound'], ['GET', '/nothing', undefined, 404, 'notFound'],
    ['POST', '/sessions/', '{}', 404, 'notFound'], ['GET', '/sessions/', undefined, 404, 'notFound'],
    ['GET', '/sessions', undefined, 405, 'methodNotAllowed'], ['DELETE', '/sessions', undefined, 405, 'methodNotAllowed'],
    ['POST', `/sessions/${KEY}`, '{}', 405, 'methodNotAllowed'], ['GET', '/messages', undefined, 405, 'methodNotAllowed'],
    ['PUT', '/broadcast', '{}', 405, 'methodNotAllowed'], ['POST', '/status', '{}', 405, 'methodNotAllowed'],
    // sessions
    ...['', '{', '[', 'nonsense', '{"actorId":"a"', '{"actorId":"a"}x', '{"actorId":"\xff"}', '{"actorId":"a","actorId":"b"}',
        "{'actorId':'a'}", '{"actorId":"a",}', '\0'].map((text) => ['POST', '/sessions', Buffer.from(text, 'latin1'), 400, 'badJson']),
    ...['[]', '{}', '{"actorId":""}', '{"actorId":1}', '{"actorId":null}', '{"actorId":["a"]}', '{"actorId":"a\\u0001"}',
        '{"actorId":"a\\n"}', `{"actorId":"${'a'.repeat(257)}"}`, '{"actorId":"a","ttl":0}', '{"actorId":"a","ttl":-1}',
        '{"actorId":"a","ttl":1.5}', '{"actorId":"a","ttl":"soon"}', '{"actorId":"a","ttl":true}',
        '{"actorId":"a","ttl":999999999999}', '{"actorId":"a","ttl":18446744073709552}', '{"actorId":"a","key":""}',
        '{"actorId":"a","key":"a b"}', '{"actorId":"a","key":"a:b"}', '{"actorId":"a","key":"a~b"}',
        `{"actorId":"a","key":"${'k'.repeat(129)}"}`, '{"actorId":"a","home":"x:1"}', '{"actorId":"a","key":"b","home":"x"}',
        '{"actorId":"a","key":"b","home":"x:"}', '{"actorId":"a","other":"b"}', '{"actorID":"a"}'].map((text) =>
        ['POST', '/sessions', text, 400, 'badRequest']),
    ['GET', `/sessions/${KEY}`, undefined, 404, 'noSession'], ['DELETE', `/sessions/${KEY}`, undefined, 404, 'noSession'],
    ...['x', '%00', 'a:b%0a', 'a:', ':b', 'a:b~c', 'a%3', '%zz', `${'a'.repeat(700)}:b`].map((key) =>
        ['GET', `/sessions/${key}`, undefined, 400, 'invalidSessionKey']),
    ['DELETE', '/sessions/x', undefined, 400, 'invalidSessionKey'],
    // messages
    ...['', '{', 'x', '{"to":"a:b","message":[["x"]]', '{"to":"a:b" "message":[]}', '{"to":"a:b","message":[["x"]]} {}',
        '{"to":"a:b","message":[["\\x"]]}', '{"to":"a:b","message":[[01]]}', '{"to":"a:b","message":[["\t"]]}',
        `{"to":"a:b","message":${'['.repeat(100)}${']'.repeat(100)}}`, '{"to":"a:b","message":[["\\ud800"'].map((text) =>
        ['POST', '/messages', text, 400, 'badJson']),
    ...['[]', '"x"', '{}', '{"to":"a:b"}', '{"message":[["x"]]}', '{"to":"a:b","messages":[]}', '{"to":"a:b","messages":{}}',
        '{"to":[],"message":[["x"]]}', '{"to":1,"message":[["x"]]}', '{"to":null,"message":[["x"]]}', '{"to":[1],"message":[["x"]]}',
        '{"to":{"a":"b"},"message":[["x"]]}', '{"to":["a:b",[]],"message":[["x"]]}', '{"to":"a:b","to":"a:b","message":[["x"]]}',
        '{"to":"a:b","message":[["x"]],"message":[["y"]]}', '{"to":"a:b","message":[["x"]],"messages":[[["y"]]]}',
        '{"to":"a:b","mesage":[["x"]]}', '{"to":"a:b","message":[["x"]],"tttl":1}'].map((text) =>
        ['POST', '/messages', text, 400, 'badRequest']),
    ...['null', '1', '"x"', '{}', '["x"]', '[[]]', '[[1]]', '[[null]]', '[["x",1,2]]', '[["x"],[]]', '[["x"],"y"]',
        '[[["x"]]]', '[[""]]'.replace('""', 'true'), '[{"x":1}]'].map((text) => [...message(text), 'badMessage']),
    ['POST', '/messages', `{"to":"${KEY}","message":[["${'x'.repeat(1100)}"]]}`, 413, 'messageTooLarge'],
    ['POST', '/messages', `{"to":"${KEY}","message":[["${'x'.repeat(70000)}"]]}`, 413, 'bodyTooLarge'],
    ['POST', '/broadcast', '', 400, 'badJson'], ['POST', '/broadcast', '{}', 400, 'badRequest'],
    ['POST', '/broadcast', '{"to":"a:b","message":[["x"]]}', 400, 'badRequest'],
    ['POST', '/broadcast', '{"message":{}}', 400, 'badMessage'],
    ['POST', '/broadcast', `{"message":[["${'x'.repeat(1100)}"]]}`, 413, 'messageTooLarge'],
];

test(`${BAD_CALLS.length} bad API calls: each a status, a code and a sentence`, async () => {
    assert.ok(BAD_CALLS.length >= 50);
    for (const [method, path, body, status, code] of BAD_CALLS) {
        const name = `${method} ${path} ${String(body).slice(0, 100)}`;
        const answer = await backend.call(method, path, body);
        assert.deepEqual([answer.status, answer.body && answer.body.error && answer.body.error.code], [status, code],
            `${name}: ${answer.text}`);
        assert.equal(answer.headers['content-type'], 'application/json', name);
        assert.match(answer.body.error.message, /\.$/, name);
        assert.ok(answer.body.error.message.length > 10, name);
        assert.equal(answer.status === 405, answer.headers.allow !== undefined, name);
    }
});

test('bad lines of a bulk request do not stop the others', async () => {
    const key = await backend.createSession('bulk');
    const good = JSON.stringify({ to: key, message: [['x']] });
    const bad = BAD_CALLS.filter(([, path, body]) => path === '/messages' && body && body.length < 2000 && !body.includes('\t'));
    const text = bad.map(([, , body]) => `${body}\n${good}\n`).join('');
    const answer = await backend.call('POST', '/messages', text, NDJSON);
    assert.equal(answer.status, 200);
    const lines = answer.text.trim().split('\n').map((each) => JSON.parse(each));
    assert.equal(lines.length, 2 * bad.length);
    bad.forEach(([, , body, , code], i) => {
        assert.equal(lines[2 * i].error && lines[2 * i].error.code, code, body);
        assert.deepEqual(lines[2 * i + 1].results[0].ids, [i + 1]);
    });
    assert.deepEqual(lines.map((each) => each.line), lines.map((_, i) => i + 1));
});

test('a session that is there already, and a message to nobody, are told so', async () => {
    const made = await backend.call('POST', '/sessions', { actorId: 'known', key: 'made-elsewhere' });
    assert.equal(made.status, 201);
    const again = await backend.call('POST', '/sessions', { actorId: 'known', key: 'made-elsewhere' });
    assert.deepEqual([again.status, again.body.error.code], [409, 'exists']);
    const [unknown, malformed] = await backend.send([KEY, 'x'], [['y']]);
    assert.deepEqual([unknown.outcome, malformed.outcome], ['noSession', 'invalidSessionKey']);
});
