'use strict';
// Sessions and clients between one of our hosts and a pretended MAGE host, from end to end: whole
// messages go all the way from senders to clients, in both roles. mesh-matrix.test.js has the bytes.

const assert = require('assert');
const test = require('node:test');
const { Inbox, TRANSPORTS, newClient } = require('./lib/clients');
const { peersUp } = require('./lib/hosts');
const { MageApp } = require('./lib/mage_app');
const { MageHost } = require('./lib/mage_host');
const { until } = require('./lib/wait');
const { missing } = require('./lib/zookeeper');

const skip = missing();
const escaped = (value) => value.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const addressOf = (key) => `sess/${key.slice(0, key.lastIndexOf('~'))}`;
const STYLES = ['never', 'ondelivery', 'always'];

let mage;
let app;
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
    if (!skip) {
        mage = await MageHost.start();
    }
});
test.after(() => mage && mage.dispose());

test('hostGone reaches the client; one for a stale attachment does not', { skip }, async (t) => {
    const first = await attachAdopted(t, 'websocket', 'never');
    mage.forget();
    const second = await attach(t, 'websocket', first.key);
    const [, handle] = await mage.got(/\|never\|\|.*:(\d+)\|\x01msgServer\.connect$/);
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

test('nobody gets a mailbox of a MAGE host by naming it', { skip }, async (t) => {
    mage.forget();
    const { packs } = await attach(t, 'websocket', `erin:AbCdEfGh99999999~${mage.id.replace(':', '.')}`);
    await until('it is refused', () => packs.length === 1);
    assert.strictEqual(packs[0], '{"0":[["session.unset","noSession"]]}');
    assert.deepStrictEqual(mage.received, []);
});


/* --- from end to end, with the message server of the MAGE host ---------------------------------- */

// A client of ours that confirms what it got.
async function follow(t, transport, key, inbox = new Inbox()) {
    const client = newClient(transport, mage.server.url, key, {
        onPack: (pack, text) => {
            const ids = inbox.take(pack, text);
            if (ids.length > 0) {
                client.confirm(ids);
            }
        },
        onEnd: () => client.again && client.again(50),
    });
    t.after(() => client.close(true));
    await client.connect();
    return inbox;
}

// From the first of these two on, the MAGE host answers by itself.
const messageServer = () => { app = app || new MageApp(mage); };

// A session made at MAGE, with its mailbox there.
async function sessionAtMage() {
    names += 1;
    messageServer();
    const key = await mage.adopt(`dan-${names}`, `AbCdEfGh0123456${names}`);
    return { key, address: `sess/${key}`, mailbox: app.mailbox(`sess/${key}`) };
}

async function sessionHere() {
    names += 1;
    messageServer();
    const key = await mage.server.backend.createSession(`erin-${names}`);
    return { key, address: addressOf(key) };
}

const bodies = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => `[["m",${from + i}]]`);
const emptied = (address) => until('all is confirmed', () => app.mailboxes.get(address).waiting.size === 0);
const settled = (key) => until('all is confirmed', async () => (await mage.server.backend.session(key)).pending === 0);

for (const transport of TRANSPORTS) {
    test(`a session at MAGE with its client here: ${transport}`, { skip }, async (t) => {
        const { key, address, mailbox } = await sessionAtMage();
        app.send(address, ...bodies(1, 3));
        const inbox = await follow(t, transport, key);
        await until('what waited has come', () => inbox.highest === 3);
        const line = [['m', 4]];
        assert.strictEqual((await mage.server.backend.send(key, line))[0].outcome, 'forwarded');
        for (let n = 5; n <= 40; n += 1) {
            app.send(address, ...bodies(n, n));
        }
        await until(() => `all have come, not ${inbox.highest}`, () => inbox.highest === 40);
        // The message of our backend took a place among those of MAGE.
        assert.deepStrictEqual([...inbox.bodies.values()].sort(), bodies(1, 40).sort());
        if (transport === 'sse') { // it has no way back: its next connection confirms
            await follow(t, 'websocket', key);
            return;
        }
        await emptied(address);
        assert.strictEqual(mailbox.last, 40);
        assert.strictEqual(transport === 'websocket' ? inbox.duplicates : 0, 0);
    });
}

for (const style of STYLES) {
    test(`a session here with its client at MAGE: ${style}`, { skip }, async () => {
        const { key, address } = await sessionHere();
        await mage.server.backend.send(key, ...[[['m', 1]], [['m', 2]]]);
        const client = app.client(address, style);
        await client.connect();
        await until('what waited has come', () => client.seen.size === 2);
        for (let n = 3; n <= 40; n += 1) {
            if (n % 2) {
                await mage.server.backend.send(key, [['m', n]]);
            } else {
                await mage.peer.send([mage.ours], [address, `[["m",${n}]]`], 'msgServer.send');
            }
        }
        await until(() => `all have come, not ${client.seen.size}`, () => client.seen.size === 40);
        await settled(key);
        assert.deepStrictEqual([...client.seen.values()].sort(), bodies(1, 40).sort());
        assert.deepStrictEqual([...client.seen.keys()], Array.from({ length: 40 }, (_, i) => i + 1));
        if (style === 'never') {
            assert.strictEqual(client.repeats, 0);
        }
        const { confirmed } = await mage.server.backend.session(key);
        assert.strictEqual(confirmed, 40);
        await client.disconnect();
        await until('it is detached', async () => !(await mage.server.backend.session(key)).attached);
    });
}

test('broadcasts reach each mailbox exactly once, whichever host they come from', { skip }, async (t) => {
    const homes = await Promise.all([sessionHere(), sessionHere(), sessionHere()]);
    const away = await sessionAtMage();
    const awayAlone = await sessionAtMage();
    const inbox = await follow(t, 'websocket', homes[0].key);
    const adopted = await follow(t, 'websocket', away.key);
    const client = app.client(homes[1].address, 'never');
    await client.connect();
    await until('all are attached', async () => away.mailbox.route && (await Promise.all(homes.slice(0, 2).map(({ key }) =>
        mage.server.backend.session(key)))).every(({ attached }) => attached));
    app.broadcasts.length = 0;
    const told = ['[["theirs"]]', '[["ours"]]', '[["theirs again"]]'];
    const lasts = async (n) => away.mailbox.last === n && awayAlone.mailbox.last === n &&
        (await Promise.all(homes.map(({ key }) => mage.server.backend.session(key)))).every(({ lastId }) => lastId === n);
    for (const [i, body] of told.entries()) {
        if (i === 1) {
            const answer = await mage.server.backend.broadcast(JSON.parse(body));
            assert.deepStrictEqual([answer.peers, answer.peersFailed, answer.overLimit], [1, 0, 0]);
        } else {
            await app.broadcast(body);
        }
        await until('it is in every mailbox', () => lasts(i + 1));
    }
    await until('each client has all', () => inbox.highest === 3 && adopted.highest === 3 && client.seen.size === 3);
    for (const got of [inbox.bodies, adopted.bodies, client.seen]) {
        assert.deepStrictEqual([...got.values()], told);
    }
    assert.deepStrictEqual([inbox.duplicates, adopted.duplicates, client.repeats], [0, 0, 0]);
    assert.deepStrictEqual(app.broadcasts, ['[["ours"]]'], 'theirs does not come back');
    assert.ok(await lasts(3));
});

test('the MAGE host is gone and comes back: nothing is lost either way', { skip }, async (t) => {
    const away = await sessionAtMage();
    const home = await sessionHere();
    const inbox = await follow(t, 'websocket', away.key);
    const before = app.client(home.address, 'never');
    await before.connect();
    app.send(away.address, ...bodies(1, 2));
    await mage.server.backend.send(home.key, [['m', 1]], [['m', 2]]);
    await until('both have both', () => inbox.highest === 2 && before.seen.size === 2);
    await settled(home.key);
    await emptied(away.address);
    const restarted = mage.restart();
    await peersUp([mage.server], 0);
    await until('its clients here are detached', async () => !(await mage.server.backend.session(home.key)).attached);
    await mage.server.backend.send(home.key, [['m', 3]]);
    await restarted;
    app.adopt();
    app.send(away.address, ...bodies(3, 4));
    const after = app.client(home.address, 'never');
    await after.connect();
    await until('the client here was connected again by us', () => inbox.highest === 4);
    await until('its own client has what waited', () => after.seen.size === 1);
    assert.deepStrictEqual([...inbox.bodies.values()], bodies(1, 4));
    assert.deepStrictEqual([...after.seen], [[3, '[["m",3]]']]);
    await settled(home.key);
    await after.disconnect();
});

test('our host is gone and comes back: nothing is lost either way', { skip }, async (t) => {
    const away = await sessionAtMage();
    const home = await sessionHere();
    const inbox = await follow(t, 'websocket', away.key);
    app.send(away.address, ...bodies(1, 2));
    await until('both have come', () => inbox.highest === 2);
    await mage.server.backend.send(home.key, [['m', 1]], [['m', 2]]);
    assert.strictEqual((await mage.server.stop()).code, 0);
    await mage.server.start();
    mage.peer.connect(mage.uri, mage.ours); // MAGE saw it vanish and come back
    await mage.peer.handshake(mage.ours);
    await peersUp([mage.server], 1);
    const client = app.client(home.address, 'never');
    await client.connect();
    await until('its mailbox is as it was', () => client.seen.size === 2);
    await settled(home.key);
    await follow(t, 'websocket', away.key, inbox);
    app.send(away.address, ...bodies(3, 4));
    await until('the rest has come', () => inbox.highest === 4);
    await emptied(away.address);
    assert.deepStrictEqual([...client.seen.values()], bodies(1, 2));
});
