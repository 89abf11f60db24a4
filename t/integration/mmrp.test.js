'use strict';
// MMRP with a host that is not ours: what a MAGE 1.6 relay sends and sees, byte by byte.

const assert = require('assert');
const test = require('node:test');
const { newClient } = require('./lib/clients');
const { MageHost } = require('./lib/mage_host');
const { get } = require('./lib/server');
const { until } = require('./lib/wait');
const { missing } = require('./lib/zookeeper');

const skip = missing();
const escaped = (value) => value.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

let mage;
let names = 0;

// A client that keeps each pack as it came.
async function attach(t, transport, key) {
    const packs = [];
    const client = newClient(transport, mage.server.url, key, { onPack: (pack, body) => packs.push(body) });
    t.after(() => client.close(true));
    await client.connect();
    return { client, packs };
}

// An adopted session, attached: {packs, client, address, handle, connect (its frames as text)}.
async function attachAdopted(t, transport, style) {
    names += 1;
    const key = await mage.adopt(`bob-${names}`, `AbCdEfGh0123456${names}`);
    const address = `sess/${key}`;
    mage.forget();
    const attached = await attach(t, transport, key);
    const connect = await mage.got(new RegExp(
        `^${mage.id}\\|\\|${escaped(address)}\\|${style}\\|\\|${mage.ours}\\|${mage.ours}:(\\d+)\\|\\x01msgServer\\.connect$`));
    return { ...attached, key, address, connect: connect[0], handle: connect[1] };
}

test.before(async () => {
    mage = skip ? null : await MageHost.start();
});
test.after(() => mage && mage.dispose());

test('handshakes go both ways, byte by byte', { skip }, async () => {
    const { software } = mage.handshake;
    assert.match(software, /^\d+\.\d+\.\d+$/);
    const json = `{"clusterId":"${mage.ours}","identity":"${mage.ours}","isRelay":true,"isClient":false,`
        + `"server":"msgserver","software":"${software}","game":"game","version":"1.2.3"}`;
    assert.ok(mage.multiparts.includes(`${mage.id}||${json}||${mage.ours}|\x01mmrp.handshake`), mage.multiparts.join('\n'));
    assert.strictEqual((await mage.server.backend.status()).mesh_peers_up, 1);
});

for (const [by, via] of [['its ROUTER', false], ['its DEALER', true]]) {
    test(`messages by ${by} reach a session here`, { skip }, async (t) => {
        const key = await mage.server.backend.createSession(`carol-${by}`);
        const address = `sess/${key.slice(0, key.lastIndexOf('~'))}`;
        const { packs } = await attach(t, 'websocket', key);
        await until('it is attached', async () => (await mage.server.backend.session(key)).attached);
        await mage.peer.sendFrames([mage.ours, '', address, '[["a",{"x":1}]]', '[["b"]]', '[["c"]]', '', '\x00msgServer.send'],
            via ? mage.ours : undefined);
        await until('they arrive', () => packs.join('').includes('[["c"]]'));
        assert.strictEqual(packs.join(''), '{"1":[["a",{"x":1}]],"2":[["b"]],"3":[["c"]]}');
        // A worker of MAGE sends through its relay, which tracks the route.
        await mage.peer.sendFrames([mage.ours, '', address, '[["d"]]', '', mage.id, `${mage.id}:12:0`, '\x01msgServer.send'],
            via ? mage.ours : undefined);
        await until('it arrives', () => packs.length > 1);
        assert.strictEqual(packs.pop(), '{"4":[["d"]]}');
    });
}

test('messages for nobody are counted, and nobody hears of them', { skip }, async () => {
    const before = (await mage.server.backend.status()).refused_no_session;
    mage.forget();
    await mage.peer.send([mage.ours], ['sess/nobody:x', '[["a"]]', '[["b"]]'], 'msgServer.send');
    await until('they are counted', async () => (await mage.server.backend.status()).refused_no_session === before + 2);
    assert.deepStrictEqual(mage.received, []);
});

test('broadcasts are delivered once, each way', { skip }, async (t) => {
    const keys = await Promise.all([1, 2, 3].map((n) => mage.server.backend.createSession(`listener-${n}`)));
    const clients = await Promise.all(keys.slice(0, 2).map((key) => attach(t, 'websocket', key)));
    await until('they are attached', async () => (await Promise.all(keys.slice(0, 2).map((key) =>
        mage.server.backend.session(key)))).every((state) => state.attached));
    mage.forget();
    await mage.peer.sendFrames([mage.ours, '*:c', '', '[["theirs"]]', '', mage.id, `${mage.id}:7:1`, '\x01msgServer.broadcast']);
    await until('it is in every mailbox', async () => (await Promise.all(keys.map((key) =>
        mage.server.backend.session(key)))).every((state) => state.lastId === 1));
    const answer = await mage.server.backend.broadcast([['ours']]);
    assert.deepStrictEqual([answer.peers, answer.peersFailed], [1, 0]);
    await until('both have arrived', () => clients.every(({ packs }) => packs.length === 2));
    clients.forEach(({ packs }) => assert.deepStrictEqual(packs, ['{"1":[["theirs"]]}', '{"2":[["ours"]]}']));
    const expected = `${mage.id}|*:c||[["ours"]]||${mage.ours}|\x01msgServer.broadcast`;
    await mage.got(new RegExp(`^${escaped(expected)}$`));
    assert.deepStrictEqual(mage.received, [expected], 'theirs does not come back');
});

test('an adopted session on a WebSocket: only new IDs, exact confirmations, a disconnect', { skip }, async (t) => {
    const { client, packs, address, connect, handle } = await attachAdopted(t, 'websocket', 'never');
    assert.strictEqual(connect,
        `${mage.id}||${address}|never||${mage.ours}|${mage.ours}:${handle}|\x01msgServer.connect`);
    // MAGE resends everything unconfirmed with each new message.
    const unconfirmed = [];
    for (let id = 1; id <= 3; id += 1) {
        unconfirmed.push(String(id), `[["m",${id}]]`);
        await mage.toClient(handle, 'msgServer.messagepack', address, ...unconfirmed);
    }
    await until('three packs', () => packs.length === 3);
    assert.deepStrictEqual(packs, ['{"1":[["m",1]]}', '{"2":[["m",2]]}', '{"3":[["m",3]]}']);
    mage.forget();
    client.confirm([1, 2]);
    await mage.got(/confirm$/);
    assert.deepStrictEqual(mage.received,
        [`${mage.id}||{"msgIds":["1","2"],"address":"${address}"}||\x00msgServer.confirm`]);
    await mage.toClient(handle, 'msgServer.messagepack', address, '3', '[["m",3]]', '4', '[["m",4]]');
    await until('one pack more', () => packs.length === 4);
    assert.strictEqual(packs[3], '{"4":[["m",4]]}');
    mage.forget();
    client.close();
    await mage.got(/disconnect$/);
    assert.deepStrictEqual(mage.received,
        [`${mage.id}||${address}||\x00msgServer.disconnect`]);
});

test('an adopted session by long polling: confirmations go before the connect they came with', { skip }, async (t) => {
    const { client, packs, key, address, handle } = await attachAdopted(t, 'longpolling', 'ondelivery');
    client.closed = true; // it polls once
    await mage.toClient(handle, 'msgServer.messagepack', address, '1', '[["m",1]]', '2', '[["m",2]]');
    const url = `${mage.server.url}?transport=longpolling&sessionKey=${encodeURIComponent(key)}`;
    await until('the poll is over', async () => !(await mage.server.backend.session(key)).attached);
    assert.deepStrictEqual(packs, []);
    mage.forget();
    const answer = get(`${url}&confirmIds=1%2C2`);
    const [, next] = await mage.got(/ondelivery\|.*:(\d+)\|\x01msgServer\.connect$/);
    const [confirm, connect] = mage.received;
    assert.strictEqual(confirm, `${mage.id}||{"msgIds":["1","2"],"address":"${address}"}||\x00msgServer.confirm`);
    assert.match(connect, /connect$/);
    assert.strictEqual(mage.received.length, 2);
    assert.notStrictEqual(next, handle);
    await mage.toClient(next, 'msgServer.messagepack', address, '3', '[["m",3]]');
    const { status, headers, body } = await answer;
    assert.deepStrictEqual([status, headers['content-type'], body], [200, 'application/json', '{"3":[["m",3]]}']);
    assert.deepStrictEqual(mage.received.slice(2), [], 'a poll that was answered is not disconnected');
});

test('an adopted session by short polling: an empty pack is 204', { skip }, async () => {
    const key = await mage.adopt('dave', 'AbCdEfGh01234567');
    const url = `${mage.server.url}?transport=shortpolling&sessionKey=${encodeURIComponent(key)}`;
    for (const [messages, status, body] of [[[], 204, ''], [['1', '[["x"]]'], 200, '{"1":[["x"]]}']]) {
        mage.forget();
        const answer = get(url);
        const [, handle] = await mage.got(/\|always\|.*:(\d+)\|\x01msgServer\.connect$/);
        await mage.toClient(handle, 'msgServer.messagepack', 'sess/dave:AbCdEfGh01234567', ...messages);
        const given = await answer;
        assert.deepStrictEqual([given.status, given.body], [status, body]);
    }
});

test('an adopted session on an event stream', { skip }, async (t) => {
    const { packs, address, handle } = await attachAdopted(t, 'sse', 'never');
    await mage.toClient(handle, 'msgServer.messagepack', address, '5', '[["m",5]]');
    await until('a pack', () => packs.length === 1);
    assert.strictEqual(packs[0], '{"5":[["m",5]]}');
});

test('hostGone reaches the client; one for a stale attachment does not', { skip }, async (t) => {
    const first = await attachAdopted(t, 'websocket', 'never');
    mage.forget();
    const second = await attach(t, 'websocket', first.key);
    const [, handle] = await mage.got(/\|never\|.*:(\d+)\|\x01msgServer\.connect$/);
    await mage.toClient(first.handle, 'msgServer.hostGone', first.address);
    await mage.toClient(first.handle, 'msgServer.messagepack', first.address, '1', '[["stale"]]');
    await mage.toClient(handle, 'msgServer.messagepack', first.address, '1', '[["fresh"]]');
    await until('a pack', () => second.packs.length === 1);
    assert.strictEqual(second.packs[0], '{"1":[["fresh"]]}');
    await mage.toClient(handle, 'msgServer.hostGone', first.address);
    await until('the end', () => second.packs.length === 2);
    assert.strictEqual(second.packs[1], '{"0":[["session.unset","hostGone"]]}');
    assert.deepStrictEqual(first.packs, []);
});

test('a connect that MAGE cannot deliver is repeated, and the client told when that is in vain', { skip }, async (t) => {
    const { packs, address, handle } = await attachAdopted(t, 'websocket', 'never');
    const refuse = () => mage.toClient(handle, 'mmrp.sendError', 'Host unreachable', 'msgServer.connect', address, 'never');
    const connects = () => mage.received.filter((multipart) => multipart.includes(`:${handle}|\x01msgServer.connect`)).length;
    for (let n = 1; packs.length === 0; n += 1) {
        assert.ok(n < 30, 'it goes on for ever');
        await refuse();
        await until('another connect, or the end', () => connects() > n || packs.length > 0);
        if (n === 1) {
            assert.strictEqual(packs.length, 0, 'one error is not the end');
        }
    }
    assert.deepStrictEqual(packs, ['{"0":[["session.unset","hostGone"]]}']);
});

test('what a backend sends to an adopted session is forwarded', { skip }, async () => {
    const key = await mage.adopt('erin', 'AbCdEfGh01234567');
    assert.strictEqual(key, 'erin:AbCdEfGh01234567');
    mage.forget();
    const [result] = await mage.server.backend.send(key, [['one', { a: 1 }]], [['two']]);
    assert.deepStrictEqual([result.to, result.outcome], [key, 'forwarded']);
    await mage.got(/send$/);
    assert.deepStrictEqual(mage.received, [
        `${mage.id}||sess/erin:AbCdEfGh01234567|[["one",{"a":1}]]|[["two"]]||${mage.ours}|\x01msgServer.send`]);
});

test('nobody gets a mailbox of a MAGE host by naming it', { skip }, async (t) => {
    mage.forget();
    const { packs } = await attach(t, 'websocket', `erin:AbCdEfGh99999999~${mage.id.replace(':', '.')}`);
    await until('it is refused', () => packs.length === 1);
    assert.strictEqual(packs[0], '{"0":[["session.unset","noSession"]]}');
    assert.deepStrictEqual(mage.received, []);
});

test('a host that announces another version is not connected', { skip }, async () => {
    const withdraw = await mage.zookeeper.announce('beefbeefbeefbeef:1', { ips: ['127.0.0.3'], game: 'game', version: '9' });
    const also = await mage.zookeeper.announce('beefbeefbeefbeef:2', { ips: ['127.0.0.3'], game: 'game', version: '1.2.3' });
    await until('the other is known', async () => (await mage.server.backend.status()).mesh_peers === 2);
    await Promise.all([withdraw(), also()]);
    await until('it is gone', async () => (await mage.server.backend.status()).mesh_peers === 1);
});

test('a MAGE host that restarts is met again, and told of the clients that wait for it', { skip }, async (t) => {
    const { packs, address, handle } = await attachAdopted(t, 'websocket', 'never');
    await mage.toClient(handle, 'msgServer.messagepack', address, '1', '[["before"]]');
    await until('a pack', () => packs.length === 1);
    await mage.restart();
    const [connect] = await mage.got(new RegExp(`^.*:${handle}\\|\\x01msgServer\\.connect$`));
    assert.strictEqual(connect.split('|').slice(0, 4).join('|'), `${mage.id}||${address}|never`);
    await mage.toClient(handle, 'msgServer.messagepack', address, '1', '[["before"]]', '2', '[["again"]]');
    await until('a pack more', () => packs.length === 2);
    assert.strictEqual(packs[1], '{"2":[["again"]]}');
});
