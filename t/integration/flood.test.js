'use strict';
// Peers and backends that send faster than clients take, and peers that take nothing: the relay's
// memory stays within the configured limits, what is refused is counted and told, and others are
// served as before.

const assert = require('assert');
const fs = require('fs');
const test = require('node:test');
const { Inbox, newClient } = require('./lib/clients');
const { peersUp, startHost } = require('./lib/hosts');
const { MageHost } = require('./lib/mage_host');
const { SANITIZED } = require('./lib/server');
const { until } = require('./lib/wait');
const { ZooKeeper, missing } = require('./lib/zookeeper');

const MIB = 1 << 20;
const skip = missing();
const body = JSON.stringify([['flood', 'x'.repeat(1000)]]);
const LIMITS = { mailboxMessages: 2000, mailboxBytes: '1MiB', hostBytes: '16MiB' };

// Resident bytes of a server's relay.
function relayBytes(server) {
    const [pid] = server.pids('relay-worker');
    return 1024 * Number(/^RssAnon:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}

// Samples the relay's memory until stop(), which tells by how much it grew at most.
function watchMemory(server) {
    const before = relayBytes(server);
    let most = before;
    const timer = setInterval(() => { most = Math.max(most, relayBytes(server)); }, 20);
    timer.unref();
    return () => {
        clearInterval(timer);
        return Math.max(most, relayBytes(server)) - before;
    };
}

function assertGrowth(t, what, growth, limit) {
    t.diagnostic(`${what} grew by ${(growth / MIB).toFixed(1)} MiB`);
    if (!SANITIZED) { // AddressSanitizer keeps what was freed
        assert.ok(growth < limit, `${what} grew by ${growth} bytes`);
    }
}

const addressOf = (key) => `sess/${key.slice(0, key.lastIndexOf('~'))}`;

// Sends messages one by one to a client of a session of its own until stop(); each must arrive.
async function goodTraffic(t, server, url = server.url) {
    const key = await server.backend.createSession('good');
    let arrived = 0;
    let sent = 0;
    let slowest = 0;
    let stopped = false;
    const client = newClient('websocket', url, key, {
        onPack: (pack) => {
            arrived = Math.max(arrived, ...Object.keys(pack).map(Number));
            client.confirm([arrived]);
        },
    });
    t.after(() => client.close(true));
    await client.connect();
    const loop = (async () => {
        while (!stopped) {
            const start = Date.now();
            const [{ outcome }] = await server.backend.send(key, [['good', sent]]);
            assert.strictEqual(outcome, 'queued');
            sent += 1;
            await until('a good message arrives', () => arrived === sent);
            slowest = Math.max(slowest, Date.now() - start);
            await new Promise((resolve) => setTimeout(resolve, 5));
        }
    })();
    loop.catch(() => {});
    return async () => {
        const enough = sent + 5;
        await Promise.race([loop, until('good messages go on', () => arrived >= enough)]);
        stopped = true;
        await loop;
        t.diagnostic(`${sent} good messages meanwhile, the slowest took ${slowest} ms`);
    };
}

const messages = (count) => Array.from({ length: count }, () => body);

test('a peer floods mailboxes that nobody empties: what does not fit is refused and counted', { skip }, async (t) => {
    const mage = await MageHost.start({ limits: LIMITS });
    t.after(() => mage.dispose());
    const { server } = mage;
    const keys = await Promise.all(Array.from({ length: 6 }, (_, i) => server.backend.createSession(`lazy-${i}`)));
    const finishGood = await goodTraffic(t, server);
    const growth = watchMemory(server);
    const before = await server.backend.status();
    const total = 300000;
    for (let done = 0; done < total; done += 50) {
        await mage.peer.send([mage.ours], [addressOf(keys[(done / 50) % keys.length]), ...messages(50)],
            'msgServer.send', { via: mage.ours });
    }
    const status = await until('all are taken or refused', async () => {
        const now = await server.backend.status();
        return now.refused_mailbox_full - before.refused_mailbox_full + keys.length * 1000 >= total - keys.length * 1000 && now;
    }, 60000);
    await finishGood();
    const states = await Promise.all(keys.map((key) => server.backend.session(key)));
    const kept = states.reduce((sum, state) => sum + state.pending, 0);
    const settled = await until('every message is accounted for', async () => {
        const now = await server.backend.status();
        return now.refused_mailbox_full - before.refused_mailbox_full + kept === total && now;
    });
    states.forEach((state) => assert.ok(state.pending > 900 && state.pendingBytes <= MIB, JSON.stringify(state)));
    assert.strictEqual(settled.refused_host_full, before.refused_host_full);
    assert.strictEqual(status.malformed, before.malformed);
    assertGrowth(t, 'the relay', growth(), 32 * MIB);
});

test('the host is full: senders are told overLimit, and it recovers', { skip }, async (t) => {
    const mage = await MageHost.start({ limits: { ...LIMITS, hostBytes: '2MiB' } });
    t.after(() => mage.dispose());
    const { server } = mage;
    const growth = watchMemory(server);
    const keys = await Promise.all(Array.from({ length: 20 }, (_, i) => server.backend.createSession(`lazy-${i}`)));
    for (let round = 0; round < 10; round += 1) {
        for (const key of keys) {
            await mage.peer.send([mage.ours], [addressOf(key), ...messages(100)], 'msgServer.send', { via: mage.ours });
        }
    }
    const full = await until('the host is full', async () => {
        const now = await server.backend.status();
        return now.refused_host_full > 0 && now.accepted + now.refused_host_full + now.refused_mailbox_full === 20000 && now;
    }, 30000);
    assert.ok(full.host_bytes <= 2 * MIB, `${full.host_bytes} bytes`);
    const [{ outcome }] = await server.backend.send(keys[0], [['late', 'x'.repeat(30000)]]);
    assert.strictEqual(outcome, 'overLimit');
    const { overLimit } = await server.backend.broadcast([['late', 'x'.repeat(60000)]]);
    assert.strictEqual(overLimit, keys.length);
    await Promise.all(keys.slice(1).map((key) => server.backend.deleteSession(key)));
    assert.strictEqual((await server.backend.send(keys[0], [['again']]))[0].outcome, 'queued');
    assertGrowth(t, 'the relay', growth(), 24 * MIB);
});

test('a peer takes nothing: its queue is bounded, senders are told, and others are served', { skip }, async (t) => {
    const mage = await MageHost.start({ limits: LIMITS });
    t.after(() => mage.dispose());
    const { server } = mage;
    const key = await mage.adopt('bob', 'AbCdEfGh01234567');
    const finishGood = await goodTraffic(t, server);
    const growth = watchMemory(server);
    mage.peer.pause();
    const large = JSON.stringify([['large', 'x'.repeat(50000)]]);
    const outcomes = {};
    for (let i = 0; i < 300; i += 1) {
        const lines = await server.backend.sendMany(Array.from({ length: 20 }, () => ({ to: key, message: JSON.parse(large) })));
        lines.forEach(({ results: [{ outcome }] }) => { outcomes[outcome] = (outcomes[outcome] || 0) + 1; });
        if (outcomes.overLimit > 200) {
            break;
        }
    }
    t.diagnostic(`outcomes: ${JSON.stringify(outcomes)}`);
    assert.ok(outcomes.overLimit > 200, 'the senders are told');
    const { mesh_outbox_bytes: waiting, mesh_outbox_full: refused } = await server.backend.status();
    assert.ok(waiting <= 17 * MIB && refused >= outcomes.overLimit, `${waiting} bytes wait, ${refused} were refused`);
    await finishGood();
    // The outbox, and what libzmq holds beside it: 1,000 messages at its high-water mark.
    assertGrowth(t, 'the relay', growth(), (16 + 50 + 16) * MIB);
    mage.peer.resume();
    await until('the queue is empty', async () => (await server.backend.status()).mesh_outbox_bytes === 0, 30000);
    assert.strictEqual((await server.backend.send(key, [['again']]))[0].outcome, 'forwarded');
});

test('a client at another host does not read: its messages wait at home', { skip }, async (t) => {
    const zookeeper = await ZooKeeper.start();
    t.after(() => zookeeper.dispose());
    const [a, b] = await Promise.all(['127.0.0.1', '127.0.0.2'].map((host) => startHost(zookeeper, { host }, { limits: LIMITS })));
    t.after(() => Promise.all([a, b].map((server) => server.dispose())));
    await peersUp([a, b]);
    const key = await a.backend.createSession('sleeper');
    const inbox = new Inbox();
    const client = newClient('websocket', b.url, key, { onPack: (pack, text) => inbox.take(pack, text) });
    t.after(() => client.close(true));
    await client.connect();
    client.socket.pause();
    await until('it is attached', async () => (await a.backend.session(key)).attached);
    const finishGood = await goodTraffic(t, a, b.url);
    const growth = [a, b].map(watchMemory);
    const outcomes = {};
    for (let i = 0; i < 400 && !(outcomes.overLimit > 1000); i += 1) {
        const lines = await [a, b][i % 2].backend.sendMany(Array.from({ length: 100 }, () => ({ to: key, message: JSON.parse(body) })));
        lines.forEach(({ results: [{ outcome }] }) => { outcomes[outcome] = (outcomes[outcome] || 0) + 1; });
    }
    t.diagnostic(`outcomes: ${JSON.stringify(outcomes)}`);
    await finishGood();
    assert.ok(outcomes.overLimit > 1000, 'the senders are told');
    const { pending, pendingBytes, lastId } = await a.backend.session(key);
    assert.ok(pending > 900 && pendingBytes <= MIB);
    growth.forEach((stop, i) => assertGrowth(t, `relay ${i}`, stop(), 24 * MIB));
    assert.ok(inbox.highest < pending / 2, `${inbox.highest} came through`);
    client.socket.resume();
    await until('nothing is missing when it wakes up', () => inbox.highest === lastId, 20000);
    assert.strictEqual(inbox.duplicates, 0);
    client.confirm([lastId]);
    await until('all is confirmed', async () => (await a.backend.session(key)).pending === 0);
    assert.strictEqual((await b.backend.send(key, [['again']]))[0].outcome, 'queued');
});
