'use strict';
// Receipts: what a sender learns of its messages, also when things die meanwhile.

const assert = require('node:assert/strict');
const http = require('node:http');
const { test } = require('node:test');
const { alive, children, get, withServer } = require('./lib/server');
const { until } = require('./lib/wait');

const query = (parameters) => new URLSearchParams(parameters).toString();

const confirm = (server, key, id) => get(`${server.url}?${query({ transport: 'shortpolling', sessionKey: key, confirmIds: id })}`);
const poll = (server, key) => get(`${server.url}?${query({ transport: 'shortpolling', sessionKey: key })}`);
const read = (backend, parameters = {}) => backend.must('GET', `/receipts?${query(parameters)}`);

async function killRelay(server) {
    const [relay] = server.pids('relay-worker');
    process.kill(relay, 'SIGKILL');
    await until('there is a new relay', () => !alive(relay) && server.pids('relay-worker').length === 1, 20000);
}

async function killAll(server) {
    const pids = [server.process.pid, ...children(server.process.pid).map((child) => child.pid)];
    pids.forEach((pid) => process.kill(pid, 'SIGKILL'));
    await server.exited;
    await until('all are gone', () => !pids.some(alive));
    await server.start();
}

// An event stream as a backend reads it: parsed events, and where it stands.
class ReceiptStream {
    constructor(server, lastEventId) {
        this.events = [];
        const headers = { accept: 'text/event-stream', ...(lastEventId ? { 'last-event-id': lastEventId } : {}) };
        this.request = http.get({ socketPath: server.backendSocket, path: '/receipts', headers }, (response) => {
            this.type = response.headers['content-type'];
            let text = '';
            response.on('data', (data) => {
                text += data;
                for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
                    this.take(text.slice(0, end));
                    text = text.slice(end + 2);
                }
            });
            response.on('error', () => {});
        });
        this.request.on('error', () => {});
    }

    take(block) {
        const fields = Object.fromEntries(block.split('\n').map((line) => /^(\w*): ?(.*)$/.exec(line)).filter(Boolean)
            .map(([, name, value]) => [name, value]));
        if (fields.event) {
            this.events.push({ ...fields, data: JSON.parse(fields.data) });
        }
    }

    get last() {
        return this.events.length > 0 ? this.events[this.events.length - 1].id : undefined;
    }

    close() {
        this.request.destroy();
    }
}

test('a receipt for each way in which a message can end', async () => {
    await withServer({ limits: { mailboxMessages: 3, mailboxPolicy: 'dropOldest' } }, async (server, backend) => {
        const key = await backend.createSession('bob');
        const other = await backend.createSession('eve');
        const send = (to, more) => backend.must('POST', '/messages', { to, message: [['a']], ...more });
        await send(key, { receipt: 'confirmed' });
        await poll(server, key);
        await confirm(server, key, 1);
        await send(key, { receipt: 'replaced', replaceKey: 'k' });
        await send(key, { receipt: 'expired', replaceKey: 'k', ttl: '100ms' });
        await until('its time is over', async () => (await backend.status()).dropped_ttl === 1);
        await send(other, { receipt: 'overLimit' });
        await send(other, { receipt: 'sessionDeleted' });
        await send(other);
        await send(other);
        await backend.deleteSession(other);
        const { receipts, cursor, lost } = await read(backend);
        assert.equal(lost, 0);
        assert.deepEqual(receipts.map((r) => [r.receipt, r.outcome, r.to, r.id, r.sent]), [
            ['confirmed', 'confirmed', key, 1, true],
            ['replaced', 'replaced', key, 2, false],
            ['expired', 'expired', key, 2, false],
            ['overLimit', 'overLimit', other, 1, false],
            ['sessionDeleted', 'sessionDeleted', other, 2, false],
        ]);
        assert.ok(receipts.every((r) => Math.abs(r.at - Date.now()) < 60000));
        assert.equal(cursor, receipts[4].cursor);
        // From where one stands; a list that is empty may be waited for.
        assert.deepEqual((await read(backend, { after: receipts[2].cursor, limit: 1 })).receipts, [receipts[3]]);
        assert.deepEqual((await read(backend, { after: cursor })).receipts, []);
        const waiting = read(backend, { after: cursor, wait: 20 });
        await send(key, { receipt: 'later' });
        await poll(server, key);
        await confirm(server, key, 3);
        assert.deepEqual((await waiting).receipts.map((r) => r.receipt), ['later']);
    });
});

test('look-up of one message', async () => {
    await withServer({}, async (server, backend) => {
        const key = await backend.createSession('bob');
        const state = (id, of = key) => backend.call('GET', `/sessions/${encodeURIComponent(of)}/messages/${id}`);
        await backend.must('POST', '/messages', { to: key, message: [['a']], receipt: 'r' });
        await backend.send(key, [['b']]);
        assert.deepEqual((await state(1)).body, { state: 'pending', sent: false });
        await poll(server, key);
        assert.deepEqual((await state(2)).body, { state: 'pending', sent: true });
        await confirm(server, key, 2);
        const { body } = await state(1);
        assert.deepEqual([body.state, body.outcome, body.sent], ['confirmed', 'confirmed', true]);
        assert.deepEqual((await state(2)).body, { state: 'confirmed', sent: true });
        assert.deepEqual((await state(3)).body, { state: 'unknown', sent: false });
        await backend.must('POST', '/messages', { to: key, message: [['c']], receipt: 'r' });
        await backend.deleteSession(key);
        assert.equal((await state(3)).body.outcome, 'sessionDeleted');
        assert.equal((await state(2)).status, 404);
        for (const bad of ['x', '', '1.5', '18446744073709551616']) {
            const { status, body: { error } } = await state(bad);
            assert.deepEqual([status, error.code], [400, 'badRequest'], bad);
        }
        assert.equal((await state(1, key.replace(/:.*~/, ':zz~'))).status, 404);
    });
});

test('a stream of receipts goes on where it stood, over kill -9 of the relay and of everything', async () => {
    await withServer({}, async (server, backend) => {
        const key = await backend.createSession('bob', { ttl: '1h' });
        let stream = new ReceiptStream(server);
        const seen = [];
        const settle = async (count) => {
            await until('the receipts are read', () => stream.events.length >= count);
            seen.push(...stream.events);
        };
        const deliver = async (from, to) => {
            for (let n = from; n <= to; n += 1) {
                const [result] = (await server.backend.must('POST', '/messages', { to: key, message: [['n', n]], receipt: `r${n}` })).results;
                assert.deepEqual(result.ids, [n]);
            }
            await poll(server, key);
            await confirm(server, key, to);
        };
        await deliver(1, 10);
        await settle(10);
        assert.match(stream.type, /^text\/event-stream/);
        await killRelay(server);
        await until('the relay answers', async () => (await backend.call('GET', '/status')).status === 200);
        // The same stream, and the same numbers.
        await deliver(11, 15);
        await until('the receipts are read', () => stream.events.length >= 15);
        const { last } = stream;
        stream.close();
        await killAll(server);
        await deliver(16, 20);
        stream = new ReceiptStream(server, last);
        await settle(5);
        assert.deepEqual(stream.events.map((e) => [e.event, e.data.receipt]),
            Array.from({ length: 5 }, (_, i) => ['receipt', `r${16 + i}`]));
        stream.close();
        assert.deepEqual((await read(server.backend)).receipts.map((r) => r.receipt), Array.from({ length: 20 }, (_, i) => `r${i + 1}`));
    });
});

test('receipts that are not kept any more are said to be lost', async () => {
    await withServer({ limits: { receipts: 20 } }, async (server, backend) => {
        const key = await backend.createSession('bob');
        const send = (count) => backend.must('POST', '/messages',
            { to: key, messages: Array.from({ length: count }, () => [['a']]), receipt: 'r' });
        await send(1);
        await poll(server, key);
        await confirm(server, key, 1);
        const { cursor } = await read(backend);
        await send(50);
        await poll(server, key);
        await confirm(server, key, 51);
        const answer = await read(backend, { after: cursor });
        assert.equal(answer.lost + answer.receipts.length, 50);
        assert.ok(answer.receipts.length <= 20 && answer.receipts.length > 10);
        const stream = new ReceiptStream(server, cursor);
        await until('the stream says so', () => stream.events.length > 10);
        assert.deepEqual([stream.events[0].event, stream.events[0].data], ['lost', { count: answer.lost }]);
        stream.close();
        assert.equal((await read(backend, { after: 'abc-5' })).lost, null);
        const gone = await backend.call('GET', '/receipts?home=0123456789abcdef:1', undefined, { accept: 'text/event-stream' });
        assert.deepEqual([gone.status, gone.body.error.code], [502, 'hostGone']);
        for (const bad of ['after=x', 'limit=0', 'limit=1001', 'wait=31', 'home=!', 'since=1', 'after=1-']) {
            const { status, text } = await backend.call('GET', `/receipts?${bad}`);
            assert.equal(status, 400, bad);
            assert.match(text, /must be|accepted are/);
        }
    });
});
