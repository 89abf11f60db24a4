'use strict';
// What an operator is shown of the cluster: GET /peers and the place of a session's client, against
// what was done. Two hosts of ours, a MAGE host, and what msgserverctl makes of it.

const assert = require('node:assert/strict');
const http = require('node:http');
const { after, before, test } = require('node:test');
const { newClient } = require('./lib/clients');
const { EXIT, run } = require('./lib/ctl');
const { clusterIdOf, killHost, startHost } = require('./lib/hosts');
const { MmrpPeer } = require('./lib/mmrp_peer');
const { get } = require('./lib/server');
const { until } = require('./lib/wait');
const { ZooKeeper, missing } = require('./lib/zookeeper');

const skip = missing();
const MAGE = 'mage-host';
const query = (parameters) => new URLSearchParams(parameters).toString();

let zookeeper;
let a;
let b;
let mage;
let ids;

// What `server` says of the peer with this ID; undefined when it does not know it.
async function seen(server, id) {
    return (await server.backend.must('GET', '/peers')).peers.find((peer) => peer.clusterId === id);
}

const inState = (server, id, state, limit) => until(() => `${id} is ${state}`, async () => {
    const peer = await seen(server, id);
    return peer && peer.state === state && peer;
}, limit);

// Once nothing leaves any more.
async function atRest(server, id) {
    let last = await seen(server, id);
    return until('nothing moves', async () => {
        const before = last;
        last = await seen(server, id);
        return last.sent === before.sent && last.outbox.count === before.outbox.count && last;
    }, 10000, 50);
}

// How the figures of a peer changed.
function change(earlier, later) {
    const dropped = {};
    for (const [reason, count] of Object.entries(later.dropped)) {
        if (count !== earlier.dropped[reason]) {
            dropped[reason] = count - earlier.dropped[reason];
        }
    }
    return { sent: later.sent - earlier.sent, received: later.received - earlier.received, dropped };
}

async function startMage() {
    mage = await MmrpPeer.start({ clusterId: MAGE, host: '127.0.0.3', router: { receiveHighWaterMark: 10 } });
    mage.clusterId = `${MAGE}:${mage.port}`;
    await zookeeper.announce(mage.clusterId, { ips: ['127.0.0.3'], game: 'game', version: '1.2.3' });
    await mage.join(`tcp://127.0.0.1:${a.config.mmrp.bind.port}`, ids.a);
    ids.mage = mage.clusterId;
}

if (!skip) {
    before(async () => {
        zookeeper = await ZooKeeper.start();
        // Short polls that bring nothing new are held for this long: they can be seen.
        const more = { msgStream: { pollPace: '2s' } };
        [a, b] = await Promise.all([startHost(zookeeper, { host: '127.0.0.1' }, more),
            startHost(zookeeper, { host: '127.0.0.2' }, more)]);
        ids = { a: await clusterIdOf(a), b: await clusterIdOf(b) };
        await startMage();
        await Promise.all([inState(a, ids.b, 'up'), inState(b, ids.a, 'up'), inState(a, ids.mage, 'up')]);
        await until('their kind is known', async () => (await seen(a, ids.b)).kind === 'msgserver' &&
            (await seen(b, ids.a)).kind === 'msgserver');
        await inState(a, ids.b, 'up');
        await inState(b, ids.a, 'up');
    });
    after(async () => {
        await Promise.all([a, b].map((server) => server.dispose()));
        await mage.stop();
        await zookeeper.dispose();
    });
}

test('this host, and who the others are', { skip }, async () => {
    const { host, peers } = await until('each round trip was measured', async () => {
        const answer = await a.backend.must('GET', '/peers');
        return answer.peers.every(({ rttMs }) => rttMs !== null) && answer;
    });
    const software = (await run(['--version'])).out.trim().split(' ')[1];
    assert.deepEqual(host, { clusterId: ids.a, bind: `tcp://127.0.0.1:${a.config.mmrp.bind.port}`, game: 'game', version: '1.2.3', software });
    assert.deepEqual(peers.map(({ clusterId, uri, state, kind, software: theirs }) => [clusterId, uri, state, kind, theirs]).sort(), [
        [ids.b, `tcp://127.0.0.2:${b.config.mmrp.bind.port}`, 'up', 'msgserver', software],
        [ids.mage, `tcp://127.0.0.3:${mage.port}`, 'up', 'mage', null],
    ].sort());
    for (const peer of peers) {
        assert.deepEqual(peer.outbox, { count: 0, bytes: 0 });
        assert.ok(peer.seconds >= 0 && peer.seconds < 30 && peer.heardSeconds >= 0 && peer.heardSeconds < 30, JSON.stringify(peer));
        assert.ok(peer.rttMs > 0 && peer.rttMs < 1000, `${peer.rttMs}`);
    }
    assert.deepEqual(Object.keys(await a.backend.status()).filter((name) => /^mesh_peers/.test(name)), ['mesh_peers', 'mesh_peers_up']);
});

test('what is sent, received and dropped is counted at both ends, by peer', { skip }, async () => {
    const key = await b.backend.createSession('bob');
    const earlier = await Promise.all([seen(a, ids.b), seen(b, ids.a), seen(a, ids.mage)]);
    for (let i = 1; i <= 5; i += 1) {
        assert.equal((await a.backend.send(key, [['tick', i]]))[0].outcome, 'queued');
    }
    const later = await Promise.all([seen(a, ids.b), seen(b, ids.a), seen(a, ids.mage)]);
    const expected = { sent: 5, received: 5, dropped: {} }; // each message is one request, and one reply
    assert.deepEqual(change(earlier[0], later[0]), expected);
    assert.deepEqual(change(earlier[1], later[1]), expected);
    assert.deepEqual(change(earlier[2], later[2]), { sent: 0, received: 0, dropped: {} });
    assert.ok(later[0].heardSeconds <= earlier[0].heardSeconds + 1 && later[0].heardSeconds < 2);

    const adopted = (await a.backend.must('POST', '/sessions', { actorId: 'ann', key: 'secret', home: ids.mage })).sessionKey;
    for (let i = 1; i <= 3; i += 1) {
        assert.equal((await a.backend.send(adopted, [['tick', i]]))[0].outcome, 'forwarded');
    }
    // A message for a session of ours, one that is no envelope, one for a host that nobody knows, and a
    // handshake in another's name.
    await mage.send([ids.a], [`sess/nobody:x`, '[["a"]]'], 'msgServer.send');
    await mage.sendFrames([ids.a, 'no separator', 'x'], undefined);
    await mage.send([ids.a, 'no-such-host:1'], ['sess/nobody:x', '[["a"]]'], 'msgServer.send');
    await mage.send([ids.a], [JSON.stringify({ clusterId: ids.b, identity: ids.b, isRelay: true, isClient: false })], 'mmrp.handshake',
        { returnRoute: ['another'], track: true });
    const counted = await until('all is counted', async () => {
        const diff = change(later[2], await seen(a, ids.mage));
        return diff.received === 2 && Object.keys(diff.dropped).length === 3 && diff;
    });
    assert.deepEqual(counted, { sent: 3, received: 2, dropped: { malformed: 1, strangers: 1, unroutable: 1 } });
    const status = await a.backend.status();
    const { peers } = await a.backend.must('GET', '/peers');
    for (const [figure, reason] of [['mesh_malformed', 'malformed'], ['mesh_strangers', 'strangers'], ['mesh_unroutable', 'unroutable']]) {
        assert.equal(status[figure], peers.reduce((sum, { dropped }) => sum + dropped[reason], 0), figure);
    }
    assert.equal(status.mesh_sent, peers.reduce((sum, { sent }) => sum + sent, 0));
});

// A client of each style; resolves when it is attached. Returns how to end it.
const ATTACH = {
    websocket: { style: 'stream', attach: connect },
    sse: { style: 'stream', attach: connect },
    longpolling: { style: 'longpolling', attach: connect },
    // A second poll for what the first one brought is held back.
    shortpolling: {
        style: 'shortpolling',
        async attach(server, key) {
            await server.backend.send(key, [['a']]);
            const url = `${server.url}?${query({ transport: 'shortpolling', sessionKey: key })}`;
            assert.equal((await get(url)).status, 200);
            const request = http.get(url).on('error', () => {});
            return async () => {
                request.destroy();
                assert.equal((await get(`${url}&confirmIds=1`)).status, 204);
            };
        },
    },
};

async function connect(server, key, transport) {
    const client = newClient(transport, server.url, key, { onPack() {}, onEnd() {} });
    await client.connect();
    return () => client.close(true);
}

for (const [transport, { style, attach }] of Object.entries(ATTACH)) {
    test(`where a client is that came by ${transport}, here and elsewhere, asked here and elsewhere`, { skip }, async () => {
        for (const at of [a, b]) {
            const key = await a.backend.createSession(`at-${transport}`);
            assert.equal((await a.backend.session(key)).attachment, null);
            const end = await attach(at, key, transport);
            for (const asked of [a, b]) {
                const session = await until('it is attached', async () => {
                    const state = await asked.backend.session(key);
                    return state.attached && state;
                });
                const { seconds, ...place } = session.attachment;
                assert.deepEqual(place, { host: at === a ? ids.a : ids.b, style });
                assert.ok(seconds >= 0 && seconds < 5, `${seconds}`);
                assert.equal(session.home, ids.a);
            }
            if (transport === 'websocket') {
                const { code, out } = await run(['session', key, '-c', b.directory]);
                assert.equal(code, EXIT.OK);
                assert.match(out, new RegExp(`home +${ids.a}\n +client +at ${at === a ? ids.a : ids.b}, stream, for \\ds\n`));
            }
            await end();
            await until('it is gone', async () => !(await b.backend.session(key)).attached);
            assert.equal((await b.backend.session(key)).attachment, null);
        }
    });
}

test('a client here of a mailbox at a MAGE host', { skip }, async () => {
    const key = (await a.backend.must('POST', '/sessions', { actorId: 'eve', key: 'secret', home: ids.mage })).sessionKey;
    const end = await connect(a, key, 'websocket');
    const session = await until('it is attached', async () => {
        const state = await a.backend.session(key);
        return state.attached && state;
    });
    assert.deepEqual([session.home, session.attachment.host, session.attachment.style], [ids.mage, ids.a, 'stream']);
    end();
});

test('msgserverctl peers: the same, in 100 columns', { skip }, async () => {
    const { code, out, err } = await run(['peers', '-c', a.directory]);
    assert.deepEqual([code, err], [EXIT.OK, '']);
    const lines = out.split('\n');
    assert.ok(lines.every((line) => line.length <= 100), out);
    assert.match(lines[0], new RegExp(`^${ids.a}  msgserver \\S+ at tcp://127\\.0\\.0\\.1:\\d+, game game, version 1\\.2\\.3$`));
    for (const id of [ids.b, ids.mage]) {
        const peer = await seen(a, id);
        const at = lines.findIndex((line) => line.startsWith(`${id} `));
        const cells = lines[at].split(/ +/);
        const total = Object.values(peer.dropped).reduce((sum, count) => sum + count, 0);
        assert.deepEqual([cells[1], ...cells.slice(5).map(Number)], ['up', peer.sent, peer.received, peer.retried, total, 0]);
        assert.equal(lines[at + 1], `  ${peer.kind}${peer.software ? ` ${peer.software}` : ''}, ${peer.uri}`);
        if (id === ids.mage) {
            assert.equal(lines[at + 2], '  dropped: 1 malformed, 1 strangers, 1 unroutable');
        }
    }
    const answer = JSON.parse((await run(['peers', '--json', '-c', a.directory])).out);
    assert.deepEqual(answer.peers.map(({ clusterId }) => clusterId).sort(), [ids.b, ids.mage].sort());
    assert.deepEqual(answer.host, (await a.backend.must('GET', '/peers')).host);
});

test('a peer that reads nothing: what waits, what leaves later, what is refused, what is lost', { skip }, async (t) => {
    const key = (await a.backend.must('POST', '/sessions', { actorId: 'slow', key: 'secret', home: ids.mage })).sessionKey;
    const pad = 'x'.repeat(16000);
    const order = JSON.stringify({ to: key, message: [['pad', pad]] });
    const send = async (count) => {
        const { text } = await a.backend.call('POST', '/messages', `${order}\n`.repeat(count), { 'content-type': 'application/x-ndjson' });
        return text.trim().split('\n').map((line) => JSON.parse(line).results[0].outcome);
    };
    const start = await seen(a, ids.mage);
    mage.pause();
    let forwarded = 0;
    let waiting = start;
    while (waiting.outbox.count === 0) {
        forwarded += (await send(900)).filter((outcome) => outcome === 'forwarded').length;
        waiting = await atRest(a, ids.mage);
    }
    t.diagnostic(`of ${forwarded} envelopes, ${waiting.outbox.count} wait in the outbox (${waiting.outbox.bytes} bytes)`);
    assert.equal(waiting.sent - start.sent + waiting.outbox.count, forwarded, 'each left, or waits');
    assert.ok(waiting.outbox.bytes >= waiting.outbox.count * pad.length);
    assert.equal((await a.backend.status()).mesh_outbox_bytes, waiting.outbox.bytes);
    assert.ok(waiting.retried > start.retried && waiting.retried <= start.retried + waiting.outbox.count);
    assert.match((await run(['peers', '-c', a.directory])).out,
        new RegExp(`waiting: ${waiting.outbox.count} envelopes of ${waiting.outbox.bytes} bytes`));
    mage.resume();
    const drained = await until('the outbox is empty', async () => {
        const peer = await seen(a, ids.mage);
        return peer.outbox.count === 0 && peer;
    });
    assert.equal(drained.sent - start.sent, forwarded);
    await until('all have arrived', () => mage.envelopes.filter(({ messages }) =>
        String(messages[0]).startsWith('sess/slow:')).length === forwarded);
    mage.pause();
    const outcomes = { forwarded: 0, overLimit: 0 };
    while (outcomes.overLimit === 0) {
        (await send(900)).forEach((outcome) => { outcomes[outcome] += 1; });
    }
    const full = await atRest(a, ids.mage);
    assert.equal(full.sent - drained.sent + full.outbox.count, outcomes.forwarded);
    assert.equal(full.dropped.outboxFull - drained.dropped.outboxFull, outcomes.overLimit);
    // The kernel may have taken some more since it was full.
    assert.ok(full.outbox.bytes > 1 << 20 && full.outbox.bytes <= 16 << 20, `${full.outbox.bytes}`);
    mage.stopping = mage.stop();
    const gone = await inState(a, ids.mage, 'connecting');
    assert.equal(gone.dropped.lost - full.dropped.lost, full.outbox.count);
    assert.deepEqual([gone.outbox, gone.rttMs], [{ count: 0, bytes: 0 }, null]);
    assert.equal((await a.backend.send(key, [['late']]))[0].outcome, 'hostGone');
});

// It takes as long as heartbeats may be missing.
test('a relay that hangs: sends run out of time, then it is away; it comes back, and what it had taken is there', { skip: skip || !process.env.FULL }, async (t) => {
    const key = await b.backend.createSession('bob');
    const end = await connect(a, key, 'websocket');
    await until('it is attached', async () => (await b.backend.session(key)).attached);
    const [relay] = b.pids('relay-worker');
    process.kill(relay, 'SIGSTOP');
    const start = Date.now();
    const since = () => `${Date.now() - start} ms`;
    const hanging = a.backend.send(key, [['while it hangs']]);
    const away = await inState(a, ids.b, 'connecting', 15000);
    t.diagnostic(`away after ${since()}; ${JSON.stringify(away.dropped)}`);
    assert.ok(Date.now() - start > 3000, since());
    assert.equal((await a.backend.send(key, [['while it is away']]))[0].outcome, 'hostGone');
    const [{ outcome }] = await hanging;
    t.diagnostic(`the message sent meanwhile: ${outcome} after ${since()}`);
    assert.equal(outcome, 'timedOut');
    process.kill(relay, 'SIGCONT');
    const resumed = Date.now();
    await inState(a, ids.b, 'up', 15000);
    t.diagnostic(`up again ${Date.now() - resumed} ms after it went on`);
    assert.equal((await a.backend.send(key, [['again']]))[0].outcome, 'queued');
    await until('the client is attached there again', async () => (await b.backend.session(key)).attachment.host === ids.a);
    const { accepted } = await b.backend.session(key);
    t.diagnostic(`accepted: ${accepted} (of the one that timed out, and of the last)`);
    assert.ok(accepted === 1 || accepted === 2);
    end();
});

test('a host that is killed: away at once, forgotten with its announcement; a session there is hostGone', { skip }, async () => {
    const key = await b.backend.createSession('bob');
    const { seconds } = await seen(a, ids.b);
    await killHost(b);
    const away = await inState(a, ids.b, 'connecting', 5000);
    assert.ok(away.seconds <= Math.max(2, seconds), `${away.seconds}`);
    const { code, out, err } = await run(['session', key, '-c', a.directory]);
    assert.deepEqual([code, out], [EXIT.UNAVAILABLE, '']);
    assert.match(err, /home host cannot be reached/);
    await until('its announcement is gone', async () => !(await seen(a, ids.b)), 10000);
});
