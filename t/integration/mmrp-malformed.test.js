'use strict';
// What must not hurt: envelopes that are none, from a peer and from a stranger, and connections that
// do not even speak ZMTP. The processes live, and the next good envelope is handled.

const assert = require('assert');
const net = require('net');
const test = require('node:test');
const zmq = require('zeromq');
const { newClient } = require('./lib/clients');
const { MageHost } = require('./lib/mage_host');
const { Random } = require('./lib/random');
const { until } = require('./lib/wait');
const { missing } = require('./lib/zookeeper');

const skip = missing();
const big = 'x'.repeat(70000);
const random = new Random();
const noise = (length) => Buffer.from(Array.from({ length }, () => random.below(256)));
const repeated = (count, value) => Array.from({ length: count }, () => value);

// Multiparts as a DEALER sends them; `a` is our cluster ID, `b` the sender's, `bob` an address here.
const MALFORMED = (a, b, bob) => [
    [''],
    ['', ''],
    ['', '', ''],
    [a],
    [a, ''],
    [a, '', ''],
    [a, '', '', ''],
    [a, '', '', '\x00'],
    [a, '', '', '\x01'],
    [a, '', bob, '', '\x00'],
    [a, '', bob, '[["x"]]', '', ''],
    ['\x00msgServer.send'],
    ['', '\x00msgServer.send'],
    [a, '\x00msgServer.send'],
    [a, bob, '[["x"]]', '\x00msgServer.send'],
    [a, '', '', '\x00msgServer.send'],
    [a, '', bob, '', '\x00msgServer.send'],
    [a, '', 'bob', '[["x"]]', '', '\x00msgServer.send'],
    [a, '', 'sess/', '[["x"]]', '', '\x00msgServer.send'],
    [a, '', noise(300), '[["x"]]', '', '\x00msgServer.send'],
    [a, '', bob, '[["x"]', '', '\x00msgServer.send'],
    [a, '', bob, '{}', '', '\x00msgServer.send'],
    [a, '', bob, 'null', '', '\x00msgServer.send'],
    [a, '', bob, '[["x"]]\x00', '', '\x00msgServer.send'],
    [a, '', bob, noise(64), '', '\x00msgServer.send'],
    [a, '', bob, '[["\xc3\x28"]]', '', '\x00msgServer.send'],
    [a, '', bob, `[["${big}"]]`, '', '\x00msgServer.send'],
    [a, '', bob, `${'['.repeat(3000)}${']'.repeat(3000)}`, '', '\x00msgServer.send'],
    [a, '', bob, '[["x"]]', '', '\x00msgserver.send'],
    [a, '', bob, '[["x"]]', '', '\xffwhatever'],
    [a, '', bob, '[["x"]]', '', `\x00${'t'.repeat(5000)}`],
    ['nobody:1', '', bob, '[["x"]]', '', '\x00msgServer.send'],
    ['nobody:1', '', bob, '[["x"]]', '', b, '\x01msgServer.send'],
    [...repeated(40, a), 'nobody:1', '', bob, '', '\x01msgServer.send'],
    [...repeated(300, 'hop:1'), '', bob, '[["x"]]', '', '\x01msgServer.send'],
    [a, '', bob, '[["x"]]', '', ...repeated(300, 'hop:1'), '\x01msgServer.send'],
    [a, `${a}:99`, 'further', '', bob, '', '\x00msgServer.messagepack'],
    [a, big, '', bob, '[["x"]]', '', b, '\x01msgServer.send'],
    [a, '', bob, 'never', '', '\x01msgServer.connect'],
    [a, '', bob, 'never', '', '\x00msgServer.connect'],
    [a, '', bob, 'sometimes', '', b, '\x01msgServer.connect'],
    [a, '', bob, '', b, '\x01msgServer.connect'],
    [a, '', bob, 'never', 'x', 'y', 'z', '', b, '\x01msgServer.connect'],
    [a, '', bob, 'never', '99999999999999999999', '1', '0', '', b, '\x01msgServer.connect'],
    [a, '', bob, 'never', '0', '-1', '0', '', b, '\x01msgServer.connect'],
    [a, '', 'sess/nobody:x', 'never', '', b, `${b}:1`, '\x01msgServer.connect'],
    [a, '', 'sess/nobody:x', 'never', '', 'other:1', 'other:2', '\x01msgServer.connect'],
    [a, '', '', '\x00msgServer.disconnect'],
    [a, '', 'sess/nobody:x', '', '\x00msgServer.disconnect'],
    [a, '', '{', '', '\x00msgServer.confirm'],
    [a, '', '{"msgIds":{},"address":1}', '', '\x00msgServer.confirm'],
    [a, '', `{"msgIds":["-1","1e9",null,[]],"address":"${bob}"}`, '', '\x00msgServer.confirm'],
    [a, '', `{"msgIds":["99999999999999999999999"],"address":"${bob}"}`, '', '\x00msgServer.confirm'],
    [a, `${a}:1`, '', bob, '1', '', '\x00msgServer.messagepack'],
    [a, `${a}:18446744073709551616`, '', bob, '1', '[["x"]]', '', '\x00msgServer.messagepack'],
    [a, `${a}:`, '', bob, '1', '[["x"]]', '', '\x00msgServer.messagepack'],
    [a, `${a}:1:2`, '', bob, '1', '[["x"]]', '', '\x00msgServer.messagepack'],
    [a, `${a}:1`, '', '', '\x00msgServer.hostGone'],
    [a, '', 'Host unreachable', '', '\x00mmrp.sendError'],
    [a, '', '', b, '\x01msgServer.broadcast'],
    [a, '*', '', '[["x"]', '', b, '\x01msgServer.broadcast'],
    [a, '*:c', '*:r', '*', '', '{}', '', b, '\x01msgServer.broadcast'],
    [a, '*:x', '', '[["x"]]', '', b, '\x01msgServer.broadcast'],
    [a, '', '{}', '', b, '\x01mmrp.handshake'],
    [a, '', 'null', '', b, '\x01mmrp.handshake'],
    [a, '', '{"clusterId":1,"identity":[],"isRelay":"yes"}', '', b, '\x01mmrp.handshake'],
    [a, '', `{"clusterId":"${a}","identity":"${a}","isRelay":true,"isClient":false}`, '', a, '\x01mmrp.handshake'],
    [a, '', '{"clusterId":"c:1","identity":"c:1","isRelay":true,"isClient":false}', '', 'c:1', '\x01mmrp.handshake'],
    [a, '', `{"clusterId":"${big}:1","identity":"${big}:1","isRelay":true}`, '', b, '\x01mmrp.handshake'],
    ['nobody:1', '', '{"clusterId":"c:1","identity":"c:1","isRelay":true}', '', 'c:1', '\x01mmrp.handshake'],
    [a, '', '1-1', '4', '', b, '\x01msgserver.request'],
    [a, '', '1-1', '4', '\x00', '', b, '\x01msgserver.request'],
    [a, '', '1-1', '4', '\x01garbage', '', b, '\x01msgserver.request'],
    [a, '', '1-1', '4', '\x01\x00\x00\x00\x04\xff\xff\xff\xff\xff\xff\xff\xff', '', b, '\x01msgserver.request'],
    [a, '', '1-1', '99999', '\x01', '', b, '\x01msgserver.request'],
    [a, '', 'x-y', '8', '\x01', '', '\x00msgserver.reply'],
    [a, '', '4294967296-1', '8', '\x01', '', '\x00msgserver.reply'],
    repeated(3000, 'x'),
    repeated(3000, ''),
    [noise(100), '', noise(100), '', noise(100)],
    ...Array.from({ length: 20 }, () => Array.from({ length: 1 + random.below(8) }, () => noise(random.below(3) * random.below(40)))),
];

const latin1 = (frames) => frames.map((frame) => (Buffer.isBuffer(frame) ? frame : Buffer.from(frame, 'latin1')));

// ZMTP 3.1: a greeting, and a READY command of a DEALER (RFC 37).
const GREETING = Buffer.concat([Buffer.from('ff00000000000000017f0301', 'hex'), Buffer.from('NULL'), Buffer.alloc(48)]);
const READY = Buffer.concat([Buffer.from('\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER', 'latin1')]);
const RAW = [
    ['connect and close', ''],
    ['an HTTP request', 'GET /check.txt HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a TLS hello', Buffer.from('160301020001000001fc0303', 'hex')],
    ['noise', noise(5000)],
    ['zeros', Buffer.alloc(5000)],
    ['half a greeting', GREETING.subarray(0, 30)],
    ['another mechanism', Buffer.concat([GREETING.subarray(0, 12), Buffer.from('CURVE'), Buffer.alloc(47)])],
    ['a greeting and noise', Buffer.concat([GREETING, noise(500)])],
    ['a frame of 2^62 bytes', Buffer.concat([GREETING, READY, Buffer.from('024000000000000000', 'hex'), noise(500)])],
    ['a frame of 1 GB', Buffer.concat([GREETING, READY, Buffer.from('020000000040000000', 'hex'), noise(500)])],
    ['an unknown command', Buffer.concat([GREETING, READY, Buffer.from('\x04\x05\x04NOPE', 'latin1')])],
    ['an envelope without end', Buffer.concat([GREETING, READY, ...repeated(5000, Buffer.from('0101' + '41', 'hex'))])],
];

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
    const all = MALFORMED(mage.ours, mage.id, bob.address);
    assert.ok(all.length >= 50);
    for (const frames of all) {
        await mage.peer.sendFrames(latin1(frames), mage.ours);
    }
    await allIsWell(t);
    for (const frames of all.filter((parts) => parts.length > 1)) {
        await mage.peer.sendFrames([mage.ours, ...latin1(frames).slice(1)]); // by its ROUTER
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
        ...MALFORMED(mage.ours, 'stranger:1', bob.address),
        [mage.ours, '', bob.address, '[["from a stranger"]]', '', '\x00msgServer.send'],
        [mage.ours, '*', '', '[["from a stranger"]]', '', 'stranger:1', '\x01msgServer.broadcast'],
        [mage.ours, '', bob.address, 'never', '', 'stranger:1', '\x01msgServer.connect'],
        [mage.ours, '', `{"msgIds":["1"],"address":"${bob.address}"}`, '', '\x00msgServer.confirm'],
    ];
    for (const frames of all) {
        await stranger.send(latin1(frames));
    }
    await until('they are counted', async () => (await mage.server.backend.status()).mesh_strangers >= before.mesh_strangers + 40);
    assert.strictEqual((await mage.server.backend.session(bob.key)).lastId, lastId);
    stranger.close();
    await allIsWell(t);
});

test('connections that do not speak ZMTP are harmless', { skip }, async (t) => {
    const port = Number(new URL(mage.uri.replace('tcp', 'http')).port);
    const open = [];
    t.after(() => open.forEach((socket) => socket.destroy()));
    for (const [what, bytes] of RAW) {
        for (const stay of [false, true]) {
            await new Promise((resolve, reject) => {
                const socket = net.connect(port, '127.0.0.1', () => {
                    socket.write(bytes, () => (stay ? resolve(open.push(socket)) : socket.destroy()));
                });
                socket.on('error', (error) => (error.code === 'ECONNRESET' || error.code === 'EPIPE' ? resolve() : reject(new Error(`${what}: ${error.message}`))));
                socket.on('close', resolve);
                socket.resume();
            });
        }
    }
    await Promise.all(Array.from({ length: 200 }, () => new Promise((resolve, reject) => { // a port scan
        const socket = net.connect(port, '127.0.0.1', () => {
            socket.destroy();
            resolve();
        });
        socket.on('error', reject);
    })));
    await allIsWell(t);
});
