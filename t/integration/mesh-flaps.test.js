'use strict';
// Eight MAGE hosts that flap in every way, in an order by a seed, under traffic both ways: no message
// reaches anybody that it is not for, none is lost, and when all are gone nothing is left of them.
// FULL=1: 1,000 flaps instead of 100. SEED=N repeats a run.

const assert = require('assert');
const fs = require('fs');
const test = require('node:test');
const { newClient } = require('./lib/clients');
const { FLAPS, FlappingMage } = require('./lib/flapping_mage');
const { clusterIdOf, startHost } = require('./lib/hosts');
const { Random } = require('./lib/random');
const { SANITIZED } = require('./lib/server');
const { until } = require('./lib/wait');
const { ZooKeeper, missing } = require('./lib/zookeeper');

const COUNT = process.env.FULL ? 1000 : 100;
const HOSTS = 8;
const SESSIONS = 24;
const MIB = 1 << 20;
const addressOf = (key) => `sess/${key.slice(0, key.lastIndexOf('~'))}`;

function usageOf(server) {
    const [pid] = server.pids('relay-worker');
    return {
        descriptors: fs.readdirSync(`/proc/${pid}/fd`).length,
        bytes: 1024 * Number(/^RssAnon:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]),
    };
}

test(`${COUNT} flaps of ${HOSTS} MAGE hosts under traffic both ways`, { skip: missing() }, async (t) => {
    const random = new Random();
    t.diagnostic(`SEED=${random.seed}`);
    const zookeeper = await ZooKeeper.start();
    t.after(() => zookeeper.dispose());
    const server = await startHost(zookeeper, { host: '127.0.0.1' }, { workers: 1 });
    t.after(() => server.dispose());
    const { backend } = server;
    const world = {
        server, zookeeper, random, ours: await clusterIdOf(server), problems: [], handles: new Map(), counts: { packs: 0, astray: 0, received: 0 },
    };
    const keys = await Promise.all(Array.from({ length: SESSIONS }, (_, i) => backend.createSession(`bob-${i}`)));
    const before = usageOf(server);
    const mages = [];
    const [relay] = server.pids('relay-worker');
    t.after(() => Promise.all(mages.map((mage) => mage.leave())));
    for (let i = 0; i < HOSTS; i += 1) {
        mages.push(await FlappingMage.start(world, i));
    }
    await until('all are up', async () => (await backend.status()).mesh_peers_up === HOSTS);
    const tally = Object.fromEntries(FLAPS.map((flap) => [flap, 0]));
    let accepted = 0;
    let slowest = 0;
    const start = Date.now();
    const someTraffic = async () => {
        for (let i = 0; i < 4; i += 1) {
            random.pick(mages).attach(addressOf(random.pick(keys)));
            mages.forEach((mage) => mage.push());
            if (random.chance(0.2)) {
                await random.pick(mages).join();
            }
        }
        const orders = Array.from({ length: 20 }, () => random.pick(keys)).map((to) => ({ to, message: [['to', addressOf(to)]] }));
        const asked = performance.now();
        const lines = await backend.sendMany(orders);
        slowest = Math.max(slowest, performance.now() - asked);
        lines.forEach(({ results: [{ outcome }] }) => assert.strictEqual(outcome, 'queued'));
        accepted += orders.length;
        if (random.chance(0.05)) {
            await backend.broadcast([['all']]);
            accepted += SESSIONS;
        }
    };
    for (let done = 0; done < COUNT; done += 1) {
        const flap = random.pick(FLAPS);
        tally[flap] += 1;
        await random.pick(mages)[flap]();
        await someTraffic();
        assert.deepStrictEqual(world.problems, [], `after ${done + 1} flaps`);
        assert.deepStrictEqual(server.pids('relay-worker'), [relay], `the relay ended after ${done + 1} flaps\n${server.log.slice(-2000)}`);
    }
    const seconds = (Date.now() - start) / 1000;
    t.diagnostic(`${JSON.stringify(tally)} in ${seconds.toFixed(1)} s; ${world.counts.packs} packs reached MAGE hosts, ` +
        `${world.counts.astray} of them for a name that the host had no more, ` +
        `${world.counts.received} messages their clients here; a bulk of 20 was answered within ${slowest.toFixed(0)} ms`);
    assert.ok(world.counts.astray <= 1 + world.counts.packs / 1000, `${world.counts.astray} packs astray`);
    const enough = world.counts.received + HOSTS;
    await until('traffic goes on', async () => {
        await someTraffic();
        return world.counts.received > enough;
    }, 20000);

    await Promise.all(mages.map((mage) => mage.stop()));
    const gone = (status) => status.mesh_peers + status.mesh_peers_up + status.attached_from_peers + status.attached_elsewhere +
        status.mesh_outbox_bytes === 0;
    let last;
    await until(() => `nothing is left of them: ${JSON.stringify(last)}`, async () => {
        last = await backend.status();
        return gone(last);
    }, 30000);
    assert.deepStrictEqual(world.problems, []);
    const status = await backend.balanced();
    assert.ok(status.accepted >= accepted, `${status.accepted} of ${accepted}`);
    // What nobody confirmed still waits at home.
    for (const key of keys) {
        const { pending } = await backend.session(key);
        const got = new Set();
        const client = newClient('websocket', server.url, key, {
            onPack: (pack) => Object.entries(pack).forEach(([id, [[name, to]]]) => {
                assert.ok(name !== 'to' || to === addressOf(key));
                got.add(id);
                client.confirm([Number(id)]);
            }),
        });
        await client.connect();
        await until(() => `${got.size} of ${pending} have come`, () => got.size >= pending);
        client.close(true);
    }
    await until(() => `as many descriptors as before, ${before.descriptors}, not ${usageOf(server).descriptors}`,
        () => usageOf(server).descriptors <= before.descriptors, 15000);
    const after = usageOf(server);
    t.diagnostic(`descriptors ${before.descriptors} → ${after.descriptors}, memory ${(before.bytes / MIB).toFixed(1)} → ${(after.bytes / MIB).toFixed(1)} MiB`);
    if (!SANITIZED) {
        assert.ok(after.bytes < before.bytes + 12 * MIB, `${after.bytes - before.bytes} bytes more`);
    }
});
