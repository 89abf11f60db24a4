'use strict';
// Whoever reaches the MMRP port without being a peer: scans, other protocols, half a greeting; and
// thieves, DEALERs that take a peer's name and come back for ever. Peers stay heard, what was answered
// `queued` arrives, our hosts answer throughout, and nothing of it all is left in the relay.
// FULL=1 keeps the thieves for half a minute.

const assert = require('assert');
const fs = require('fs');
const net = require('net');
const test = require('node:test');
const zmq = require('zeromq');
const { Inbox, newClient } = require('./lib/clients');
const { clusterIdOf, peersUp, startHost } = require('./lib/hosts');
const { MageHost } = require('./lib/mage_host');
const { noise, repeated } = require('./lib/malformed');
const { encode } = require('./lib/mmrp_peer');
const { SANITIZED } = require('./lib/server');
const { until } = require('./lib/wait');
const { missing } = require('./lib/zookeeper');

const skip = missing();
const MIB = 1 << 20;
const THIEVES_MS = process.env.FULL ? 30000 : 3000; // at least
const MUTE_LIMIT_MS = 10000;
const ANSWER_LIMIT_MS = SANITIZED ? 5000 : 1500;
const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let mage; // its server is A
let a;
let b;
let idOfB;

const portOf = (server) => server.config.mmrp.bind.port;

// ZMTP 3.1: a greeting, and a READY command of a DEALER (RFC 37).
const GREETING = Buffer.concat([Buffer.from('ff00000000000000017f0301', 'hex'), Buffer.from('NULL'), Buffer.alloc(48)]);
const READY = Buffer.concat([Buffer.from('\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER', 'latin1')]);
const RAW = [
    ['connect and close', ''],
    ['an HTTP request', 'GET /check.txt HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a TLS hello', Buffer.concat([Buffer.from('16030102000100', 'hex'), Buffer.from('01fc0303', 'hex'), noise(508)])],
    ['noise', noise(5000)],
    ['zeros', Buffer.alloc(5000)],
    ['half a greeting', GREETING.subarray(0, 30)],
    ['another mechanism', Buffer.concat([GREETING.subarray(0, 12), Buffer.from('CURVE'), Buffer.alloc(47)])],
    ['a greeting and noise', Buffer.concat([GREETING, noise(500)])],
    ['a frame of 2^63 bytes', Buffer.concat([GREETING, READY, Buffer.from('028000000000000000', 'hex'), noise(500)])],
    ['a frame of 2^62 bytes', Buffer.concat([GREETING, READY, Buffer.from('024000000000000000', 'hex'), noise(500)])],
    ['a frame of 1 GB', Buffer.concat([GREETING, READY, Buffer.from('020000000040000000', 'hex'), noise(500)])],
    ['an unknown command', Buffer.concat([GREETING, READY, Buffer.from('\x04\x05\x04NOPE', 'latin1')])],
    ['an envelope without end', Buffer.concat([GREETING, READY, ...repeated(5000, Buffer.from('0101' + '41', 'hex'))])],
];

// One connection that says `bytes`; `end`: 'close', 'reset' (RST, as a scanner does) or 'stay'.
function stranger(port, bytes, end) {
    return new Promise((resolve, reject) => {
        const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes, () => {
            if (end === 'stay') {
                resolve(socket);
            } else if (end === 'reset') {
                socket.resetAndDestroy();
            } else {
                socket.destroy();
            }
        }));
        socket.on('error', (error) => (['ECONNRESET', 'EPIPE'].includes(error.code) ? resolve(socket) : reject(error)));
        socket.on('close', () => resolve(socket));
        socket.resume();
    });
}

// Descriptors and anonymous memory of a server's relay.
function usageOf(server) {
    const [pid] = server.pids('relay-worker');
    return {
        pid,
        descriptors: fs.readdirSync(`/proc/${pid}/fd`).length,
        bytes: 1024 * Number(/^RssAnon:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]),
    };
}

// The relay is the same, has no more descriptors, and about the memory that it had before.
async function nothingIsLeft(t, server, before) {
    await until(() => `as many descriptors as before, ${before.descriptors}, not ${usageOf(server).descriptors}`,
        () => usageOf(server).descriptors <= before.descriptors, 15000);
    const now = usageOf(server);
    assert.strictEqual(now.pid, before.pid);
    t.diagnostic(`descriptors ${before.descriptors} → ${now.descriptors}, memory ${(before.bytes / MIB).toFixed(1)} → ${(now.bytes / MIB).toFixed(1)} MiB`);
    if (!SANITIZED) {
        assert.ok(now.bytes < before.bytes + 8 * MIB, `${now.bytes - before.bytes} bytes more`);
    }
}

// Asks a server again and again until stop(), which tells the longest answer time.
function probe(server) {
    let slowest = 0;
    let stopped = false;
    const loop = (async () => {
        while (!stopped) {
            const start = performance.now();
            await server.backend.status();
            slowest = Math.max(slowest, performance.now() - start);
            await delay(20);
        }
    })();
    loop.catch(() => {}); // the one who stops it looks
    return async (t, what) => {
        stopped = true;
        await loop;
        t.diagnostic(`${what} answered within ${slowest.toFixed(0)} ms throughout`);
        assert.ok(slowest < ANSWER_LIMIT_MS, `${slowest} ms`);
    };
}

test.before(async () => {
    if (!skip) {
        mage = await MageHost.start({ workers: 1 });
        a = mage.server;
        b = await startHost(mage.zookeeper, { host: '127.0.0.5' }, { workers: 1 });
        idOfB = await clusterIdOf(b);
        await mage.peer.join(`tcp://127.0.0.5:${portOf(b)}`, idOfB);
        await peersUp([a, b], 2);
    }
});
test.after(async () => {
    for (const one of [b, mage].filter(Boolean)) {
        await one.dispose();
    }
});

test('scans and other protocols: nothing is left, and the host answers throughout', { skip }, async (t) => {
    const before = usageOf(a);
    const stop = probe(a);
    const stay = [];
    t.after(() => stay.forEach((socket) => socket.destroy()));
    for (const [what, bytes] of RAW) {
        for (const end of ['close', 'reset', 'stay']) {
            const socket = await stranger(portOf(a), bytes, end).catch((error) => assert.fail(`${what}: ${error.message}`));
            stay.push(...(end === 'stay' ? [socket] : []));
        }
    }
    for (let i = 0; i < 50; i += 1) {
        stay.push(await stranger(portOf(a), GREETING.subarray(0, 30), 'stay')); // and silence
    }
    for (let done = 0; done < 2000; done += 100) {
        await Promise.all(Array.from({ length: 100 }, (_, i) => stranger(portOf(a), '', i % 2 ? 'close' : 'reset')));
    }
    await stop(t, 'the host');
    if (process.env.FULL) {
        await until('our host closes those that say nothing', () => stay.every((socket) => socket.destroyed), 15000);
    }
    stay.forEach((socket) => socket.destroy());
    await nothingIsLeft(t, a, before);
    assert.strictEqual((await a.backend.status()).mesh_peers_up, 2);
});

// What a DEALER that is named says first.
function greetingAs(identity) {
    const name = Buffer.from(identity);
    const ready = Buffer.concat([Buffer.from('\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00', 'latin1'),
        Buffer.from([name.length]), name]);
    return Buffer.concat([GREETING, Buffer.from([0x04, ready.length]), ready]);
}

// libzmq stops reading the first, and must not write to it any more when it is reset.
test('a connection that is reset after another took its name', { skip }, async (t) => {
    const { pid } = usageOf(a);
    const garbage = Buffer.from('\x01\x00\x00\x01x', 'latin1');
    const open = async () => {
        const socket = await stranger(portOf(a), greetingAs('twice:1'), 'stay');
        t.after(() => socket.destroy());
        await until('our ROUTER greets', () => socket.bytesRead > GREETING.length);
        socket.write(garbage);
        return socket;
    };
    const { mesh_strangers: before, mesh_malformed: malformed } = await a.backend.status();
    const heard = (count) => until(`${count} came`, async () => {
        const now = await a.backend.status();
        return now.mesh_strangers + now.mesh_malformed >= before + malformed + count;
    });
    const first = await open();
    await heard(1);
    await open();
    await heard(2);
    first.write(garbage);
    await delay(50);
    first.resetAndDestroy();
    const end = Date.now() + 4500; // two heartbeats
    await until('the relay lived on', () => {
        assert.strictEqual(usageOf(a).pid, pid);
        return Date.now() > end;
    });
});

// Killed under load, say: its kernel resets the connection of our DEALER, in the midst of a multipart.
test('a peer that is reset while it sends much', { skip: skip || (process.env.FULL ? false : 'FULL=1 only: a matter of chance') }, async (t) => {
    const { pid } = usageOf(a);
    const body = Buffer.from('\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER', 'latin1');
    const ready = Buffer.concat([Buffer.from([0x04, body.length]), body]);
    const garbage = Buffer.concat(repeated(20000, Buffer.from('\x01\x00\x00\x01x', 'latin1')));
    let resets = 0;
    const peer = net.createServer((socket) => {
        const end = performance.now() + 150 + 900 * Math.random(); // before the first PING
        let greeted = false;
        const pump = () => {
            if (performance.now() >= end) {
                socket.resetAndDestroy();
                resets += 1;
            } else if (!socket.destroyed) {
                if (socket.writableLength < MIB) {
                    socket.write(garbage);
                }
                setImmediate(pump);
            }
        };
        socket.on('error', () => {});
        socket.on('data', () => {
            if (!greeted && socket.bytesRead > GREETING.length) {
                greeted = true;
                socket.write(ready);
                setTimeout(pump, 50);
            }
        });
        socket.write(GREETING);
    });
    await new Promise((resolve) => peer.listen(0, '127.0.0.9', resolve));
    t.after(() => peer.close());
    const withdraw = await mage.zookeeper.announce(`9b9b9b9b9b9b9b9b:${peer.address().port}`,
        { ips: ['127.0.0.9'], game: 'game', version: '1.2.3' });
    await until('it was reset often', () => {
        assert.strictEqual(usageOf(a).pid, pid);
        return resets >= 40;
    }, 60000);
    await withdraw();
});

test('strangers who introduce themselves without end do not fill the log', { skip }, async (t) => {
    const linesAtStart = a.log.split('\n').length;
    const strangers = [];
    t.after(() => strangers.forEach((one) => one.close()));
    const introduce = async (id, times) => {
        const json = JSON.stringify({ clusterId: id, identity: id, isRelay: true, isClient: false,
            server: 'msgserver', software: '1', game: 'game', version: '1.2.3' });
        const dealer = new zmq.Dealer({ routingId: id, linger: 0 });
        strangers.push(dealer);
        dealer.connect(`tcp://127.0.0.1:${portOf(a)}`);
        const frames = encode({ route: [mage.ours], messages: [json], returnRoute: [id], type: 'mmrp.handshake', flags: 1 });
        for (let i = 0; i < times; i += 1) {
            await dealer.send(frames);
        }
    };
    const { mesh_handshakes_received: before } = await a.backend.status();
    await introduce(idOfB, 300);
    for (let i = 0; i < 400; i += 1) {
        await introduce(`stranger:${i}`, 1);
    }
    await until('all are heard', async () => (await a.backend.status()).mesh_handshakes_received >= before + 700);
    const lines = a.log.split('\n').length - linesAtStart;
    t.diagnostic(`${lines} lines in the log`);
    assert.ok(lines < 30, `${lines} lines`);
});

/* --- thieves ----------------------------------------------------------------------------------- */

// Says that `identity` is its own to the ROUTER at a port, and comes back each time that it loses it.
class Thief {
    constructor(port, host, identity, says) {
        this.dealer = new zmq.Dealer({ routingId: identity, linger: 0, reconnectInterval: 10, sendTimeout: 0 });
        this.dealer.connect(`tcp://${host}:${port}`);
        this.heard = 0;
        this.listen();
        this.timer = setInterval(() => says && this.dealer.send(says).catch(() => {}), 5);
    }

    async listen() {
        while (!this.dealer.closed) {
            await this.dealer.receive().then(() => { this.heard += 1; }, () => {});
        }
    }

    stop() {
        clearInterval(this.timer);
        this.dealer.close();
    }
}

// When things came, and how long nothing did.
class Gaps {
    constructor(what) {
        Object.assign(this, { what, last: performance.now(), longest: 0, count: 0 });
    }

    came() {
        const now = performance.now();
        this.longest = Math.max(this.longest, now - this.last);
        this.last = now;
        this.count += 1;
    }

    check(t) {
        this.longest = Math.max(this.longest, performance.now() - this.last);
        t.diagnostic(`${this.what}: ${this.count}, the longest gap ${this.longest.toFixed(0)} ms`);
        assert.ok(this.longest < MUTE_LIMIT_MS, `${this.what}: nothing for ${this.longest} ms`);
    }
}

// Traffic of every kind between A, B and MAGE until stop().
class Traffic {
    async start(t) {
        this.queued = [];
        this.outcomes = {};
        this.stopped = false;
        t.after(() => { this.stopped = true; });
        this.key = await a.backend.createSession('bob');
        this.inbox = new Inbox();
        this.gaps = Object.fromEntries(['A to its client at B', 'queued by B at A', 'MAGE to A by its ROUTER', 'A to MAGE']
            .map((what) => [what, new Gaps(what)]));
        this.client = newClient('websocket', b.url, this.key, {
            onPack: (pack, text) => {
                const ids = this.inbox.take(pack, text);
                if (ids.length > 0) {
                    this.gaps['A to its client at B'].came();
                    this.client.confirm(ids);
                }
            },
            onEnd: () => !this.stopped && setTimeout(() => this.client.connect(), 50),
        });
        t.after(() => this.client.close(true));
        await this.client.connect();
        this.fromMage = await a.backend.createSession('carol');
        const address = `sess/${this.fromMage.slice(0, this.fromMage.lastIndexOf('~'))}`;
        const carol = newClient('websocket', a.url, this.fromMage, {
            onPack: () => this.gaps['MAGE to A by its ROUTER'].came(),
        });
        t.after(() => carol.close(true));
        await carol.connect();
        const adopted = await mage.adopt(`dave-${t.name.length}`, 'AbCdEfGh01234567');
        mage.peer.onEnvelope = ({ type }) => type === 'msgServer.send' && this.gaps['A to MAGE'].came();
        this.loops = [
            this.repeat(async () => {
                const [{ outcome }] = await a.backend.send(this.key, [['from A']]);
                assert.strictEqual(outcome, 'queued');
            }),
            this.repeat(async (n) => {
                const { status, body } = await b.backend.call('POST', '/messages', { to: this.key, message: [['from B', n]] });
                const outcome = status === 200 ? body.results[0].outcome : status;
                this.outcomes[outcome] = (this.outcomes[outcome] || 0) + 1;
                if (outcome === 'queued') {
                    this.queued.push(n);
                    this.gaps['queued by B at A'].came();
                }
            }),
            this.repeat((n) => mage.peer.send([mage.ours], [address, `[["from MAGE",${n}]]`], 'msgServer.send').catch(() => {})),
            this.repeat(() => a.backend.send(adopted, [['to MAGE']])),
        ];
    }

    repeat(work) {
        const loop = (async () => {
            for (let n = 1; !this.stopped; n += 1) {
                await work(n);
                await delay(10);
            }
        })();
        loop.catch(() => {}); // stop() looks
        return loop;
    }

    async stop(t) {
        this.stopped = true;
        await Promise.all(this.loops);
        Object.values(this.gaps).forEach((gap) => gap.check(t));
        const got = () => new Set([...this.inbox.bodies.values()].map(JSON.parse).filter(([[name]]) => name === 'from B').map(([[, n]]) => n));
        await until('all that was answered `queued` has come', () => {
            const numbers = got();
            return this.queued.every((n) => numbers.has(n));
        }, 30000);
        await until('all is confirmed', async () => (await a.backend.session(this.key)).pending === 0, 30000);
        t.diagnostic(`B's sends: ${JSON.stringify(this.outcomes)}; ${this.inbox.duplicates} repeated at the client`);
        mage.peer.onEnvelope = null;
    }
}

const GARBAGE = ['', 'garbage'];

for (const [how, says] of process.env.FULL ? [['idle', null], ['talking', GARBAGE]] : [['talking', GARBAGE]]) {
    test(`thieves of every peer's name, ${how}, that reconnect for ever`, { skip }, async (t) => {
        const before = { a: usageOf(a), b: usageOf(b) };
        const probes = [probe(a), probe(b)];
        const traffic = new Traffic();
        await traffic.start(t);
        const thieves = [
            new Thief(portOf(a), '127.0.0.1', idOfB, says),
            new Thief(portOf(a), '127.0.0.1', mage.id, says),
            new Thief(portOf(b), '127.0.0.5', mage.ours, says),
        ];
        t.after(() => thieves.forEach((thief) => thief.stop()));
        const end = Date.now() + THIEVES_MS;
        const gaps = Object.values(traffic.gaps);
        gaps.forEach((gap) => { gap.before = gap.count; });
        await until(() => `all go on: ${gaps.map(({ what, count, before: then }) => `${what} ${count - then}`)}`,
            () => Date.now() > end && gaps.every(({ count, before: then }) => count - then >= 20), THIEVES_MS + 15000);
        await traffic.stop(t);
        await probes[0](t, 'A');
        await probes[1](t, 'B');
        t.diagnostic(`the thieves heard ${thieves.map((thief) => thief.heard)} envelopes`);
        thieves.forEach((thief) => thief.stop());
        traffic.client.close(true);
        await peersUp([a, b], 2);
        await nothingIsLeft(t, a, before.a);
        await nothingIsLeft(t, b, before.b);
    });
}
