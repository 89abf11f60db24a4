'use strict';
// Envelopes that are none, or make no sense, from a peer and from a stranger: each is dropped and
// counted, and the good envelope behind it is read at once. mesh-strangers.test.js has what does not
// even speak ZMTP.

const assert = require('assert');
const test = require('node:test');
const zmq = require('zeromq');
const { newClient } = require('./lib/clients');
const { MageHost } = require('./lib/mage_host');
const { malformedEnvelopes, random } = require('./lib/malformed');
const { SANITIZED } = require('./lib/server');
const { until } = require('./lib/wait');
const { missing } = require('./lib/zookeeper');

const skip = missing();
let mage;
let pids;
let bob;

const allPids = () => ['relay-worker', 'client-worker'].map((name) => mage.server.pids(name));

// The same processes, and a good envelope is handled.
async function allIsWell(t) {
    const packs = [];
    const client = newClient('websocket', mage.server.url, bob.key, { onPack: (pack) => packs.push(pack) });
    t.after(() => client.close(true));
    await client.connect();
    const mark = `mark-${Date.now()}-${random.below(1e9)}`;
    await mage.peer.send([mage.ours], [bob.address, `[["${mark}"]]`], 'msgServer.send', { via: mage.ours });
    await until('a good message arrives', () => JSON.stringify(packs).includes(mark));
    assert.deepStrictEqual(allPids(), pids);
    assert.strictEqual((await mage.server.backend.status()).mesh_peers_up, 1);
}

test.before(async () => {
    if (!skip) {
        mage = await MageHost.start();
        pids = allPids();
        const key = await mage.server.backend.createSession('bob');
        bob = { key, address: `sess/${key.slice(0, key.lastIndexOf('~'))}` };
    }
});
test.after(() => mage && mage.dispose());

test('malformed envelopes of a peer are dropped and counted', { skip }, async (t) => {
    t.diagnostic(`SEED=${random.seed}`);
    const all = malformedEnvelopes(mage.ours, mage.id, bob.address);
    assert.ok(all.length >= 50);
    for (const frames of all) {
        await mage.peer.sendFrames(frames, mage.ours);
    }
    await allIsWell(t);
    for (const frames of all.filter((parts) => parts.length > 1)) {
        await mage.peer.sendFrames([mage.ours, ...frames.slice(1)]); // by its ROUTER
    }
    await allIsWell(t);
    const status = await mage.server.backend.status();
    t.diagnostic(`${all.length} sent twice; ${status.mesh_malformed} were no envelopes, ${status.malformed} made no sense, ` +
        `${status.stale} stale, ${status.refused_invalid} bodies refused`);
    assert.ok(status.mesh_malformed >= 20 && status.malformed >= 20 && status.refused_invalid >= 8);
    const state = await mage.server.backend.session(bob.key);
    assert.ok(state.lastId < 10, `${state.lastId} messages were taken`);
});

test('envelopes of a stranger are not even looked at', { skip }, async (t) => {
    const before = await mage.server.backend.status();
    const { lastId } = await mage.server.backend.session(bob.key);
    const stranger = new zmq.Dealer({ routingId: 'stranger:1', linger: 500 });
    stranger.connect(mage.uri);
    const all = [
        ...malformedEnvelopes(mage.ours, 'stranger:1', bob.address),
        [mage.ours, '', bob.address, '[["from a stranger"]]', '', '\x00msgServer.send'],
        [mage.ours, '*', '', '[["from a stranger"]]', '', 'stranger:1', '\x01msgServer.broadcast'],
        [mage.ours, '', bob.address, 'never', '', 'stranger:1', '\x01msgServer.connect'],
        [mage.ours, '', `{"msgIds":["1"],"address":"${bob.address}"}`, '', '\x00msgServer.confirm'],
    ];
    for (const frames of all) {
        await stranger.send(frames);
    }
    await until('they are counted', async () => (await mage.server.backend.status()).mesh_strangers >= before.mesh_strangers + 40);
    assert.strictEqual((await mage.server.backend.session(bob.key)).lastId, lastId);
    stranger.close();
    await allIsWell(t);
});

for (const [by, via] of [['ROUTER', false], ['DEALER', true]]) {
    test(`a good envelope behind each kind of malformed one is read at once: by its ${by}`, { skip }, async (t) => {
        const key = await mage.server.backend.createSession(`alice-${by}`);
        const address = `sess/${key.slice(0, key.lastIndexOf('~'))}`;
        const marks = new Set();
        const client = newClient('websocket', mage.server.url, key, {
            onPack: (pack, text) => (text.match(/mark-\d+/g) || []).forEach((mark) => marks.add(mark)),
        });
        t.after(() => client.close(true));
        await client.connect();
        await until('it is attached', async () => (await mage.server.backend.session(key)).attached);
        const all = malformedEnvelopes(mage.ours, mage.id, bob.address).filter((frames) => via || frames.length > 1);
        const times = [];
        for (const [i, frames] of all.entries()) {
            await mage.peer.sendFrames(via ? frames : [mage.ours, ...frames.slice(1)], via ? mage.ours : undefined);
            const start = performance.now();
            await mage.peer.sendFrames([mage.ours, '', address, `[["mark-${i}"]]`, '', '\x00msgServer.send'], via ? mage.ours : undefined);
            await until(() => `the message behind ${frames.map(String)}`.slice(0, 300), () => marks.has(`mark-${i}`), 10000, 1);
            times.push(performance.now() - start);
        }
        times.sort((a, b) => a - b);
        t.diagnostic(`${times.length} kinds; the good message took ${times[times.length >> 1].toFixed(1)} ms in the median, ${times[times.length - 1].toFixed(1)} at most`);
        assert.ok(times[times.length - 1] < (SANITIZED ? 3000 : 1000), `${times[times.length - 1]} ms`);
    });
}

test('each peer is complained of once a minute, and all strangers together', { skip }, async (t) => {
    const other = await mage.another({ prefix: 'cccccccccccccccc', host: '127.0.0.3' });
    t.after(() => other.dispose());
    const before = await mage.server.backend.status();
    for (let i = 0; i < 50; i += 1) {
        await other.peer.sendFrames([mage.ours, '', '\x00'], mage.ours); // no envelope
        await other.peer.sendFrames([mage.ours, '', 'sess/x:y', '', '\x00msgServer.confirm'], mage.ours); // no sense
    }
    const strangers = Array.from({ length: 30 }, (_, i) => new zmq.Dealer({ routingId: `nobody-${i}:1`, linger: 500 }));
    t.after(() => strangers.forEach((stranger) => stranger.close()));
    for (const stranger of strangers) {
        stranger.connect(mage.uri);
        await stranger.send([mage.ours, '', '\x00']);
        await stranger.send([mage.ours, '', 'sess/x:y', '[["x"]]', '', '\x00msgServer.send']);
    }
    await until('all are counted', async () => {
        const now = await mage.server.backend.status();
        return now.mesh_malformed - before.mesh_malformed >= 130 && now.malformed - before.malformed >= 50 &&
            now.mesh_strangers - before.mesh_strangers >= 30;
    });
    const lines = (pattern) => mage.server.log.split('\n').filter((line) => pattern.test(line));
    for (const peer of [mage.id, other.id]) {
        const told = lines(new RegExp(`event=envelope-malformed from="?${peer}"? `));
        assert.strictEqual(told.length, 1, told.join('\n'));
    }
    assert.ok(lines(/event=envelope-malformed from="?(nobody|stranger)/).length <= 1);
    assert.strictEqual(lines(/event=envelope-from-stranger from="?(nobody|stranger)/).length, 1);
});
