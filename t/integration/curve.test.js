'use strict';
// Two hosts with CURVE, a real ZooKeeper, and attackers that speak MMRP and CURVE over a ZeroMQ of
// their own. Whatever they try, they get no byte of ours, and the hosts go on.

const assert = require('assert');
const { execFileSync } = require('child_process');
const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');
const test = require('node:test');
const zmq = require('zeromq');
const { Inbox, newClient } = require('./lib/clients');
const { clusterIdOf, peersUp, startHost } = require('./lib/hosts');
const { encode } = require('./lib/mmrp_peer');
const { Namespaces, impossible } = require('./lib/namespaces');
const { BUILD, Server, freePort } = require('./lib/server');
const { until } = require('./lib/wait');
const { ZooKeeper, missing } = require('./lib/zookeeper');

const HOST_A = '127.0.0.1';
const HOST_B = '127.0.0.2';
const SECRET_WORDS = 'nobody-else-may-read-this';

const ctl = (...args) => execFileSync(path.join(BUILD, 'msgserverctl'), ['mesh', ...args], { encoding: 'utf8' });

// Keys of one test, and the peers file that all hosts share.
class Keys {
    constructor() {
        this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'msgserver-keys.'));
        this.peersFile = path.join(this.directory, 'peers');
    }

    // A key as an operator makes it: {file, publicKey, secretKey}.
    make(name) {
        const file = path.join(this.directory, name);
        const publicKey = ctl('keygen', file).trim();
        return { file, publicKey, secretKey: fs.readFileSync(file, 'utf8').trim() };
    }

    // Lines in place of the old ones; the file is whole at every moment.
    allow(...lines) {
        fs.writeFileSync(`${this.peersFile}.new`, `${lines.join('\n')}\n`);
        fs.renameSync(`${this.peersFile}.new`, this.peersFile);
    }

    curve(key) {
        return { keyFile: key.file, peersFile: this.peersFile };
    }

    remove() {
        fs.rmSync(this.directory, { recursive: true, force: true });
    }
}

// A TCP port that passes everything on to `target`, and keeps what went through it.
class Wiretap {
    static start(target) {
        const tap = new Wiretap();
        tap.sockets = new Set();
        tap.bytes = { up: [], down: [] };
        tap.server = net.createServer((inward) => {
            const outward = net.connect(target.port, target.host);
            [[inward, outward, 'up'], [outward, inward, 'down']].forEach(([from, to, way]) => {
                tap.sockets.add(from);
                from.on('data', (data) => {
                    tap.bytes[way].push(data);
                    to.write(data);
                });
                from.on('close', () => to.destroy());
                from.on('error', () => to.destroy());
            });
        });
        return new Promise((resolve) => tap.server.listen(0, '127.0.0.1', () => {
            tap.port = tap.server.address().port;
            tap.uri = `tcp://127.0.0.1:${tap.port}`;
            resolve(tap);
        }));
    }

    get seen() {
        return Buffer.concat([...this.bytes.up, ...this.bytes.down]);
    }

    get down() {
        return Buffer.concat(this.bytes.down);
    }

    stop() {
        this.server.close();
        this.sockets.forEach((socket) => socket.destroy());
    }
}

// A DEALER of a stranger to a ROUTER of ours; all that it receives is kept.
class Attacker {
    constructor(uri, identity, curve) {
        this.received = [];
        this.dealer = new zmq.Dealer({ linger: 0, routingId: identity, reconnectInterval: 100, sendTimeout: 0, ...curve });
        this.dealer.connect(uri);
        this.reading = this.read();
    }

    async read() {
        try {
            for await (const frames of this.dealer) {
                this.received.push(frames.map(String));
            }
        } catch (error) {
            if (!this.dealer.closed) {
                throw error;
            }
        }
    }

    // Each of what a host could send, in the name of `claimed`, which may be somebody else.
    async tryAll(homeId, claimed, address) {
        const track = { returnRoute: [claimed], flags: 1 };
        const handshake = JSON.stringify({ clusterId: claimed, identity: claimed, isRelay: true, isClient: false,
            server: 'msgserver', software: '1', game: 'game', version: '1.2.3' });
        const connect = ['msgServer.connect', [address, 'never'], { returnRoute: [claimed, `${claimed}:7`], flags: 1 }];
        const attempts = [
            ['mmrp.handshake', [handshake], track],
            ['msgServer.send', [address, '["forged"]'], {}],
            connect,
            ['msgServer.confirm', [JSON.stringify({ address, msgIds: ['1'] })], {}],
            ['msgServer.disconnect', [address], track],
            ['hostGone', [address], {}],
            ['msgserver.request', ['x'], track],
        ];
        const envelopes = attempts.map(([type, messages, more]) => encode({ route: [homeId], messages, type, ...more }));
        envelopes.push(encode({ route: [homeId, '*'], messages: ['["forged"]'], type: 'msgServer.broadcast', ...track }));
        for (const frames of envelopes) {
            await this.dealer.send(frames).catch(() => {}); // it may not even be connected
        }
        return envelopes.length;
    }

    close() {
        this.dealer.close();
    }
}

const uriOf = (clusterId, host) => `tcp://${host}:${clusterId.split(':')[1]}`;
const privately = (clusterId) => `${clusterId}~${'0123456789abcdef'}`;
const addressOf = (key) => `sess/${key.replace(/~[^~]*$/, '')}`;
const client = (key, server) => ({ curvePublicKey: key.publicKey, curveSecretKey: key.secretKey, curveServerKey: server.publicKey });

const linesOf = (inbox) => [...inbox.bodies.values()].filter((body) => body.includes('"line"')).length;
const got = (inbox, name) => until(`${name} came`, () => [...inbox.bodies.values()].some((body) => body.includes(`"${name}"`)));

// A client at one host, of a session at another, that confirms what comes.
async function attach(t, server, key, inbox = new Inbox()) {
    const connection = newClient('websocket', server.url, key, {
        onPack: (pack, text) => {
            const ids = inbox.take(pack, text);
            if (ids.length > 0) {
                connection.confirm(ids);
            }
        },
        onEnd: () => {},
    });
    t.after(() => connection.close(true));
    await connection.connect();
    await until('the client is attached', async () => (await server.backend.session(key)).attached);
    return inbox;
}

// Across the mesh and back: a session at A, sent to from B, read at B. `sent` counts all of them.
function traffic(a, b, key, inbox) {
    let sent = 0;
    return {
        pass: async (count = 20) => {
            const orders = Array.from({ length: count }, (_, i) => ({ to: key, message: [['line', { [SECRET_WORDS]: sent + i }]] }));
            const outcomes = (await b.backend.sendMany(orders)).map((line) => line.results[0].outcome);
            assert.deepStrictEqual([...new Set(outcomes)], ['queued']);
            sent += count;
            await until(() => `${sent} messages came (${linesOf(inbox)})`, () => linesOf(inbox) === sent);
            assert.strictEqual(inbox.duplicates, 0);
        },
    };
}

function assertNoSecrets(what, text, ...keys) {
    keys.forEach((key) => assert.ok(!text.includes(key.secretKey), `${what} tells a secret key`));
}

test('two hosts with CURVE, and those whom it keeps out', { skip: missing() }, async (t) => {
    const keys = new Keys();
    const [keyA, keyB, keyC, stranger] = ['a', 'b', 'c', 'stranger'].map((name) => keys.make(name));
    keys.allow(keyA.publicKey, keyB.publicKey, keyC.publicKey);
    const zookeeper = await ZooKeeper.start();
    const servers = [];
    t.after(async () => {
        await Promise.all(servers.map((server) => server.dispose()));
        await zookeeper.dispose();
        keys.remove();
    });
    const start = async (host, key) => {
        const server = await startHost(zookeeper, { host }, key ? { mmrp: { curve: keys.curve(key) } } : {});
        servers.push(server);
        return server;
    };
    const [a, b] = await Promise.all([start(HOST_A, keyA), start(HOST_B, keyB)]);
    const [idA, idB] = await Promise.all([a, b].map(clusterIdOf));
    await peersUp([a, b]);

    const key = await a.backend.createSession('bob');
    const inbox = await attach(t, b, key);
    const { pass } = traffic(a, b, key, inbox);
    await pass();
    const uriA = uriOf(idA, HOST_A);
    const status = () => a.backend.status();

    // What a stranger meets: {name, curve options, the counter that tells of it}.
    async function isKeptOut(st, { identity, curve, counter }) {
        const tap = await Wiretap.start({ host: HOST_A, port: Number(idA.split(':')[1]) });
        const before = await status();
        const attacker = new Attacker(tap.uri, identity, curve);
        st.after(() => {
            attacker.close();
            tap.stop();
        });
        await until(`${counter} is counted`, async () => {
            await attacker.tryAll(idA, idB, addressOf(key));
            return (await status())[counter] > before[counter];
        });
        await pass();
        const after = await status();
        assert.strictEqual(after.mesh_handshakes_received, before.mesh_handshakes_received);
        assert.strictEqual(after.mesh_peers, before.mesh_peers);
        assert.deepStrictEqual(attacker.received, []);
        assert.ok(!tap.seen.includes(SECRET_WORDS) && !tap.down.includes('mmrp.'), 'a message passed in clear text');
        st.diagnostic(`${tap.down.length} bytes of handshakes to it, ${counter} ${after[counter] - before[counter]}`);
    }

    await t.test('without a key', (st) => isKeptOut(st, { identity: idB, counter: 'mesh_failed_handshakes' }));
    await t.test('with a key that is not allowed', (st) => isKeptOut(st,
        { identity: privately(idB), curve: client(stranger, keyA), counter: 'mesh_denied' }));
    await t.test('that takes us for another', (st) => isKeptOut(st,
        { identity: privately(idB), curve: client(keyC, stranger), counter: 'mesh_failed_handshakes' }));
    await t.test('with an allowed key, in the name of another', (st) => isKeptOut(st,
        { identity: privately(idB), curve: client(keyC, keyA), counter: 'mesh_forged' }));
    await t.test('with an allowed key, in the plain name of another', (st) => isKeptOut(st,
        { identity: idB, curve: client(keyC, keyA), counter: 'mesh_forged' }));

    await t.test('a crowd of strangers does not hold up the others', async (st) => {
        const { mesh_denied: denied } = await status();
        const crowd = Array.from({ length: 200 }, (_, i) => new Attacker(uriA, `crowd~${i}`, client(stranger, keyA)));
        st.after(() => crowd.forEach((one) => one.close()));
        let slowest = 0;
        await until('all were denied', async () => {
            const before = Date.now();
            await pass(5);
            slowest = Math.max(slowest, Date.now() - before);
            return (await status()).mesh_denied >= denied + crowd.length;
        }, 20000);
        st.diagnostic(`${crowd.length} strangers; 5 messages there and back took ${slowest} ms at most`);
        assert.ok(crowd.every((one) => one.received.length === 0));
        assert.ok(a.log.match(/event=mesh-connection-denied address="127\.0\.0\.1" key=/g).length <= 2);
    });

    await t.test('a broadcast reaches the other host, and no attacker', async (st) => {
        const attacker = new Attacker(uriA, privately(idB), client(keyC, keyA));
        st.after(() => attacker.close());
        await attacker.tryAll(idA, idB, addressOf(key));
        await a.backend.broadcast([['to-all', { [SECRET_WORDS]: 'all' }]]);
        await got(inbox, 'to-all');
        assert.deepStrictEqual(attacker.received, []);
        await pass();
    });

    await t.test('whose key is revoked while he is connected', async (st) => {
        // C is a host like others: announced, connected both ways, and told what all are told.
        const idC = 'c-host:15003';
        const router = new zmq.Router({ linger: 0, curveServer: true, curveSecretKey: keyC.secretKey });
        await router.bind('tcp://127.0.0.1:*');
        const tap = await Wiretap.start({ host: '127.0.0.1', port: Number(/:(\d+)$/.exec(router.lastEndpoint)[1]) });
        const handshake = JSON.stringify({ clusterId: idC, identity: idC, isRelay: true, isClient: false,
            server: 'msgserver', software: '1', game: 'game', version: '1.2.3' });
        const introduction = { messages: [handshake], type: 'mmrp.handshake', returnRoute: [idC], flags: 1 };
        const heard = [];
        (async () => {
            for await (const frames of router) {
                heard.push(frames.map(String));
                if (String(frames[frames.length - 1]).includes('mmrp.handshake')) {
                    await router.send([frames[0], ...encode(introduction)]);
                }
            }
        })().catch(() => {}); // until it is closed
        const attacker = new Attacker(uriA, privately(idC), client(keyC, keyA));
        st.after(() => {
            router.close();
            attacker.close();
            tap.stop();
        });
        const withdraw = await zookeeper.announce(`c-host:${tap.port}`,
            { ips: ['127.0.0.1'], game: 'game', version: '1.2.3', clusterId: idC, publicKey: keyC.publicKey });
        await until('C is up at both', async () => (await Promise.all([a, b].map((server) => server.backend.status())))
            .every((one) => one.mesh_peers_up === 2));
        const greet = () => attacker.dealer.send(encode({ route: [idA], ...introduction }));
        await greet();
        await until('C is answered', () => attacker.received.length === 1);
        await a.backend.broadcast([['before', { [SECRET_WORDS]: 'before' }]]);
        await until('C hears the broadcast', () => heard.some((frames) => frames.join().includes(SECRET_WORDS)));
        assert.ok(!tap.seen.includes(SECRET_WORDS) && !tap.seen.includes('msgServer'), 'it passed in clear text');

        const before = await status();
        keys.allow(keyA.publicKey, keyB.publicKey);
        await until('C is cut off by both', async () => (await Promise.all([a, b].map((server) => server.backend.status())))
            .every((one) => one.mesh_peers_up === 1), 5000);
        const count = heard.length;
        const { length } = tap.seen;
        await greet();
        await attacker.tryAll(idA, idC, addressOf(key));
        await until('what C sends is counted', async () => (await status()).mesh_forged > before.mesh_forged + 8);
        await a.backend.broadcast([['after', { [SECRET_WORDS]: 'after' }]]);
        await got(inbox, 'after');
        await pass();
        assert.strictEqual(attacker.received.length, 1);
        assert.deepStrictEqual(heard.slice(count), []);
        assert.strictEqual(tap.seen.length, length); // not a byte, of whatever kind
        await withdraw();
    });

    await t.test('a host without CURVE is not connected, and both sides say so', async () => {
        const plain = await start('127.0.0.3');
        await until('the host with CURVE says so', () => /event=peer-barred .*it has no key/.test(a.log));
        await until('the host without CURVE says so', () => /event=peer-barred .*it speaks CURVE/.test(plain.log));
        const { mesh_peers_up: up } = await plain.backend.status();
        assert.strictEqual(up, 0);
        await pass();
        await plain.stop();
        await until('it is withdrawn', async () => (await status()).mesh_peers === 1);
    });

    await t.test('a key is rolled over, and nothing that was accepted is lost', async (st) => {
        const fresh = keys.make('b-new');
        const store = await b.backend.createSession('eve');
        await b.backend.send(store, [['kept', 1]], [['kept', 2]]);
        keys.allow(`${keyA.publicKey}   # A`, `${keyB.publicKey} ${idB}`, `${fresh.publicKey} ${idB}`);
        await until('both took the new list', () => [a, b].every((server) => (server.log.match(/event=mesh-keys /g) || []).length >= 3));
        await pass();

        // B comes back with the new key; meanwhile its session at A gets messages.
        const outcomes = [];
        b.config.mmrp.curve.keyFile = fresh.file;
        await b.stop();
        for (let i = 0; i < 10; i += 1) {
            outcomes.push((await a.backend.send(key, [['line', { down: i }]]))[0].outcome);
        }
        assert.deepStrictEqual([...new Set(outcomes)], ['queued']);
        await b.start();
        await peersUp([a, b]);
        const before = linesOf(inbox);
        await attach(st, b, key, inbox);
        await until('what waited came', () => linesOf(inbox) === before + 10);
        assert.strictEqual((await b.backend.session(store)).pending, 2);

        const taken = a.log.match(/event=mesh-keys /g).length;
        keys.allow(keyA.publicKey, fresh.publicKey);
        await until('the old key is gone', () => a.log.match(/event=mesh-keys /g).length > taken);
        for (let i = 0; i < 10; i += 1) {
            await b.backend.send(key, [['line', { after: i }]]);
        }
        await until('all came', () => linesOf(inbox) === before + 20);
        const { mesh_peers_up: up } = await status();
        assert.strictEqual(up, 1);

        // Who has the old key now, gets nowhere with it.
        const { mesh_denied: denied } = await status();
        const old = new Attacker(uriA, privately(idB), client(keyB, keyA));
        st.after(() => old.close());
        await until('the old key is denied', async () => (await status()).mesh_denied > denied);
        assert.deepStrictEqual(old.received, []);
    });

    await t.test('no secret is told by logs, -T, --setting, the status or ZooKeeper', async () => {
        const every = [keyA, keyB, keyC, stranger];
        const read = (...args) => execFileSync(path.join(BUILD, 'msgserverd'), ['--config-dir', a.directory, ...args],
            { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
        const shown = read('-T');
        assert.match(shown, /keyFile: "/);
        assertNoSecrets('-T', shown, ...every);
        assertNoSecrets('--setting', read('--setting', 'server.mmrp.curve.keyFile'), ...every);
        ['derived.meshSecretKey', 'derived.meshPublicKey'].forEach((name) => assert.throws(() => read('--setting', name)));
        assertNoSecrets('the status', JSON.stringify(await status()), ...every);
        assertNoSecrets('ZooKeeper', JSON.stringify(await zookeeper.nodes()), ...every);
        servers.forEach((server) => assertNoSecrets('a log', server.log, ...every));
        // Client workers, which strangers talk to, do not even know it.
        const [worker] = a.pids('client-worker');
        const [relay] = a.pids('relay-worker');
        assert.ok(memoryHolds(relay, keyA.secretKey), 'the relay has no key: this looks in the wrong place');
        assert.ok(!memoryHolds(worker, keyA.secretKey), 'a client worker holds the secret key');
    });
});

test('a mesh that strangers reach without CURVE is warned of, once', async (t) => {
    const keys = new Keys();
    const key = keys.make('key');
    keys.allow(key.publicKey);
    t.after(() => keys.remove());
    // An address that no host here has: the server ends when it binds it, after the warning.
    const logOf = async (host, curve) => {
        const server = await Server.start({ mmrp: { bind: { host, port: await freePort() }, ...(curve ? { curve } : {}) } }, { ready: false });
        t.after(() => server.dispose());
        await until('it ended, or serves', () => server.exit || /event=serving/.test(server.log), 20000);
        return server.log;
    };
    const [open, closed, local] = await Promise.all([logOf('203.0.113.7'), logOf('203.0.113.7', keys.curve(key)), logOf('127.0.0.1')]);
    assert.strictEqual(open.match(/event=mesh-unprotected address=203\.0\.113\.7 .*server\.mmrp\.curve/g).length, 1);
    assert.doesNotMatch(closed, /mesh-unprotected/);
    assert.doesNotMatch(local, /mesh-unprotected/);
    assert.match(local, /event=serving .* curve=off /);
});

test('on all addresses, a public one is enough for the warning', { skip: impossible() }, async (t) => {
    const namespaces = new Namespaces({ hub: '203.0.113.1' });
    t.after(() => namespaces.dispose());
    const server = await Server.start({ mmrp: { bind: { host: '*', port: 15001 } } }, { netns: namespaces.names.hub, ready: false });
    t.after(() => server.dispose());
    await until('the warning', () => /event=mesh-unprotected address=203\.0\.113\.1 /.test(server.log));
});

// Whether a process has the text in what it may write of its memory.
function memoryHolds(pid, text) {
    const memory = fs.openSync(`/proc/${pid}/mem`, 'r');
    try {
        return fs.readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n').some((line) => {
            const range = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
            if (!range) {
                return false;
            }
            const [start, end] = range.slice(1).map((hex) => parseInt(hex, 16));
            const bytes = Buffer.alloc(Math.min(end - start, 64 << 20));
            try {
                fs.readSync(memory, bytes, 0, bytes.length, start);
            } catch (error) {
                return false; // a mapping of the kernel's
            }
            return bytes.includes(text);
        });
    } finally {
        fs.closeSync(memory);
    }
}
