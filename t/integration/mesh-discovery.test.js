'use strict';
// What our host announces, byte by byte; and what it makes of announcements that MAGE hosts, other
// games and vandals leave in ZooKeeper.

const assert = require('assert');
const test = require('node:test');
const { clusterIdOf, peersUp, startHost } = require('./lib/hosts');
const { MmrpPeer } = require('./lib/mmrp_peer');
const { until } = require('./lib/wait');
const { ZooKeeper, missing } = require('./lib/zookeeper');

const skip = missing();
const GAME = { game: 'game', version: '1.2.3' };
const NETWORK = ['10.99.0.0/16', '127.0.9.0/24'];

let zookeeper;
let server;
let ours;
let started;

const status = () => server.backend.status();
const countOf = (pattern) => server.log.split('\n').filter((line) => pattern.test(line)).length;
const ignored = (name) => countOf(new RegExp(`event=peer-ignored node="?${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}"? `));

// A MAGE host at an address of its own that is not announced yet: {peer, id, uri of ours}.
async function mageAt(t, host, prefix) {
    const peer = await MmrpPeer.start({ clusterId: prefix, host });
    t.after(() => peer.stop());
    peer.clusterId = `${prefix}:${peer.port}`;
    return { peer, id: peer.clusterId };
}

const uri = () => `tcp://127.0.0.1:${server.config.mmrp.bind.port}`;

// Our host looked at all that was announced before: it met this one, which was announced last.
async function everythingIsSeen(t, host, prefix) {
    const { mesh_peers: known, mesh_peers_up: up } = await status();
    const { peer, id } = await mageAt(t, host, prefix);
    const withdraw = await zookeeper.announce(id, { ips: [host], ...GAME });
    await peer.join(uri(), ours);
    await peersUp([server], up + 1);
    await leaves(peer, withdraw, known);
}

async function leaves(peer, withdraw, left = 0) {
    await withdraw();
    await peer.stop();
    await until('it is gone', async () => (await status()).mesh_peers === left);
}

test.before(async () => {
    if (!skip) {
        zookeeper = await ZooKeeper.start();
        started = Date.now();
        server = await startHost(zookeeper, { host: '127.0.0.1' }, { workers: 1, mmrp: { network: NETWORK } });
        ours = await clusterIdOf(server);
    }
});
test.after(async () => {
    for (const one of [server, zookeeper].filter(Boolean)) {
        await one.dispose();
    }
});

test('our announcement is MAGE\'s byte by byte, and comes back when somebody removes it', { skip }, async () => {
    const port = server.config.mmrp.bind.port;
    assert.match(ours, new RegExp(`^[0-9a-f]{16}:${port}$`));
    const first = await until('it is there', () => zookeeper.data(ours));
    const { data: { timestamp } } = JSON.parse(first);
    assert.ok(timestamp >= started && timestamp <= Date.now(), `${timestamp}`);
    assert.strictEqual(first.toString(),
        `{"ips":["127.0.0.1"],"data":{"game":"game","version":"1.2.3","clusterId":"${ours}","timestamp":${timestamp}}}`);
    assert.deepStrictEqual(Object.entries(await zookeeper.nodes()).map(([name, { ephemeral }]) => [name, ephemeral]), [[ours, true]]);
    await zookeeper.remove(ours);
    const second = await until('it is there again', () => zookeeper.data(ours));
    assert.ok(second.equals(first), `${second}`);
});

test('of several addresses, the first in server.mmrp.network is connected to', { skip }, async (t) => {
    const { peer, id } = await mageAt(t, '127.0.9.7', 'a7a7a7a7a7a7a7a7');
    const withdraw = await zookeeper.announce(id, { ips: ['172.16.0.9', 'fe80::1', '127.0.9.7', '127.0.9.8', '10.99.0.1'], ...GAME });
    await peer.join(uri(), ours); // it is bound to that address alone
    await peersUp([server], 1);
    await leaves(peer, withdraw);
});

test('with no address in server.mmrp.network it is an error in the log, once, and no peer', { skip }, async (t) => {
    const withdraw = await zookeeper.announce('a8a8a8a8a8a8a8a8:15001', { ips: ['172.16.0.9', '9.1.1.1'], ...GAME });
    await everythingIsSeen(t, '127.0.9.9', 'a9a9a9a9a9a9a9a9');
    assert.strictEqual(ignored('a8a8a8a8a8a8a8a8:15001'), 1);
    assert.match(server.log, /error: event=peer-ignored node="?a8a8a8a8a8a8a8a8:15001"? why="none of its ips is an IPv4 address in server\.mmrp\.network"/);
    assert.strictEqual((await status()).mesh_peers, 0);
    await withdraw();
});

const BROKEN = [
    ['not-json:1', 'hello', 'it is not JSON'],
    ['half:1', '{"ips":["127.0.9.1"],"data":{"game":"game"', 'it is not JSON'],
    ['empty:1', '', 'it is not JSON'],
    ['binary:1', Buffer.from(Array.from({ length: 256 }, (_, i) => i)), 'it is not JSON'],
    ['null:1', 'null', 'it is not a JSON object'],
    ['number:1', '7', 'it is not a JSON object'],
    ['array:1', '[]', 'it is not a JSON object'],
    ['no-data:1', '{"ips":["127.0.9.1"]}', 'its data is not an object'],
    ['data-null:1', '{"ips":["127.0.9.1"],"data":null}', 'its data is not an object'],
    ['no-ips:1', '{"data":{"game":"game","version":"1.2.3","clusterId":"no-ips:1"}}', 'its ips is not an array of strings'],
    ['number-ips:1', '{"ips":[7],"data":{"game":"game","version":"1.2.3","clusterId":"n:1"}}', 'its ips is not an array of strings'],
    ['no-id:1', '{"ips":["127.0.9.1"],"data":{"game":"game","version":"1.2.3"}}', 'its data.clusterId is not a string of 1 to 128 printable characters'],
    ['long-id:1', `{"ips":["127.0.9.1"],"data":{"game":"game","version":"1.2.3","clusterId":"${'x'.repeat(500)}"}}`,
        'its data.clusterId is not a string of 1 to 128 printable characters'],
    ['no-colon', '{"ips":["127.0.9.1"],"data":{"game":"game","version":"1.2.3","clusterId":"no-colon"}}', 'its name does not end in a colon and a port'],
    ['port-0:0', '{"ips":["127.0.9.1"],"data":{"game":"game","version":"1.2.3","clusterId":"port-0:0"}}', 'its name does not end in a colon and a port'],
    ['port-big:70000', '{"ips":["127.0.9.1"],"data":{"game":"game","version":"1.2.3","clusterId":"p:1"}}', 'its name does not end in a colon and a port'],
    ['large:1', ' '.repeat(1000000), 'it is larger than 16 KiB'],
    ['deep:1', `${'['.repeat(8000)}${']'.repeat(8000)}`, 'it is not JSON'],
];

test('broken announcements are logged once each and ignored; peers stay', { skip }, async (t) => {
    const { peer, id } = await mageAt(t, '127.0.9.1', 'b1b1b1b1b1b1b1b1');
    const withdraw = await zookeeper.announce(id, { ips: ['127.0.9.1'], ...GAME });
    await peer.join(uri(), ours);
    await peersUp([server], 1);
    const broken = await Promise.all(BROKEN.map(([name, data]) => zookeeper.put(name, data)));
    await everythingIsSeen(t, '127.0.9.2', 'b2b2b2b2b2b2b2b2'); // twice, as each change is read again
    await everythingIsSeen(t, '127.0.9.2', 'b3b3b3b3b3b3b3b3');
    for (const [name, , why] of BROKEN) {
        assert.strictEqual(ignored(name), 1, name);
        assert.ok(server.log.includes(`why="${why}"`) && countOf(new RegExp(`node="?${name}"? why="${why}"`)) === 1, `${name}: ${why}`);
    }
    assert.deepStrictEqual([(await status()).mesh_peers, (await status()).mesh_peers_up], [1, 1]);
    await Promise.all(broken.map((remove) => remove()));
    await leaves(peer, withdraw);
});

test('a MAGE host withdraws its announcement and makes it again, with and without its connections', { skip }, async (t) => {
    const { peer, id } = await mageAt(t, '127.0.9.1', 'c1c1c1c1c1c1c1c1');
    const announce = () => zookeeper.announce(id, { ips: ['127.0.9.1'], ...GAME });
    let withdraw = await announce();
    await peer.join(uri(), ours);
    await peersUp([server], 1);
    await withdraw();
    await until('that is read', () => /event=peer-withdrawn peer=c1c1/.test(server.log));
    assert.strictEqual((await status()).mesh_peers_up, 1, 'its connection lives, so it is there');
    withdraw = await announce();
    await everythingIsSeen(t, '127.0.9.2', 'c2c2c2c2c2c2c2c2');
    assert.strictEqual(countOf(/event=peer-up peer=c1c1/), 1, 'nothing happened to it');
    await leaves(peer, withdraw);
    const again = await MmrpPeer.start({ clusterId: id, host: '127.0.9.1', port: peer.port });
    t.after(() => again.stop());
    withdraw = await announce();
    await again.join(uri(), ours);
    await peersUp([server], 1);
    await leaves(again, withdraw);
});

for (const [what, more] of [['another game', { game: 'chess', version: '1.2.3' }], ['another version', { game: 'game', version: '1.2.4' }]]) {
    test(`a MAGE host of ${what} is none of our business`, { skip }, async (t) => {
        const { peer, id } = await mageAt(t, '127.0.9.1', 'e1e1e1e1e1e1e1e1');
        const withdraw = await zookeeper.announce(id, { ips: ['127.0.9.1'], ...more });
        await everythingIsSeen(t, '127.0.9.2', 'e2e2e2e2e2e2e2e2');
        assert.strictEqual(ignored(id), 0);
        assert.strictEqual((await status()).mesh_peers, 0);
        assert.deepStrictEqual(peer.frames, [], 'it hears nothing');
        await withdraw();
    });
}
