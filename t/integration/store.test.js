'use strict';
// server.store.engine: lmdb. Whatever is killed: what was accepted arrives, and the figures agree.

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const test = require('node:test');
const { Random } = require('./lib/random');
const { Server, alive, children } = require('./lib/server');
const { Swarm } = require('./lib/swarm');
const { until } = require('./lib/wait');

function newServer(store = {}, more = {}) {
    const server = new Server({ workers: 2, ...more });
    server.config.store = { engine: 'lmdb', path: path.join(server.directory, 'store'), size: '16MiB', ...store };
    return server;
}

// Sends until told to stop; what was answered "queued" is to arrive. Other answers are counted.
class Load {
    constructor(swarm, server) {
        this.swarm = swarm;
        this.server = server;
        this.queued = 0;
        this.failed = 0;
        this.stopping = false;
        this.done = this.run();
    }

    async run() {
        const { random, members } = this.swarm;
        for (let n = 0; !this.stopping; n += 50) {
            const recipients = Array.from({ length: 50 }, () => random.pick(members));
            const orders = recipients.map((member, i) => ({
                to: member.key, message: [['tick', { n: n + i, pad: 'x'.repeat(random.below(random.chance(0.02) ? 9000 : 40)) }]],
            }));
            try {
                const lines = await this.server.backend.sendMany(orders);
                lines.forEach(({ results: [result] }, i) => this.note(recipients[i], result));
            } catch (error) {
                this.failed += 50;
                await new Promise((resolve) => setTimeout(resolve, 5));
            }
        }
    }

    note(member, result) {
        if (result.outcome === 'queued') {
            this.queued += result.ids.length;
            member.sent = Math.max(member.sent, ...result.ids);
        } else {
            this.failed += 1;
        }
    }

    stop() {
        this.stopping = true;
        return this.done;
    }
}

// Everything that was accepted is there, also what no answer told of.
async function settled(t, swarm, server, load) {
    await load.stop();
    for (const member of swarm.members) {
        const { lastId } = await server.backend.session(member.key);
        assert.ok(lastId >= member.sent, `${member.key}: ${lastId} of ${member.sent} are left`);
        member.sent = lastId;
    }
    await swarm.settle();
    await until('nothing is left', async () => (await server.backend.status()).pending === 0);
    const figures = await server.backend.balanced();
    assert.ok(figures.accepted >= load.queued, `${figures.accepted} of ${load.queued}`);
    assert.deepStrictEqual(swarm.members.filter((member) => member.inbox.unset), []);
    t.diagnostic(`${load.queued} queued, ${load.failed} refused or not answered, ${figures.accepted} accepted`);
}

async function grown(load, by) {
    const before = load.queued;
    await until('messages are accepted', () => load.queued >= before + by, 30000);
}

test('the relay is killed under load: no session ends, and nothing is lost', async (t) => {
    const random = new Random();
    t.diagnostic(`SEED=${random.seed}`);
    const server = await newServer().start();
    t.after(() => server.dispose());
    const swarm = new Swarm(random, () => server.url);
    t.after(() => swarm.stop());
    await swarm.join(server.backend, 60);
    const load = new Load(swarm, server);
    t.after(() => load.stop());
    // The master waits longer and longer before it starts a relay that died again.
    for (let kills = 0; kills < 3; kills += 1) {
        await grown(load, 200 + random.below(300));
        const [relay] = server.pids('relay-worker');
        process.kill(relay, 'SIGKILL');
        await until('there is a new relay', () => !alive(relay) && server.pids('relay-worker').length === 1, 20000);
        await grown(load, 100);
        await server.backend.balanced();
    }
    await settled(t, swarm, server, load);
});

async function killEverything(server) {
    const pids = [server.process.pid, ...children(server.process.pid).map((child) => child.pid)];
    pids.forEach((pid) => process.kill(pid, 'SIGKILL'));
    await until('all are gone', () => !pids.some(alive));
    await server.exited;
    server.backend.close();
}

for (const durability of ['process', 'disk']) {
    test(`every process is killed, durability ${durability}: clients go on after the restart`, async (t) => {
        const random = new Random();
        t.diagnostic(`SEED=${random.seed}`);
        const server = await newServer({ durability }).start();
        t.after(() => server.dispose());
        const swarm = new Swarm(random, () => server.url);
        t.after(() => swarm.stop());
        await swarm.join(server.backend, 40);
        const load = new Load(swarm, server);
        t.after(() => load.stop());
        for (let kills = 0; kills < 3; kills += 1) {
            await grown(load, 100 + random.below(200));
            await killEverything(server);
            await server.start();
            await server.backend.balanced();
        }
        await grown(load, 100);
        await settled(t, swarm, server, load);
    });
}

test('what nobody fetched is there after a restart, IDs go on, and expiry and deletion stay', async (t) => {
    const server = await newServer().start();
    t.after(() => server.dispose());
    const key = await server.backend.createSession('bob');
    const gone = await server.backend.createSession('gone');
    const brief = await server.backend.createSession('brief', { ttl: 1 });
    await server.backend.send(key, [['one']], [['two']]);
    await server.backend.send(gone, [['one']]);
    await server.backend.send(brief, [['one']]);
    await server.backend.deleteSession(gone);
    const before = await server.backend.session(key);
    const { code } = await server.stop();
    assert.strictEqual(code, 0);
    await server.start();
    const after = await server.backend.session(key);
    assert.deepStrictEqual([after.lastId, after.pending, after.ttl], [before.lastId, before.pending, before.ttl]);
    assert.ok(after.age >= before.age, `age ${after.age} after ${before.age}`);
    assert.strictEqual((await server.backend.call('GET', `/sessions/${encodeURIComponent(gone)}`)).status, 404);
    const [result] = await server.backend.send(key, [['three']]);
    assert.deepStrictEqual(result.ids, [3]);
    await until('the brief one expires', async () => (await server.backend.status()).dropped_expired === 1, 20000);
    assert.strictEqual((await server.backend.balanced()).accepted, 5);
});

test('a damaged store is set aside, and the server starts', async (t) => {
    const server = await newServer().start();
    t.after(() => server.dispose());
    const key = await server.backend.createSession('bob');
    await server.backend.send(key, [['one']]);
    await server.stop();
    const { path: directory } = server.config.store;
    const file = fs.openSync(path.join(directory, 'store.mdb'), 'r+');
    fs.writeSync(file, Buffer.alloc(20000, 'damage'), 0, 20000, 4096);
    fs.closeSync(file);
    await server.start();
    assert.match(server.log, /event=store-set-aside/);
    assert.strictEqual(fs.readdirSync(directory).filter((name) => name.startsWith('store.damaged-')).length, 1);
    const [result] = await server.backend.send(key, [['two']]);
    assert.strictEqual(result.outcome, 'noSession');
    const [other] = await server.backend.send(await server.backend.createSession('bob'), [['two']]);
    assert.strictEqual(other.outcome, 'queued');
});

test('two servers never share a store', async (t) => {
    const server = await newServer().start();
    t.after(() => server.dispose());
    const other = newServer();
    t.after(() => other.dispose());
    other.config.store.path = server.config.store.path;
    await assert.rejects(other.start());
    assert.match(other.log, /in use by another msgserver/);
    assert.strictEqual((await server.backend.call('GET', '/status')).status, 200);
});

test('a full store refuses senders, loses nothing, and goes on when there is room', async (t) => {
    const server = await newServer({}, { limits: { mailboxBytes: '64MiB', mailboxMessages: 100000 } }).start();
    t.after(() => server.dispose());
    const key = await server.backend.createSession('bob');
    const body = [['x'.repeat(30000)]];
    let accepted = 0;
    let outcome;
    do {
        [{ outcome }] = await server.backend.send(key, body);
        accepted += outcome === 'queued' ? 1 : 0;
    } while (outcome === 'queued' && accepted < 1000);
    assert.strictEqual(outcome, 'overLimit');
    assert.ok(accepted > 100, `${accepted} messages of 30 kB in 16 MiB`);
    process.kill(server.pids('relay-worker')[0], 'SIGKILL');
    await until('everything is still there', async () => (await server.backend.session(key)).pending === accepted, 20000);
    await server.backend.deleteSession(key);
    const next = await server.backend.createSession('bob');
    await until('there is room', async () => (await server.backend.send(next, body))[0].outcome === 'queued');
    await server.backend.balanced();
});
