'use strict';
// More than clients take, than a mailbox holds, than the host holds: senders are told, memory stays
// within its budget, and nobody else notices.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { newClient } = require('./lib/clients');
const { Raw, frame } = require('./lib/raw');
const { SANITIZED, Server, get } = require('./lib/server');
const { until } = require('./lib/wait');

const MIB = 1024 * 1024;
const KIB = 1024;
const query = (parameters) => new URLSearchParams(parameters).toString();
const target = (parameters) => `/msgstream?${query(parameters)}`;

// Freed memory is kept for a while by the sanitizer, and each allocation has its surroundings.
const options = { env: { ASAN_OPTIONS: 'abort_on_error=1:quarantine_size_mb=1:thread_local_quarantine_size_kb=64' } };
const OVERHEAD = SANITIZED ? 3 : 1;

// Resident bytes of all processes, without files: the store is one.
function memory(server) {
    return [server.process.pid, ...server.pids('relay-worker'), ...server.pids('client-worker')].reduce((sum, pid) => {
        // A process that is ending has none.
        const [, kib] = /^RssAnon:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8')) || [0, 0];
        return sum + Number(kib) * KIB;
    }, 0);
}

// Remembers the most that was in use.
class Peak {
    constructor(server) {
        this.server = server;
        this.start = memory(server);
        this.most = this.start;
        this.timer = setInterval(() => this.look(), 20);
    }

    look() {
        this.most = Math.max(this.most, memory(this.server));
    }

    // The growth since the start must be below `bytes`.
    stop(bytes) {
        clearInterval(this.timer);
        this.look();
        const grown = this.most - this.start;
        assert.ok(grown < bytes, `memory grew by ${(grown / MIB).toFixed(1)} MiB, ${(bytes / MIB).toFixed(1)} are allowed`);
    }
}

async function withServer(config, work) {
    const server = await Server.start(config, options);
    const opened = [];
    const open = async (key, more = {}) => {
        const raw = await Raw.websocket(server, target({ sessionKey: key, ...more }));
        opened.push(raw);
        return raw;
    };
    try {
        await work(server, server.backend, open);
        assert.equal(server.exit, null);
    } finally {
        opened.forEach((raw) => raw.destroy());
        await server.dispose();
    }
}

// A client that receives and confirms at once, and how long its messages took.
async function goodClient(server, actor) {
    const key = await server.backend.createSession(actor);
    const took = [];
    const client = newClient('websocket', server.url, key, {
        onPack: (pack) => {
            client.confirm(Object.keys(pack));
            Object.values(pack).forEach(([[, sent]]) => took.push(Date.now() - sent));
        },
    });
    await client.connect();
    return { key, took, client };
}

const outcomes = (lines) => lines.map((each) => each.results[0].outcome);
const bodyOf = (bytes) => [['fill', 'x'.repeat(bytes)]];

test('a client that never reads: its sender is told overLimit, others notice nothing', async () => {
    const limits = { mailboxMessages: 300, mailboxBytes: '256KiB', attachmentWindow: '16KiB', hostBytes: '8MiB' };
    await withServer({ workers: 2, limits }, async (server, backend, open) => {
        const good = await goodClient(server, 'good');
        const key = await backend.createSession('deaf');
        const deaf = await open(key);
        deaf.socket.pause();
        const peak = new Peak(server);
        const seen = { queued: 0, overLimit: 0 };
        for (let round = 0; round < 40; round++) {
            const orders = Array.from({ length: 100 }, () => ({ to: key, message: bodyOf(1000) }));
            outcomes(await backend.sendMany(orders)).forEach((outcome) => { seen[outcome] += 1; });
            assert.equal((await backend.send(good.key, [['now', Date.now()]]))[0].outcome, 'queued');
        }
        assert.deepEqual(Object.keys(seen), ['queued', 'overLimit']);
        assert.ok(seen.queued > 200 && seen.queued * 1000 <= 256 * KIB, `${seen.queued} of 4000 kB are queued`);
        await until('the good client has its messages', () => good.took.length === 40);
        assert.ok(Math.max(...good.took) < 1000, `the slowest message took ${Math.max(...good.took)} ms`);
        peak.stop((256 * KIB + 3 * MIB) * OVERHEAD);

        const session = await backend.session(key);
        assert.deepEqual([session.lastId, session.pending, session.confirmed], [seen.queued, seen.queued, 0]);
        deaf.socket.resume();
        deaf.write(frame('text', String(seen.queued)));
        await until('everything is confirmed', async () => (await backend.session(key)).pending === 0);
        assert.deepEqual((await backend.send(key, [['again']]))[0].ids, [seen.queued + 1]);
        good.client.close();
    });
});

test('a message that does not fit is refused whole, for that recipient alone', async () => {
    await withServer({ workers: 1, limits: { mailboxMessages: 5 } }, async (server, backend) => {
        const [full, empty] = [await backend.createSession('full'), await backend.createSession('empty')];
        assert.equal((await backend.send(full, [['1']], [['2']], [['3']]))[0].outcome, 'queued');
        const results = await backend.send([full, empty], [['4']], [['5']], [['6']]);
        assert.deepEqual(results.map(({ outcome, ids }) => [outcome, ids]), [['overLimit', undefined], ['queued', [1, 2, 3]]]);
        const answer = await get(`${server.url}?${query({ transport: 'shortpolling', sessionKey: full })}`);
        assert.equal(answer.body, '{"1":[["1"]],"2":[["2"]],"3":[["3"]]}');
        assert.deepEqual((await backend.send(full, [['4']], [['5']]))[0].ids, [4, 5]);
        const { queued, overLimit } = await backend.broadcast([['all']]);
        assert.deepEqual([queued, overLimit], [1, 1]);
        await get(`${server.url}?${query({ transport: 'shortpolling', sessionKey: full, confirmIds: '1' })}`);
        assert.deepEqual((await backend.send(full, [['6']]))[0].ids, [6]);
    });
});

test('the budget of the host: overLimit when it is used up, and work goes on after confirmations', async () => {
    const limits = { mailboxBytes: '1MiB', hostBytes: '4MiB', attachmentWindow: '16KiB' };
    await withServer({ workers: 2, limits }, async (server, backend, open) => {
        const keys = [];
        for (let i = 0; i < 20; i++) {
            keys.push(await backend.createSession(`client ${i}`));
        }
        const clients = [];
        for (const key of keys) {
            const raw = await open(key);
            raw.socket.pause();
            clients.push(raw);
        }
        const peak = new Peak(server);
        const queued = new Map(keys.map((key) => [key, 0]));
        let refused = 0;
        for (let round = 0; round < 40; round++) {
            const orders = keys.map((to) => ({ to, message: bodyOf(10000) }));
            (await backend.sendMany(orders)).forEach(({ results: [{ to, outcome }] }) => {
                refused += outcome === 'overLimit' ? 1 : 0;
                queued.set(to, queued.get(to) + (outcome === 'queued' ? 1 : 0));
            });
        }
        const total = [...queued.values()].reduce((sum, count) => sum + count, 0);
        assert.ok(refused > 0 && total + refused === 800, `${total} queued, ${refused} refused`);
        assert.ok(total * 10000 <= 4 * MIB && total * 10000 > 3 * MIB, `${total} messages of 10 kB in 4 MiB`);
        assert.equal((await backend.broadcast(bodyOf(60000))).queued, 0);
        peak.stop((4 * MIB + 20 * 64 * KIB + 4 * MIB) * OVERHEAD);

        const [key, raw] = [keys[0], clients[0]];
        raw.socket.resume();
        raw.write(frame('text', String(queued.get(key))));
        await until('there is room again', async () => (await backend.send(key, bodyOf(10000)))[0].outcome === 'queued');
        clients.slice(1).forEach((client, i) => {
            client.socket.resume();
            client.write(frame('text', String(queued.get(keys[i + 1]))));
        });
        await until('nothing is left of the others', async () => (await Promise.all(keys.slice(1).map((each) =>
            backend.session(each)))).every(({ pending }) => pending === 0));
        const all = await backend.send(keys, bodyOf(10000));
        assert.deepEqual([...new Set(all.map(({ outcome }) => outcome))], ['queued']);
    });
});

test('a client that confirms without reading makes nobody keep its messages', async () => {
    const limits = { mailboxBytes: '256KiB', attachmentWindow: '16KiB' };
    await withServer({ workers: 1, limits }, async (server, backend, open) => {
        const key = await backend.createSession('liar');
        const liar = await open(key);
        liar.socket.pause();
        const peak = new Peak(server);
        for (let round = 0; round < 100; round++) {
            await backend.send(key, ...Array.from({ length: 20 }, () => bodyOf(10000)));
            const { lastId } = await backend.session(key);
            liar.write(frame('text', String(lastId)));
        }
        peak.stop((256 * KIB + 3 * MIB) * OVERHEAD);
    });
});

// Writes `bytes` often to a connection that is not read, and waits until no more of them are taken.
async function flood(server, raw, bytes, times) {
    let taken = 0;
    let before = -1;
    raw.socket.pause();
    for (let i = 0; i < times; i++) {
        raw.socket.write(bytes, () => { taken += 1; });
    }
    await until('the server reads no more', async () => {
        const still = taken === before;
        before = taken;
        await get(`http://${server.host}:${server.port}/check.txt`);
        await new Promise((resolve) => { setTimeout(resolve, 200); });
        return still;
    }, 20000);
    assert.ok(taken < times, `all ${times} pieces were read`);
}

test('a client that asks without reading the answers is not read from', async () => {
    await withServer({ workers: 1 }, async (server, backend, open) => {
        const peak = new Peak(server);
        const [raw, webSocket] = [await Raw.open(server), await open(await backend.createSession('pings'))];
        const request = 'GET /msgstream/config HTTP/1.1\r\nHost: x\r\n\r\n';
        await flood(server, raw, Buffer.from(request.repeat(1000)), 500);
        await flood(server, webSocket, Buffer.concat(Array(1000).fill(frame('ping', 'x'.repeat(125)))), 300);
        peak.stop(3 * MIB * OVERHEAD);
        raw.destroy();
    });
});

test('a head or a body that does not come: 408; silence: the end', async () => {
    await withServer({ workers: 1, limits: { headerTimeout: '1s' } }, async (server) => {
        const [head, body, silent, kept] = await Promise.all([1, 2, 3, 4].map(() => Raw.open(server)));
        head.write('GET /check.txt HTTP/1.1\r\nHost: x\r\n');
        body.write('POST /check.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab');
        kept.write('GET /check.txt HTTP/1.1\r\nHost: x\r\n\r\n');
        assert.equal((await kept.response()).status, 200);
        for (const raw of [head, body]) {
            const answer = await raw.response();
            assert.deepEqual([answer.status, answer.headers.connection], [408, 'close']);
        }
        await Promise.all([head, body, silent, kept].map((raw) => raw.closed()));
        assert.equal(silent.input.length + kept.input.length, 0);
    });
});

test('more connections and sessions than allowed are refused', async () => {
    await withServer({ workers: 1, limits: { connections: 5, sessions: 3 } }, async (server, backend) => {
        const raws = [];
        const statuses = [];
        for (let i = 0; i < 8; i++) {
            const raw = await Raw.open(server);
            raws.push(raw);
            raw.write('GET /check.txt HTTP/1.1\r\nHost: x\r\n\r\n');
            statuses.push((await raw.response()).status);
        }
        assert.deepEqual([...new Set(statuses)].sort(), [200, 503]);
        assert.ok(statuses.filter((status) => status === 200).length <= 5, statuses.join());
        assert.match(server.log, /client-worker\/1 warning: event=connections-refused limit=5 .*hint="/);
        raws.forEach((raw) => raw.destroy());
        await until('there is room again', async () => (await get(`http://${server.host}:${server.port}/check.txt`)).status === 200);

        const keys = [];
        for (let i = 0; i < 3; i++) {
            keys.push(await backend.createSession(`session ${i}`));
        }
        const refused = await backend.call('POST', '/sessions', { actorId: 'one more' });
        assert.deepEqual([refused.status, refused.body.error.code], [507, 'overLimit']);
        assert.equal((await server.backend.status()).refused_sessions, 1);
        assert.match(server.log, /event=session-refused limit="server\.limits\.sessions" sessions=\d+/);
        await backend.deleteSession(keys[0]);
        await backend.createSession('one more');
    });
});
